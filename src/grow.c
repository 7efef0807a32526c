#include "grow.h"

#include "allowance.h"
#include "arena.h"
#include "huge.h"
#include "os/os.h"
#include "panic.h"
#include "root.h"
#include "tables.h"

#define HOLE_STEP_MIN ((size_t)1 << 20)

static struct root_live *live(void) {
    return &root.live;
}

static uintptr_t limit_address(void) {
    return unit_address((uint32_t)live()->limit);
}

static void set_limit(uint64_t units) {
    allowance_add((units - live()->limit) * (sizeof(struct run) + sizeof(struct unit)));
    live()->limit = units;
    atomic_store_explicit(&live()->reach, units * (UNIT_SIZE / BLOCK_ALIGN), memory_order_release);
}

// The step over a hole comes before the limit behind it, and the limit before what is seen of it.
void grow_after_fork(void) {
    uint64_t top = atomic_load(&live()->top);
    set_limit(live()->limit > top ? live()->limit : top);
}

// What is left of the top joins the pool, the units up to `start` become foreign, and the top
// begins anew there. Records of the units up to start are open.
static void step_over(uint64_t start) {
    uint32_t top = (uint32_t)atomic_load(&live()->top);
    uint32_t limit = (uint32_t)live()->limit;
    if (top < limit) {
        run_store(top, RUN_BUSY, limit - top);
        atomic_store(&live()->top, limit);
        arena_join(top, limit - top, 0);
    }
    run_store(limit, RUN_FOREIGN, (uint32_t)start - limit);
    atomic_store(&live()->top, start);
}

// Before the new piece is adopted: who sees the arena's new end must know that parts of it may be
// foreign (huge.c looks without the lock).
static void count_up(uint32_t *times) {
    __atomic_store_n(times, *times + 1, __ATOMIC_RELAXED);
}

// Records for [limit, end) and, when the new piece does not begin at the limit, the step over.
static bool adopt(uintptr_t start, uintptr_t end) {
    uint64_t first = (start - root.fixed.base) >> UNIT_SHIFT;
    uint64_t last = (end - root.fixed.base) >> UNIT_SHIFT;
    if (first < live()->limit || !tables_cover(last)) {
        return false;
    }
    bool apart = first != live()->limit;
    if (apart) {
        step_over(first);
    }
    set_limit(last);
    huge_arena(unit_address((uint32_t)first), apart);
    return true;
}

// Tries the break. Other code may have moved it since, also between our look and our move: only
// what sbrk says it gave us counts.
static bool grow_by_break(size_t bytes) {
    uintptr_t now = os_break();
    if (now == 0 || now < live()->break_end) {
        return false; // unknown, or somebody lowered it into our memory: never touch it again
    }
    size_t padding = align_up(now, UNIT_SIZE) - now;
    uintptr_t start = now == live()->break_end ? limit_address() : now + padding;
    if (unit_of(start) + (bytes >> UNIT_SHIFT) > root.fixed.capacity ||
        !tables_cover((start + bytes - root.fixed.base) >> UNIT_SHIFT)) {
        return false;
    }
    uintptr_t before = os_break_grow(start + bytes - now);
    if (before == 0) {
        return false;
    }
    uintptr_t end = before + (start + bytes - now);
    start = before == now ? start : align_up(before, UNIT_SIZE);
    if (now != live()->break_end || before != now) {
        count_up(&live()->break_moves);
    }
    if (!adopt(start, align_down(end, UNIT_SIZE))) {
        return false; // break_end stays behind, so what was got counts as foreign next time
    }
    live()->break_end = end;
    return true;
}

