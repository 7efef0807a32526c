#include "release.h"

#include "allowance.h"
#include "arena.h"
#include "os/os.h"
#include "pool.h"
#include "root.h"

// Memory is taken out of the pool while the kernel works on it, so not too much at once.
#define PIECE_UNITS ((uint32_t)(((size_t)64 << 20) >> UNIT_SHIFT))
#define SMALL_HOLES_MAX 500u
#define VISITS 1000u // of runs too young to be given back, before a search gives up

static struct pool *pool(void) {
    return &root.live.pool;
}

static uint32_t now_ms(void) {
    return (uint32_t)os_now_ms();
}

// A part of a free run that is to be in the pool on its own. Its shape is written by the caller.
static void make_part(uint32_t head, uint32_t whole, uint32_t dirty) {
    run_at(head)->dirty = dirty;
    run_at(head)->birth = run_at(whole)->birth;
    run_at(head)->size = run_at(whole)->size;
}

// Takes a piece that begins with the first dirty unit out of a free run; the rest stays in the
// pool. Shapes are written from the end to the front, so that the tiling holds at every instant.
// pre: the pool's lock is held, the run has a dirty unit.
static uint32_t take_piece(uint32_t head) {
    uint32_t length = run_length_of(run_load(head));
    uint32_t dirty = run_at(head)->dirty;
    uint32_t front = 0;
    while (front < length - 1 && root.fixed.units[head + front].back != UNIT_DIRTY) {
        front++;
    }
    uint32_t most = length / 16 > PIECE_UNITS ? length / 16 : PIECE_UNITS;
    uint32_t piece = length - front < most ? length - front : most;
    uint32_t rest = length - front - piece;
    uint32_t start = head + front;
    uint32_t in_piece = rest == 0 ? dirty : pool_count_dirty(start, piece);
    pool_remove(head);
    if (rest > 0) {
        make_part(start + piece, head, dirty - in_piece);
        run_store(start + piece, RUN_FREE, rest);
    }
    make_part(start, head, in_piece);
    run_store(start, RUN_BUSY, piece);
    if (front > 0) {
        run_at(head)->dirty = 0;
        run_store(head, RUN_FREE, front);
        pool_insert(head);
    }
    if (rest > 0) {
        pool_insert(start + piece);
    }
    return start;
}

// The records between the first and the last of a free run are all zero when the kernel has
// taken their pages, which says what they have to say: no run begins here.
static void release_records(uint32_t head, uint32_t length) {
    uintptr_t start = align_up((uintptr_t)run_at(head + 1), root.fixed.page_size);
    uintptr_t end = align_down((uintptr_t)run_at(head + length - 1), root.fixed.page_size);
    if (length > 2 && start < end) {
        (void)os_purge((void *)start, end - start);
    }
}

// The kernel fills the holes around what still lives again, where it was asked for huge pages: there
// it must be asked not to, for whole huge pages. Each such place splits the kernel's mapping; when
// there are many, the whole area gives its huge pages up, and is one mapping again.
void release_keep_small(uintptr_t start, size_t length) {
    struct giving *giving = &root.live.giving;
    uintptr_t area = align_up(root.fixed.base + HUGE_ARENA_MIN, HUGE_PAGE_SIZE);
    uintptr_t limit = __atomic_load_n(&root.live.huge_end, __ATOMIC_RELAXED);
    uintptr_t end = align_up(start + length, HUGE_PAGE_SIZE);
    start = align_down(start, HUGE_PAGE_SIZE);
    start = start > area ? start : area;
    end = end < limit ? end : limit;
    if (start >= end || (start >= __atomic_load_n(&giving->small_start, __ATOMIC_RELAXED) &&
                         end <= __atomic_load_n(&giving->small_end, __ATOMIC_RELAXED))) {
        return; // no huge pages were asked for, or they were declined a moment ago
    }
    if (__atomic_fetch_add(&giving->small_holes, 1, __ATOMIC_RELAXED) % SMALL_HOLES_MAX ==
        SMALL_HOLES_MAX - 1) {
        start = area;
        end = limit;
    }
    os_advise_small((void *)start, end - start);
    __atomic_store_n(&giving->small_start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&giving->small_end, end, __ATOMIC_RELAXED);
}

// One call for the whole piece: what is not there costs the kernel nothing. Returns how many dirty
// units became clean. pre: the piece is BUSY and ours.
static uint32_t release_piece(uint32_t head) {
    uint32_t length = run_length_of(run_load(head));
    size_t bytes = (size_t)length << UNIT_SHIFT;
    if (!os_purge((void *)unit_address(head), bytes)) {
        return 0;
    }
    release_keep_small(unit_address(head), bytes);
    release_records(head, length);
    for (uint32_t i = 0; i < length; i++) {
        root.fixed.units[head + i].back = 0;
    }
    uint32_t dirty = run_at(head)->dirty;
    run_at(head)->dirty = 0;
    run_at(head)->size = now_ms(); // for those who take it again too soon
    return dirty;
}

uint64_t release_dirty(uint64_t keep, uint32_t age) {
    uint64_t released = 0;
    os_lock(&pool()->lock);
    while (pool()->dirty_units > keep) {
        uint32_t head = pool_aged_dirty(now_ms() - age, VISITS);
        if (head == 0) {
            break;
        }
        uint32_t piece = take_piece(head);
        os_unlock(&pool()->lock);
        uint32_t count = release_piece(piece);
        released += count;
        allowance_give((size_t)count << UNIT_SHIFT);
        os_lock(&pool()->lock);
        arena_rejoin(piece, run_length_of(run_load(piece)), run_at(piece)->dirty);
        if (count == 0) {
            // Trying again at once would loop.
            __atomic_store_n(&root.live.giving.refused, now_ms() | 1, __ATOMIC_RELAXED);
            break;
        }
    }
    pool()->purges += released > 0;
    pool()->purged_units += released;
    pool()->last_purge = now_ms();
    os_unlock(&pool()->lock);
    return released;
}

// Clean runs: nobody needs them back in a hurry here, so the lock is kept.
static void release_clean(uint32_t node) {
    while (node != 0) {
        uint32_t length = run_length_of(run_load(node));
        (void)os_purge((void *)unit_address(node), (size_t)length << UNIT_SHIFT);
        release_records(node, length);
        release_clean(run_at(node)->left);
        node = run_at(node)->right;
    }
}

uint64_t release_all(void) {
    uint64_t released = release_dirty(0, 0);
    os_lock(&pool()->lock);
    if (root.live.huge_end != 0) {
        release_clean(pool()->tree[0]);
        uint64_t top = atomic_load_explicit(&root.live.top, memory_order_relaxed);
        if (root.live.limit > top) {
            (void)os_purge((void *)unit_address((uint32_t)top), (root.live.limit - top)
                                                                    << UNIT_SHIFT);
        }
    }
    os_unlock(&pool()->lock);
    return released;
}
