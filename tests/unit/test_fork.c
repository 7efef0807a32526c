// What the child of a fork believes of the bins of threads that are gone.
#include "bin.h"
#include "block.h"
#include "fork.h"
#include "invariants.h"
#include "root.h"
#include "span.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <pthread.h>
#include <sys/wait.h>

#define SIZE 48u
#define COUNT 6u

static struct heap *other;
static void *keeper;
static pthread_barrier_t barrier;

// Leaves COUNT blocks of its own in its bin, and stays.
static void *fill_bin(void *argument) {
    void *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = lucid_malloc(SIZE);
    }
    keeper = lucid_malloc(SIZE); // so that their span stays in the child, too
    for (unsigned i = 0; i < COUNT; i++) {
        lucid_free(blocks[i]);
    }
    other = heap_self;
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    return argument;
}

static bool marked_free(const void *block) {
    uint32_t unit = unit_of((uintptr_t)block);
    uint32_t head = unit - root.fixed.units[unit].back;
    unsigned index = sizeclass_index(sizeclass_of(SIZE), (uintptr_t)block - unit_address(head));
    return span_is_free(run_at(head), index);
}

// In a child with `flushing` of the other thread's blocks under way to their span: these may be
// somebody's already, so they must stay used; all others are free again.
static int child(unsigned flushing) {
    unsigned class = sizeclass_of(SIZE);
    void *blocks[BIN_SLOTS_MAX + 1];
    unsigned count = bin_count(other, class);
    memcpy(blocks, other->slots[class] + 1, count * sizeof(void *));
    other->flush_class = class;
    other->flush_count = flushing;
    lucid_free(lucid_malloc(100000)); // a slow path
    for (unsigned i = 0; i < count; i++) {
        if (marked_free(blocks[i]) != (i >= flushing)) {
            return 1;
        }
    }
    invariants_check(true);
    return count >= COUNT / 2 && other->state == HEAP_FREE && bin_count(other, class) == 0 ? 0 : 2;
}

// As if another thread had them at the moment of the fork.
static void set_locks(uint32_t value) {
    atomic_store(&root.live.heap_lock, value);
    atomic_store(&root.live.pool.lock, value);
    atomic_store(&root.live.meta_lock, value);
    atomic_store(&root.live.mappings.lock, value);
    atomic_store(&root.live.init_lock, value);
    for (unsigned lane = 0; lane < root_lanes(); lane++) {
        atomic_store(&root.live.lanes[lane].loose.lock, value);
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            atomic_store(&root.live.lanes[lane].lists[class].lock, value);
        }
    }
}

static void leave_loose_run(void) {
    unsigned class = sizeclass_of(SIZE * 5); // whose spans nobody else uses here
    void *block;
    uint32_t head = span_acquire(class, 1, true);
    assert_int_equal(span_take(head, 1, &block), 1);
    span_release(head);
    (void)span_give_all(class, &block, 1, "free");
    assert_true(run_kind_of(run_load(head)) == RUN_LOOSE);
}

static int fork_with(unsigned flushing) {
    set_locks(1);
    pid_t pid = fork();
    if (pid == 0) {
        int found = child(flushing);
        _exit(atomic_load(&root.live.heap_lock) != 0 ? 3 : found);
    }
    set_locks(0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void bins_of_dead_threads(void **state) {
    (void)state;
    lucid_free(lucid_malloc(10));
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, fill_bin, NULL), 0);
    (void)pthread_barrier_wait(&barrier);
    lucid_free(lucid_malloc(SIZE)); // the watch is on
    assert_non_null(root.live.fork_page);
    leave_loose_run();
    for (unsigned flushing = 0; flushing < 3; flushing++) {
        assert_int_equal(fork_with(flushing), 0);
    }
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    lucid_free(keeper);
}

// ---- a fork in the callback at the limit --------------------------------------------------------

#define LIMIT ((size_t)64 << 20)

static void *large; // what a child can do without

struct asked {
    bool gives; // the child has it try again
    bool is_child;
    int status;
};

// Other threads hold every lock at the moment of the fork, and the child returns.
static int fork_and_return(void *context, size_t size) {
    struct asked *asked = context;
    (void)size;
    if (asked->is_child) {
        return 0;
    }
    set_locks(1);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20); // a child that hangs is killed, and its status says so
        asked->is_child = true;
        if (asked->gives) {
            lucid_free(large);
        }
        return asked->gives;
    }
    set_locks(0);
    assert_int_equal(waitpid(pid, &asked->status, 0), pid);
    return 0;
}

static void *take_new(lucid_heap *heap) {
    (void)heap;
    return lucid_malloc(LIMIT / 2);
}

static void *take_in_heap(lucid_heap *heap) {
    return lucid_heap_alloc(heap, LIMIT / 2);
}

static void *take_larger(lucid_heap *heap) {
    (void)heap;
    return lucid_realloc(large, LIMIT);
}

// The child is to have what it asked for, if it gave up enough, and NULL otherwise.
static void ask_in_child(void *(*take)(lucid_heap *), lucid_heap *heap, bool gives) {
    struct asked asked = {.gives = gives};
    lucid_on_limit(fork_and_return, &asked);
    void *block = take(heap);
    if (asked.is_child) {
        lucid_free(lucid_malloc(100000));
        invariants_check(true);
        _exit((block != NULL) == gives ? 7 : 8);
    }
    lucid_on_limit(NULL, NULL);
    assert_null(block);
    assert_true(WIFEXITED(asked.status));
    assert_int_equal(WEXITSTATUS(asked.status), 7);
}

static void fork_in_the_callback(void **state) {
    (void)state;
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, fill_bin, NULL), 0);
    (void)pthread_barrier_wait(&barrier);
    lucid_heap *heap = lucid_heap_new("limited");
    assert_int_equal(lucid_limit_set(LIMIT), 0);
    large = lucid_malloc(LIMIT / 8 * 5);
    assert_non_null(large);
    ask_in_child(take_new, heap, true);
    ask_in_child(take_in_heap, heap, true);
    ask_in_child(take_new, heap, false);
    ask_in_child(take_larger, heap, false);
    assert_int_equal(lucid_limit_set(0), 0);
    lucid_free(large);
    lucid_heap_destroy(heap);
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    lucid_free(keeper);
}

// A bin whose array was just replaced: what cannot be told stays used, nothing is read outside.
static void torn_bin(void **state) {
    (void)state;
    static void *slots[8];
    static struct heap heap;
    unsigned class = 3;
    heap.slots[class] = slots;
    heap.capacity[class] = 7;
    for (unsigned i = 0; i < 7; i++) {
        slots[1 + i] = slots; // no block: harmless if ignored
    }
    heap.bins[class].top = (void **)((uintptr_t)slots + 4000 * sizeof(void *));
    assert_int_equal(bin_count_now(&heap, class), 0);
    heap.bins[class].top = NULL;
    assert_int_equal(bin_count_now(&heap, class), 0);
    heap.bins[class].top = slots + 4;
    assert_int_equal(bin_count_now(&heap, class), 3);
    heap.unnoted = UINT32_MAX; // it was cut off while its bins became smaller
    bin_forget_all(&heap);
    assert_int_equal(bin_count(&heap, class), 0);
    assert_ptr_equal(heap.bins[class].end, slots + 8);
    assert_int_equal(heap.room, 7 * sizeclass_size(class));
    assert_int_equal(heap.unnoted, heap.room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_of_dead_threads),
        cmocka_unit_test(fork_in_the_callback),
        cmocka_unit_test(torn_bin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
