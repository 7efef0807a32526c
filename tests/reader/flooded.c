// Takes signals as fast as a child sends them, and says how many came.
//
// usage: flooded COUNT    so many are sent, once a line is read
//        flooded vfork    a thread waits for a vfork child, which waits for a line
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t came;

static void count(int signal) {
    (void)signal;
    came++;
}

static void send_all(pid_t target, long count) {
    for (long i = 0; i < count; i++) {
        while (sigqueue(target, SIGRTMIN, (union sigval){.sival_int = 0}) != 0) {
            if (errno != EAGAIN) {
                _exit(1);
            }
            usleep(100);
        }
    }
    _exit(0);
}

static void wait_for_line(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
    }
}

static int be_flooded(long sent) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    wait_for_line();
    pid_t target = getpid();
    pid_t child = fork();
    if (child == 0) {
        send_all(target, sent);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        return 2;
    }
    printf("%ld\n", (long)came);
    return 0;
}

static void *wait_for_child(void *unused) {
    pid_t child = vfork();
    if (child == 0) {
        (void)!write(STDOUT_FILENO, "ready\n", 6);
        wait_for_line();
        _exit(0);
    }
    return unused;
}

int main(int argc, char **argv) {
    free(malloc(1));
    if (argc == 2 && strcmp(argv[1], "vfork") != 0) {
        printf("ready\n");
        fflush(stdout);
        return be_flooded(strtol(argv[1], NULL, 10));
    }
    pthread_t thread;
    return pthread_create(&thread, NULL, wait_for_child, NULL) != 0 ||
           pthread_join(thread, NULL) != 0;
}
