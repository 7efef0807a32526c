#include "release.h"

#include "allowance.h"
#include "arena.h"
#include "huge.h"
#include "loose.h"
#include "os/os.h"
#include "pool.h"
#include "root.h"

// Memory is taken out of the pool while the kernel works on it, so not too much at once.
#define PIECE_UNITS ((uint32_t)(((size_t)64 << 20) >> UNIT_SHIFT))
#define VISITS 1000u      // of runs too young to be given back, before a search gives up
#define GROWTH_VISITS 64u // the same when a large block is made

// The kernel refuses a range if a single page of it is locked: what it takes is found by halves.
#define HALVES_MAX 64u    // of a piece, before the rest is left as it is
#define PIECES_REFUSED 8u // of which it took nothing, before a search gives up
#define REFUSED_MS 10000u // before such a piece is tried again

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

// Takes the units [start, end) out of a free run; the rest stays in the pool. Shapes are written
// from the end to the front, so that the tiling holds at every instant.
// pre: the pool's lock is held.
static void cut(uint32_t head, uint32_t start, uint32_t end) {
    uint32_t length = run_length_of(run_load(head));
    uint32_t rest = head + length - end;
    uint32_t in_front = pool_count_dirty(head, start - head);
    uint32_t behind = run_at(head)->dirty - in_front;
    uint32_t in_piece = rest == 0 ? behind : pool_count_dirty(start, end - start);
    pool_remove(head);
    if (rest > 0) {
        make_part(end, head, behind - in_piece);
        run_store(end, RUN_FREE, rest);
    }
    make_part(start, head, in_piece);
    run_store(start, RUN_BUSY, end - start);
    if (start > head) {
        run_at(head)->dirty = in_front;
        run_store(head, RUN_FREE, start - head);
        pool_insert(head);
    }
    if (rest > 0) {
        pool_insert(end);
    }
}

// The first dirty unit in [start, end), or end.
static uint32_t first_dirty(uint32_t start, uint32_t end) {
    while (start < end && root.fixed.units[start].back != UNIT_DIRTY) {
        start++;
    }
    return start;
}

