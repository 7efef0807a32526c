#include "explore.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_SIZE ((size_t)32 << 10)
#define DEPTH_MAX 2000u

enum thread_state { THREAD_READY, THREAD_WAITS, THREAD_ENDED };

// All of it is part of the state. The stack pointer is where the thread went to sleep.
struct thread {
    jmp_buf registers;
    enum thread_state state;
    uint32_t reserved;
    const volatile uint32_t *lock;
    char *sleeping_at;
};

struct hash {
    uint64_t a, b;
};

struct saved {
    char *bytes;
    struct hash hash;
    unsigned next; // thread to try next
    unsigned ran;  // thread that made the step to here
    const char *where;
};

static const struct exploration *current;
static struct verdict verdict;
static struct thread threads[EXPLORE_THREADS];
static char stacks[EXPLORE_THREADS][STACK_SIZE] __attribute__((aligned(64)));
static unsigned running;
static bool in_thread;
static jmp_buf explorer;
static const char *last_where[EXPLORE_THREADS];

// ---- threads ------------------------------------------------------------------------------------

static char *stack_end(unsigned thread) {
    return stacks[thread] + STACK_SIZE;
}

// Where the live part of the current stack begins. Below it there are only leftovers, which would
// make states that are the same look different.
static inline __attribute__((always_inline)) char *stack_pointer(void) {
#if defined(__x86_64__)
    uintptr_t pointer;
    __asm__ volatile("mov %%rsp, %0" : "=r"(pointer));
#elif defined(__aarch64__)
    uintptr_t pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
#else
    uintptr_t pointer = (uintptr_t)__builtin_frame_address(0) - 256;
#endif
    return (char *)(pointer & ~(uintptr_t)15);
}

// Sleeps in the middle of a step. Everything the thread needs later lies above the frame, in it,
// or in the registers.
static __attribute__((noinline)) void sleep_now(const char *where) {
    struct thread *thread = &threads[running];
    last_where[running] = where;
    thread->sleeping_at = stack_pointer();
    if (_setjmp(thread->registers) == 0) {
        _longjmp(explorer, 1);
    }
}

// What earlier calls left below the stack pointer would come back as the unused parts of later
// frames, and make states that are the same look different.
static __attribute__((noinline)) void wipe_leftovers(void) {
    volatile uint64_t leftovers[128];
    for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++) {
        leftovers[i] = 0;
    }
}

void explore_step(const char *where) {
    if (in_thread) {
        threads[running].state = THREAD_READY;
        threads[running].lock = NULL;
        sleep_now(where);
        wipe_leftovers();
    }
}

void explore_wait(const volatile uint32_t *lock, const char *where) {
    if (in_thread) {
        threads[running].state = THREAD_WAITS;
        threads[running].lock = lock;
        sleep_now(where);
    }
}

bool explore_in_thread(void) {
    return in_thread;
}

unsigned explore_thread(void) {
    return running;
}

static void thread_main(void) {
    explore_step("begins"); // the first step of every thread: nothing
    current->run(running);
    threads[running].state = THREAD_ENDED;
    threads[running].lock = NULL;
    threads[running].sleeping_at = stack_end(running);
    last_where[running] = "ends";
    _longjmp(explorer, 1);
}

static void thread_begin(unsigned number) {
    static ucontext_t context;
    static ucontext_t back;
    memset(stacks[number], 0, STACK_SIZE);
    running = number;
    (void)getcontext(&context);
    context.uc_stack.ss_sp = stacks[number];
    context.uc_stack.ss_size = STACK_SIZE;
    context.uc_link = NULL;
    makecontext(&context, thread_main, 0);
    in_thread = true;
    if (_setjmp(explorer) == 0) {
        (void)swapcontext(&back, &context);
    }
    in_thread = false;
}

static bool may_run(unsigned number) {
    const struct thread *thread = &threads[number];
    return thread->state == THREAD_READY || (thread->state == THREAD_WAITS && *thread->lock == 0);
}

// The thread goes on to its next step, or to its end.
static void thread_resume(unsigned number) {
    running = number;
    in_thread = true;
    if (_setjmp(explorer) == 0) {
        _longjmp(threads[number].registers, 1);
    }
    in_thread = false;
}

// ---- states -------------------------------------------------------------------------------------

typedef void visit_memory(void *start, size_t length, void *context);

static void visit_state(visit_memory *visit, void *context) {
    for (const struct memory *part = current->memory; part->length > 0; part++) {
        visit(part->start, part->length, context);
    }
    visit(threads, sizeof(threads[0]) * current->threads, context);
    for (unsigned i = 0; i < current->threads; i++) {
        visit(threads[i].sleeping_at, (size_t)(stack_end(i) - threads[i].sleeping_at), context);
    }
}

static void add_length(void *start, size_t length, void *context) {
    (void)start;
    *(size_t *)context += length;
}

static void copy_out(void *start, size_t length, void *context) {
    char **to = context;
    memcpy(*to, start, length);
    *to += length;
}

static void copy_in(void *start, size_t length, void *context) {
    char **from = context;
    memcpy(start, *from, length);
    *from += length;
}

