#include "huge.h"

#include "allowance.h"
#include "filled.h"
#include "options.h"
#include "os/os.h"
#include "root.h"
#include "tables.h"

#define SMALL_HOLES_MAX 500u

static struct giving *giving(void) {
    return &root.live.giving;
}

static uint64_t wish(void) {
    return root.live.options.value[OPTION_THP];
}

static uintptr_t limit_address(void) {
    return root.fixed.base +
           atomic_load_explicit(&root.live.reach, memory_order_acquire) * BLOCK_ALIGN;
}

static uintptr_t huge_end(void) {
    return __atomic_load_n(&root.live.huge_end, __ATOMIC_RELAXED);
}

// From here up to huge_end() they are asked for, or were declined.
static uintptr_t huge_start(void) {
    size_t skipped = wish() == THP_ALWAYS ? UNIT_SIZE : HUGE_ARENA_MIN;
    return align_up(root.fixed.base + skipped, HUGE_PAGE_SIZE);
}

// ---- asking -------------------------------------------------------------------------------------

static void ask(uintptr_t start, uintptr_t end) {
    start = align_up(start, HUGE_PAGE_SIZE);
    end = align_down(end, HUGE_PAGE_SIZE);
    if (start < end) {
        os_advise_huge((void *)start, end - start);
    }
}

// Explicitly, as the system may give them to all memory.
static void decline_witnesses(uintptr_t start, uintptr_t end) {
    for (uintptr_t page = start; page < end; page += HUGE_PAGE_SIZE) {
        if (filled_is_witness(page)) {
            os_advise_small((void *)page, HUGE_PAGE_SIZE);
        }
    }
}

// From here on the arena's end was declined, as long as nothing behind it is asked for.
static uintptr_t small_tail(void) {
    uint32_t unit = __atomic_load_n(&giving()->small_tail, __ATOMIC_RELAXED);
    return unit != 0 ? unit_address(unit) : UINTPTR_MAX;
}

static void set_small_tail(uint32_t unit) {
    __atomic_store_n(&giving()->small_tail, unit, __ATOMIC_RELAXED);
}

// [start, end), above huge_start(), is new.
static void ask_if_filled(uintptr_t start, uintptr_t end) {
    enum filled filled = filled_lately();
    if (filled == FILLED_NOT) {
        os_advise_small((void *)start, end - start);
        if (small_tail() == UINTPTR_MAX) {
            set_small_tail(unit_of(start));
        }
        return;
    }
    set_small_tail(0);
    ask(start, end);
    if (filled == FILLED_SO_FAR) {
        decline_witnesses(start, end);
    }
}

// What is settled so far goes up to huge_end, or, as huge pages are settled whole, a part of one
// above the limit.
void huge_arena(uintptr_t start, bool apart) {
    if (allowance_is_limited() || wish() == THP_NEVER) {
        os_advise_small((void *)start, limit_address() - start);
        return;
    }
    uintptr_t from = apart || huge_end() == 0 ? align_up(start, HUGE_PAGE_SIZE) : huge_end();
    uintptr_t to = align_down(limit_address(), HUGE_PAGE_SIZE);
    uintptr_t middle = from > huge_start() ? from : huge_start();
    __atomic_store_n(&root.live.huge_end, from > to ? from : to, __ATOMIC_RELAXED);
    if (from >= to) {
        return;
    }
    if (wish() == THP_ALWAYS) {
        ask(middle, to);
        return;
    }
    decline_witnesses(from, middle < to ? middle : to);
    if (middle < to) {
        ask_if_filled(middle, to);
    }
}

bool huge_covers(uintptr_t address) {
    return address >= huge_start() && address < huge_end() && address < small_tail();
}

bool huge_covers_part(uintptr_t start, uintptr_t end) {
    return end > huge_start() && start < huge_end() && start < small_tail();
}

// A block that is filled front to back touches all of its huge pages but the last part of one.
void huge_block(uintptr_t start, size_t size, bool zeroed) {
    size_t least = wish() == THP_ALWAYS ? HUGE_PAGE_SIZE : HUGE_BLOCK_MIN;
    uintptr_t end = align_down(start + size, HUGE_PAGE_SIZE);
    if (size < least || allowance_is_limited() || wish() == THP_NEVER) {
        return;
    }
    enum filled filled = wish() == THP_AUTO ? filled_blocks(unit_of(start), zeroed) : FILLED_SURELY;
    if (filled == FILLED_NOT || (filled == FILLED_MAYBE && huge_covers_part(start, end))) {
        os_advise_small((void *)start, align_down(size, UNIT_SIZE));
    }
    if (filled == FILLED_NOT || filled == FILLED_MAYBE) {
        return; // without a word, where the arena did not ask: the system's setting holds
    }
    if (start < huge_start()) {
        __atomic_store_n(&giving()->small_front, 0, __ATOMIC_RELAXED);
    }
    ask(start, end);
}

