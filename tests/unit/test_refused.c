// A system that refuses, at calls and at moments that the sweeps of tests/limits do not come to: at
// the very start, when tables are full, and old kernels. Each case has a process of its own.
#include "answer.h"
#include "helper.h"
#include "init.h"
#include "meta.h"
#include "options.h"
#include "os/os.h"
#include "relief.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <lucid.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MOST 100000u

static void *blocks[MOST];

// `act` must come to its end in a child; REQUIRE ends it otherwise.
static void in_child(void (*act)(void)) {
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    assert_int_equal(status, 0);
}

static void needs_faults(void) {
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
}

static void refuse_memory(void) {
    (void)os_inject(OS_BREAK, 1, true);
    (void)os_inject(OS_RESERVE, 1, true);
    (void)os_inject(OS_COMMIT, 1, true);
    (void)os_inject(OS_MAP, 1, true);
}

static void require_enomem(bool refused, const char *call) {
    REQUIRE(refused && errno == ENOMEM, "%s, errno %d", call, errno);
    errno = 0;
}

// ---- no start -----------------------------------------------------------------------------------

static void without_addresses(void) {
    char text[40];
    struct lucid_stats stats = {.size = sizeof(stats)};
    (void)os_inject(OS_RESERVE, 1, true);
    (void)os_inject(OS_MAP, 1, true);
    errno = 0;
    require_enomem(lucid_malloc(10) == NULL, "malloc");
    require_enomem(lucid_malloc(100000) == NULL, "malloc of a large block");
    require_enomem(lucid_calloc(1, 10) == NULL, "calloc");
    require_enomem(lucid_realloc(NULL, 10) == NULL, "realloc");
    require_enomem(lucid_aligned_alloc(64, 10) == NULL, "aligned_alloc");
    require_enomem(lucid_heap_new("none") == NULL, "lucid_heap_new");
    require_enomem(lucid_option_set("purge", "off") == -1, "lucid_option_set");
    require_enomem(lucid_option_get("purge", text, sizeof(text)) == -1, "lucid_option_get");
    require_enomem(lucid_stats_get(&stats) == -1, "lucid_stats_get");
    require_enomem(lucid_stats_print_json(STDERR_FILENO) == -1, "lucid_stats_print_json");
    require_enomem(lucid_stats_print_openmetrics(STDERR_FILENO) == -1, "_print_openmetrics");
    REQUIRE(lucid_limit_set((size_t)64 << 20) == ENOMEM, "lucid_limit_set");
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 1 << 20) == 0, "mallopt");
    REQUIRE(lucid_malloc_trim(0) == 0 && lucid_trim() == 0, "trim");
    REQUIRE(lucid_mallinfo2().arena == 0, "mallinfo2");
    lucid_free(NULL);
    (void)os_inject(OS_RESERVE, 0, false);
    (void)os_inject(OS_MAP, 0, false);
    void *block = lucid_malloc(10);
    REQUIRE(block != NULL, "there is memory as soon as nothing fails any more");
    lucid_free(block);
}

static void a_start_that_is_refused(void **state) {
    (void)state;
    needs_faults();
    in_child(without_addresses);
}

// ---- no more ------------------------------------------------------------------------------------

static unsigned fill_up(size_t size) {
    unsigned count = 0;
    errno = 0;
    while (count < MOST && (blocks[count] = lucid_malloc(size)) != NULL) {
        count++;
    }
    REQUIRE(count < MOST, "memory of %zu bytes ends", size);
    require_enomem(true, "malloc");
    return count;
}

static void hardened_without_memory(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1,quarantine=0", 1);
    lucid_free(lucid_malloc(1000));
    refuse_memory();
    unsigned count = fill_up(1000);
    for (unsigned i = 0; i < count; i++) {
        lucid_free(blocks[i]);
    }
    REQUIRE(lucid_malloc(1000) != NULL, "what was freed is there again");
}

// At the arena's end a block grows in place as far as there is memory, and stays as it was then.
static void growing_without_memory(void) {
    size_t size = 200000;
    char *block = lucid_malloc(size);
    REQUIRE(block != NULL, "a block");
    test_fill(block, size);
    refuse_memory();
    errno = 0;
    char *grown = block;
    for (size_t more = size; grown != NULL && more < ((size_t)64 << 20); more += 100000) {
        grown = lucid_realloc(block, more);
        block = grown != NULL ? grown : block;
    }
    require_enomem(grown == NULL, "realloc");
    REQUIRE(test_filled(block, block, 8192, size), "it is as it was");
    lucid_free(block);
}

static void guarded_without_addresses(void) {
    char text[40];
    (void)setenv("LUCID_OPTIONS", "guard=1/1", 1);
    REQUIRE(lucid_option_get("guard", text, sizeof(text)) == 0, "a start");
    (void)os_inject(OS_RESERVE, 1, false);
    for (unsigned i = 0; i < 100; i++) {
        void *block = lucid_malloc(100);
        REQUIRE(block != NULL, "a block without guard pages");
        lucid_free(block);
    }
}

