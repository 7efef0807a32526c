// --freeze: all threads of a living target are stopped with ptrace while its tables are copied.
// A thread is interrupted without a signal, and if the tool dies the kernel lets all of them run.
#include "processor.h"
#include "target.h"

#include "util/human.h"
#include "util/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

struct freezer {
    pid_t *threads;
    size_t count;
    size_t capacity;
};

static bool is_frozen(const struct freezer *freezer, pid_t tid) {
    for (size_t i = 0; i < freezer->count; i++) {
        if (freezer->threads[i] == tid) {
            return true;
        }
    }
    return false;
}

// Asks a thread to stop. 1: it will. 0: it has ended, which the kernel calls EPERM while it is
// listed. -1: refused, see errno.
static int interrupt_thread(struct freezer *freezer, pid_t pid, pid_t tid) {
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        int error = errno;
        bool ended = error == ESRCH || target_thread_ended(pid, tid);
        errno = error;
        return ended ? 0 : -1;
    }
    freezer->threads =
        memory_grow(freezer->threads, freezer->count, &freezer->capacity, sizeof(pid_t));
    freezer->threads[freezer->count++] = tid;
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return 1;
}

// All are asked before the first is waited for: a busy thread stops when it gets a processor.
static void wait_for_stops(const struct freezer *freezer, size_t first) {
    for (size_t i = first; i < freezer->count; i++) {
        int status;
        while (waitpid(freezer->threads[i], &status, __WALL) < 0 && errno == EINTR) {
        }
    }
}

// Freezes what is not frozen yet. Returns how many that were, -1 when refused.
static int freeze_round(struct target *target) {
    char path[64];
    int fresh = 0;
    size_t before = target->freezer->count;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)target->pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return -1;
    }
    struct dirent *entry;
    while (fresh >= 0 && (entry = readdir(folder)) != NULL) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid > 0 && !is_frozen(target->freezer, tid)) {
            int result = interrupt_thread(target->freezer, target->pid, tid);
            fresh = result < 0 ? -1 : fresh + result;
        }
    }
    int error = errno;
    closedir(folder);
    wait_for_stops(target->freezer, before);
    errno = error;
    return fresh;
}

static void read_registers(struct target *target) {
    target_list_threads(target);
    for (size_t i = 0; i < target->thread_count; i++) {
        struct target_thread *thread = &target->threads[i];
        struct processor_state state;
        if (processor_read(thread->tid, &state)) {
            thread->has_registers = true;
            thread->pc = state.pc;
            thread->sp = state.sp;
        }
    }
}

bool target_freeze(struct target *target) {
    if (target->kind != TARGET_LIVE || target->launch != NULL) {
        return true; // it stands still already
    }
    target->freezer = memory_take(sizeof(*target->freezer));
    target->pause_start = target_clock();
    target->pause = PAUSE_FROZEN;
    // A thread may start others until it is stopped itself: look again until there is no new one.
    int fresh = 0;
    do {
        fresh = freeze_round(target);
    } while (fresh > 0);
    if (fresh < 0) {
        int error = errno;
        target_thaw(target);
        pid_t tracer = target_tracer(target->pid);
        if (tracer != 0) {
            say("%s cannot be frozen: process %d traces it (gdb, strace); leave out --freeze, or "
                "end that one",
                target->label, (int)tracer);
        } else {
            target_refused(target, "the threads", error);
            say("%s; or leave out --freeze", target->obstacle);
        }
        return false;
    }
    read_registers(target);
    return true;
}

void target_thaw(struct target *target) {
    struct freezer *freezer = target->freezer;
    if (freezer == NULL) {
        return;
    }
    for (size_t i = 0; i < freezer->count; i++) {
        ptrace(PTRACE_DETACH, freezer->threads[i], NULL, NULL);
    }
    target->pause_length = target_clock() - target->pause_start;
    free(freezer->threads);
    free(freezer);
    target->freezer = NULL;
}
