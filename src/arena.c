#include "arena.h"

#include "allowance.h"
#include "grow.h"
#include "huge.h"
#include "loose.h"
#include "os/os.h"
#include "panic.h"
#include "pool.h"
#include "root.h"

#include <string.h>

bool arena_init(void) {
    lock_take(&root.live.pool.lock);
    bool done = grow_init();
    lock_drop(&root.live.pool.lock);
    return done;
}

static struct root_live *live(void) {
    return &root.live;
}

static uint32_t top_load(void) {
    return (uint32_t)atomic_load_explicit(&live()->top, memory_order_relaxed);
}

static void top_store(uint32_t unit) {
    atomic_store_explicit(&live()->top, unit, memory_order_release);
}

// How many dirty units of a free run lie in its part [tail, tail + rest). Looks at the shorter
// part only, and at none when the answer is plain.
static uint32_t dirty_behind(uint32_t head, uint32_t tail, uint32_t rest) {
    uint32_t front = tail - head;
    uint32_t dirty = run_at(head)->dirty;
    if (dirty == 0 || dirty == front + rest) {
        return dirty == 0 ? 0 : rest;
    }
    return front < rest ? dirty - pool_count_dirty(head, front) : pool_count_dirty(tail, rest);
}

// The run [head, head + length) of a free run becomes `kind`; what is left over goes back to the
// pool. The left-over's shape is written first, so that the tiling holds at every instant.
static void free_to_used(uint32_t head, uint32_t length, enum run_kind kind) {
    uint32_t whole = run_length_of(run_load(head));
    uint32_t rest = whole - length;
    if (rest > 0) {
        uint32_t tail = head + length;
        uint32_t dirty = dirty_behind(head, tail, rest);
        run_at(head)->dirty -= dirty;
        run_at(tail)->dirty = dirty;
        run_at(tail)->birth = run_at(head)->birth;
        run_at(tail)->size = run_at(head)->size;
        run_store(tail, RUN_FREE, rest);
        run_store(head, kind, length);
        pool_insert(tail);
    } else {
        run_store(head, kind, length);
    }
}

// A free run from `tail` on; the front, if there is one, goes back to the pool.
static uint32_t cut_front(uint32_t head, uint32_t tail) {
    uint32_t front = tail - head;
    if (front == 0) {
        return head;
    }
    uint32_t rest = run_length_of(run_load(head)) - front;
    uint32_t dirty = dirty_behind(head, tail, rest);
    run_at(tail)->dirty = dirty;
    run_at(tail)->birth = run_at(head)->birth;
    run_at(tail)->size = run_at(head)->size;
    run_store(tail, RUN_BUSY, rest); // so that the front is not joined with it again
    run_store(head, RUN_BUSY, front);
    arena_rejoin(head, front, run_at(head)->dirty - dirty);
    return tail;
}

// Where in a free run the block begins. A large one lies at the end with more dirty units: what is
// clean there would become resident, and other memory go back for it (GROWTH_MIN).
static uint32_t choose_start(uint32_t head, uint32_t units, size_t alignment) {
    uint32_t behind = run_length_of(run_load(head)) - units;
    uint32_t dirty = run_at(head)->dirty;
    if (alignment > UNIT_SIZE || units < GROWTH_MIN >> UNIT_SHIFT) {
        return unit_of(align_up(unit_address(head), alignment));
    }
    if (behind == 0 || dirty == 0 || dirty == behind + units) {
        return head;
    }
    bool back = pool_count_dirty(head + behind, units) > pool_count_dirty(head, units);
    return back ? head + behind : head;
}

// Units at the top become a run. Its shape is there before the top moves over it, and in
// append_busy it goes last: the runs tile the arena after each store, because
// a fork may come at any time.
static uint32_t top_to_busy(uint32_t units) {
    uint32_t top = top_load();
    run_store(top, RUN_BUSY, units);
    top_store(top + units);
    return top;
}

// The busy run becomes the end of the one in front of it.
static void append_busy(uint32_t head, enum run_kind kind, uint32_t busy) {
    run_store(head, kind, busy - head + run_length_of(run_load(busy)));
    run_store(busy, RUN_NONE, 0);
}

