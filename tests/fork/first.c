// A fork at the very moment at which the process's second thread comes to the allocator for the
// first time. Each attempt is a process of its own, which has had one thread so far.
//   first [ATTEMPTS]
#include "testing.h"

#include <lucid.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static _Atomic bool go;

static void *come(void *argument) {
    (void)argument;
    while (!go) {
    }
    lucid_free(lucid_malloc(5000));
    return NULL;
}

static void require_clean_exit(pid_t pid, const char *who) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "%s is there", who);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the status of %s is %#x", who,
            (unsigned)status);
}

static void attempt(unsigned pause) {
    pthread_t thread;
    lucid_free(lucid_malloc(100)); // the heap is there, and nobody watches forks yet
    REQUIRE(pthread_create(&thread, NULL, come, NULL) == 0, "a thread");
    go = true;
    for (volatile unsigned i = 0; i < pause; i++) {
    }
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        alarm(20); // a child that hangs is killed, and its status says so
        lucid_free(lucid_malloc(100000));
        _exit(0);
    }
    REQUIRE(pthread_join(thread, NULL) == 0, "its end");
    require_clean_exit(pid, "the child");
}

int main(int count, char **values) {
    unsigned attempts = count > 1 ? (unsigned)atoi(values[1]) : 500;
    for (unsigned i = 0; i < attempts; i++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0, "fork %u", i);
        if (pid == 0) {
            attempt(i * 37 % 5000);
            _exit(0);
        }
        require_clean_exit(pid, "an attempt");
    }
    printf("%u forks beside a first call: every child went on\n", attempts);
    return 0;
}
