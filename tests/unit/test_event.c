// Events: who asked is told, and of what it asked for only; each event carries the right numbers.
#include "event.h"

#include "init.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>

#define BIT(kind) ((uint32_t)1 << (kind))
#define RECORDS 4096u

static struct event calls[RECORDS];
static unsigned call_count;
static uint64_t all[EVENT_KINDS]; // times, as the observer of everything counts them
static unsigned strange;          // events the others had not asked for

static void told_of_calls(const struct event *event) {
    if (event->kind > EVENT_RESIZE) {
        strange++;
    } else if (call_count < RECORDS) {
        calls[call_count++] = *event;
    }
}

static void told_of_all(const struct event *event) {
    all[event->kind]++;
}

static void told_of_nothing(const struct event *event) {
    (void)event;
    strange++;
}

static const struct observer of_calls = {BIT(EVENT_ALLOC) | BIT(EVENT_FREE) | BIT(EVENT_RESIZE),
                                         told_of_calls};
static const struct observer of_all = {BIT(EVENT_KINDS) - 1, told_of_all};
static const struct observer of_nothing = {0, told_of_nothing};
static const struct observer of_spans = {BIT(EVENT_SPAN_MADE), told_of_all};

// Observers come before the first block is served.
static void attaches_four(void **state) {
    (void)state;
    assert_int_equal(root.live.ready, 0);
    assert_int_equal(root.live.watch, 0);
    assert_true(event_attach(&of_nothing));
    assert_int_equal(root.live.watch, 0);
    assert_true(event_attach(&of_spans));
    assert_int_equal(root.live.watch, BIT(EVENT_SPAN_MADE)); // no single call is watched for that
    assert_true(event_attach(&of_calls));
    assert_int_equal(root.live.watch, BIT(EVENT_SPAN_MADE) | of_calls.wants | WATCH_CALLS);
    assert_true(event_attach(&of_all));
    uint32_t watch = root.live.watch;
    assert_false(event_attach(&of_all));
    assert_int_equal(root.live.watch, watch);
    assert_true(init_ready());
}

static void raise_each(void **state) {
    (void)state;
    memset(all, 0, sizeof(all));
    strange = 0;
    call_count = 0;
    for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
        event_raise((enum event_kind)kind, &all[kind], kind + 100u, kind, kind + 7u);
    }
    for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
        assert_int_equal(all[kind], kind == EVENT_SPAN_MADE ? 2 : 1); // two asked for that one
    }
    assert_int_equal(strange, 0);
    assert_int_equal(call_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(calls[i].kind, i);
        assert_ptr_equal(calls[i].address, &all[i]);
        assert_int_equal(calls[i].bytes, i + 100);
        assert_int_equal(calls[i].class, i);
        assert_int_equal(calls[i].blocks, i + 7);
    }
}

static void expect_call(unsigned index, enum event_kind kind, const void *address, uint64_t bytes,
                        uint32_t class) {
    assert_true(index < call_count);
    assert_int_equal(calls[index].kind, kind);
    assert_ptr_equal(calls[index].address, address);
    assert_int_equal(calls[index].bytes, bytes);
    assert_int_equal(calls[index].class, class);
}

// Every call is an event of its own, although bins would serve nearly all of them.
static void every_call_is_told(void **state) {
    (void)state;
    void *blocks[500];
    call_count = 0;
    for (unsigned i = 0; i < 500; i++) {
        blocks[i] = lucid_malloc(20 + i);
    }
    for (unsigned i = 0; i < 500; i++) {
        lucid_free(blocks[i]);
    }
    assert_int_equal(call_count, 1000);
    for (unsigned i = 0; i < 500; i++) {
        unsigned class = sizeclass_of(20 + i);
        expect_call(i, EVENT_ALLOC, blocks[i], 20 + i, class);
        expect_call(500 + i, EVENT_FREE, blocks[i], sizeclass_size(class), class);
    }
    call_count = 0;
    lucid_free(NULL); // is no event
    assert_int_equal(call_count, 0);
    assert_int_equal(strange, 0);
}

// malloc moves the top of the bin it finds empty: with bins in common threads would meet there.
static void has_bins_of_its_own_to_show(void **state) {
    (void)state;
    lucid_free(lucid_malloc(1));
    assert_ptr_not_equal(heap_self, heap_of_nobody());
    assert_ptr_not_equal(heap_self, heap_hidden);
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        assert_ptr_equal(heap_self->bins[class].top, bin_of_nobody().top);
        assert_null(heap_self->bins[class].end);
    }
}

static void large_blocks_and_mappings(void **state) {
    (void)state;
    memset(all, 0, sizeof(all));
    call_count = 0;
    void *large = lucid_malloc(100000);
    void *mapping = lucid_malloc(MAPPING_THRESHOLD + 1);
    assert_true(large != NULL && mapping != NULL);
    expect_call(0, EVENT_ALLOC, large, 100000, 0);
    expect_call(1, EVENT_ALLOC, mapping, MAPPING_THRESHOLD + 1, 0);
    lucid_free(large);
    lucid_free(mapping);
    assert_int_equal(call_count, 4);
    assert_ptr_equal(calls[2].address, large);
    assert_ptr_equal(calls[3].address, mapping);
    static const enum event_kind once[] = {EVENT_LARGE_MADE, EVENT_LARGE_GONE, EVENT_MAPPING_MADE,
                                           EVENT_MAPPING_GONE};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(all[once[i]], 1);
    }
    assert_int_equal(all[EVENT_ALLOC], 2);
    assert_int_equal(all[EVENT_FREE], 2);
}

// A heap that is emptied as a whole frees what it had, block by block.
static void heaps_that_are_emptied(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("events");
    void *first = lucid_heap_alloc(heap, 100);
    for (unsigned i = 0; i < 9; i++) {
        assert_non_null(lucid_heap_alloc(heap, 100));
    }
    assert_non_null(lucid_heap_alloc(heap, 100000));
    lucid_heap_free(heap, first);
    uint64_t before = all[EVENT_FREE];
    uint64_t large = all[EVENT_LARGE_GONE];
    lucid_heap_free_all(heap);
    assert_int_equal(all[EVENT_FREE] - before, 10);
    assert_int_equal(all[EVENT_LARGE_GONE] - large, 1);
    lucid_heap_destroy(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attaches_four),          cmocka_unit_test(raise_each),
        cmocka_unit_test(every_call_is_told),     cmocka_unit_test(large_blocks_and_mappings),
        cmocka_unit_test(heaps_that_are_emptied), cmocka_unit_test(has_bins_of_its_own_to_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