void huge_mapping(uintptr_t start, size_t length) {
    if (wish() == THP_NEVER) {
        os_advise_small((void *)start, length);
    } else if (wish() == THP_ALWAYS && !allowance_is_limited()) {
        os_advise_huge((void *)start, length); // all of it: mremap takes no two kinds at once
    }
}

static bool may_have_parts(size_t length) {
    return wish() == THP_AUTO && length >= HUGE_MAPPING_MIN && !allowance_is_limited();
}

// The kernel joins the parts again only if the mapping had memory before it was parted: a page that
// filled_mappings does not look at.
void huge_mapping_filled(uintptr_t start, size_t length) {
    if (!may_have_parts(length)) {
        return;
    }
    if (!filled_mappings(start)) {
        os_advise_small((void *)start, length);
        return;
    }
    *(volatile char *)(start + root.fixed.page_size) = 0;
    ask(start + length / HUGE_MAPPING_SHARE, start + length - length / HUGE_MAPPING_SHARE);
}

void huge_mapping_join(uintptr_t start, size_t length) {
    os_advise_small((void *)start, length);
}

void huge_mapping_part(uintptr_t start, size_t length) {
    if (may_have_parts(length)) {
        ask(start + length / HUGE_MAPPING_SHARE, start + length);
    }
}

bool huge_wants_end(size_t arena) {
    return wish() == THP_ALWAYS || (wish() == THP_AUTO && arena >= HUGE_ARENA_MIN);
}

// ---- declining ----------------------------------------------------------------------------------

static void decline_piece(uintptr_t start, uintptr_t end, uintptr_t limit) {
    end = end < limit ? end : limit;
    if (start < end) {
        os_advise_small((void *)start, end - start);
    }
}

// pre: the arena's end was read before. The counts are written ahead of it.
static bool has_foreign_parts(void) {
    return __atomic_load_n(&root.live.break_moves, __ATOMIC_RELAXED) != 0 ||
           __atomic_load_n(&root.live.continued, __ATOMIC_RELAXED) != 0;
}

// What is foreign inside the arena is its owner's affair. The runs tile the arena at every instant;
// one that was a head a moment ago may have been joined with the one before it.
static void decline(uintptr_t start, uintptr_t end) {
    uint32_t top = (uint32_t)atomic_load_explicit(&root.live.top, memory_order_acquire);
    uint32_t head = has_foreign_parts() ? 1 : top;
    while (head < top && unit_address(head) < end) {
        uint64_t shape = run_load(head);
        uint32_t next = head + (run_length_of(shape) != 0 ? run_length_of(shape) : 1);
        if (run_kind_of(shape) == RUN_FOREIGN) {
            decline_piece(start, unit_address(head), end);
            start = start > unit_address(next) ? start : unit_address(next);
        }
        head = next;
    }
    decline_piece(start, end, end);
}

void huge_obey_limit(void) {
    if (allowance_is_limited()) {
        decline(unit_address(1), limit_address());
    }
}

void huge_begin(void) {
    if (wish() == THP_NEVER) {
        tables_keep_small();
    }
}

// Below huge_start() only large blocks have asked for them, but the system may give them to all
// memory; to tell costs more than to decline them once.
static void keep_front_small(uintptr_t start, uintptr_t end) {
    uintptr_t front = huge_start() < limit_address() ? huge_start() : limit_address();
    end = end < front ? end : front;
    if (start < end && end > __atomic_load_n(&giving()->small_front, __ATOMIC_RELAXED)) {
        decline(unit_address(1), front);
        __atomic_store_n(&giving()->small_front, front, __ATOMIC_RELAXED);
    }
}

// For whole huge pages. Each such place splits the kernel's mapping; when there are many, the whole
// area gives its huge pages up, and is one mapping again.
void huge_keep_small(uintptr_t start, size_t length) {
    if (allowance_is_limited() || wish() == THP_NEVER) {
        return; // they have been declined already
    }
    tables_keep_small(); // parts of which go back, too
    keep_front_small(start, start + length);
    uintptr_t area = huge_start();
    uintptr_t limit = huge_end() < limit_address() ? huge_end() : limit_address();
    uintptr_t end = align_up(start + length, HUGE_PAGE_SIZE);
    start = align_down(start, HUGE_PAGE_SIZE);
    start = start > area ? start : area;
    end = end < limit ? end : limit;
    if (start >= end || (start >= __atomic_load_n(&giving()->small_start, __ATOMIC_RELAXED) &&
                         end <= __atomic_load_n(&giving()->small_end, __ATOMIC_RELAXED))) {
        return; // no huge pages were asked for, or they were declined a moment ago
    }
    if (__atomic_fetch_add(&giving()->small_holes, 1, __ATOMIC_RELAXED) % SMALL_HOLES_MAX ==
        SMALL_HOLES_MAX - 1) {
        start = area;
        end = limit;
    }
    decline(start, end);
    __atomic_store_n(&giving()->small_start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&giving()->small_end, end, __ATOMIC_RELAXED);
}
