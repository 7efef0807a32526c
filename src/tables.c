#include "tables.h"

#include "allowance.h"
#include "os/os.h"
#include "root.h"

#define RECORDS_STEP 4096u     // units whose records are opened at once: 64 MiB of 16 KiB units
#define UNITS_BESIDE_META 512u // bytes of the units' table: 2 MiB of arena
#define BITS_STEP 1024u        // units whose live bits are opened at once
#define PAGE_TABLE_SPAN ((size_t)2 << 20) // what one page of the kernel's own tables describes

static struct root_live *live(void) {
    return &root.live;
}

static size_t meta_room(size_t capacity) {
    return ((size_t)64 << 20) + capacity / 512;
}

// Bytes of each. The metadata ends beside the first units, so that one call opens the first of
// both, and the first heap and the first units share a page.
struct plan {
    size_t meta;
    size_t units;
    size_t runs;
};

// Bytes of the live bits of so many units.
static size_t bits_of(uint64_t units) {
    return units * LIVE_BYTES;
}

// The same with the page in front.
static size_t bits_length(uint64_t units) {
    size_t page = root.fixed.page_size;
    return page + align_up(bits_of(units), page);
}

static struct plan plan_of(size_t capacity, size_t meta) {
    size_t page = root.fixed.page_size;
    uint64_t units = capacity >> UNIT_SHIFT;
    return (struct plan){.meta = align_up(meta, page),
                         .units = align_up(units * sizeof(struct unit), page),
                         .runs = align_up(units * sizeof(struct run), page)};
}

static size_t length_of(const struct plan *plan) {
    return plan->meta + plan->units + plan->runs;
}

static void lay_out(uintptr_t start, const struct plan *plan, size_t capacity, bool reserved) {
    root.fixed.meta_start = start;
    root.fixed.meta_end = start + plan->meta - UNITS_BESIDE_META;
    root.fixed.units = (struct unit *)root.fixed.meta_end;
    root.fixed.runs = (struct run *)(start + plan->meta + plan->units);
    root.fixed.capacity = capacity >> UNIT_SHIFT;
    root.fixed.tables_reserved = reserved;
    live()->meta_next = root.fixed.meta_end;
    live()->meta_committed = align_down(root.fixed.meta_end, root.fixed.page_size);
    live()->committed = 0;
}

// ---- opening ------------------------------------------------------------------------------------

enum part { PART_UNITS, PART_RUNS, PART_META, PART_BITS, PARTS };

// What was mapped last, or is being mapped, once there was a start. The child of a fork that comes
// before it counts as open takes it back: each later attempt would find the addresses occupied.
static struct {
    uintptr_t start; // 0: nothing
    uintptr_t end;
} opening[PARTS];

static void note_opening(enum part part, uintptr_t start, uintptr_t end) {
    if (atomic_load_explicit(&live()->ready, memory_order_relaxed) == 0) {
        return; // these lie on a page that a start does not touch
    }
    __atomic_store_n(&opening[part].end, end, __ATOMIC_RELAXED);
    __atomic_store_n(&opening[part].start, start, __ATOMIC_RELEASE);
}

// pre: whole pages. What opens later is declined huge pages by itself; a reservation was declined
// them as a whole.
static NOINLINE bool open_range(enum part part, uintptr_t start, uintptr_t end) {
    if (start >= end) {
        return true;
    }
    if (root.fixed.tables_reserved) {
        return os_commit((void *)start, end - start);
    }
    note_opening(part, start, end);
    if (os_map_at(start, end - start) != OS_MAPPED) {
        note_opening(part, 0, 0);
        return false;
    }
    if (__atomic_load_n(&live()->giving.small_tables, __ATOMIC_RELAXED) != 0) {
        os_advise_small((void *)start, end - start);
    }
    return true;
}

bool tables_cover_meta(uintptr_t start) {
    uintptr_t committed = live()->meta_committed;
    if (start >= committed) {
        return true;
    }
    size_t step = min_size(align_up(max_size(committed - start, META_STEP), root.fixed.page_size),
                           committed - root.fixed.meta_start);
    if (!open_range(PART_META, committed - step, committed)) {
        return false;
    }
    live()->meta_committed = committed - step;
    return true;
}

// The first ones with the first of the metadata.
static bool open_units(uint64_t from, uint64_t to) {
    size_t page = root.fixed.page_size;
    uintptr_t start = align_up((uintptr_t)(root.fixed.units + from), page);
    if (from == 0) {
        start = live()->meta_committed;
        start -= min_size(META_STEP, start - root.fixed.meta_start);
    }
    if (!open_range(PART_UNITS, start, align_up((uintptr_t)(root.fixed.units + to), page))) {
        return false;
    }
    if (from == 0) { // else it is others', under another lock
        live()->meta_committed = start;
    }
    return true;
}

// pre: `units` <= capacity, and more than are open.
static bool open_records(uint64_t units) {
    uint64_t to = min_size(align_up(units, RECORDS_STEP), root.fixed.capacity);
    uintptr_t start = (uintptr_t)(root.fixed.runs + live()->committed);
    uintptr_t end = align_up((uintptr_t)(root.fixed.runs + to), root.fixed.page_size);
    if (!open_range(PART_RUNS, start, end)) {
        return false;
    }
    if (!open_units(live()->committed, to)) {
        if (!root.fixed.tables_reserved) { // else the next attempt would find them occupied
            (void)os_unmap((void *)start, end - start);
            note_opening(PART_RUNS, 0, 0);
        }
        return false;
    }
    live()->committed = to;
    return true;
}

