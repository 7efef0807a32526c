// The walk below trusts nothing: it derives every number from the tables a second time and
// compares. Its own notes come from the C library's malloc, which is not under test here.
#include "invariants.h"

#include "allowance.h"
#include "arena.h"
#include "bin.h"
#include "helper.h"
#include "loose.h"
#include "mapping.h"
#include "pool.h"
#include "root.h"
#include "span.h"
#include "spanstate.h"
#include "testing.h"

struct notes {
    uint32_t top;
    bool forked;           // another thread may have been cut off while it resized a large block
    unsigned char *held;   // per unit: times a heap holds the span
    unsigned char *listed; // per unit: times it is on its class's list
    unsigned char *pooled; // per unit: times it is in one of the pool's trees, or loose
    unsigned char *cached; // per granule: times the block is in a bin
    unsigned char *owned;  // per unit: times a region has the run on its list
    unsigned char *usable; // per unit: times the span is a region's current or a usable one
    uint32_t spans[CLASS_COUNT];
    uint32_t free_units;
    uint32_t dirty_units;
    uint32_t loose_units;
};

static void note_cached(struct notes *notes, const struct heap *heap, unsigned class,
                        unsigned slot) {
    uintptr_t block = (uintptr_t)bin_block_now(heap, class, slot);
    if (block == 0 && atomic_load(&heap->idle) == IDLE_TAKEN) {
        return; // the helper took it while the thread was idle
    }
    REQUIRE(in_arena(block) && block % BLOCK_ALIGN == 0, "%p in a bin", (void *)block);
    REQUIRE(root.fixed.units[unit_of(block)].bin == class * sizeof(struct bin),
            "%p in a bin of class %u", (void *)block, class);
    size_t granule = (block - root.fixed.base) / BLOCK_ALIGN;
    REQUIRE(notes->cached[granule]++ == 0, "%p is twice in bins", (void *)block);
}

static void note_heaps(struct notes *notes) {
    uint32_t heaps = 0;
    uint32_t living = 0;
    for (struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        heaps++;
        REQUIRE(heap->unnoted <= heap->room, "%u of %u bytes", heap->unnoted, heap->room);
        living += heap->state == HEAP_LIVE;
        size_t room = 0;
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            void *const *slots = heap->slots[class];
            uint32_t head = heap->held[class];
            unsigned count = bin_count(heap, class);
            room += heap->capacity[class] * sizeclass_size(class);
            REQUIRE(count <= heap->capacity[class], "class %u: %u blocks in a bin of %u", class,
                    count, heap->capacity[class]);
            REQUIRE(slots == NULL || slots[0] == NULL, "class %u: no stop under the stack", class);
            REQUIRE(heap->state == HEAP_LIVE || (count == 0 && head == 0),
                    "class %u: a heap without a thread has %u blocks and holds %u", class, count,
                    head);
            if (head != 0) {
                REQUIRE(head < notes->top, "held %u", head);
                notes->held[head]++;
            }
            for (unsigned i = 1; i <= count; i++) {
                note_cached(notes, heap, class, i);
            }
        }
        REQUIRE(room == heap->room, "room for %zu bytes, %u noted", room, heap->room);
    }
    REQUIRE(heaps == root.live.heap_count, "%u heaps, %u counted", heaps, root.live.heap_count);
    REQUIRE(living == root.live.threads, "%u of %u", living, root.live.threads);
    uint32_t idle = 0;
    for (struct heap *heap = root.live.heaps_free; heap != NULL; heap = heap->next_free) {
        REQUIRE(heap->state == HEAP_FREE, "a heap in use is on the free list");
        REQUIRE(++idle <= heaps, "the free list is a loop");
    }
    REQUIRE(idle + living == heaps, "%u + %u of %u heaps", idle, living, heaps);
}

static void check_bins_of_nobody(void) {
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        const struct bin *bin = &root.live.nobody[class];
        // A child that was forked in the middle of its thread's first malloc is one slot down.
        REQUIRE(bin->top > root.fixed.empty_slots && bin->top <= bin_of_nobody().top &&
                    bin->end == NULL,
                "class %u: the bin of nobody is not empty and full", class);
    }
}

