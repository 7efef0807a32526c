// What the helper does to the bins of an idle thread, looked at after each of its instructions: a
// fork may come at any of them, and its child must find every block that nobody else has; somebody
// may look from another thread or from outside, and must find each block in a bin or free.
#include "idle.h"

#include "bin.h"
#include "heap.h"
#include "helper.h"
#include "init.h"
#include "invariants.h"
#include "root.h"
#include "singlestep.h"
#include "span.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <time.h>

#define BLOCKS 100u // of each size; each fourth stays in use, so that no span ends
#define BATCH 64u   // blocks on their way to a span: the child of a fork loses them

static const size_t sizes[] = {48, 96, 160, 256, 304, 512, 720, 1008};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void *cached[SIZES * BLOCKS]; // what was in the bins before anything was done to them
static unsigned whole;

// The child of a fork at this instant: its heap, with its bins and what is kept aside.
static struct heap child;
static void *child_slots[CLASS_COUNT][BLOCKS * 2];
static struct fence child_fences[CLASS_COUNT];

static unsigned children;
static unsigned most_lost; // blocks that a child found nowhere
static unsigned twice;     // blocks that a child found in a bin and free in a span
static unsigned most_used; // blocks that seemed to be in use to who looked

static bool is_free(const void *block) {
    uint32_t unit = unit_of((uintptr_t)block);
    uint32_t head = unit - root.fixed.units[unit].back;
    size_t offset = (uintptr_t)block - unit_address(head);
    return span_is_free(run_at(head), sizeclass_index(run_at(head)->class, offset));
}

static void copy_heap(const struct heap *heap) {
    child = *heap;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (heap->slots[class] != NULL) {
            memcpy(child_slots[class], heap->slots[class],
                   (heap->capacity[class] + 1u) * sizeof(void *));
            child.slots[class] = child_slots[class];
            child.bins[class].top =
                child_slots[class] + (heap->bins[class].top - heap->slots[class]);
        }
    }
    if (heap->fences != NULL) {
        memcpy(child_fences, heap->fences, sizeof(child_fences));
        child.fences = child_fences;
    }
}

// Whoever looks knows of fences, and of blocks that are leaving.
static void look_from_outside(void) {
    unsigned seen = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        for (unsigned slot = 1; slot <= bin_count_now(heap_self, class); slot++) {
            const void *block = bin_block_now(heap_self, class, slot);
            seen += block != NULL && !is_free(block);
        }
    }
    for (unsigned i = 0; i < whole; i++) {
        seen += is_free(cached[i]);
    }
    most_used = whole - seen > most_used ? whole - seen : most_used;
}

static void fork_child(void) {
    copy_heap(heap_self);
    idle_after_fork(&child);
    unsigned found = 0;
    unsigned both = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        for (unsigned i = 0; i < bin_count(&child, class); i++) {
            const void *block = child.slots[class][1 + i];
            found += block != NULL;
            both += block != NULL && is_free(block);
        }
    }
    for (unsigned i = 0; i < whole; i++) {
        found += is_free(cached[i]);
    }
    unsigned lost = whole + both - found;
    most_lost = lost > most_lost ? lost : most_lost;
    twice += both;
    children++;
}

static void look_here(void) {
    look_from_outside();
    fork_child();
}

static void traced_look(void) {
    bool taken = false;
    singlestep_begin(look_here);
    (void)idle_look(0, &taken);
    singlestep_end();
}

static void traced_return(void) {
    singlestep_begin(look_here);
    idle_end(heap_self);
    singlestep_end();
}

static int begin(void **state) {
    (void)state;
    if (!init_ready()) {
        return -1;
    }
    helper_pause(); // this test does its work
    return 0;
}

// ---- a thread falls asleep ----------------------------------------------------------------------

static void fill_bins(void) {
    static void *blocks[SIZES][BLOCKS];
    for (unsigned i = 0; i < SIZES * BLOCKS; i++) {
        blocks[i / BLOCKS][i % BLOCKS] = lucid_malloc(sizes[i / BLOCKS]);
        assert_non_null(blocks[i / BLOCKS][i % BLOCKS]);
    }
    for (unsigned i = 0; i < SIZES * BLOCKS; i++) {
        if (i % 4 != 0) {
            lucid_free(blocks[i / BLOCKS][i % BLOCKS]);
        }
    }
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        unsigned count = bin_count(heap_self, class);
        memcpy(cached + whole, heap_self->slots[class] + 1, count * sizeof(void *));
        whole += count;
    }
}

// One step of the helper, once its time has come.
static void next_stage(enum idle_stage stage) {
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 5000000};
    for (unsigned i = 0; atomic_load(&heap_self->idle) != stage; i++) {
        assert_true(i < 10000);
        (void)nanosleep(&pause, NULL);
        traced_look();
    }
}

