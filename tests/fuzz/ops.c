#include "ops.h"

#include "call.h"
#include "child.h"
#include "fail.h"
#include "invariants.h"
#include "misuse.h"
#include "os/os.h"
#include "root.h"
#include "shadow.h"
#include "workers.h"

#include <limits.h>
#include <lucid.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#define OPS_MAX 400u    // per input
#define CHILDREN_MAX 2u // per input: a fork is as expensive as a hundred other operations
#define BREAKS_MAX 100u // moves of the break per process: they cannot be taken back

struct step {
    struct input *input;
    void (*run)(struct input *input);
};

static unsigned children;
static bool alone; // tell the allocator that no other thread runs, which is true

static void run_trim(struct input *input) {
    (void)lucid_malloc_trim(input_byte(input) * UNIT_SIZE);
}

static void run_mallopt(struct input *input) {
    static const int parameters[] = {M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, M_MXFAST, 4711};
    int parameter = parameters[input_byte(input) % 5];
    int value = (int)input_pair(input) * 256 - 256;
    int accepted = lucid_mallopt(parameter, value);
    if (accepted != 0 && accepted != 1) {
        fail("mallopt(%d, %d) returned %d", parameter, value, accepted);
    }
    if ((parameter == 4711 || (parameter == M_MMAP_THRESHOLD && value < 0)) && accepted) {
        fail("mallopt(%d, %d) was accepted", parameter, value);
    }
}

static void run_walk(struct input *input) {
    (void)input;
    shadow_verify_all();
    invariants_check();
}

static void run_misuse(struct input *input) {
    if (children++ < CHILDREN_MAX) {
        misuse_try(input);
    }
}

// The child has only this thread; the other threads' bins are nobody's now.
static void go_on_alone(void *argument) {
    (void)argument;
    (void)os_inject(OS_BREAK, 0, false);
    shadow_verify_all();
    (void)lucid_malloc_trim(0);
    if (root.live.threads > 1) {
        fail("the child of fork believes to have %u threads", root.live.threads);
    }
    invariants_check();
    call_free_all();
    (void)lucid_malloc_trim(0);
    invariants_check();
}

static void run_fork(struct input *input) {
    (void)input;
    if (children++ < CHILDREN_MAX && !call_may_fail) {
        int status = child_run(go_on_alone, NULL, NULL, 0);
        if (status != 0) {
            fail("the child of fork ended with status %x", (unsigned)status);
        }
    }
}

static void run_inject(struct input *input) {
    enum os_call call = (enum os_call)(input_byte(input) % OS_CALL_COUNT);
    unsigned number = input_byte(input);
    (void)os_inject(call, number % 8, number >= 128);
    call_may_fail = true; // until the end of this input
}

static void run_alone(struct input *input) {
    (void)input;
    alone = !alone;
}

static void run_break(struct input *input) {
    static unsigned moves;
    if (moves++ < BREAKS_MAX) {
        (void)!sbrk((intptr_t)input_pair(input));
    }
}

static const struct {
    const char *name;
    void (*run)(struct input *input);
    unsigned weight; // of 64
} operations[] = {
    {"allocate", call_allocate, 20}, {"resize", call_resize, 8},  {"free", call_free, 14},
    {"verify", call_verify, 2},      {"burst", call_burst, 5},    {"free many", call_free_many, 5},
    {"trim", run_trim, 2},           {"mallopt", run_mallopt, 1}, {"walk", run_walk, 1},
    {"misuse", run_misuse, 1},       {"fork", run_fork, 1},       {"inject", run_inject, 1},
    {"alone", run_alone, 1},         {"break", run_break, 1},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static uint64_t counts[OPERATIONS + 1]; // the last one: ends of threads

static size_t operation_of(unsigned number) {
    for (size_t i = 0; i < OPERATIONS; i++) {
        if (number < operations[i].weight) {
            return i;
        }
        number -= operations[i].weight;
    }
    return OPERATIONS;
}

// Only a thread that has its heap already may be told so: a heap made while alone is never given
// back, because a process's only thread never ends before the process.
static void run_step(void *argument) {
    struct step *step = argument;
    __libc_single_threaded = alone && heap_self != heap_of_nobody();
    step->run(step->input);
    __libc_single_threaded = 0;
}

static void finish(void) {
    for (enum os_call call = 0; call < OS_CALL_COUNT; call++) {
        (void)os_inject(call, 0, false);
    }
    shadow_verify_all();
    invariants_check();
    call_free_all();
    worker_end_all();
    (void)lucid_malloc_trim(0);
    (void)lucid_mallopt(M_MMAP_THRESHOLD, (int)MAPPING_THRESHOLD);
    (void)lucid_mallopt(M_TRIM_THRESHOLD, 0);
    invariants_check();
}

void ops_run(const uint8_t *data, size_t size) {
    struct input input = {.data = data, .size = size};
    children = 0;
    alone = false;
    call_may_fail = false;
    for (unsigned i = 0; i < OPS_MAX && !input_ended(&input); i++) {
        unsigned first = input_byte(&input);
        size_t operation = operation_of(first % 64);
        unsigned thread = first / 64 % WORKERS;
        counts[operation]++;
        if (operation == OPERATIONS) {
            worker_end(thread);
        } else {
            struct step step = {&input, operations[operation].run};
            worker_run(thread, run_step, &step);
        }
    }
    finish();
}

void ops_report(void) {
    for (size_t i = 0; i < OPERATIONS; i++) {
        (void)printf("%12llu %s\n", (unsigned long long)counts[i], operations[i].name);
    }
    (void)printf("%12llu end of a thread\n", (unsigned long long)counts[OPERATIONS]);
}