static void note_list(struct notes *notes, unsigned lane, unsigned class) {
    const struct class_list *list = &root.live.lanes[lane].lists[class];
    uint32_t before = 0;
    for (uint32_t head = list->head; head != 0; head = run_at(head)->next) {
        REQUIRE(head < notes->top && run_at(head)->class == class && run_at(head)->lane == lane,
                "class %u, lane %u: unit %u", class, lane, head);
        REQUIRE(run_at(head)->prev == before, "class %u: unit %u has %u before it, not %u", class,
                head, run_at(head)->prev, before);
        REQUIRE(notes->listed[head]++ == 0, "class %u: unit %u is listed twice", class, head);
        before = head;
    }
    REQUIRE(before == 0 || list->tail == before, "class %u: the last one is %u, not %u", class,
            before, list->tail);
    REQUIRE(list->lock == 0, "class %u: locked", class);
}

static void note_loose(struct notes *notes, const struct loose *loose) {
    uint32_t units = 0;
    for (uint32_t length = 1; length <= LOOSE_UNITS_MAX; length++) {
        for (uint32_t head = loose->first[length]; head != 0; head = run_at(head)->next) {
            REQUIRE(head < notes->top && run_load(head) == run_shape(RUN_LOOSE, length),
                    "unit %u is no loose run of %u units", head, length);
            REQUIRE(notes->pooled[head]++ == 0, "unit %u is loose twice", head);
            units += length;
        }
    }
    uint32_t longer = loose->first[LOOSE_LONG];
    if (longer != 0) {
        uint32_t length = run_length_of(run_load(longer));
        REQUIRE(longer < notes->top && run_kind_of(run_load(longer)) == RUN_LOOSE &&
                    length > LOOSE_UNITS_MAX,
                "unit %u is no long loose run, but one of %u units", longer, length);
        REQUIRE(notes->pooled[longer]++ == 0, "unit %u is loose twice", longer);
        units += length;
    }
    REQUIRE(units == loose->units, "%u loose units, %u counted", units, loose->units);
    REQUIRE(loose->lock == 0, "loose runs: locked");
    notes->loose_units += units;
}

static void note_lanes(struct notes *notes) {
    for (unsigned lane = 0; lane < LANES; lane++) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            note_list(notes, lane, class);
        }
        note_loose(notes, &root.live.lanes[lane].loose);
    }
}

static void note_usable(struct notes *notes, const struct lucid_region *region, unsigned class) {
    uint32_t current = region->current[class];
    if (current != 0) {
        REQUIRE(current < notes->top && run_at(current)->region == region, "current %u", current);
        notes->usable[current]++;
    }
    uint32_t before = 0;
    for (uint32_t head = region->usable[class]; head != 0; head = run_at(head)->next) {
        const struct run *span = run_at(head);
        REQUIRE(head < notes->top && span->region == region && span->class == class,
                "unit %u is usable for class %u of region %s", head, class, region->name);
        REQUIRE(span->prev == before, "unit %u has %u before it, not %u", head, span->prev, before);
        REQUIRE(notes->usable[head]++ == 0, "unit %u is usable twice", head);
        REQUIRE(span_count(span->state) > 0 &&
                    span_count(span->state) < (int32_t)sizeclass_table[class].blocks,
                "span %u is usable with %d free blocks", head, span_count(span->state));
        before = head;
    }
}

// Those on its list, each of which is in the table as one of the region.
static uint32_t mappings_listed(const struct lucid_region *region) {
    uint32_t count = 0;
    struct mapping found = {.address = 0};
    for (uint64_t address = region->first_mapping; address != 0; address = found.behind) {
        uint64_t before = found.address;
        REQUIRE(mapping_find((void *)(uintptr_t)address, &found) && found.region == region &&
                    found.before == before,
                "mapping %llx of region %s", (unsigned long long)address, region->name);
        count++;
    }
    return count;
}

static uint32_t mappings_of(const struct lucid_region *region) {
    const struct mapping_table *table = &root.live.mappings;
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->capacity; i++) {
        count += table->entries[i].address != 0 && table->entries[i].region == region;
    }
    return count;
}