static void memory_that_ends(void **state) {
    (void)state;
    needs_faults();
    in_child(hardened_without_memory);
    in_child(growing_without_memory);
    in_child(guarded_without_addresses);
}

// ---- full tables --------------------------------------------------------------------------------

// Threads, heaps and bins have records in the metadata. Without room for these blocks are served
// all the same.
static void metadata_used_up(void) {
    lucid_free(lucid_malloc(10));
    for (unsigned i = 0; i < 16; i++) {
        while (root.live.meta_free[i] != NULL) { // what was given back
            (void)meta_take((size_t)64 << i);
        }
    }
    root.live.meta_next = root.fixed.meta_start;
    errno = 0;
    require_enomem(lucid_heap_new("none") == NULL, "lucid_heap_new");
    for (size_t size = 1; size < 100000; size = size * 5 / 4 + 1) {
        char *block = lucid_malloc(size);
        REQUIRE(block != NULL, "%zu bytes", size);
        memset(block, 1, size);
        lucid_free(block);
    }
}

// The arena ends where its tables end.
static void arena_used_up(void) {
    for (unsigned i = 0; i < 20; i++) {
        blocks[i] = lucid_malloc(20000);
        REQUIRE(blocks[i] != NULL, "a block");
    }
    for (unsigned i = 0; i < 20; i++) {
        lucid_free(blocks[i]);
    }
    REQUIRE(mprotect(&root.fixed, sizeof(root.fixed), PROT_READ | PROT_WRITE) == 0, "mprotect");
    root.fixed.capacity = root.live.limit;
    unsigned count = fill_up(20000);
    for (unsigned i = 0; i < count; i++) {
        lucid_free(blocks[i]);
    }
    REQUIRE(lucid_malloc(20000) != NULL, "what was freed is there again");
    void *block = lucid_malloc(MAPPING_THRESHOLD + 1);
    REQUIRE(block != NULL, "a block with a mapping of its own");
    lucid_free(block);
}

static void full_tables(void **state) {
    (void)state;
    in_child(metadata_used_up);
    in_child(arena_used_up);
}

// A neighbour that was given back to the kernel is no room where the limit is reached.
static void growing_at_the_limit(void) {
    const size_t size = 100000;
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 300000) == 1, "mallopt");
    REQUIRE(lucid_limit_set((size_t)16 << 20) == 0, "a limit");
    helper_pause();
    unsigned count = 50;
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = lucid_malloc(size);
        REQUIRE(blocks[i] != NULL, "a block");
        test_fill(blocks[i], size);
    }
    for (unsigned i = 1; i < count; i += 2) {
        lucid_free(blocks[i]);
    }
    (void)lucid_trim();
    while (lucid_malloc(400000) != NULL) {
    }
    while (lucid_malloc(4000) != NULL) {
    }
    errno = 0;
    unsigned refused = 0;
    for (unsigned i = 0; i < count; i += 2) {
        void *grown = lucid_realloc(blocks[i], 2 * size);
        refused += grown == NULL;
        grown = grown != NULL ? grown : blocks[i];
        REQUIRE(test_filled(grown, blocks[i], 8192, size), "block %u", i);
    }
    REQUIRE(refused > 0 && errno == ENOMEM, "%u refused, errno %d", refused, errno);
}

static void limits_hold(void **state) {
    (void)state;
    in_child(growing_at_the_limit);
}

// ---- old kernels --------------------------------------------------------------------------------

// From here on this system call fails with that error where the lower half of one of its arguments
// is `value`; an argument of 6 stands for any.
static void refuse_call(uint32_t number, unsigned argument, uint32_t value, uint16_t error) {
    uint32_t offset = (uint32_t)offsetof(struct seccomp_data, args) + (argument % 6) * 8;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, argument < 6 ? 1 : 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _exit(SKIPPED); // no filters of system calls here
    }
}

static void *use_a_little(void *argument) {
    void *block = lucid_malloc(100);
    REQUIRE(block != NULL, "a block");
    lucid_free(block);
    return argument;
}

static void on_thread(void) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, use_a_little, NULL) == 0, "a thread");
    (void)pthread_join(thread, NULL);
}

// Before 4.14 the kernel wipes no page when a process forks. Then fork() itself is noticed.
static void fork_without_wiping(void) {
    refuse_call(SYS_madvise, 2, 18, EINVAL); // MADV_WIPEONFORK, which old headers do not have
    void *block = lucid_malloc(1000);
    on_thread();
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        lucid_free(block);
        on_thread();
        REQUIRE(lucid_malloc(100000) != NULL && atomic_load(&root.live.fork_page->known) == 1,
                "the child has seen that it is one");
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid && status == 0, "the child, status %#x", status);
}

