// The numbers that other processes read, pinned: when one of these changes, readers built before no
// longer understand heaps made after. Whoever means to do that changes the row here, and
// LUCID_LAYOUT_VERSION with it once a version of that number has been released. Where each field
// lies is pinned by tests/reader/layout.txt.
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

#define VALUE(name, expected) \
    { #name, name, expected }

// clang-format off
static const struct pinned values[] = {
    VALUE(RUN_NONE, 0), VALUE(RUN_FREE, 1), VALUE(RUN_SPAN, 2), VALUE(RUN_LARGE, 3),
    VALUE(RUN_FOREIGN, 4), VALUE(RUN_BUSY, 5), VALUE(RUN_LOOSE, 6), VALUE(HEAP_FREE, 0),
    VALUE(HEAP_LIVE, 1), VALUE(IDLE_NO, 0), VALUE(IDLE_ASKED, 1), VALUE(IDLE_FENCED, 2),
    VALUE(IDLE_TAKEN, 3), VALUE(REGION_FREE, 0), VALUE(REGION_LIVE, 1), VALUE(REGION_ENDING, 2),
    VALUE(EVENT_ALLOC, 0), VALUE(EVENT_FREE, 1), VALUE(EVENT_RESIZE, 2), VALUE(EVENT_SPAN_MADE, 3),
    VALUE(EVENT_SPAN_GONE, 4), VALUE(EVENT_LARGE_MADE, 5), VALUE(EVENT_LARGE_GONE, 6),
    VALUE(EVENT_MAPPING_MADE, 7), VALUE(EVENT_MAPPING_GONE, 8), VALUE(EVENT_REFILL, 9),
    VALUE(EVENT_FLUSH, 10), VALUE(EVENT_KINDS, 11), VALUE(SLOT_NEW, 0), VALUE(SLOT_USED, 1),
    VALUE(SLOT_FREEING, 2), VALUE(SLOT_FREED, 3), VALUE(GUARD_SLOTS, 64), VALUE(GUARD_FRAMES, 16),
    VALUE(HELPER_NONE, 0), VALUE(HELPER_WORKS, 1),
    VALUE(HELPER_WANTED, 2), VALUE(HELPER_LEAVING, 3), VALUE(UNIT_DIRTY, 1), VALUE(POOL_SIDES, 2),
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
        .size_lane = sizeof(struct lane),
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
        .heap_fences = offsetof(struct heap, fences),
        .size_fence = sizeof(struct fence),
    };
    assert_memory_equal(&root.fixed.layout, &expected, sizeof(expected));
}

// What each start writes of the root and of the first lane lies on one page (docs/decisions/030);
// the linker may put some variables between them.
static void first_lane_shares_the_roots_page(void **state) {
    (void)state;
    size_t between = 192;
    assert_true(sizeof(struct root_live) + between + sizeof(struct lane) <= 4096);
}

static void shapes_pack(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 1, 2, 255, 256, 65536, UINT32_MAX};
    for (unsigned kind = RUN_NONE; kind <= RUN_LOOSE; kind++) {
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
        cmocka_unit_test(values_are_pinned),   cmocka_unit_test(root_begins_with_its_name),
        cmocka_unit_test(description_is_true), cmocka_unit_test(first_lane_shares_the_roots_page),
        cmocka_unit_test(shapes_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