static uint32_t fresh(uint32_t units) {
    uint32_t top = top_load();
    run_at(top)->dirty = 0;
    run_at(top)->size = 0;
    run_store(top, RUN_FREE, units);
    top_store(top + units);
    return top;
}

// A free run that ends at the top, lengthened from there; without such a run, one that begins at
// the top. The units of the top have never been used and therefore are clean.
static uint32_t take_from_top(uint32_t units) {
    uint32_t top = top_load();
    uint32_t head = pool_run_before(top);
    uint32_t missing = units - (head != 0 ? top - head : 0);
    if (live()->limit - top < missing) {
        if (!grow_arena(missing)) {
            return 0;
        }
        if (top_load() != top) { // it went on elsewhere
            return live()->limit - top_load() >= units || grow_arena(units) ? fresh(units) : 0;
        }
    }
    if (head == 0) {
        return fresh(units);
    }
    pool_remove(head);
    append_busy(head, RUN_FREE, top_to_busy(missing));
    return head;
}

// Memory that was given back and is wanted again soon afterwards was given back too early.
static void note_regret(uint32_t head, uint32_t units) {
    const struct run *run = run_at(head);
    if (run->dirty == 0 && run->size != 0 &&
        (uint32_t)os_now_ms() - (uint32_t)run->size < REGRET_MS) {
        live()->giving.regret_units += units;
    }
}

// Dirty units count as taken already. False: too many of the run's are clean; it is a free one
// again.
static bool is_allowed(uint32_t head, uint32_t units) {
    uint32_t dirty = run_at(head)->dirty;
    if (likely(allowance_take((size_t)(units - dirty) << UNIT_SHIFT))) {
        return true;
    }
    run_store(head, RUN_BUSY, units);
    arena_rejoin(head, units, dirty);
    return false;
}

static void mark_units(struct unit *from, const struct unit *to, struct unit mark) {
    while (from < to) {
        *from++ = mark;
    }
}

static void mark_free_units(uint32_t head, uint32_t length, uint32_t dirty) {
    struct unit *first = &root.fixed.units[head];
    mark_units(first, first + dirty, (struct unit){.bin = 0, .back = UNIT_DIRTY});
    mark_units(first + dirty, first + length, (struct unit){.bin = 0, .back = 0});
}

// ---- loose runs; pre: the pool's lock is held ---------------------------------------------------

static void chain_to_free(uint32_t head) {
    for (uint32_t next = 0; head != 0; head = next) {
        uint32_t length = run_length_of(run_load(head));
        next = run_at(head)->next;
        mark_free_units(head, length, length);
        arena_rejoin(head, length, length);
    }
}

static bool loose_to_free(unsigned lane, uint32_t age, uint32_t now) {
    bool any = false;
    for (uint32_t units = LOOSE_LONG; units <= LOOSE_UNITS_MAX; units++) {
        uint32_t head = loose_take_aged(lane, units, age, now);
        any |= head != 0;
        chain_to_free(head);
    }
    return any;
}

// Asks for the time only where there is some: at the start of a program the call may be somebody
// else's, who is not ready yet.
static bool drain(uint32_t age) {
    bool any = false;
    if (loose_units() == 0) {
        return false;
    }
    uint32_t now = (uint32_t)os_now_ms();
    for (unsigned lane = 0; lane < root_lanes(); lane++) {
        any |= loose_to_free(lane, age, now);
    }
    return any;
}

void arena_drain(uint32_t age) {
    lock_take(&live()->pool.lock);
    (void)drain(age);
    lock_drop(&live()->pool.lock);
}

// ---- taking -------------------------------------------------------------------------------------

// A free run or one from the top. Memory that is dirty goes first: it costs no page fault.
static uint32_t take_any(uint32_t units) {
    uint32_t head = pool_take(POOL_DIRTY, units);
    if (head == 0 && drain(0)) {
        head = pool_take(POOL_DIRTY, units);
    }
    if (head == 0) {
        head = pool_take(POOL_CLEAN, units);
    }
    return head != 0 ? head : take_from_top(units);
}

