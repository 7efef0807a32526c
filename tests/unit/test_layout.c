// The layout that other processes read, pinned: when one of these numbers changes, readers built
// before no longer understand heaps made after. Whoever means to do that changes the row here, and
// LUCID_LAYOUT_VERSION with it once a version of that number has been released.
#include "layout.h"

#include "event.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

struct pinned {
    const char *name;
    size_t actual;
    size_t expected;
};

#define SIZE(type, expected) \
    { "size of " #type, sizeof(struct type), expected }
#define OFFSET(type, field, expected) \
    { #type "." #field, offsetof(struct type, field), expected }
#define VALUE(name, expected) \
    { #name, name, expected }

// clang-format off
static const struct pinned structures[] = { // x86-64; elsewhere spans have more blocks
    SIZE(unit, 4),
    OFFSET(unit, bin, 0), OFFSET(unit, back, 2),
    SIZE(run, 192),
    OFFSET(run, shape, 0), OFFSET(run, state, 8), OFFSET(run, class, 12), OFFSET(run, carved, 14),
    OFFSET(run, next, 16), OFFSET(run, prev, 20), OFFSET(run, left, 24), OFFSET(run, right, 28),
    OFFSET(run, size, 32), OFFSET(run, birth, 40), OFFSET(run, dirty, 44), OFFSET(run, free, 48),
    OFFSET(run, seen, 176), OFFSET(run, region, 184),
    SIZE(mapping, 48),
    OFFSET(mapping, address, 0), OFFSET(mapping, size, 8), OFFSET(mapping, start, 16),
    OFFSET(mapping, length, 24), OFFSET(mapping, asked, 32), OFFSET(mapping, region, 40),
    SIZE(bin, 16),
    OFFSET(bin, top, 0), OFFSET(bin, end, 8),
    SIZE(sizeclass, 16),
    OFFSET(sizeclass, size, 0), OFFSET(sizeclass, units, 4), OFFSET(sizeclass, blocks, 6),
    OFFSET(sizeclass, reciprocal, 8),
    SIZE(heap_counters, 48),
    OFFSET(heap_counters, refills, 0), OFFSET(heap_counters, refill_blocks, 8),
    OFFSET(heap_counters, flushes, 16), OFFSET(heap_counters, flush_blocks, 24),
    OFFSET(heap_counters, larges, 32), OFFSET(heap_counters, large_frees, 40),
    SIZE(heap, 2112),
    OFFSET(heap, bins, 0), OFFSET(heap, slots, 912), OFFSET(heap, capacity, 1368),
    OFFSET(heap, held, 1484), OFFSET(heap, state, 1944), OFFSET(heap, tid, 1948),
    OFFSET(heap, thread, 1952), OFFSET(heap, next, 1960), OFFSET(heap, flush_class, 1976),
    OFFSET(heap, flush_count, 1980), OFFSET(heap, counters, 1984),
    SIZE(class_list, 24),
    OFFSET(class_list, lock, 0), OFFSET(class_list, head, 4), OFFSET(class_list, count, 8),
    OFFSET(class_list, spans, 12), OFFSET(class_list, tail, 16),
    SIZE(pool, 40),
    OFFSET(pool, lock, 0), OFFSET(pool, tree, 4), OFFSET(pool, free_units, 12),
    OFFSET(pool, dirty_units, 16), OFFSET(pool, purged_units, 24), OFFSET(pool, purges, 32),
    SIZE(mapping_table, 40),
    OFFSET(mapping_table, count, 4), OFFSET(mapping_table, capacity, 8),
    OFFSET(mapping_table, entries, 16), OFFSET(mapping_table, bytes, 24),
    OFFSET(mapping_table, next_entries, 32),
    SIZE(event_counts, 1176),
    OFFSET(event_counts, times, 0), OFFSET(event_counts, bytes, 88),
    OFFSET(event_counts, blocks, 176), OFFSET(event_counts, allocs, 264),
    OFFSET(event_counts, frees, 720),
    SIZE(hardened, 248),
    OFFSET(hardened, live, 0), OFFSET(hardened, opened, 8), OFFSET(hardened, quarantined, 16),
    SIZE(option_values, 288),
    OFFSET(option_values, value, 0), OFFSET(option_values, source, 256),
    SIZE(giving, 80),
    OFFSET(giving, phase, 4), OFFSET(giving, tid, 8), OFFSET(giving, age, 32),
    OFFSET(giving, starts, 36), OFFSET(giving, trimmed_bytes, 72),
    SIZE(guard_slot, 296),
    OFFSET(guard_slot, state, 0), OFFSET(guard_slot, alloc_tid, 4), OFFSET(guard_slot, free_tid, 8),
    OFFSET(guard_slot, alloc_count, 12), OFFSET(guard_slot, free_count, 16),
    OFFSET(guard_slot, address, 24), OFFSET(guard_slot, size, 32),
    OFFSET(guard_slot, alloc_stack, 40), OFFSET(guard_slot, free_stack, 168),
    SIZE(guard, 40),
    OFFSET(guard, start, 0), OFFSET(guard, length, 8), OFFSET(guard, slots, 16),
    OFFSET(guard, slot_count, 24), OFFSET(guard, next, 28),
    SIZE(lucid_region, 528),
    OFFSET(lucid_region, state, 12), OFFSET(lucid_region, name, 16), OFFSET(lucid_region, next, 48),
    SIZE(region_table, 40),
    OFFSET(region_table, count, 4), OFFSET(region_table, first, 8),
    SIZE(layout_description, 80),
    OFFSET(layout_description, size_unit, 0), OFFSET(layout_description, offset_live, 60),
    OFFSET(layout_description, run_shape, 22), OFFSET(layout_description, heap_slots, 38),
    OFFSET(layout_description, class_count, 52), OFFSET(layout_description, pointer_size, 58),
    OFFSET(layout_description, size_region, 64), OFFSET(layout_description, region_next, 72),
    SIZE(root_fixed, 1104),
    OFFSET(root_fixed, magic, 0), OFFSET(root_fixed, version, 16),
    OFFSET(root_fixed, page_size, 20), OFFSET(root_fixed, self, 24), OFFSET(root_fixed, base, 32),
    OFFSET(root_fixed, units, 40), OFFSET(root_fixed, runs, 48), OFFSET(root_fixed, capacity, 56),
    OFFSET(root_fixed, break_start, 64), OFFSET(root_fixed, meta_start, 72),
    OFFSET(root_fixed, meta_end, 80), OFFSET(root_fixed, mark, 88),
    OFFSET(root_fixed, library_version, 96), OFFSET(root_fixed, layout, 112),
    OFFSET(root_fixed, classes, 192),
    SIZE(root_live, 3160),
    OFFSET(root_live, reach, 0), OFFSET(root_live, top, 8), OFFSET(root_live, limit, 16),
    OFFSET(root_live, committed, 24), OFFSET(root_live, break_end, 32),
    OFFSET(root_live, break_moves, 48), OFFSET(root_live, continued, 52),
    OFFSET(root_live, pool, 56), OFFSET(root_live, lists, 96), OFFSET(root_live, mappings, 1464),
    OFFSET(root_live, heap_count, 1508), OFFSET(root_live, heaps, 1512),
    OFFSET(root_live, threads, 1528), OFFSET(root_live, meta_next, 1536),
    OFFSET(root_live, options, 1688), OFFSET(root_live, watch, 1984),
    OFFSET(root_live, counts, 1992), OFFSET(root_live, hardened, 2000),
    OFFSET(root_live, guard, 2008), OFFSET(root_live, ready, 2020), OFFSET(root_live, giving, 2944),
    OFFSET(root_live, regions, 3024), OFFSET(root_live, request, 3064),
    SIZE(request, 72), OFFSET(request, id, 8), OFFSET(request, answered, 32),
    OFFSET(root_live, allowance, 3136),
    SIZE(allowance, 24),
    OFFSET(allowance, most, 0), OFFSET(allowance, taken, 8), OFFSET(allowance, refused, 16),
    SIZE(lucid_root, 8192),
    OFFSET(lucid_root, fixed, 0), OFFSET(lucid_root, live, 4096),
};

static const struct pinned values[] = {
    VALUE(RUN_NONE, 0), VALUE(RUN_FREE, 1), VALUE(RUN_SPAN, 2), VALUE(RUN_LARGE, 3),
    VALUE(RUN_FOREIGN, 4), VALUE(RUN_BUSY, 5), VALUE(HEAP_FREE, 0), VALUE(HEAP_LIVE, 1),
    VALUE(REGION_FREE, 0), VALUE(REGION_LIVE, 1), VALUE(REGION_ENDING, 2),
    VALUE(EVENT_ALLOC, 0), VALUE(EVENT_FREE, 1), VALUE(EVENT_RESIZE, 2), VALUE(EVENT_SPAN_MADE, 3),
    VALUE(EVENT_SPAN_GONE, 4), VALUE(EVENT_LARGE_MADE, 5), VALUE(EVENT_LARGE_GONE, 6),
    VALUE(EVENT_MAPPING_MADE, 7), VALUE(EVENT_MAPPING_GONE, 8), VALUE(EVENT_REFILL, 9),
    VALUE(EVENT_FLUSH, 10), VALUE(EVENT_KINDS, 11), VALUE(SLOT_NEW, 0), VALUE(SLOT_USED, 1),
    VALUE(SLOT_FREEING, 2), VALUE(SLOT_FREED, 3), VALUE(GUARD_SLOTS, 64), VALUE(GUARD_FRAMES, 16),
    VALUE(HELPER_NONE, 0), VALUE(HELPER_WORKS, 1),
    VALUE(HELPER_WANTED, 2), VALUE(HELPER_LEAVING, 3), VALUE(UNIT_DIRTY, 1), VALUE(POOL_TREES, 2),
    VALUE(OPTION_ROOM, 32), VALUE(LUCID_LAYOUT_VERSION, 1),
};
// clang-format on

static unsigned compare(const struct pinned *rows, size_t count) {
    unsigned changed = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].actual != rows[i].expected) {
            print_error("%s: %zu in layout.h, %zu in this table\n", rows[i].name, rows[i].actual,
                        rows[i].expected);
            changed++;
        }
    }
    return changed;
}

