// Forks after every instruction that changes the tables: a second thread makes blocks, resizes and
// frees them one instruction at a time, and wherever it has changed anything, a fork cuts it off.
// Each child verifies every invariant and goes on. With a tool no child goes on, but the tool looks
// at it: it may read a process, or a core, at any moment.
//   steps [TOOL [EVERY]]     TOOL check PID, at each EVERYth change
#include "bin.h"
#include "helper.h"
#include "invariants.h"
#include "root.h"
#include "singlestep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lucid.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BLOCKS 64u
#define SMALLS 40u
#define LARGE ((size_t)100 << 10)
#define FILLED ((size_t)64 << 10) // bytes of a block: a fork costs what there is to copy

struct kept {
    void *_Atomic block; // NULL while it is being made, resized or freed
    size_t size;         // of what is filled
};

static struct kept kept[BLOCKS];
static sem_t wanted; // a child of this moment, or nothing any more
static sem_t made;
static _Atomic bool done;
static pthread_key_t last_words;
static unsigned rounds; // of the thread's end
static bool asking;     // the thread says whom to ask at the limit, and so does a child first
static unsigned long steps;
static unsigned long changes;
static unsigned long children;

// ---- what changes: the thread that is looked at -------------------------------------------------

static uint64_t add_words(uint64_t sum, const void *start, size_t bytes) {
    const volatile uint64_t *words = start;
    for (size_t i = 0; i < bytes / sizeof(*words); i++) {
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

// Of everything that the child of a fork goes on with.
static uint64_t sum_of_tables(void) {
    const struct mapping_table *mappings = &root.live.mappings;
    size_t units = root.live.limit < root.live.committed ? root.live.limit : root.live.committed;
    uint64_t sum = add_words(1, &root.live, sizeof(root.live));
    sum = add_words(sum, (void *)root.live.meta_next, root.fixed.meta_end - root.live.meta_next);
    sum = add_words(sum, root.fixed.runs, units * sizeof(struct run));
    sum = add_words(sum, root.fixed.units, units * sizeof(struct unit));
    return add_words(sum, mappings->entries, mappings->capacity * sizeof(struct mapping));
}

static void wait_for(sem_t *sign) {
    while (sem_wait(sign) != 0) {
        REQUIRE(errno == EINTR, "a semaphore");
    }
}

static void look(void) {
    static uint64_t before;
    uint64_t now = sum_of_tables();
    steps++;
    if (now == before) {
        return;
    }
    before = now;
    (void)sem_post(&wanted);
    wait_for(&made);
}

// The tables stay as they are, so each instruction counts.
static void look_always(void) {
    steps++;
    (void)sem_post(&wanted);
    wait_for(&made);
}

static void keep(unsigned i, void *block, size_t size) {
    REQUIRE(block != NULL, "no %zu bytes", size);
    kept[i].size = size < FILLED ? size : FILLED;
    test_fill(block, kept[i].size);
    kept[i].block = block;
}

static void make(unsigned i, size_t alignment, size_t size) {
    singlestep_begin(look);
    void *block = lucid_aligned_alloc(alignment, size);
    singlestep_end();
    keep(i, block, size);
}

static void resize(unsigned i, size_t size) {
    void *block = kept[i].block;
    kept[i].block = NULL;
    singlestep_begin(look);
    block = lucid_realloc(block, size);
    singlestep_end();
    keep(i, block, size);
}

static void drop(unsigned i) {
    void *block = kept[i].block;
    kept[i].block = NULL;
    singlestep_begin(look);
    lucid_free(block);
    singlestep_end();
}

static void trim(void) {
    singlestep_begin(look);
    (void)lucid_malloc_trim(0);
    singlestep_end();
}

// At the top, where the last free run is made longer or a new one begins.
static void at_the_top(void) {
    make(0, 16, LARGE);
    make(1, 16, LARGE);
    resize(1, 3 * LARGE);
    drop(1);
    make(1, 16, 4 * LARGE);
    make(2, 16, 40 * LARGE); // the arena grows for it
}

static void among_others(void) {
    make(3, 16, 2 * LARGE);
    make(4, 16, 2 * LARGE);
    make(5, 16, LARGE);
    resize(3, LARGE);
    resize(3, 2 * LARGE);
    drop(3);
    drop(5);
    drop(4); // between two free ones
    make(4, (size_t)128 << 10, LARGE);
    drop(2);
    make(2, 16, 10 * LARGE);
    drop(2);
    trim();
    make(2, 16, 3 * LARGE);
}

// With mappings of their own, whose table grows.
static void outside(void) {
    for (unsigned i = 50; i < BLOCKS; i++) {
        make(i, 16, (size_t)40 << 20);
    }
    resize(50, (size_t)60 << 20);
    resize(50, (size_t)34 << 20);
    drop(51);
}

// Spans come and go: as loose runs, by way of the pool, and from a run of its own.
static void small_ones(void) {
    for (unsigned i = 0; i < SMALLS; i++) {
        make(10 + i, 16, 2000 + 200 * (size_t)(i % 3));
    }
    for (unsigned i = 0; i < SMALLS; i++) {
        drop(10 + i);
    }
    trim();
}

// Looks where a free finds its bin full, for as long as the room of all bins stays what it is.
static void make_burst(const struct heap *heap, size_t size, bool looks) {
    const struct bin *bin = &heap->bins[sizeclass_of(size)];
    uint32_t room = heap->room;
    void *blocks[SMALLS];
    for (unsigned i = 0; i < SMALLS; i++) {
        blocks[i] = lucid_malloc(size);
    }
    for (unsigned i = 0; i < SMALLS; i++) {
        if (looks && bin->top >= bin->end && heap->room == room) {
            singlestep_begin(look);
        }
        lucid_free(blocks[i]);
        singlestep_end();
    }
}

// A bin becomes small for the sake of another, because all others have the room, or so it seems.
static void for_another_bin(void) {
    struct heap *heap = heap_mine();
    for (unsigned i = 0; i < 16; i++) {
        make_burst(heap, 2048, false);
    }
    heap->room += 1u << 30;
    for (unsigned i = 0; i < BIN_STILL_EVENTS; i++) {
        heap->searched = heap->events;
        make_burst(heap, 3072, false);
    }
    heap->searched = heap->events - BIN_STILL_EVENTS;
    uint32_t before = heap->room;
    make_burst(heap, 3072, true);
    REQUIRE(LUCID_STRESS || heap->room < before, "room for %u of %u bytes", heap->room, before);
    heap->room -= 1u << 30;
}

// Heaps of the program's own, which end with all that is in them.
static void of_its_own(void) {
    singlestep_begin(look);
    for (unsigned i = 0; i < 2; i++) {
        lucid_heap *heap = lucid_heap_new("steps");
        for (unsigned j = 0; j < 20; j++) {
            (void)lucid_heap_alloc(heap, 3000);
        }
        void *block = lucid_heap_alloc(heap, LARGE);
        (void)lucid_heap_alloc(heap, 2 * LARGE);
        lucid_heap_free(heap, lucid_heap_alloc(heap, (size_t)40 << 20));
        lucid_heap_free(heap, block);
        lucid_heap_destroy(heap);
    }
    singlestep_end();
}

static void at_the_limit(void) {
    asking = true;
    singlestep_begin(look_always);
    lucid_on_limit(NULL, NULL);
    singlestep_end();
    asking = false;
}

// The break is moved by somebody else, so that the arena steps over what lies there.
static void behind_a_hole(void) {
    uint32_t moves = root.live.break_moves;
    (void)os_break_grow(5000); // musl has a page of its own behind the break: a hole as well
    make(6, 16, 60 * LARGE);
    REQUIRE(root.live.break_moves > moves || root.live.continued > 0, "the arena went on");
    drop(6);
    make(6, 16, 5 * LARGE);
}

static void *work(void *unused) {
    make(0, 16, 100); // and the thread's heap
    drop(0);
    at_the_top();
    among_others();
    small_ones();
    for_another_bin();
    of_its_own();
    at_the_limit();
    outside();
    behind_a_hole();
    for (unsigned i = 0; i < BLOCKS; i++) {
        drop(i);
    }
    trim();
    REQUIRE(pthread_setspecific(last_words, &done) == 0, "a key");
    singlestep_begin(look);
    return unused; // and the heap goes back
}

// Called in each round of the thread's end, after the allocator's: its key was made before.
static void end_in_the_last_round(void *unused) {
    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        (void)pthread_setspecific(last_words, unused);
        return;
    }
    singlestep_end();
    done = true;
    (void)sem_post(&wanted);
}

// ---- the children -------------------------------------------------------------------------------

static void check_kept(void) {
    for (unsigned i = 0; i < BLOCKS; i++) {
        const void *block = kept[i].block;
        REQUIRE(block == NULL || test_filled(block, block, kept[i].size, kept[i].size),
                "contents of block %u", i);
    }
}

// No block in use is in a bin of the thread that is gone, which would be taken for free.
static void check_bins(void) {
    for (const struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            const void *block = kept[i].block;
            unsigned class = kept[i].size <= SMALL_MAX ? sizeclass_of(kept[i].size) : 0;
            unsigned count = block != NULL && class > 0 ? bin_count_now(heap, class) : 0;
            for (unsigned slot = 1; slot <= count; slot++) {
                REQUIRE(bin_block_now(heap, class, slot) != block, "block %u is in a bin", i);
            }
        }
    }
}