static uint32_t take_locked(uint32_t units, size_t alignment, enum run_kind kind) {
    uint32_t spare = alignment > UNIT_SIZE ? (uint32_t)(alignment >> UNIT_SHIFT) - 1 : 0;
    uint32_t head = take_any(units + spare);
    if (head == 0) {
        return 0;
    }
    head = cut_front(head, choose_start(head, units, alignment));
    note_regret(head, units);
    free_to_used(head, units, kind);
    return is_allowed(head, units) ? head : 0;
}

static void zero_dirty_units(uint32_t head, uint32_t units) {
    for (uint32_t i = 0; i < units; i++) {
        if (root.fixed.units[head + i].back == UNIT_DIRTY) {
            memset((void *)unit_address(head + i), 0, UNIT_SIZE);
        }
    }
}

// Those of the run at `head` from number `from` up to `to` are its units now.
static void claim_units(uint32_t head, uint32_t from, uint32_t to) {
    struct unit *entries = &root.fixed.units[head];
    for (uint32_t i = from; i < to; i++) {
        entries[i] = (struct unit){.bin = 0, .back = (uint16_t)i};
    }
}

uint32_t arena_take(uint32_t units, size_t alignment, enum run_kind kind, bool zero) {
    lock_take(&live()->pool.lock);
    uint32_t head = take_locked(units, alignment, kind);
    lock_drop(&live()->pool.lock);
    // The units are ours; nobody looks at their entries until we hand out addresses inside.
    if (head != 0) {
        if (zero) {
            zero_dirty_units(head, units);
        }
        claim_units(head, 0, units);
    }
    return head;
}

static uint32_t take_dirty(uint32_t units) {
    uint32_t head = pool_take(POOL_DIRTY, units);
    if (head == 0) {
        return 0;
    }
    free_to_used(head, units, RUN_BUSY);
    return is_allowed(head, units) ? head : 0;
}

uint32_t arena_take_used(uint32_t units, unsigned lane) {
    uint32_t head = loose_take(lane, units, UNIT_SIZE);
    if (head != 0) {
        return head;
    }
    if (__atomic_load_n(&live()->pool.dirty_units, __ATOMIC_RELAXED) >= units) {
        lock_take(&live()->pool.lock);
        head = take_dirty(units);
        lock_drop(&live()->pool.lock);
    }
    if (head != 0) {
        claim_units(head, 0, units);
        return head;
    }
    return loose_take_from_others(lane, units);
}

void arena_populate(uint32_t head, size_t bytes) {
    uintptr_t start = unit_address(head);
    // An old answer about huge pages costs a fault or two.
    if (huge_covers(start) || __atomic_load_n(&live()->populate_refused, __ATOMIC_RELAXED) != 0) {
        return;
    }
    bool never = false;
    if (os_populate((void *)start, align_up(bytes, root.fixed.page_size), &never)) {
        run_at(head)->dirty = (uint32_t)((bytes + UNIT_SIZE - 1) >> UNIT_SHIFT);
    } else if (never) {
        __atomic_store_n(&live()->populate_refused, 1, __ATOMIC_RELAXED);
    }
}

struct age {
    uint32_t birth;
    uint64_t given;
};

// How long a joined run is free: as long as the part that most of its dirty units are from, so that
// a large run does not stay young because something small keeps coming and going at its edge.
static void age_join(struct age *whole, uint32_t *most, uint32_t part) {
    const struct run *run = run_at(part);
    if (run->dirty > *most) {
        *most = run->dirty;
        whole->birth = run->birth;
    }
    if (run->size != 0 && (whole->given == 0 || (int32_t)(run->size - whole->given) > 0)) {
        whole->given = run->size;
    }
}

void arena_rejoin(uint32_t head, uint32_t length, uint32_t dirty) {
    struct age age = {.birth = run_at(head)->birth, .given = run_at(head)->size};
    uint32_t most = dirty;
    uint32_t start = head;
    uint32_t next = head + length;
    if (next < top_load() && run_kind_of(run_load(next)) == RUN_FREE) {
        pool_remove(next);
        age_join(&age, &most, next);
        dirty += run_at(next)->dirty;
        length += run_length_of(run_load(next));
    } else {
        next = 0;
    }
    uint32_t before = pool_run_before(head);
    if (before != 0) {
        pool_remove(before);
        age_join(&age, &most, before);
        dirty += run_at(before)->dirty;
        length += head - before;
        start = before;
    }
    run_store(start, RUN_FREE, length);
    if (next != 0) {
        run_store(next, RUN_NONE, 0);
    }
    if (start != head) {
        run_store(head, RUN_NONE, 0);
    }
    run_at(start)->dirty = dirty;
    run_at(start)->birth = age.birth;
    run_at(start)->size = age.given;
    pool_insert(start);
}