// The blocks come out of the one slot while they are not in the other yet, so that no child has
// them twice: at that moment one is in no place.
static void each_instruction(void **state) {
    (void)state;
    fill_bins();
    assert_true(whole > 0);
    traced_look();
    if (children < 100 || UNDER_TSAN) {
        skip(); // no single steps here
    }
    next_stage(IDLE_ASKED);
    next_stage(IDLE_FENCED);
    traced_return();
    next_stage(IDLE_ASKED);
    next_stage(IDLE_FENCED);
    assert_int_equal(most_lost, 0);
    assert_int_equal(most_used, 0);
    next_stage(IDLE_TAKEN);
    assert_true(most_lost <= BATCH);
    assert_int_equal(most_used, 0);
    traced_return();
    assert_true(most_lost <= BATCH);
    assert_true(most_used <= 1);
    assert_int_equal(twice, 0);
    lucid_free(lucid_malloc(sizes[0])); // the thread is back
    invariants_check(false);
}

// ---- a thread is stopped in the middle of a malloc ----------------------------------------------

#define OTHER 2000u     // bytes of what makes a thread worth a visit
#define BEFORE 3u       // instructions before the one that moves the top
#define BEHIND 6u       // and behind it: the end of malloc, or the way to the slow path
#define APART 4u        // instructions between two steps of the helper
#define STOPPED_FOR 30u // times 5 ms: time for all steps of the helper

static unsigned steps; // until the top moves
static void *const *volatile *watched;
static void *const *top_before;

static void count_until_it_moves(void) {
    steps++;
    if (*watched != top_before) {
        singlestep_end();
    }
}

static void wait_until(enum idle_stage stage) {
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 5000000};
    bool taken = false;
    for (unsigned i = 0; i < STOPPED_FOR && atomic_load(&heap_self->idle) < stage; i++) {
        (void)idle_look(0, &taken);
        (void)nanosleep(&pause, NULL);
    }
}

static unsigned steps_done;
static unsigned fenced_at;
static unsigned taken_at;
static unsigned times_taken; // while malloc was stopped

static void stop_twice(void) {
    steps_done++;
    if (steps_done == fenced_at) {
        wait_until(IDLE_FENCED);
    }
    if (steps_done == taken_at) {
        wait_until(IDLE_TAKEN);
        times_taken += atomic_load(&heap_self->idle) == IDLE_TAKEN;
    }
}

static bool is_in_a_bin(const void *block) {
    bool found = false;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        for (unsigned i = 1; i <= bin_count(heap_self, class); i++) {
            found |= heap_self->slots[class][i] == block;
        }
    }
    return found;
}

// As many blocks as that in the bin, and enough in another for the helper to come.
// Returns the topmost.
static void *prepare_bin(size_t size, unsigned count) {
    static void *others[BLOCKS];
    void *blocks[2] = {NULL};
    unsigned class = sizeclass_of(size);
    lucid_free(lucid_malloc(size)); // there is a bin
    for (unsigned i = 0; i < BLOCKS; i++) {
        others[i] = lucid_malloc(OTHER);
    }
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = lucid_malloc(size);
    }
    while (bin_count(heap_self, class) > 0) {
        (void)lucid_malloc(size);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        lucid_free(others[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        lucid_free(blocks[i]);
    }
    assert_int_equal(bin_count(heap_self, class), count);
    return heap_self->slots[class][count];
}

static void find_the_move(size_t size, unsigned count) {
    (void)prepare_bin(size, count);
    watched = (void *const *volatile *)&heap_self->bins[sizeclass_of(size)].top;
    top_before = *watched;
    steps = 0;
    singlestep_begin(count_until_it_moves);
    lucid_free(lucid_malloc(size));
    singlestep_end();
}

// The block that malloc gets is nobody else's: neither free nor in a bin.
// Nor is the topmost one lost.
static void malloc_stopped_at(size_t size, unsigned count, unsigned fenced, unsigned taken) {
    const void *topmost = prepare_bin(size, count);
    steps_done = 0;
    fenced_at = fenced;
    taken_at = taken;
    singlestep_begin(stop_twice);
    void *block = lucid_malloc(size);
    singlestep_end();
    assert_non_null(block);
    assert_false(is_free(block));
    assert_false(is_in_a_bin(block));
    assert_true(topmost == NULL || topmost == block || is_free(topmost) || is_in_a_bin(topmost));
    lucid_free(block);
    invariants_check(false);
}

static void each_instruction_of_malloc(void **state) {
    const size_t of_each_path[] = {64, 1100}; // the class of the latter takes some arithmetic
    (void)state;
    if (children < 100 || UNDER_TSAN) {
        skip(); // no single steps here
    }
    for (unsigned i = 0; i < 4; i++) {
        size_t size = of_each_path[i / 2];
        unsigned count = i % 2;
        find_the_move(size, count);
        for (unsigned at = steps - BEFORE; at <= steps + BEHIND; at++) {
            malloc_stopped_at(size, count, at, at);
        }
        for (unsigned at = steps - 2; count > 0 && at <= steps; at++) {
            malloc_stopped_at(size, count, at, at + 1);
            malloc_stopped_at(size, count, at, at + APART);
        }
    }
    assert_true(times_taken > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_instruction),
        cmocka_unit_test(each_instruction_of_malloc),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