// Before 5.14 it does not bring pages in when it is asked to.
static void grow_without_populate(uint16_t error) {
    refuse_call(SYS_madvise, 2, 23, error); // MADV_POPULATE_WRITE
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = i % 50 == 0 ? POPULATE_ZEROED_MAX : 20000;
        blocks[i] = lucid_calloc(1, size);
        REQUIRE(blocks[i] != NULL && test_zero(blocks[i], size), "a block");
    }
}

static void growth_without_populate(void) {
    grow_without_populate(EINVAL);
    REQUIRE(root.live.populate_refused != 0, "asked once, as it cannot");
}

// It can, and had no memory just then.
static void growth_where_populate_fails(void) {
    grow_without_populate(EFAULT);
    REQUIRE(root.live.populate_refused == 0, "asked again, as it may succeed");
}

static void control_without_signals(void) {
    (void)setenv("LUCID_OPTIONS", "ctl=1", 1);
    refuse_call(SYS_rt_sigaction, 6, 0, EPERM);
    lucid_free(lucid_malloc(10));
    REQUIRE(root.live.request.state == REQUEST_CLOSED && root.live.request.signal == 0,
            "nobody waits for an answer that will not come");
}

static void limit_of_the_unknown(void) {
    char text[300] = {0};
    int ends[2];
    REQUIRE(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0, "a pipe");
    (void)setenv("LUCID_OPTIONS", "limit=50%", 1);
    refuse_call(SYS_sysinfo, 6, 0, EPERM);
    refuse_call(SYS_openat, 6, 0, ENOENT);
    lucid_free(lucid_malloc(10));
    (void)!read(ends[0], text, sizeof(text) - 1);
    // What REQUIRE says would go into the pipe.
    if (strstr(text, "the size of the whole is unknown; there is no limit") == NULL ||
        root.live.allowance.most != 0) {
        _exit(1);
    }
}

static void old_kernels(void **state) {
    (void)state;
    in_child(fork_without_wiping);
    in_child(growth_without_populate);
    in_child(growth_where_populate_fails);
    in_child(control_without_signals);
    in_child(limit_of_the_unknown);
}

// ---- wrong requests -----------------------------------------------------------------------------

static uint32_t result_of(uint32_t action, uint32_t option, uint64_t value) {
    struct request *request = &root.live.request;
    request->id++;
    request->action = action;
    request->option = option;
    request->value = value;
    atomic_store(&request->state, REQUEST_ASKED);
    answer_all();
    REQUIRE(request->answered == request->id, "an answer to request %u", action);
    REQUIRE(atomic_load(&request->state) == REQUEST_ANSWERED, "it is there to be read");
    return request->result;
}

// `lucid ctl` asks for nothing of the kind; another version of it might.
static void ask_wrongly(void) {
    lucid_free(lucid_malloc(10));
    uint64_t harden = root.live.options.value[OPTION_HARDEN];
    uint64_t age = root.live.options.value[OPTION_PURGE_AGE];
    REQUIRE(result_of(99, 0, 0) == RESULT_UNKNOWN, "an action nobody knows");
    REQUIRE(result_of(REQUEST_SET, OPTION_COUNT, 1) == RESULT_UNKNOWN, "nor this option");
    REQUIRE(result_of(REQUEST_SET, OPTION_HARDEN, 1) == RESULT_FIXED, "too late for this one");
    REQUIRE(result_of(REQUEST_SET, OPTION_PURGE_AGE, UINT64_MAX) == RESULT_NO_VALUE, "too much");
    REQUIRE(root.live.options.value[OPTION_HARDEN] == harden &&
                root.live.options.value[OPTION_PURGE_AGE] == age,
            "nothing has changed");
    REQUIRE(result_of(REQUEST_SET, OPTION_PURGE_AGE, 5) == RESULT_DONE, "this is allowed");
    REQUIRE(root.live.options.value[OPTION_PURGE_AGE] == 5, "and done");
}

static void wrong_requests(void **state) {
    (void)state;
    in_child(ask_wrongly);
}

// What can never be had is no reason to empty bins and quarantine.
static void ask_for_relief_in_vain(void) {
    struct relief relief = {0};
    lucid_free(lucid_malloc(10));
    REQUIRE(!relief_again(&relief, (size_t)1 << 46, 16), "for the size");
    REQUIRE(!relief_again(&relief, 16, (size_t)1 << 46), "for the alignment");
    REQUIRE(relief.attempts == 0 && relief_again(&relief, 16, 16), "but for what may be had");
}

static void no_relief(void **state) {
    (void)state;
    in_child(ask_for_relief_in_vain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_that_is_refused),
        cmocka_unit_test(memory_that_ends),
        cmocka_unit_test(full_tables),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(old_kernels),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(no_relief),
    };
    if (UNDER_TSAN) {
        puts("the sanitizer itself needs the calls that are refused");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