static void add_hash(void *start, size_t length, void *context) {
    struct hash *hash = context;
    const char *bytes = start;
    for (size_t i = 0; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        hash->a = (hash->a ^ word) * 0x9e3779b97f4a7c15u;
        hash->a ^= hash->a >> 29;
        hash->b = (hash->b + word) * 0xd6e8feb86659fd93u;
        hash->b ^= hash->b >> 31;
    }
}

static void *must_have(void *memory) {
    if (memory == NULL) {
        (void)fputs("model: no memory for the states\n", stderr);
        exit(2);
    }
    return memory;
}

static void save(struct saved *saved) {
    size_t length = 0;
    visit_state(add_length, &length);
    free(saved->bytes);
    saved->bytes = must_have(malloc(length));
    char *to = saved->bytes;
    visit_state(copy_out, &to);
    saved->next = 0;
}

// The threads come before the stacks, so that sleeping_at is right when the stacks are copied.
static void put_back(const struct saved *saved) {
    char *from = saved->bytes;
    visit_state(copy_in, &from);
}

// Open addressing over the 128-bit hashes of the states seen.
static struct hash *seen;
static uint64_t seen_room;

static bool table_add(struct hash *table, uint64_t room, struct hash hash) {
    uint64_t i = hash.a & (room - 1);
    while (table[i].a != 0 || table[i].b != 0) {
        if (table[i].a == hash.a && table[i].b == hash.b) {
            return false;
        }
        i = (i + 1) & (room - 1);
    }
    table[i] = hash;
    return true;
}

static void table_grow(void) {
    uint64_t room = seen_room == 0 ? 1 << 16 : seen_room * 2;
    struct hash *table = must_have(calloc(room, sizeof(*table)));
    for (uint64_t i = 0; i < seen_room; i++) {
        if (seen[i].a != 0 || seen[i].b != 0) {
            (void)table_add(table, room, seen[i]);
        }
    }
    free(seen);
    seen = table;
    seen_room = room;
}

static bool is_new(struct hash hash) {
    if (verdict.states * 2 >= seen_room) {
        table_grow();
    }
    bool is = table_add(seen, seen_room, hash);
    verdict.states += is;
    return is;
}

// ---- the search ---------------------------------------------------------------------------------

static struct saved path[DEPTH_MAX];
static unsigned depth;

void explore_broken(const char *property) {
    if (verdict.broken == NULL) {
        verdict.broken = property;
    }
    if (in_thread) {
        last_where[running] = "here";
        _longjmp(explorer, 1);
    }
}

static bool all_ended(void) {
    for (unsigned i = 0; i < current->threads; i++) {
        if (threads[i].state != THREAD_ENDED) {
            return false;
        }
    }
    return true;
}

static bool some_may_run(void) {
    for (unsigned i = 0; i < current->threads; i++) {
        if (may_run(i)) {
            return true;
        }
    }
    return false;
}

// What must hold in a state that was just reached for the first time.
static void look_at_state(void) {
    if (all_ended()) {
        verdict.ends++;
        current->at_end();
    } else if (!some_may_run()) {
        explore_broken("deadlock: every thread waits for a lock");
    }
}

// The next thread that can make a step from the state on top of the path. False: none is left.
static bool take_branch(void) {
    struct saved *top = &path[depth];
    put_back(top);
    while (top->next < current->threads) {
        unsigned number = top->next++;
        if (may_run(number)) {
            thread_resume(number);
            verdict.steps++;
            path[depth + 1].ran = number;
            path[depth + 1].where = last_where[number];
            return true;
        }
    }
    return false;
}

static struct hash hash_state(void) {
    struct hash hash = {1, 2};
    visit_state(add_hash, &hash);
    return hash;
}

// A state that is already on the path: the threads can go round in circles for ever.
static bool is_on_path(struct hash hash) {
    for (unsigned i = 0; i <= depth; i++) {
        if (path[i].hash.a == hash.a && path[i].hash.b == hash.b) {
            return true;
        }
    }
    return false;
}

static void go_down(struct hash hash) {
    look_at_state();
    depth++;
    verdict.depth = depth > verdict.depth ? depth : verdict.depth;
    if (depth + 1 == DEPTH_MAX) {
        explore_broken("a schedule does not end");
    }
    path[depth].hash = hash;
    save(&path[depth]);
}

static void search(void) {
    depth = 0;
    path[0].hash = hash_state();
    (void)is_new(path[0].hash);
    save(&path[0]);
    while (verdict.broken == NULL) {
        if (!take_branch()) {
            if (depth == 0) {
                break;
            }
            depth--;
            continue;
        }
        struct hash hash = hash_state();
        if (verdict.broken == NULL && is_new(hash)) {
            go_down(hash);
        } else if (verdict.broken == NULL && is_on_path(hash)) {
            explore_broken("a schedule goes round in circles");
        }
    }
}

struct verdict explore(const struct exploration *exploration) {
    current = exploration;
    verdict = (struct verdict){.broken = NULL};
    for (unsigned i = 0; i < exploration->threads; i++) {
        thread_begin(i);
    }
    search();
    free(seen);
    seen = NULL;
    seen_room = 0;
    return verdict;
}

void explore_print_trace(void) {
    for (unsigned i = 1; i <= depth + 1 && i < DEPTH_MAX; i++) {
        (void)fprintf(stderr, "  thread %u goes on and stops before a step of %s\n", path[i].ran,
                      path[i].where != NULL ? path[i].where : "?");
    }
}
