#include "trim.h"

#include "huge.h"
#include "options.h"
#include "os/os.h"
#include "release.h"
#include "root.h"
#include "span.h"
#include "spanstate.h"

#define LONG_AGO_MS ((uint32_t)1 << 30)

static uint32_t now_ms(void) {
    return (uint32_t)os_now_ms();
}

// Gives back the whole pages in [start, end) of a span.
static size_t give_pages(uintptr_t start, uintptr_t end) {
    size_t page = root.fixed.page_size;
    start = align_up(start, page);
    end = align_down(end, page);
    if (start >= end || !os_purge((void *)start, end - start)) {
        return 0;
    }
    huge_keep_small(start, end - start);
    return end - start;
}

// Up to where the span's memory may have been touched: its carved blocks, and all of it if it was
// dirty when the span was made.
static uintptr_t touched_end(uint32_t head, const struct sizeclass *row, unsigned carved) {
    size_t used = align_up((size_t)carved * row->size, root.fixed.page_size);
    return unit_address(head) + (run_at(head)->dirty > 0 ? (size_t)row->units << UNIT_SHIFT : used);
}

// pre: the caller holds the span: nobody takes blocks out of it, so what is free stays free.
static size_t trim_held(uint32_t head) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    unsigned carved = atomic_load_explicit(&span->carved, memory_order_relaxed);
    uint32_t count = (uint32_t)span_count(atomic_load_explicit(&span->state, memory_order_acquire));
    uintptr_t start = unit_address(head);
    size_t given = 0;
    for (unsigned index = 0; index < carved;) {
        unsigned from = index;
        while (index < carved && span_is_free(span, index)) {
            index++;
        }
        if (index > from) {
            uintptr_t end = index == carved ? touched_end(head, row, carved)
                                            : start + (size_t)index * row->size;
            given += give_pages(start + (size_t)from * row->size, end);
        }
        index++;
    }
    span->size = count + 1;
    (void)atomic_fetch_add_explicit(&root.live.giving.trimmed_bytes, given, memory_order_relaxed);
    return given;
}

// Free blocks of a span that may have a page to give; 0: it has none, or they went already.
READS_RACILY static uint32_t free_to_give(const struct run *span) {
    uint32_t state = atomic_load_explicit(&span->state, memory_order_relaxed);
    unsigned class = span->class;
    if ((state & (SPAN_LISTED | SPAN_HELD)) != SPAN_LISTED || class == 0 || class >= CLASS_COUNT) {
        return 0;
    }
    const struct sizeclass *row = &sizeclass_table[class];
    int32_t count = span_count(state);
    unsigned carved = atomic_load_explicit(&span->carved, memory_order_relaxed);
    int32_t known = count - (int32_t)(row->blocks - carved);
    if (known <= 0 || (size_t)known * row->size < root.fixed.page_size ||
        *(const volatile uint64_t *)&span->size == (uint64_t)count + 1) {
        return 0;
    }
    return (uint32_t)count;
}

// Has the span had this many free blocks for so long? The word that remembers is the helper's
// alone, whatever becomes of the run meanwhile.
static bool is_aged(struct run *span, uint32_t count, uint32_t age) {
    if ((uint32_t)span->seen != count) {
        span->seen = (uint64_t)now_ms() << 32 | count;
        return false;
    }
    return now_ms() - (uint32_t)(span->seen >> 32) >= age;
}

static size_t trim_one(uint32_t head) {
    size_t given = 0;
    release_begins();
    if (span_hold_listed(head)) {
        given = trim_held(head);
        span_release_last(head);
    }
    release_ends();
    return given;
}

// The next head at or behind a unit. A run that was a head a moment ago may have been joined with
// the one before it.
static uint64_t next_head(uint64_t unit, uint64_t top) {
    while (unit < top && run_length_of(run_load((uint32_t)unit)) == 0) {
        unit++;
    }
    return unit;
}

// Hardened mode wants to find in a free block what it has written there.
static bool is_allowed(void) {
    return !root.live.options.value[OPTION_HARDEN];
}

uint64_t trim_all(void) {
    uint64_t given = 0;
    if (!is_allowed()) {
        return 0;
    }
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_acquire);
    for (uint64_t head = next_head(1, top); head < top;) {
        uint64_t shape = run_load((uint32_t)head);
        if (run_kind_of(shape) == RUN_SPAN && free_to_give(run_at((uint32_t)head)) != 0) {
            given += trim_one((uint32_t)head);
        }
        head = next_head(head + run_length_of(shape), top);
    }
    return given;
}

bool trim_aged(uint32_t age) {
    bool done = true;
    if (!is_allowed()) {
        return true;
    }
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_acquire);
    for (uint64_t head = next_head(1, top); head < top;) {
        uint64_t shape = run_load((uint32_t)head);
        struct run *run = run_at((uint32_t)head);
        uint32_t count = run_kind_of(shape) == RUN_SPAN ? free_to_give(run) : 0;
        if (count != 0) {
            if (is_aged(run, count, age)) {
                (void)trim_one((uint32_t)head);
            } else {
                done = false;
            }
        }
        head = next_head(head + run_length_of(shape), top);
    }
    return done;
}

void trim_soon(unsigned class, const void *block) {
    uint32_t unit = unit_of((uintptr_t)block);
    if (root.fixed.units[unit].bin != class * sizeof(struct bin)) {
        return; // the span has ended
    }
    struct run *span = run_at(unit - root.fixed.units[unit].back);
    uint32_t state = atomic_load_explicit(&span->state, memory_order_relaxed);
    span->seen = (uint64_t)(now_ms() - LONG_AGO_MS) << 32 | (uint32_t)span_count(state);
}
