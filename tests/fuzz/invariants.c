#include "invariants.h"

#include "arena.h"
#include "bin.h"
#include "fail.h"
#include "helper.h"
#include "loose.h"
#include "root.h"
#include "shadow.h"
#include "span.h"
#include "spanstate.h"
#include "walk.h"

#include <lucid.h>
#include <malloc.h>

// What was seen of each block of one span: in a bin, in the shadow.
struct marks {
    uint64_t cached[SPAN_WORDS];
    uint64_t used[SPAN_WORDS];
};

static unsigned block_index(uint32_t head, const void *block) {
    const struct run *span = run_at(head);
    size_t offset = (uintptr_t)block - unit_address(head);
    unsigned index = sizeclass_index(span->class, offset);
    if (index * sizeclass_size(span->class) != offset || index >= atomic_load(&span->carved)) {
        fail("%p is no block of the span at unit %u", block, head);
    }
    return index;
}

static bool inside(uint32_t head, const void *block) {
    uintptr_t offset = (uintptr_t)block - unit_address(head);
    return offset >> UNIT_SHIFT < run_length_of(run_load(head));
}

static void mark(uint64_t *words, uint32_t head, const void *block, const char *where) {
    unsigned index = block_index(head, block);
    if (words[index / 64] >> index % 64 & 1) {
        fail("block %p is %s twice", block, where);
    }
    words[index / 64] |= (uint64_t)1 << index % 64;
}

static void mark_cached(struct marks *marks, uint32_t head, unsigned class) {
    for (const struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        unsigned count = bin_count(heap, class);
        for (unsigned i = 1; i <= count; i++) {
            const void *block = bin_block_now(heap, class, i);
            if (block != NULL && inside(head, block)) {
                mark(marks->cached, head, block, "in a bin");
            }
        }
    }
}

static void mark_used(struct marks *marks, uint32_t head) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block != NULL && inside(head, shadow[i].block)) {
            mark(marks->used, head, shadow[i].block, "in use");
        }
    }
}

// Every block is free, cached or in use, exactly one of them.
static void check_blocks(uint32_t head) {
    const struct run *span = run_at(head);
    unsigned carved = atomic_load(&span->carved);
    unsigned blocks = sizeclass_table[span->class].blocks;
    struct marks marks = {{0}, {0}};
    mark_cached(&marks, head, span->class);
    mark_used(&marks, head);
    uint32_t count = blocks - carved;
    for (unsigned word = 0; word * 64 < blocks; word++) {
        uint64_t free = atomic_load(&span->free[word]);
        unsigned below = carved > word * 64 ? carved - word * 64 : 0;
        uint64_t handed_out = bit_low_mask(below > 64 ? 64 : below);
        if ((free & marks.cached[word]) != 0 || (free & marks.used[word]) != 0 ||
            (marks.cached[word] & marks.used[word]) != 0) {
            fail("span %u word %u: a block is in two states: free %llx cached %llx used %llx", head,
                 word, (unsigned long long)free, (unsigned long long)marks.cached[word],
                 (unsigned long long)marks.used[word]);
        }
        if ((free | marks.cached[word] | marks.used[word]) != handed_out) {
            fail("span %u word %u: blocks are lost: %llx", head, word,
                 (unsigned long long)(handed_out ^ (free | marks.cached[word] | marks.used[word])));
        }
        count += bit_count(free);
    }
    if ((int32_t)count != span_count(atomic_load(&run_at(head)->state))) {
        fail("span %u: %u blocks are free but its count is %d", head, count,
             span_count(atomic_load(&run_at(head)->state)));
    }
}

static unsigned holders(uint32_t head) {
    unsigned count = 0;
    for (const struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            count += heap->held[class] == head;
        }
    }
    return count;
}