static void structures_are_pinned(void **state) {
    (void)state;
#ifdef __x86_64__
    assert_int_equal(compare(structures, sizeof(structures) / sizeof(structures[0])), 0);
#else
    (void)structures;
    skip();
#endif
}

static void values_are_pinned(void **state) {
    (void)state;
    assert_int_equal(compare(values, sizeof(values) / sizeof(values[0])), 0);
}

// What readers find before they know anything else about the root.
static void root_begins_with_its_name(void **state) {
    (void)state;
    assert_memory_equal(&root, "lucid heap root", 16);
    assert_int_equal(root.fixed.version, LUCID_LAYOUT_VERSION);
    assert_int_equal(root.fixed.self, (uintptr_t)&root);
    assert_string_equal(root.fixed.library_version, LUCID_VERSION_TEXT);
    assert_true((uintptr_t)&root % PAGE_SIZE_MAX == 0);
}

// The root's description of the layout is the layout: no field was forgotten in it or mixed up
// with another. That is checked byte for byte against one written out here.
static void description_is_true(void **state) {
    (void)state;
    const struct layout_description expected = {
        .size_unit = sizeof(struct unit),
        .size_run = sizeof(struct run),
        .size_mapping = sizeof(struct mapping),
        .size_bin = sizeof(struct bin),
        .size_heap = sizeof(struct heap),
        .size_sizeclass = sizeof(struct sizeclass),
        .size_class_list = sizeof(struct class_list),
        .size_pool = sizeof(struct pool),
        .size_mapping_table = sizeof(struct mapping_table),
        .size_fixed = sizeof(struct root_fixed),
        .size_live = sizeof(struct root_live),
        .offset_live = offsetof(struct lucid_root, live),
        .run_shape = offsetof(struct run, shape),
        .run_state = offsetof(struct run, state),
        .run_class = offsetof(struct run, class),
        .run_carved = offsetof(struct run, carved),
        .run_size = offsetof(struct run, size),
        .run_birth = offsetof(struct run, birth),
        .run_dirty = offsetof(struct run, dirty),
        .run_free = offsetof(struct run, free),
        .heap_slots = offsetof(struct heap, slots),
        .heap_capacity = offsetof(struct heap, capacity),
        .heap_held = offsetof(struct heap, held),
        .heap_state = offsetof(struct heap, state),
        .heap_tid = offsetof(struct heap, tid),
        .heap_next = offsetof(struct heap, next),
        .heap_counters = offsetof(struct heap, counters),
        .class_count = CLASS_COUNT,
        .class_linear_count = CLASS_LINEAR_COUNT,
        .unit_shift = UNIT_SHIFT,
        .pointer_size = sizeof(void *),
        .size_region = sizeof(struct lucid_region),
        .run_region = offsetof(struct run, region),
        .region_state = offsetof(struct lucid_region, state),
        .region_name = offsetof(struct lucid_region, name),
        .region_next = offsetof(struct lucid_region, next),
    };
    assert_memory_equal(&root.fixed.layout, &expected, sizeof(expected));
}

static void shapes_pack(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 1, 2, 255, 256, 65536, UINT32_MAX};
    for (unsigned kind = RUN_NONE; kind <= RUN_BUSY; kind++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            uint64_t shape = run_shape((enum run_kind)kind, lengths[i]);
            assert_int_equal(run_kind_of(shape), kind);
            assert_int_equal(run_length_of(shape), lengths[i]);
            assert_int_equal(shape, (uint64_t)lengths[i] * 256 + kind);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_are_pinned),
        cmocka_unit_test(values_are_pinned),
        cmocka_unit_test(root_begins_with_its_name),
        cmocka_unit_test(description_is_true),
        cmocka_unit_test(shapes_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
