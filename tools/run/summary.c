#include "summary.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int passed_on[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
enum { PASSED_ON_COUNT = sizeof(passed_on) / sizeof(passed_on[0]) };

static volatile sig_atomic_t child;

// What a terminal sends reaches the whole foreground group, the child included; only a signal
// that some process sent to us alone has to be passed on.
static void pass_on(int number, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code <= 0) {
        int saved = errno;
        kill(child, number);
        errno = saved;
    }
}

static void catch_signals(void) {
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < PASSED_ON_COUNT; i++) {
        sigaction(passed_on[i], &action, NULL);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_summary(const char *name, int status, double seconds,
                          const struct rusage *usage) {
    char end[64];
    if (WIFSIGNALED(status)) {
        snprintf(end, sizeof(end), "ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
    } else {
        snprintf(end, sizeof(end), "exit code %d", WEXITSTATUS(status));
    }
    fprintf(stderr, "lucid run: %s: peak %.1f MiB resident, %.3f s, %s\n", name,
            (double)usage->ru_maxrss / 1024.0, seconds, end);
}

// Ends this process as the child ended, so that whoever waits for us sees no difference.
static int end_like(int status) {
    if (!WIFSIGNALED(status)) {
        return WEXITSTATUS(status);
    }
    int number = WTERMSIG(status);
    struct rlimit no_core = {0, 0}; // the child has written the only interesting one
    sigset_t only;
    setrlimit(RLIMIT_CORE, &no_core);
    signal(number, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    return 128 + number;
}

static void become(const char *path, char **argv, const sigset_t *mask) {
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(path, argv);
    fprintf(stderr, "lucid run: cannot run %s: %m\n", path);
    _exit(errno == ENOENT ? 127 : 126);
}

int summary_run(const char *path, char **argv) {
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    for (int i = 0; i < PASSED_ON_COUNT; i++) {
        sigaddset(&blocked, passed_on[i]);
    }
    double begin = seconds_now();
    sigprocmask(SIG_BLOCK, &blocked, &before); // none may come before there is a child to get it
    pid_t pid = fork();
    if (pid == 0) {
        become(path, argv, &before);
    }
    if (pid < 0) {
        fprintf(stderr, "lucid run: cannot start a process: %m\n");
        return 126;
    }
    child = pid;
    catch_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);

    int status = 0;
    struct rusage usage;
    while (wait4(pid, &status, 0, &usage) < 0) {
        if (errno != EINTR) {
            fprintf(stderr, "lucid run: lost sight of process %d: %m\n", (int)pid);
            return 126;
        }
    }
    print_summary(argv[0], status, seconds_now() - begin, &usage);
    return end_like(status);
}