static void note_region(struct notes *notes, const struct lucid_region *region) {
    uint32_t before = 0;
    REQUIRE(region->lock == 0 && region->self == (uintptr_t)region, "region %s", region->name);
    for (uint32_t head = region->runs; head != 0; head = run_at(head)->right) {
        REQUIRE(head < notes->top && run_at(head)->region == region, "run %u of region %s", head,
                region->name);
        REQUIRE(run_at(head)->left == before, "run %u of region %s", head, region->name);
        REQUIRE(notes->owned[head]++ == 0, "run %u is on two lists", head);
        before = head;
    }
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        note_usable(notes, region, class);
    }
    REQUIRE(region->mappings == mappings_of(region) && region->mappings == mappings_listed(region),
            "region %s counts %u mappings", region->name, region->mappings);
    REQUIRE(region->state == REGION_LIVE || (region->runs == 0 && region->mappings == 0),
            "the ended region %s has blocks", region->name);
}

static void note_regions(struct notes *notes) {
    uint32_t count = 0;
    uint32_t ended = 0;
    for (const struct lucid_region *region = root.live.regions.first; region != NULL;
         region = region->next) {
        note_region(notes, region);
        count++;
        ended += region->state == REGION_FREE;
    }
    uint32_t idle = 0;
    for (const struct lucid_region *region = root.live.regions.free; region != NULL;
         region = region->next_free) {
        REQUIRE(region->state == REGION_FREE && ++idle <= count, "ended regions");
    }
    REQUIRE(
        count == root.live.regions.count && idle == root.live.regions.free_count && idle == ended,
        "%u regions, %u counted; %u ended, %u wait", count, root.live.regions.count, ended, idle);
}

static void note_shelf(struct notes *notes, uint32_t node, unsigned side, unsigned shelf,
                       unsigned depth) {
    if (node == 0) {
        return;
    }
    REQUIRE(depth < 200, "a tree of the pool is a loop at %u", node);
    uint64_t shape = run_load(node);
    REQUIRE(node < notes->top && run_kind_of(shape) == RUN_FREE, "unit %u in the pool", node);
    REQUIRE((run_at(node)->dirty != 0) == (side == POOL_DIRTY), "unit %u is on the wrong side",
            node);
    REQUIRE(pool_shelf_of(run_length_of(shape)) == shelf, "unit %u is on shelf %u", node, shelf);
    REQUIRE(notes->pooled[node]++ == 0, "unit %u is twice in the pool", node);
    note_shelf(notes, run_at(node)->left, side, shelf, depth + 1);
    note_shelf(notes, run_at(node)->right, side, shelf, depth + 1);
}

static void note_pool(struct notes *notes) {
    for (unsigned side = 0; side < POOL_SIDES; side++) {
        for (unsigned shelf = 0; shelf < POOL_SHELVES; shelf++) {
            uint32_t tree = root.fixed.shelves[side][shelf];
            bool filled = root.live.pool.filled[side] >> shelf & 1;
            REQUIRE((tree != 0) == filled, "shelf %u of side %u", shelf, side);
            note_shelf(notes, tree, side, shelf, 0);
        }
    }
}

static void check_block_bits(const struct notes *notes, uint32_t head, unsigned class) {
    const struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[class];
    uint32_t free_blocks = 0;
    for (unsigned index = 0; index < row->blocks; index++) {
        bool is_free = span_is_free(span, index);
        uintptr_t block = unit_address(head) + (size_t)index * row->size;
        size_t granule = (block - root.fixed.base) / BLOCK_ALIGN;
        REQUIRE(!is_free || index < span->carved, "block %u of unit %u is free but not carved",
                index, head);
        REQUIRE(!notes->cached[granule] || (!is_free && index < span->carved),
                "block %u of unit %u is both in a bin and free", index, head);
        free_blocks += is_free;
    }
    int32_t count = span_count(span->state);
    REQUIRE(count == (int32_t)(free_blocks + row->blocks - span->carved),
            "span %u: count %d, free bits %u, carved %u of %u", head, count, free_blocks,
            span->carved, row->blocks);
}

