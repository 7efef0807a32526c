#include "loose.h"

#include "panic.h"
#include "root.h"

static struct loose *loose_of(unsigned lane) {
    return &root.live.lanes[lane].loose;
}

// pre: the lock is held. Others look without it.
static void set_first(struct loose *loose, uint32_t units, uint32_t head) {
    __atomic_store_n(&loose->first[units], head, __ATOMIC_RELAXED);
}

static void set_units(struct loose *loose, uint32_t units) {
    __atomic_store_n(&loose->units, units, __ATOMIC_RELAXED);
}

static bool is_empty(struct loose *loose, uint32_t units) {
    return __atomic_load_n(&loose->first[units], __ATOMIC_RELAXED) == 0;
}

static uint32_t length_of(uint32_t head) {
    return run_length_of(run_load(head));
}

// Its units are no span's any more; a large block's are not marked as one's.
static void make_loose(uint32_t head) {
    uint32_t units = length_of(head);
    struct unit *entries = &root.fixed.units[head];
    for (uint32_t i = 0; i < units && entries[i].bin != 0; i++) {
        entries[i].bin = 0;
    }
    run_at(head)->dirty = units;
    run_at(head)->size = 0;
    run_at(head)->birth = __atomic_load_n(&root.live.drains, __ATOMIC_RELAXED);
}

void loose_give(unsigned lane, uint32_t head) {
    struct loose *loose = loose_of(lane);
    uint32_t units = length_of(head);
    check(units <= LOOSE_UNITS_MAX, "a loose run is too long, unit", head);
    make_loose(head);
    lock_take(&loose->lock);
    run_at(head)->next = loose->first[units];
    run_store(head, RUN_LOOSE, units);
    set_first(loose, units, head);
    set_units(loose, loose->units + units);
    lock_drop(&loose->lock);
}

uint32_t loose_swap_long(unsigned lane, uint32_t head) {
    struct loose *loose = loose_of(lane);
    if (head == 0 && is_empty(loose, LOOSE_LONG)) {
        return 0;
    }
    uint32_t units = 0;
    if (head != 0) {
        make_loose(head);
        units = length_of(head);
    }
    lock_take(&loose->lock);
    uint32_t before = loose->first[LOOSE_LONG];
    if (before != 0) {
        set_units(loose, loose->units - length_of(before));
        run_store(before, RUN_BUSY, length_of(before));
    }
    if (head != 0) {
        run_at(head)->next = 0;
        run_store(head, RUN_LOOSE, units);
    }
    set_first(loose, LOOSE_LONG, head);
    set_units(loose, loose->units + units);
    lock_drop(&loose->lock);
    return before;
}

uint32_t loose_take(unsigned lane, uint32_t units, size_t alignment) {
    struct loose *loose = loose_of(lane);
    if (units > LOOSE_UNITS_MAX || is_empty(loose, units)) {
        return 0;
    }
    lock_take(&loose->lock);
    uint32_t head = loose->first[units];
    head = is_aligned(unit_address(head), alignment) ? head : 0;
    if (head != 0) {
        set_first(loose, units, run_at(head)->next);
        set_units(loose, loose->units - units);
        run_store(head, RUN_BUSY, units);
    }
    lock_drop(&loose->lock);
    return head;
}

// The lower number first, so that two that take from each other do not wait for good.
static void lock_both(unsigned a, unsigned b) {
    lock_take(&loose_of(a < b ? a : b)->lock);
    lock_take(&loose_of(a < b ? b : a)->lock);
}

// Moves up to LOOSE_MOVED runs, those given last. pre: both locks are held.
static void move_some(struct loose *from, struct loose *to, uint32_t units) {
    uint32_t count = 0;
    uint32_t last = 0;
    for (uint32_t head = from->first[units]; head != 0 && count < LOOSE_MOVED; count++) {
        last = head;
        head = run_at(head)->next;
    }
    if (count > 0) {
        uint32_t first = from->first[units];
        set_first(from, units, run_at(last)->next);
        run_at(last)->next = to->first[units];
        set_first(to, units, first);
        set_units(from, from->units - count * units);
        set_units(to, to->units + count * units);
    }
}

uint32_t loose_take_from_others(unsigned lane, uint32_t units) {
    unsigned lanes = root_lanes();
    for (unsigned i = 1; i < lanes && units <= LOOSE_UNITS_MAX; i++) {
        unsigned other = (lane + i) % lanes;
        if (!is_empty(loose_of(other), units)) {
            lock_both(lane, other);
            move_some(loose_of(other), loose_of(lane), units);
            lock_drop(&loose_of(lane)->lock);
            lock_drop(&loose_of(other)->lock);
            return loose_take(lane, units, UNIT_SIZE);
        }
    }
    return 0;
}

// What hangs behind the last one that stays, 0: of all. pre: the lock is held.
static uint32_t take_behind(struct loose *loose, uint32_t units, uint32_t last) {
    uint32_t first = last == 0 ? loose->first[units] : run_at(last)->next;
    uint32_t taken = 0;
    for (uint32_t head = first; head != 0; head = run_at(head)->next) {
        taken += length_of(head);
    }
    if (last == 0) {
        set_first(loose, units, 0);
    } else {
        run_at(last)->next = 0;
    }
    set_units(loose, loose->units - taken);
    return first;
}

uint32_t loose_take_all(unsigned lane, uint32_t units) {
    struct loose *loose = loose_of(lane);
    if (is_empty(loose, units)) {
        return 0;
    }
    lock_take(&loose->lock);
    uint32_t first = take_behind(loose, units, 0);
    lock_drop(&loose->lock);
    return first;
}

// The last given comes first, so what is behind an old one is old, too, or came from another lane.
uint32_t loose_take_old(unsigned lane, uint32_t units) {
    struct loose *loose = loose_of(lane);
    if (is_empty(loose, units)) {
        return 0;
    }
    uint32_t young = 0;
    lock_take(&loose->lock);
    for (uint32_t head = loose->first[units]; head != 0; head = run_at(head)->next) {
        if (run_at(head)->birth != root.live.drains) {
            break;
        }
        young = head;
    }
    uint32_t first = take_behind(loose, units, young);
    lock_drop(&loose->lock);
    return first;
}

uint32_t loose_units_long(unsigned lane) {
    uint32_t head = __atomic_load_n(&loose_of(lane)->first[LOOSE_LONG], __ATOMIC_RELAXED);
    return head != 0 ? length_of(head) : 0;
}

uint32_t loose_units_of(unsigned lane) {
    uint32_t longer = loose_units_long(lane);
    uint32_t units = __atomic_load_n(&loose_of(lane)->units, __ATOMIC_RELAXED);
    return units > longer ? units - longer : 0;
}

uint64_t loose_units(void) {
    uint64_t units = 0;
    for (unsigned lane = 0; lane < root_lanes(); lane++) {
        units += __atomic_load_n(&loose_of(lane)->units, __ATOMIC_RELAXED);
    }
    return units;
}

void loose_reset(void) {
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (loose_of(lane)->units != 0 || atomic_load(&loose_of(lane)->lock) != 0) {
            *loose_of(lane) = (struct loose){.units = 0};
        }
    }
}
