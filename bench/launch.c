// Starts one program, waits for it and tells what it used: elapsed and processor time, its own
// peak of resident memory, page faults and context switches, as one line of key=value on stdout.
//
// It exists because a child takes over the high-water mark of resident memory of the process it
// was started from until it calls exec: started from a Python harness, every small program would
// seem to use Python's memory. This one is linked statically and stays below any of them.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct job {
    const char *variable; // which variable carries the library: LD_PRELOAD or BENCH_PRELOAD
    const char *library;
    const char *in;
    const char *out;
    const char *err;
    unsigned seconds; // after so many the program and its children are killed
};

extern char **environ;

static volatile sig_atomic_t child;
static volatile sig_atomic_t timed_out;

static void usage(void) {
    fputs("usage: launch [-p LIBRARY | -e LIBRARY] [-i STDIN] [-o STDOUT] [-x STDERR]"
          " [-t SECONDS] -- PROGRAM [ARGUMENT]...\n",
          stderr);
    exit(64);
}

static void check(int error, const char *what) {
    if (error != 0) {
        fprintf(stderr, "launch: %s: %s\n", what, strerror(error));
        exit(2);
    }
}

static void stop(int signal) {
    timed_out = signal == SIGALRM ? 1 : 2;
    if (child > 0) {
        kill(-child, SIGKILL);
    }
}

static void watch(unsigned seconds) {
    struct sigaction action = {.sa_handler = stop};
    check(sigaction(SIGALRM, &action, NULL) == 0 ? 0 : errno, "sigaction");
    check(sigaction(SIGINT, &action, NULL) == 0 ? 0 : errno, "sigaction");
    check(sigaction(SIGTERM, &action, NULL) == 0 ? 0 : errno, "sigaction");
    alarm(seconds);
}

static void redirect(posix_spawn_file_actions_t *actions, const struct job *job) {
    const int write = O_WRONLY | O_CREAT | O_TRUNC;
    check(posix_spawn_file_actions_addopen(actions, 0, job->in, O_RDONLY, 0), "stdin");
    check(posix_spawn_file_actions_addopen(actions, 1, job->out, write, 0644), "stdout");
    check(posix_spawn_file_actions_addopen(actions, 2, job->err, write, 0644), "stderr");
}

static pid_t start(const struct job *job, char **program) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = 0;
    if (job->library != NULL) {
        check(setenv(job->variable, job->library, 1) == 0 ? 0 : errno, "setenv");
    }
    check(posix_spawn_file_actions_init(&actions), "posix_spawn_file_actions_init");
    redirect(&actions, job);
    check(posix_spawnattr_init(&attributes), "posix_spawnattr_init");
    // A group of its own, so that a timeout reaches the program's children too.
    check(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP), "posix_spawnattr_setflags");
    check(posix_spawnattr_setpgroup(&attributes, 0), "posix_spawnattr_setpgroup");
    check(posix_spawnp(&pid, program[0], &actions, &attributes, program, environ), program[0]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return pid;
}

static int64_t nanoseconds(void) {
    struct timespec t;
    check(clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? 0 : errno, "clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long long microseconds(struct timeval t) {
    return (long long)t.tv_sec * 1000000 + t.tv_usec;
}

static void tell(int64_t wall, int status, const struct rusage *use) {
    printf("wall_ns=%lld user_us=%lld sys_us=%lld rss_kib=%ld minflt=%ld majflt=%ld nvcsw=%ld"
           " nivcsw=%ld exit=%d signal=%d timeout=%d\n",
           (long long)wall, microseconds(use->ru_utime), microseconds(use->ru_stime),
           use->ru_maxrss, use->ru_minflt, use->ru_majflt, use->ru_nvcsw, use->ru_nivcsw,
           WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
           (int)timed_out);
}

static struct job options(int argc, char **argv) {
    struct job job = {NULL, NULL, "/dev/null", "/dev/null", "/dev/null", 300};
    int c = 0;
    while ((c = getopt(argc, argv, "+p:e:i:o:x:t:")) != -1) {
        switch (c) {
        case 'p':
        case 'e':
            job.variable = c == 'p' ? "LD_PRELOAD" : "BENCH_PRELOAD";
            job.library = optarg;
            break;
        case 'i':
            job.in = optarg;
            break;
        case 'o':
            job.out = optarg;
            break;
        case 'x':
            job.err = optarg;
            break;
        case 't':
            job.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            usage();
        }
    }
    return job;
}

int main(int argc, char **argv) {
    struct job job = options(argc, argv);
    struct rusage use;
    int status = 0;
    if (optind >= argc || job.seconds == 0) {
        usage();
    }
    watch(job.seconds);
    int64_t before = nanoseconds();
    pid_t pid = start(&job, argv + optind);
    child = pid;
    while (wait4(pid, &status, 0, &use) < 0) {
        check(errno == EINTR ? 0 : errno, "wait4");
    }
    tell(nanoseconds() - before, status, &use);
    return fflush(stdout) == 0 ? 0 : 2;
}