static void check_span(struct notes *notes, uint32_t head, uint32_t length) {
    const struct run *span = run_at(head);
    unsigned class = span->class;
    REQUIRE(class > 0 && class < CLASS_COUNT, "span %u of class %u", head, class);
    const struct sizeclass *row = &sizeclass_table[class];
    REQUIRE(length == row->units && span->carved <= row->blocks, "span %u", head);
    check_block_bits(notes, head, class);
    int32_t count = span_count(span->state);
    bool held = span->state & SPAN_HELD;
    bool listed = span->state & SPAN_LISTED;
    notes->spans[class]++;
    if (span->region != NULL) {
        REQUIRE(held && !listed && notes->held[head] == 0 && notes->listed[head] == 0,
                "span %u of a region: state %x", head, span->state);
        REQUIRE(notes->usable[head] == 1 || count == 0, "span %u: %d free blocks, usable %u times",
                head, count, notes->usable[head]);
        return;
    }
    REQUIRE(notes->held[head] == held, "span %u: HELD is %d, heaps that hold it %u", head, held,
            notes->held[head]);
    REQUIRE(notes->listed[head] == listed, "span %u: LISTED is %d, on its list %u", head, listed,
            notes->listed[head]);
    REQUIRE(held || (listed ? count > 0 && count < row->blocks : count == 0),
            "span %u: state %x at rest", head, span->state);
}

static void check_units(uint32_t head, uint32_t length, unsigned class) {
    for (uint32_t i = 0; i < length; i++) {
        struct unit unit = root.fixed.units[head + i];
        REQUIRE(unit.bin == class * sizeof(struct bin) && unit.back == i,
                "unit %u + %u: bin %u, back %u", head, i, unit.bin, unit.back);
        REQUIRE(i == 0 || run_load(head + i) == 0, "a run begins inside run %u, at + %u", head, i);
    }
}

static void check_free_run(struct notes *notes, uint32_t head, uint32_t length) {
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < length; i++) {
        struct unit unit = root.fixed.units[head + i];
        REQUIRE(unit.bin == 0 && unit.back <= UNIT_DIRTY, "free unit %u + %u: bin %u, back %u",
                head, i, unit.bin, unit.back);
        REQUIRE(i == 0 || run_load(head + i) == 0, "a run begins inside free %u, at + %u", head, i);
        dirty += unit.back;
    }
    REQUIRE(dirty == run_at(head)->dirty, "free run %u: %u dirty, %u noted", head, dirty,
            run_at(head)->dirty);
    REQUIRE(run_at(head + length - 1)->prev == head, "free run %u: its tail names %u", head,
            run_at(head + length - 1)->prev);
    REQUIRE(notes->pooled[head] == 1, "free run %u is not in the pool", head);
    notes->free_units += length;
    notes->dirty_units += dirty;
}

static void check_runs(struct notes *notes) {
    enum run_kind before = RUN_NONE;
    uint32_t head = 1;
    while (head < notes->top) {
        uint32_t length = run_length_of(run_load(head));
        enum run_kind kind = run_kind_of(run_load(head));
        REQUIRE(length > 0 && length <= notes->top - head, "run %u has %u units", head, length);
        bool owned = (kind == RUN_SPAN || kind == RUN_LARGE) && run_at(head)->region != NULL;
        REQUIRE(notes->owned[head] == owned, "run %u: of a region %d, on a list %u times", head,
                owned, notes->owned[head]);
        if (kind == RUN_SPAN) {
            check_span(notes, head, length);
            check_units(head, length, owned ? 0 : run_at(head)->class);
        } else if (kind == RUN_LARGE) {
            check_units(head, length, 0);
            uint64_t size = run_at(head)->size;
            bool filled = size + size / GROWING_SPARE > (uint64_t)(length - 1) << UNIT_SHIFT;
            REQUIRE((filled || notes->forked) && size > 0 && size <= (uint64_t)length << UNIT_SHIFT,
                    "large block %u of %u units holds %llu bytes", head, length,
                    (unsigned long long)size);
        } else if (kind == RUN_FREE) {
            REQUIRE(before != RUN_FREE, "free runs side by side at %u", head);
            check_free_run(notes, head, length);
        } else if (kind == RUN_LOOSE) {
            REQUIRE(notes->pooled[head] == 1 && run_at(head)->dirty == length,
                    "loose run %u: on %u stacks, %u of %u units dirty", head, notes->pooled[head],
                    run_at(head)->dirty, length);
            check_units(head, length, 0);
            notes->loose_units -= length;
        } else {
            REQUIRE(kind == RUN_FOREIGN, "run %u of kind %d at rest", head, kind);
        }
        before = kind;
        head += length;
    }
    REQUIRE(head == notes->top, "the runs end at %u, top is %u", head, notes->top);
    REQUIRE(notes->top <= root.live.limit && root.live.limit <= root.live.committed,
            "top %u, limit %llu", notes->top, (unsigned long long)root.live.limit);
    REQUIRE(root.live.reach == root.live.limit * (UNIT_SIZE / BLOCK_ALIGN), "reach");
}

