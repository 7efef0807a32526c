#include "trial.h"

#include "run/program.h"
#include "util/human.h"
#include "util/variable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

bool trial_possible(const char *name) {
    struct program program;
    if (program_find(name, &program) != 0) {
        return false;
    }
    if (program.obstacle != OBSTACLE_NONE) {
        say("%s %s; there is nothing to compare", program.loaded, obstacle_text(program.obstacle));
        return false;
    }
    return true;
}

static void move_fd(int from, int to) {
    if (from < 0 || dup2(from, to) < 0) {
        _exit(127);
    }
}

static void redirect(bool show_output) {
    struct stat about;
    bool is_file = fstat(0, &about) == 0 && S_ISREG(about.st_mode);
    // Opening it anew gives every run a position of its own, at the start.
    move_fd(open(is_file ? "/proc/self/fd/0" : "/dev/null", O_RDONLY | O_CLOEXEC), 0);
    if (!show_output) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        move_fd(nowhere, 1);
        move_fd(nowhere, 2);
    }
}

static void preload(const char *library) {
    if (library[0] != '\0' && !variable_join("LD_PRELOAD", library, ':', getenv("LD_PRELOAD"))) {
        _exit(127);
    }
}

// In the child. Why it could not be started goes through the pipe, which a started program closes.
static void become(const struct contestant *contestant, char *const *program, bool show_output,
                   int pipe_end) {
    redirect(show_output);
    preload(contestant->library);
    execvp(program[0], program);
    int error = errno;
    ssize_t put = write(pipe_end, &error, sizeof(error));
    _exit(put == (ssize_t)sizeof(error) ? 127 : 126);
}

static bool await(pid_t child, double start, struct measurement *result) {
    struct rusage used;
    int status = 0;
    while (wait4(child, &status, 0, &used) < 0) {
        if (errno != EINTR) {
            say("the program's end could not be awaited: %s", strerror(errno));
            return false;
        }
    }
    result->wall = seconds_now() - start;
    result->processor = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    result->peak = (uint64_t)used.ru_maxrss * 1024;
    result->faults = (uint64_t)(used.ru_minflt + used.ru_majflt);
    result->status = status;
    return true;
}

// The child is forked, not spawned: until it executes the program, its peak of resident memory
// would otherwise be this command's own, and a small program would seem to need as much.
bool trial_run(const struct contestant *contestant, char *const *program, bool show_output,
               struct measurement *result) {
    int ends[2];
    int error = 0;
    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        say("no pipe could be made: %s", strerror(errno));
        return false;
    }
    double start = seconds_now();
    pid_t child = fork();
    if (child == 0) {
        become(contestant, program, show_output, ends[1]);
    }
    int fork_error = errno;
    close(ends[1]);
    ssize_t got = read(ends[0], &error, sizeof(error));
    close(ends[0]);
    if (child < 0) {
        say("no process could be started: %s", strerror(fork_error));
        return false;
    }
    bool fine = await(child, start, result);
    if (got == (ssize_t)sizeof(error)) {
        say("%s cannot be started: %s", program[0], strerror(error));
        return false;
    }
    return fine;
}