static void begin_age(uint32_t head) {
    run_at(head)->birth = (uint32_t)os_now_ms();
    run_at(head)->size = 0;
}

void arena_join(uint32_t head, uint32_t length, uint32_t dirty) {
    begin_age(head);
    arena_rejoin(head, length, dirty);
}

void arena_give(uint32_t head, uint32_t dirty) {
    uint32_t length = run_length_of(run_load(head));
    mark_free_units(head, length, dirty);
    allowance_give((size_t)(length - dirty) << UNIT_SHIFT);
    begin_age(head); // the clock costs as much as what is done under the lock
    lock_take(&live()->pool.lock);
    arena_rejoin(head, length, dirty);
    lock_drop(&live()->pool.lock);
}

// Whoever turns LARGE into BUSY owns the run; a second free of it at the same moment loses. Returns
// its length; 0: it is no large run.
static uint32_t large_to_busy(uint32_t head) {
    uint64_t shape = run_load(head);
    uint32_t length = run_length_of(shape);
    if (run_kind_of(shape) != RUN_LARGE ||
        !atomic_compare_exchange_strong(&run_at(head)->shape, &shape,
                                        run_shape(RUN_BUSY, length))) {
        return 0;
    }
    run_at(head)->region = NULL;
    return length;
}

bool arena_free_large(uint32_t head) {
    uint32_t length = large_to_busy(head);
    if (length != 0) {
        arena_give(head, length);
    }
    return length != 0;
}

static void give_long(uint32_t head) {
    if (head != 0) {
        arena_give(head, run_length_of(run_load(head)));
    }
}

bool arena_keep_large(uint32_t head, unsigned lane) {
    uint32_t length = large_to_busy(head);
    if (length > LOOSE_UNITS_MAX) {
        give_long(loose_swap_long(lane, head));
    } else if (length != 0) {
        loose_give(lane, head);
    }
    return length != 0;
}

uint32_t arena_take_kept(uint32_t units, size_t alignment, unsigned lane) {
    if (units <= LOOSE_UNITS_MAX) {
        return loose_take(lane, units, alignment);
    }
    uint32_t head = loose_swap_long(lane, 0);
    if (head != 0 && run_length_of(run_load(head)) == units &&
        is_aligned(unit_address(head), alignment)) {
        return head;
    }
    give_long(head); // the pool may make something of it that fits
    return 0;
}

// The free units behind a large run become a busy one. Returns its head; 0: there are not so many.
static uint32_t take_behind(uint32_t next, uint32_t more) {
    if (next == top_load()) {
        if (live()->limit - next < more && (!grow_arena(more) || next != top_load())) {
            return 0; // no memory, or the arena went on somewhere else
        }
        return allowance_take((size_t)more << UNIT_SHIFT) ? top_to_busy(more) : 0;
    }
    if (run_kind_of(run_load(next)) == RUN_LOOSE) {
        (void)drain(0); // or the block has to move, and the peak grows by what it leaves
    }
    uint64_t shape = run_load(next);
    if (run_kind_of(shape) != RUN_FREE || run_length_of(shape) < more) {
        return 0;
    }
    pool_remove(next);
    free_to_used(next, more, RUN_BUSY);
    return is_allowed(next, more) ? next : 0;
}

bool arena_extend(uint32_t head, uint32_t units) {
    uint32_t length = run_length_of(run_load(head));
    lock_take(&live()->pool.lock);
    uint32_t busy = take_behind(head + length, units - length);
    if (busy != 0) {
        claim_units(head, length, units);
        append_busy(head, RUN_LARGE, busy);
    }
    lock_drop(&live()->pool.lock);
    return busy != 0;
}