// Takes a piece out of a run that has been free since `limit`, beginning with its first dirty unit,
// or with the first from `after` on, if that lies in it: what is in front was refused. 0: there is
// none.
static uint32_t take_aged(uint32_t limit, uint32_t after) {
    uint32_t head = 0;
    while ((head = pool_aged_dirty(limit, VISITS)) != 0) {
        uint32_t length = run_length_of(run_load(head));
        uint32_t most = length / 16 > PIECE_UNITS ? length / 16 : PIECE_UNITS;
        uint32_t end = head + length;
        uint32_t start = first_dirty(after > head && after <= end ? after : head, end);
        if (start < end) {
            cut(head, start, end - start < most ? end : start + most);
            return start;
        }
        run_at(head)->birth = now_ms() + REFUSED_MS; // or it would be the next one again
    }
    return 0;
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

// Returns how many dirty units became clean.
static uint32_t release_units(uint32_t start, uint32_t length, unsigned *halves) {
    if (os_purge((void *)unit_address(start), (size_t)length << UNIT_SHIFT)) {
        uint32_t dirty = pool_count_dirty(start, length);
        for (uint32_t i = 0; i < length; i++) {
            root.fixed.units[start + i].back = 0;
        }
        return dirty;
    }
    if (length == 1 || *halves == 0) {
        return 0;
    }
    --*halves;
    uint32_t half = length / 2;
    uint32_t released = release_units(start, half, halves);
    return released + release_units(start + half, length - half, halves);
}

// One call for the whole piece, if the kernel takes it: what is not there costs nothing. Returns
// how many dirty units became clean. pre: the piece is BUSY and ours.
static uint32_t release_piece(uint32_t head) {
    unsigned halves = HALVES_MAX;
    uint32_t released = release_units(head, run_length_of(run_load(head)), &halves);
    run_at(head)->dirty -= released;
    allowance_give((size_t)released << UNIT_SHIFT);
    return released;
}

// The same for a piece that may stay unused for long.
static uint32_t release_for_long(uint32_t head) {
    uint32_t length = run_length_of(run_load(head));
    uint32_t released = release_piece(head);
    if (released > 0) {
        huge_keep_small(unit_address(head), (size_t)length << UNIT_SHIFT);
        release_records(head, length);
        run_at(head)->size = now_ms(); // for those who take it again too soon
    }
    return released;
}

static void piece_back(uint32_t piece) {
    os_lock(&pool()->lock);
    arena_rejoin(piece, run_length_of(run_load(piece)), run_at(piece)->dirty);
}

// `refused`: there was something that the kernel did not take. pre: the pool's lock is held; it is
// dropped.
static uint64_t account(uint64_t released, bool refused) {
    if (released == 0 && refused) {
        __atomic_store_n(&root.live.giving.refused, now_ms() | 1, __ATOMIC_RELAXED);
    }
    pool()->purges += released > 0;
    pool()->purged_units += released;
    os_unlock(&pool()->lock);
    return released;
}

uint64_t release_possible(void) {
    return __atomic_load_n(&pool()->dirty_units, __ATOMIC_RELAXED) + loose_units();
}

static uint64_t release_aged(uint64_t keep, uint32_t age, uint32_t (*release)(uint32_t piece)) {
    uint64_t released = 0;
    unsigned refused = 0;
    uint32_t after = 0;
    if (age == 0) {
        arena_drain();
    } else {
        arena_drain_old();
    }
    os_lock(&pool()->lock);
    while (pool()->dirty_units > keep && refused < PIECES_REFUSED) {
        uint32_t piece = take_aged(now_ms() - age, after);
        if (piece == 0) {
            break;
        }
        os_unlock(&pool()->lock);
        uint32_t count = release(piece);
        released += count;
        if (count == 0) {
            refused++;
            after = piece + run_length_of(run_load(piece));
        }
        piece_back(piece);
    }
    __atomic_store_n(&pool()->last_purge, now_ms(), __ATOMIC_RELAXED); // looked at without the lock
    return account(released, refused > 0);
}

uint64_t release_dirty(uint64_t keep, uint32_t age) {
    return release_aged(keep, age, release_for_long);
}

void release_for_recycled(void) {
    (void)release_aged(root_used_units() / GROWTH_SHARE, 0, release_piece);
}

// How many dirty units are too many now that more than ever is in use or dirty. pre: the lock.
static uint64_t dirty_in_vain(void) {
    uint64_t clean = pool()->free_units - pool()->dirty_units;
    uint64_t touched = atomic_load_explicit(&root.live.top, memory_order_relaxed) - clean;
    if (touched < GROWTH_HEAP_MIN >> UNIT_SHIFT) {
        return 0;
    }
    if (pool()->growth_units > touched / GROWTH_ENOUGH) {
        return 0; // large blocks come and go for long: what goes for one is what the next one takes
    }
    uint64_t stays = touched / GROWTH_SHARE;
    uint64_t most = pool()->dirty_units > stays ? pool()->dirty_units - stays : 0;
    uint64_t excess = touched > pool()->most_touched ? touched - pool()->most_touched : 0;
    if (excess > most) {
        pool()->most_touched = touched - most;
        excess = most;
    }
    return excess;
}

// The units of a free run of which about `wanted` can go at once: false, there are none. Huge pages
// go whole: the rest of one would come back in small pages, and cost
// the kernel its mapping's unity.
static bool find_useless(uint32_t head, uint64_t wanted, uint32_t *start, uint32_t *end) {
    uint32_t last = head + run_length_of(run_load(head));
    size_t step =
        huge_covers_part(unit_address(head), unit_address(last)) ? HUGE_PAGE_SIZE : UNIT_SIZE;
    uint32_t from = unit_of(align_up(unit_address(head), step));
    last = unit_of(align_down(unit_address(last), step));
    from = first_dirty(from, last);
    if (from >= last) {
        return false;
    }
    uint32_t units = (uint32_t)(align_up(wanted << UNIT_SHIFT, step) >> UNIT_SHIFT);
    *start = unit_of(align_down(unit_address(from), step));
    *end = last - *start > units ? *start + units : last;
    return true;
}

static uint32_t take_useless(uint64_t wanted) {
    uint32_t start = 0;
    uint32_t end = 0;
    uint32_t head = pool_next(POOL_DIRTY, 0);
    for (unsigned i = 0; i < GROWTH_VISITS && head != 0; i++, head = pool_next(POOL_DIRTY, head)) {
        if (run_length_of(run_load(head)) < GROWTH_PIECE_MIN >> UNIT_SHIFT) {
            return 0; // nor is any other longer
        }
        if (find_useless(head, wanted, &start, &end)) {
            cut(head, start, end);
            return start;
        }
    }
    return 0;
}

// About `wanted` dirty units go. pre: the pool's lock is held; it is dropped.
static COLD void release_useless(uint64_t wanted) {
    uint64_t released = 0;
    uint32_t count = 1;
    while (released < wanted && count > 0) {
        uint32_t piece = take_useless(wanted - released);
        if (piece == 0) {
            break;
        }
        os_unlock(&pool()->lock);
        count = release_piece(piece);
        released += count;
        piece_back(piece);
    }
    // What did not go is in use or dirty now, and need not be looked for again. Of what went a
    // share counts as used, too.
    pool()->most_touched += wanted - min_size(released, wanted) + released / GROWTH_REGRET;
    pool()->growth_units += released;
    (void)account(released, count == 0);
}

void release_for_growth(void) {
    os_lock(&pool()->lock);
    uint64_t wanted = dirty_in_vain();
    if (wanted != 0) {
        release_useless(wanted);
    } else {
        os_unlock(&pool()->lock);
    }
}

// Clean runs: nobody needs them back in a hurry here, so the lock is kept.
static void release_clean(void) {
    for (uint32_t head = pool_next(POOL_CLEAN, 0); head != 0; head = pool_next(POOL_CLEAN, head)) {
        uint32_t length = run_length_of(run_load(head));
        (void)os_purge((void *)unit_address(head), (size_t)length << UNIT_SHIFT);
        release_records(head, length);
    }
}

uint64_t release_all(void) {
    uint64_t released = release_dirty(0, 0);
    os_lock(&pool()->lock);
    release_clean();
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_relaxed);
    if (root.live.limit > top) {
        (void)os_purge((void *)unit_address((uint32_t)top), (root.live.limit - top) << UNIT_SHIFT);
    }
    os_unlock(&pool()->lock);
    return released;
}
