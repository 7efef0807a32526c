// One thread that never stops allocating, and a signal handler that forks in the middle of it; then
// children by vfork.
//   handlers FORKS [go-on]
// go-on: each child returns from the handler and allocates, too, while memory is given back.
#include "testing.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define BLOCKS 1000u
#define CHILD_BLOCKS 40

static volatile sig_atomic_t wanted = 1000;
static volatile sig_atomic_t forked;
static volatile sig_atomic_t failed;
static volatile sig_atomic_t children_go_on;
static volatile sig_atomic_t blocks_left = -1; // in a child that goes on, until it ends

// Once: a handler that takes longer than the time between two signals would be all that ever runs.
static void ask_for_signal(suseconds_t microseconds) {
    struct itimerval once = {.it_value = {.tv_usec = microseconds}};
    REQUIRE(setitimer(ITIMER_REAL, &once, NULL) == 0, "the timer");
}

static void fork_here(int signal_number) {
    (void)signal_number;
    int saved = errno;
    pid_t pid = fork();
    if (pid == 0 && children_go_on) {
        (void)signal(SIGALRM, SIG_DFL);
        alarm(20);
        blocks_left = CHILD_BLOCKS;
        errno = saved;
        return;
    }
    if (pid == 0) {
        _exit(7);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 7) {
        failed = pid < 0 || status == 0 ? -1 : status;
    }
    forked++;
    if (forked < wanted) {
        ask_for_signal(300 + forked % 7 * 300);
    }
    errno = saved;
}

static size_t next_size(uint64_t *state) {
    return children_go_on ? 33000 + test_random(state) % 300000 : test_size(state);
}

// Of a block; little, where the time is to be spent in the allocator.
static size_t used_of(size_t size) {
    return children_go_on ? 64 : size;
}

static void count_down(void) {
    if (blocks_left >= 0 && blocks_left-- == 0) {
        _exit(7);
    }
}

static void allocate_until_forked(void) {
    static void *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    uint64_t state = test_seed();
    while (forked < wanted || blocks_left >= 0) {
        count_down();
        unsigned i = test_random(&state) % BLOCKS;
        size_t old = used_of(sizes[i]);
        REQUIRE(blocks[i] == NULL || test_filled(blocks[i], blocks[i], old, old), "%zu bytes",
                sizes[i]);
        free(blocks[i]);
        sizes[i] = next_size(&state);
        blocks[i] = malloc(sizes[i]);
        REQUIRE(blocks[i] != NULL, "no %zu bytes", sizes[i]);
        test_fill(blocks[i], used_of(sizes[i]));
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static pid_t run_child(bool with_exec) {
    pid_t pid = vfork();
    if (pid == 0) {
        if (with_exec) {
            (void)execl("/bin/true", "true", (char *)NULL);
        }
        _exit(with_exec ? 1 : 0);
    }
    return pid;
}

static void vforks(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        void *block = malloc(i * 10);
        test_fill(block, i * 10);
        pid_t pid = run_child(i % 2 == 0);
        int status = 0;
        REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "vfork %u: %#x", i,
                (unsigned)status);
        REQUIRE(test_filled(block, block, i * 10, i * 10), "the parent's block");
        free(block);
    }
}

int main(int count, char **values) {
    wanted = count > 1 ? atoi(values[1]) : wanted;
    children_go_on = count > 2;
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0, "the handler");
    ask_for_signal(300);
    allocate_until_forked();
    REQUIRE(failed == 0, "a child ended with status %#x", (unsigned)failed);
    vforks(100);
    printf("%d forks inside a signal handler, 100 vforks\n", (int)forked);
    return 0;
}