static void child(void) {
    void *blocks[12];
    alarm(20); // a child that hangs is killed, and its status says so
    check_bins();
    if (asking) {
        lucid_on_limit(NULL, NULL);
    }
    for (unsigned i = 0; i < 12; i++) {
        size_t size = i < 6 ? LARGE << i : 1500 * (size_t)i;
        blocks[i] = lucid_malloc(size);
        REQUIRE(blocks[i] != NULL, "no %zu bytes", size);
        test_fill(blocks[i], size < FILLED ? size : FILLED);
    }
    invariants_check(true);
    check_kept();
    for (unsigned i = 0; i < 12; i++) {
        lucid_free(blocks[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        lucid_free(kept[i].block);
    }
    invariants_check(true);
    _exit(0);
}

static void require_clean_exit(pid_t pid) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child is there");
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %lu, step %lu: status %#x",
            children, steps, (unsigned)status);
}

// Runs the tool on the process; what it says goes to `output`. Returns its status.
static int tool_status(const char *tool, pid_t pid, int output) {
    char number[20];
    int status = 0;
    (void)snprintf(number, sizeof(number), "%d", (int)pid);
    pid_t checker = fork();
    if (checker == 0) {
        (void)dup2(output, STDOUT_FILENO);
        (void)execl(tool, tool, "check", number, (char *)NULL);
        _exit(127);
    }
    REQUIRE(waitpid(checker, &status, 0) == checker, "the tool is there");
    return status;
}

