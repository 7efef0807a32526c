#include "child.h"

#include "fail.h"
#include "workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void be_child(void (*job)(void *), void *argument, int error_output) {
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGTERM};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)signal(signals[i], SIG_DFL); // a fuzzer's own handlers are for the parent
    }
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (error_output >= 0) {
        (void)dup2(error_output, 2);
    }
    (void)alarm(20);
    workers_forget();
    job(argument);
    _exit(0);
}

static void read_all(int pipe_end, char *text, size_t room) {
    size_t length = 0;
    for (;;) {
        char rest[256];
        char *into = length + 1 < room ? text + length : rest;
        size_t size = length + 1 < room ? room - 1 - length : sizeof(rest);
        ssize_t got = read(pipe_end, into, size);
        if (got < 0 && errno == EINTR) {
            continue; // a fuzzer's timer
        }
        if (got <= 0) {
            break;
        }
        length += length + 1 < room ? (size_t)got : 0;
    }
    text[length] = '\0';
}

int child_run(void (*job)(void *), void *argument, char *text, size_t room) {
    int ends[2] = {-1, -1};
    if (text != NULL && pipe(ends) != 0) {
        fail("cannot make a pipe");
    }
    (void)fflush(stderr);
    pid_t pid = fork();
    if (pid < 0) {
        fail("cannot fork");
    }
    if (pid == 0) {
        be_child(job, argument, ends[1]);
    }
    if (text != NULL) {
        (void)close(ends[1]);
        read_all(ends[0], text, room);
        (void)close(ends[0]);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) != pid) {
        if (errno != EINTR) {
            fail("lost the child");
        }
    }
    return status;
}