static bool is_listed(const struct class_list *list, uint32_t head) {
    uint32_t before = 0;
    unsigned steps = 0;
    for (uint32_t at = list->head; at != 0; before = at, at = run_at(at)->next) {
        if (run_at(at)->prev != before || steps++ > root.live.limit) {
            fail("the list with span %u is badly linked at %u", head, at);
        }
        if (at == head) {
            return true;
        }
    }
    return false;
}

static void check_state(uint32_t head) {
    uint32_t state = atomic_load(&run_at(head)->state);
    unsigned class = run_at(head)->class;
    int blocks = sizeclass_table[class].blocks;
    unsigned held = holders(head);
    if (held > 1 || held != (state & SPAN_HELD)) {
        fail("span %u: %u threads hold it, its state is %x", head, held, state);
    }
    bool listed = is_listed(&root.live.lanes[run_at(head)->lane].lists[class], head);
    if (listed != ((state & SPAN_LISTED) != 0)) {
        fail("span %u: listed %d but its state is %x", head, listed, state);
    }
    if (!held && span_count(state) == blocks) {
        fail("span %u is empty, unheld and not given back", head);
    }
    if (!held && listed != (span_count(state) > 0)) {
        fail("span %u has %d free blocks, listed %d, and nobody holds it", head, span_count(state),
             listed);
    }
}

static void check_units(uint32_t head) {
    uint64_t shape = run_load(head);
    enum run_kind kind = run_kind_of(shape);
    bool has_bin = kind == RUN_SPAN && run_at(head)->region == NULL;
    uint16_t bin = has_bin ? (uint16_t)(run_at(head)->class * sizeof(struct bin)) : 0;
    for (uint32_t i = 0; i < run_length_of(shape); i++) {
        struct unit unit = root.fixed.units[head + i];
        bool right = kind == RUN_SPAN || kind == RUN_LARGE || kind == RUN_LOOSE ? unit.back == i
                     : kind == RUN_FREE ? unit.back <= UNIT_DIRTY
                                        : true;
        if (unit.bin != bin || !right) {
            fail("unit %u of run %u (kind %d) has bin %u back %u", head + i, head, (int)kind,
                 unit.bin, unit.back);
        }
    }
}

static void check_runs(uint32_t spans[CLASS_COUNT]) {
    uint64_t top = atomic_load(&root.live.top);
    enum run_kind before = RUN_NONE;
    for (uint32_t head = 1; head < top; head += run_length_of(run_load(head))) {
        enum run_kind kind = run_kind_of(run_load(head));
        if (kind == RUN_BUSY || (kind == RUN_FREE && before == RUN_FREE)) {
            fail("run %u of kind %d was left lying after one of kind %d", head, (int)kind,
                 (int)before);
        }
        before = kind;
        check_units(head);
        if (kind == RUN_SPAN) {
            unsigned class = run_at(head)->class;
            if (class == 0 || class >= CLASS_COUNT ||
                run_length_of(run_load(head)) != sizeclass_table[class].units) {
                fail("span %u has class %u and %u units", head, class,
                     run_length_of(run_load(head)));
            }
            spans[class]++;
            check_state(head);
            check_blocks(head);
        }
    }
}

static void check_lists(const uint32_t spans[CLASS_COUNT]) {
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        uint32_t counted = 0;
        for (unsigned lane = 0; lane < LANES; lane++) {
            const struct class_list *list = &root.live.lanes[lane].lists[class];
            for (uint32_t at = list->head; at != 0; at = run_at(at)->next) {
                if ((atomic_load(&run_at(at)->state) & SPAN_LISTED) == 0) {
                    fail("class %u, lane %u: span %u is on the list and does not say so", class,
                         lane, at);
                }
            }
            if (list->lock != 0) {
                fail("class %u, lane %u: locked by %u", class, lane, list->lock);
            }
            counted += list->spans;
        }
        if (spans[class] != counted) {
            fail("class %u: %u spans exist, %u counted", class, spans[class], counted);
        }
    }
}