// Goes on in a mapping at the first free addresses behind the limit, but not for any hole: it has
// records, too.
COLD static bool grow_by_mapping(size_t bytes) {
    uintptr_t start = limit_address();
    uintptr_t last = root.fixed.base + (root.fixed.capacity << UNIT_SHIFT);
    last = min_size(last, start + bytes + tables_sensible_capacity());
    size_t hole = HOLE_STEP_MIN;
    while (bytes <= last - start) {
        if (!tables_cover((start + bytes - root.fixed.base) >> UNIT_SHIFT)) {
            return false;
        }
        switch (os_map_at(start, bytes)) {
        case OS_MAPPED:
            count_up(&live()->continued);
            live()->break_end = 0; // the limit is beyond the break now
            return adopt(start, start + bytes);
        case OS_NO_MEMORY:
            return false;
        case OS_OCCUPIED:
            if (hole > last - start) {
                return false;
            }
            start += hole;
            hole *= 2;
        }
    }
    return false;
}

static bool grow_by(size_t bytes) {
    return (live()->break_end != 0 && grow_by_break(bytes)) || grow_by_mapping(bytes);
}

// How much to ask for at once when little is needed.
static size_t generous_step(void) {
    size_t size = live()->limit << UNIT_SHIFT;
    size_t step = align_down(max_size(ARENA_STEP_MIN, size / ARENA_STEP_SHARE), UNIT_SIZE);
    if (!huge_wants_end(size + step)) {
        return step;
    }
    uintptr_t end = limit_address();
    return align_up(end + max_size(step, HUGE_PAGE_SIZE), HUGE_PAGE_SIZE) - end;
}

bool grow_arena(uint32_t units) {
    uint64_t free_at_top = live()->limit - atomic_load(&live()->top);
    size_t whole = (size_t)units << UNIT_SHIFT;
    size_t needed = whole - (size_t)(free_at_top << UNIT_SHIFT);
    size_t step = generous_step();
    // A generous step, then only what the request needs at the limit, then all of it elsewhere.
    if (needed < step && grow_by(step) && live()->limit - atomic_load(&live()->top) >= units) {
        return true;
    }
    free_at_top = live()->limit - atomic_load(&live()->top);
    if (free_at_top < units && grow_by(whole - (size_t)(free_at_top << UNIT_SHIFT)) &&
        live()->limit - atomic_load(&live()->top) >= units) {
        return true;
    }
    // The piece may have landed behind a hole, too short on its own.
    free_at_top = live()->limit - atomic_load(&live()->top);
    return free_at_top >= units || (grow_by(whole - (size_t)(free_at_top << UNIT_SHIFT)) &&
                                    live()->limit - atomic_load(&live()->top) >= units);
}

// Without a usable break the arena begins where the kernel likes to place a mapping, with room
// behind it as far as there is any.
static uintptr_t base_without_break(void) {
    for (size_t room = root.fixed.capacity << UNIT_SHIFT; room >= ARENA_STEP_MIN; room /= 4) {
        void *probe = os_reserve(room + UNIT_SIZE);
        if (probe != NULL) {
            (void)os_unmap(probe, room + UNIT_SIZE);
            return align_up((uintptr_t)probe, UNIT_SIZE);
        }
    }
    return 0;
}

static bool choose_base(void) {
    uintptr_t now = os_break();
    root.fixed.break_start = now;
    live()->break_end = now;
    uintptr_t first = now != 0 ? align_up(now, UNIT_SIZE) : base_without_break();
    if (first == 0) {
        return false;
    }
    // Unit 0 is the one below the first, so that the number 0 is free to mean none.
    root.fixed.base = first - UNIT_SIZE;
    atomic_store(&live()->top, 1);
    set_limit(1);
    return true;
}

bool grow_init(void) {
    root.fixed.page_size = (uint32_t)os_page_size();
    if (root.fixed.page_size > UNIT_SIZE) {
        panic_broken("this machine's pages are larger than this build of lucid can manage; "
                     "page size",
                     root.fixed.page_size);
    }
    if (root.fixed.units == NULL) {
        if (!tables_begin()) {
            return false;
        }
        huge_begin();
    }
    return choose_base() && grow_arena(1);
}