bool tables_cover(uint64_t units) {
    return units <= live()->committed || (units <= root.fixed.capacity && open_records(units));
}

static uintptr_t end_of_runs(void) {
    return align_up((uintptr_t)(root.fixed.runs + root.fixed.capacity), root.fixed.page_size);
}

COLD void *tables_place_bits(void) {
    uintptr_t start = root.fixed.tables_reserved
                          ? (uintptr_t)os_reserve(bits_length(root.fixed.capacity))
                          : end_of_runs();
    return start != 0 ? (void *)(start + root.fixed.page_size) : NULL;
}

COLD bool tables_cover_bits(uint64_t units) {
    struct hardened *hardened = live()->hardened;
    uint64_t from = hardened->opened;
    if (units <= from) {
        return true;
    }
    uint64_t to = min_size(align_up(units, BITS_STEP), root.fixed.capacity);
    uintptr_t bits = (uintptr_t)hardened->live;
    if (!open_range(PART_BITS, bits + bits_of(from),
                    bits + align_up(bits_of(to), root.fixed.page_size))) {
        return false;
    }
    allowance_add(bits_of(to) - bits_of(from));
    __atomic_store_n(&hardened->opened, to, __ATOMIC_RELEASE);
    return true;
}

static bool was_opened(enum part part) {
    uintptr_t start = opening[part].start;
    switch (part) {
    case PART_UNITS:
        return start < (uintptr_t)(root.fixed.units + live()->committed);
    case PART_RUNS:
        return start < (uintptr_t)(root.fixed.runs + live()->committed);
    case PART_META:
        return start >= live()->meta_committed;
    default:
        return start < (uintptr_t)live()->hardened->live + bits_of(live()->hardened->opened);
    }
}

void tables_after_fork(void) {
    for (enum part part = 0; part < PARTS; part++) {
        if (opening[part].start != 0 && !was_opened(part)) {
            (void)os_unmap((void *)opening[part].start, opening[part].end - opening[part].start);
        }
        note_opening(part, 0, 0);
    }
}

COLD void tables_keep_small(void) {
    if (__atomic_exchange_n(&live()->giving.small_tables, 1, __ATOMIC_SEQ_CST) == 0) {
        uintptr_t start = root.fixed.meta_start;
        os_advise_small((void *)start, end_of_runs() - start);
    }
}

// ---- the place ----------------------------------------------------------------------------------

uintptr_t tables_place(uintptr_t stack, size_t length, uint64_t random) {
    uintptr_t programs = ((uintptr_t)2 << bit_highest(stack)) / 3 * 2;
    size_t room = programs / 256;
    if (length + 3 * PAGE_TABLE_SPAN > room) {
        return 0;
    }
    uintptr_t lowest = align_up(programs - room, PAGE_TABLE_SPAN);
    size_t choice = room - length - 2 * PAGE_TABLE_SPAN;
    // In the first half of such a span, so that none of the first pieces needs two such pages.
    size_t offset = PAGE_TABLE_SPAN / 8 + (random >> 40) % (PAGE_TABLE_SPAN / 4);
    return lowest + align_down(random % choice, PAGE_TABLE_SPAN) +
           align_down(offset, root.fixed.page_size);
}

// Chance may have put a mapping just there: the first pieces tell.
static bool stand_apart(void) {
    struct plan plan = plan_of(ARENA_CAPACITY_MAX, meta_room(ARENA_CAPACITY_MAX));
    size_t length = length_of(&plan) + bits_length(ARENA_CAPACITY_MAX >> UNIT_SHIFT);
    uintptr_t start = tables_place((uintptr_t)&plan, length, os_random(1));
    if (start == 0) {
        return false;
    }
    lay_out(start, &plan, ARENA_CAPACITY_MAX, false);
    return tables_cover(1);
}

COLD size_t tables_sensible_capacity(void) {
    return min_size(max_size(os_memory_size() * 2, ARENA_CAPACITY_MIN), ARENA_CAPACITY_MAX);
}

COLD static bool reserve(size_t capacity, size_t meta) {
    struct plan plan = plan_of(capacity, meta);
    size_t page = root.fixed.page_size;
    // One page without access at either end: nothing outside can run into the tables.
    uintptr_t start = (uintptr_t)os_reserve(length_of(&plan) + 2 * page);
    if (start != 0) {
        lay_out(start + page, &plan, capacity, true);
    }
    return start != 0;
}

COLD static bool reserve_as_much_as_possible(void) {
    size_t address_space = os_address_space_limit();
    size_t capacity =
        min_size(tables_sensible_capacity(), address_space); // what it may have anyway
    capacity = align_down(capacity, UNIT_SIZE * 256);
    while (capacity >= UNIT_SIZE * 256) {
        size_t meta = address_space == SIZE_MAX ? meta_room(capacity)
                                                : max_size(address_space / 32, (size_t)256 << 10);
        if (reserve(capacity, meta)) {
            return true;
        }
        address_space = capacity; // a limit that getrlimit does not show
        capacity = align_down(capacity / 4, UNIT_SIZE * 256);
    }
    root.fixed.units = NULL; // the next attempt begins anew
    return false;
}

bool tables_begin(void) {
    return stand_apart() || reserve_as_much_as_possible();
}