static void check_sums(struct notes *notes) {
    const struct pool *pool = &root.live.pool;
    REQUIRE(pool->free_units == notes->free_units, "%u free units, %u counted", notes->free_units,
            pool->free_units);
    REQUIRE(pool->dirty_units == notes->dirty_units, "%u dirty units, %u counted",
            notes->dirty_units, pool->dirty_units);
    REQUIRE(notes->loose_units == 0, "loose runs on the stacks and in the arena differ by %u",
            notes->loose_units);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        uint32_t spans = 0;
        for (unsigned lane = 0; lane < LANES; lane++) {
            spans += root.live.lanes[lane].lists[class].spans;
        }
        REQUIRE(notes->spans[class] == spans, "class %u: %u spans, %u counted", class,
                notes->spans[class], spans);
    }
}

static void check_mappings(void) {
    const struct mapping_table *table = &root.live.mappings;
    uint32_t count = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < table->capacity; i++) {
        const struct mapping *entry = &table->entries[i];
        if (entry->address == 0) {
            continue;
        }
        struct mapping found = {.address = 0};
        REQUIRE(mapping_find((void *)(uintptr_t)entry->address, &found) &&
                    found.start == entry->start && found.length == entry->length,
                "mapping %llx is not found", (unsigned long long)entry->address);
        REQUIRE(entry->start <= entry->address &&
                    entry->address + entry->size == entry->start + entry->length,
                "mapping %llx", (unsigned long long)entry->address);
        count++;
        bytes += entry->length;
    }
    REQUIRE(count == table->count && bytes == table->bytes, "%u mappings, %u counted", count,
            table->count);
    REQUIRE(count == 0 || count < table->capacity, "the mapping table is full");
}

// What is counted as taken is what the tables say.
static void check_allowance(void) {
    uint64_t counted = allowance_counted(arena_taken_units());
    REQUIRE(root.live.allowance.taken == counted, "%llu bytes are taken, %llu are counted as that",
            (unsigned long long)counted, (unsigned long long)root.live.allowance.taken);
}

void invariants_check(bool forked) {
    helper_pause();
    arena_check();
    struct notes *notes = calloc(1, sizeof(*notes));
    REQUIRE(notes != NULL, "no memory for the walk");
    notes->top = (uint32_t)root.live.top;
    notes->forked = forked;
    size_t units = (size_t)root.live.limit + 1;
    notes->held = calloc(units, 1);
    notes->listed = calloc(units, 1);
    notes->pooled = calloc(units, 1);
    notes->owned = calloc(units, 1);
    notes->usable = calloc(units, 1);
    notes->cached = calloc(units, UNIT_SIZE / BLOCK_ALIGN);
    REQUIRE(notes->owned && notes->usable && notes->held && notes->listed && notes->pooled &&
                notes->cached,
            "no memory");
    note_heaps(notes);
    check_bins_of_nobody();
    note_lanes(notes);
    note_regions(notes);
    note_pool(notes);
    check_runs(notes);
    check_sums(notes);
    check_mappings();
    check_allowance();
    free(notes->held);
    free(notes->listed);
    free(notes->pooled);
    free(notes->owned);
    free(notes->usable);
    free(notes->cached);
    free(notes);
    helper_resume();
}
