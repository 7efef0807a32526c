#include "subject.h"

#include "run/library.h"
#include "util/human.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE ((size_t)64 << 20)

// ---- in the subject: no stdio, so that every block on the heap is one of these ------------------

static void *keep(void *block) {
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

static bool report(int steps, int go, uint64_t address) {
    char byte;
    return write(steps, &address, sizeof(address)) == sizeof(address) && read(go, &byte, 1) == 1;
}

int subject_main(int steps, int go) {
    if (!report(steps, go, 0)) {
        return 1;
    }
    char *a = keep(malloc(10));
    if (a == NULL || !report(steps, go, (uintptr_t)a)) {
        return 1;
    }
    memset(a, 'A', 10);
    if (!report(steps, go, (uintptr_t)keep(a))) {
        return 1;
    }
    char *b = keep(malloc(15));
    if (b == NULL) {
        return 1;
    }
    memset(b, 'B', 15);
    if (!report(steps, go, (uintptr_t)keep(b))) {
        return 1;
    }
    uintptr_t was_at = (uintptr_t)a;
    free(a);
    if (!report(steps, go, was_at)) {
        return 1;
    }
    char *large = keep(malloc(LARGE));
    if (large == NULL || !report(steps, go, (uintptr_t)large)) {
        return 1;
    }
    free(large);
    free(b);
    return 0;
}

// ---- in the tour --------------------------------------------------------------------------------

static void become_subject(int steps, int go, bool with_lucid) {
    char path[PATH_MAX];
    char numbers[2][16];
    snprintf(numbers[0], sizeof(numbers[0]), "%d", steps);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", go);
    if (!with_lucid) {
        unsetenv("LD_PRELOAD");
    } else if (!library_find(path) || setenv("LD_PRELOAD", path, 1) != 0) {
        _exit(127);
    }
    execl("/proc/self/exe", "lucid", "tour", SUBJECT_ARGUMENT, numbers[0], numbers[1],
          (char *)NULL);
    _exit(127);
}

bool subject_start(struct subject *subject, bool with_lucid) {
    int steps[2];
    int go[2];
    if (pipe(steps) != 0 || pipe(go) != 0) {
        say("no pipe for the tour's program (%s)", strerror(errno));
        return false;
    }
    // The tour's own ends must not be open in the subject: it could not see the tour end.
    fcntl(steps[0], F_SETFD, FD_CLOEXEC);
    fcntl(go[1], F_SETFD, FD_CLOEXEC);
    out_flush(&out_standard);
    subject->pid = fork();
    if (subject->pid == 0) {
        become_subject(steps[1], go[0], with_lucid);
    }
    close(steps[1]);
    close(go[0]);
    subject->steps = steps[0];
    subject->go = go[1];
    uint64_t nothing = 0;
    if (subject->pid < 0 || read(subject->steps, &nothing, sizeof(nothing)) != sizeof(nothing)) {
        say("the tour's program could not be started");
        return false;
    }
    return true;
}

bool subject_step(struct subject *subject, uint64_t *pointer) {
    if (write(subject->go, "", 1) == 1 &&
        read(subject->steps, pointer, sizeof(*pointer)) == sizeof(*pointer)) {
        return true;
    }
    say("the tour's program ended too early");
    return false;
}

void subject_end(struct subject *subject) {
    if (write(subject->go, "", 1) != 1) {
        say("the tour's program ended too early");
    }
    close(subject->go);
    close(subject->steps);
    waitpid(subject->pid, NULL, 0);
}
