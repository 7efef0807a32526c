// One thread that never stops allocating, and a signal handler that forks in the middle of it; then
// children by vfork.
//   handlers FORKS
#include "testing.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t forked;
static volatile sig_atomic_t failed;

static void fork_here(int signal_number) {
    (void)signal_number;
    int saved = errno;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(7);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 7) {
        failed = 1;
    }
    forked++;
    errno = saved;
}

static void allocate_until(sig_atomic_t forks) {
    static void *blocks[500];
    static size_t sizes[500];
    uint64_t state = test_seed();
    while (forked < forks) {
        unsigned i = test_random(&state) % 500;
        REQUIRE(blocks[i] == NULL || test_filled(blocks[i], blocks[i], sizes[i], sizes[i]),
                "%zu bytes", sizes[i]);
        free(blocks[i]);
        sizes[i] = test_size(&state);
        blocks[i] = malloc(sizes[i]);
        REQUIRE(blocks[i] != NULL, "no %zu bytes", sizes[i]);
        test_fill(blocks[i], sizes[i]);
    }
    for (unsigned i = 0; i < 500; i++) {
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
    sig_atomic_t forks = count > 1 ? atoi(values[1]) : 1000;
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0, "the handler");
    struct itimerval often = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0, "the timer");
    allocate_until(forks);
    struct itimerval never = {.it_value = {.tv_usec = 0}};
    (void)setitimer(ITIMER_REAL, &never, NULL);
    REQUIRE(failed == 0, "every child ended as it should");
    vforks(100);
    printf("%d forks inside a signal handler, 100 vforks\n", (int)forked);
    return 0;
}