// Units of the long run that a lane keeps, 0: it keeps none.
static uint32_t long_loose(unsigned lane, uint32_t head) {
    uint32_t length = head != 0 ? run_length_of(run_load(head)) : 0;
    if (head != 0 && (length <= LOOSE_UNITS_MAX || run_load(head) != run_shape(RUN_LOOSE, length) ||
                      run_at(head)->dirty != length)) {
        fail("lane %u: run %u is no long loose one, but has %u units", lane, head, length);
    }
    return length;
}

static void check_loose(void) {
    uint64_t top = atomic_load(&root.live.top);
    uint64_t exist = 0;
    uint64_t listed = 0;
    for (uint32_t head = 1; head < top; head += run_length_of(run_load(head))) {
        exist += run_kind_of(run_load(head)) == RUN_LOOSE ? run_length_of(run_load(head)) : 0;
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct loose *loose = &root.live.lanes[lane].loose;
        uint64_t units = 0;
        for (unsigned length = 1; length <= LOOSE_UNITS_MAX; length++) {
            for (uint32_t at = loose->first[length]; at != 0; at = run_at(at)->next) {
                if (run_load(at) != run_shape(RUN_LOOSE, length) || run_at(at)->dirty != length) {
                    fail("lane %u: run %u is no loose one of %u units", lane, at, length);
                }
                units += length;
            }
        }
        units += long_loose(lane, loose->first[LOOSE_LONG]);
        if (units != loose->units || loose->lock != 0) {
            fail("lane %u: %llu loose units, %u counted; lock %u", lane, (unsigned long long)units,
                 loose->units, loose->lock);
        }
        listed += units;
    }
    if (exist != listed) {
        fail("%llu loose units exist, %llu are on a stack", (unsigned long long)exist,
             (unsigned long long)listed);
    }
}

// Blocks of the shadow by where they lie.
struct sums {
    uint64_t small, large, mapped, bytes;
};

static struct sums shadow_sums(void) {
    struct sums sums = {0, 0, 0, 0};
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block == NULL) {
            continue;
        }
        if (!in_arena((uintptr_t)shadow[i].block)) {
            sums.mapped++;
            continue;
        }
        uint32_t unit = unit_of((uintptr_t)shadow[i].block);
        if (root.fixed.units[unit].bin != 0) {
            sums.small++;
            sums.bytes += shadow[i].usable;
        } else {
            sums.large++;
            sums.bytes += shadow[i].usable;
        }
    }
    return sums;
}

static void check_account(void) {
    struct account account;
    walk_account(&account);
    struct sums sums = shadow_sums();
    if (account.used_blocks != sums.small || account.large_count != sums.large ||
        account.mapping_count != sums.mapped) {
        fail("the walk counts %llu small, %llu large, %llu mapped blocks; in use are %llu, %llu, "
             "%llu",
             (unsigned long long)account.used_blocks, (unsigned long long)account.large_count,
             (unsigned long long)account.mapping_count, (unsigned long long)sums.small,
             (unsigned long long)sums.large, (unsigned long long)sums.mapped);
    }
    uint64_t units = root.live.pool.free_units + loose_units();
    if (account.pool_bytes != units << UNIT_SHIFT) {
        fail("the walk counts %llu bytes in free runs, the pool and the lanes %llu units",
             (unsigned long long)account.pool_bytes, (unsigned long long)units);
    }
    struct mallinfo2 info = lucid_mallinfo2();
    if (info.uordblks != sums.bytes || info.hblks != sums.mapped) {
        fail("mallinfo2 says %zu bytes in use and %zu mappings; it is %llu and %llu", info.uordblks,
             info.hblks, (unsigned long long)sums.bytes, (unsigned long long)sums.mapped);
    }
}

void invariants_check(void) {
    if (atomic_load(&root.live.ready) == 0) {
        return; // nothing was allocated yet
    }
    uint32_t spans[CLASS_COUNT] = {0};
    helper_pause();
    arena_check();
    check_runs(spans);
    check_lists(spans);
    check_loose();
    check_account();
    helper_resume();
}