// A child that does nothing has the memory of this moment.
static void look_from_outside(const char *tool, pid_t pid) {
    static int silence = -1;
    if (silence < 0) {
        silence = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    REQUIRE(tool_status(tool, pid, silence) == 0 || tool_status(tool, pid, STDERR_FILENO) < 0,
            "what the tool says of child %lu, step %lu,", children, steps);
}

static void fork_here(const char *tool) {
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork %lu", children);
    if (pid == 0 && tool == NULL) {
        child();
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); // the tool is not its parent
        for (;;) {
            (void)pause();
        }
    }
    if (tool != NULL) {
        look_from_outside(tool, pid);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    } else {
        require_clean_exit(pid);
    }
}

int main(int argc, char **argv) {
    pthread_t thread;
    const char *tool = argc > 1 ? argv[1] : NULL;
    unsigned long every = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    REQUIRE(every > 0, "a number of changes");
    REQUIRE(sem_init(&wanted, 0, 0) == 0 && sem_init(&made, 0, 0) == 0, "semaphores");
    lucid_free(lucid_malloc(100));
    helper_pause(); // else the tables change without a step
    REQUIRE(pthread_key_create(&last_words, end_in_the_last_round) == 0, "a key");
    REQUIRE(pthread_create(&thread, NULL, work, NULL) == 0, "a thread");
    for (wait_for(&wanted); !done; wait_for(&wanted)) {
        if (changes++ % every == 0) {
            fork_here(tool);
            children++;
        }
        (void)sem_post(&made);
    }
    (void)pthread_join(thread, NULL);
    invariants_check(false);
    if (steps < 1000) {
        printf("the processor's single steps are not known here\n");
        return SKIPPED;
    }
    printf("%lu steps, %lu forks: %s\n", steps, children,
           tool == NULL ? "every child went on" : "every rule held in all of them");
    return 0;
}