void arena_shrink(uint32_t head, uint32_t units) {
    uint32_t length = run_length_of(run_load(head));
    uint32_t rest = length - units;
    lock_take(&live()->pool.lock);
    run_store(head + units, RUN_BUSY, rest);
    run_store(head, RUN_LARGE, units);
    mark_free_units(head + units, rest, rest);
    arena_join(head + units, rest, rest);
    lock_drop(&live()->pool.lock);
}

// Units of the runs in a row from `head` on that are free, or that a thread which is gone was about
// to free or to use. What was FREE has its units marked already; the rest counts as dirty.
static uint32_t reclaim_row(uint32_t head, uint32_t top) {
    uint32_t length = 0;
    while (head + length < top) {
        uint64_t shape = run_load(head + length);
        if (run_kind_of(shape) == RUN_BUSY || run_kind_of(shape) == RUN_LOOSE) {
            mark_free_units(head + length, run_length_of(shape), run_length_of(shape));
        } else if (run_kind_of(shape) != RUN_FREE) {
            break;
        }
        length += run_length_of(shape);
    }
    return length;
}

static void rebuild_run(uint32_t head, uint32_t length, enum run_kind kind) {
    for (uint32_t i = 1; i < length; i++) {
        if (run_load(head + i) != 0) { // a store would cost the child a copy of the page
            run_store(head + i, RUN_NONE, 0);
        }
    }
    if (kind == RUN_FREE) {
        run_at(head)->dirty = pool_count_dirty(head, length);
        run_at(head)->birth = (uint32_t)os_now_ms();
        run_at(head)->size = 0;
        run_store(head, RUN_FREE, length);
        pool_insert(head);
    } else if (kind != RUN_FOREIGN) {
        bool small = kind == RUN_SPAN && run_at(head)->region == NULL;
        uint16_t bin = small ? (uint16_t)(run_at(head)->class * sizeof(struct bin)) : (uint16_t)0;
        for (uint32_t i = 0; i < length; i++) {
            root.fixed.units[head + i] = (struct unit){.bin = bin, .back = (uint16_t)i};
        }
    }
}

// Another thread may have been cut off between any two stores above. The shapes tile the arena
// at every instant; everything else follows from them.
void arena_after_fork(void) {
    atomic_store(&live()->pool.lock, 0);
    pool_reset();
    loose_reset();
    grow_after_fork();
    uint32_t top = top_load();
    for (uint32_t head = 1; head < top;) {
        uint32_t length = reclaim_row(head, top);
        enum run_kind kind = RUN_FREE;
        if (length == 0) {
            length = run_length_of(run_load(head));
            kind = run_kind_of(run_load(head));
        }
        rebuild_run(head, length, kind);
        head += length;
    }
}

uint64_t arena_taken_units(void) {
    uint64_t units = 0;
    for (uint32_t head = 1; head < top_load();) {
        uint64_t shape = run_load(head);
        enum run_kind kind = run_kind_of(shape);
        units += kind == RUN_FREE      ? run_at(head)->dirty
                 : kind == RUN_FOREIGN ? 0
                                       : run_length_of(shape);
        head += run_length_of(shape);
    }
    return units;
}

void arena_check(void) {
    lock_take(&live()->pool.lock);
    uint32_t free_units = 0;
    uint32_t dirty_units = 0;
    uint32_t head = 1;
    while (head < top_load()) {
        uint64_t shape = run_load(head);
        uint32_t length = run_length_of(shape);
        if (length == 0 || run_kind_of(shape) == RUN_NONE) {
            panic_broken("arena: no run begins at unit", head);
        }
        if (run_kind_of(shape) == RUN_FREE) {
            uint32_t dirty = pool_count_dirty(head, length);
            free_units += length;
            dirty_units += dirty;
            if (dirty != run_at(head)->dirty) {
                panic_broken("arena: wrong count of dirty units in run", head);
            }
        }
        head += length;
    }
    if (head != top_load()) {
        panic_broken("arena: the runs do not end at top but at unit", head);
    }
    if (free_units != live()->pool.free_units || dirty_units != live()->pool.dirty_units) {
        panic_broken("arena: the pool's counts are wrong; free units", free_units);
    }
    lock_drop(&live()->pool.lock);
}
