/*
 * measure REPORT PROG ARGS: runs PROG, then writes its time and peak memory to the file REPORT.
 *
 * The kernel counts a program's peak from fork on, so whoever starts it has to be small: a peak
 * taken by an interpreter would be the interpreter's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void start(char **program) {
    // The allocator under test arrives in a variable of our own, so that only PROG is under it.
    const char *preload = getenv("MEASURE_PRELOAD");
    if (preload != NULL) {
        setenv("LD_PRELOAD", preload, 1);
    }
    unsetenv("MEASURE_PRELOAD");
    execvp(program[0], program);
    fprintf(stderr, "measure: cannot run %s: %s\n", program[0], strerror(errno));
    _exit(127);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: measure REPORT PROG [ARGS]\n", stderr);
        return 64;
    }
    double begin = seconds();
    pid_t child = fork();
    if (child == 0) {
        start(argv + 2);
    }
    int status = 0;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        perror("measure: cannot start a process");
        return 2;
    }
    double end = seconds();
    FILE *report = fopen(argv[1], "w");
    if (report == NULL || fprintf(report, "%.6f %ld\n", end - begin, usage.ru_maxrss) < 0 ||
        fclose(report) != 0) {
        perror("measure: cannot write the report");
        return 2;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
