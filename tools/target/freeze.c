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
#include <time.h>

// A thread that waits in the kernel for what no signal ends (a disk, the exec of its vfork child)
// stops when that is over; the others stand still meanwhile.
#define STOP_NS UINT64_C(1000000000)
#define LOOK_AGAIN_NS 50000

struct frozen {
    pid_t tid;
    int signal; // that it was about to take when it stopped, 0: none
};

struct freezer {
    struct frozen *threads;
    size_t count;
    size_t capacity;
    pid_t stuck; // a thread that did not stop, 0: none
};

static bool is_frozen(const struct freezer *freezer, pid_t tid) {
    for (size_t i = 0; i < freezer->count; i++) {
        if (freezer->threads[i].tid == tid) {
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
        memory_grow(freezer->threads, freezer->count, &freezer->capacity, sizeof(struct frozen));
    freezer->threads[freezer->count++] = (struct frozen){.tid = tid};
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return 1;
}

// Has it stopped, or ended? A signal may have come first: the thread has stopped to be given it,
// and gets it when it is let go.
static bool has_stopped(struct frozen *thread) {
    int status;
    pid_t changed = waitpid(thread->tid, &status, __WALL | WNOHANG);
    if (changed > 0 && WIFSTOPPED(status) && status >> 16 == 0) {
        thread->signal = WSTOPSIG(status);
    }
    return changed != 0;
}

// All are asked before the first is waited for: a busy thread stops when it gets a processor.
static bool wait_for_stops(struct freezer *freezer, size_t first) {
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
    uint64_t start = target_clock();
    for (size_t i = first; i < freezer->count; i++) {
        while (!has_stopped(&freezer->threads[i])) {
            if (target_clock() - start > STOP_NS) {
                freezer->stuck = freezer->threads[i].tid;
                return false;
            }
            (void)nanosleep(&pause, NULL);
        }
    }
    return true;
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
    bool stopped = wait_for_stops(target->freezer, before);
    errno = error;
    return stopped ? fresh : -1;
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

static void say_not_frozen(struct target *target, pid_t stuck, int error) {
    pid_t tracer = target_tracer(target->pid);
    if (target_say_fate(target)) {
        return;
    }
    if (stuck != 0) {
        say("%s cannot be frozen: its thread %d does not stop (it waits for a device, or for a "
            "vfork child to exec); leave out --freeze, or try again",
            target->label, (int)stuck);
    } else if (tracer != 0) {
        say("%s cannot be frozen: process %d traces it (gdb, strace); leave out --freeze, or "
            "end that one",
            target->label, (int)tracer);
    } else {
        target_refused(target, "the threads", error);
        say("%s; or leave out --freeze", target->obstacle);
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
        pid_t stuck = target->freezer->stuck;
        target_thaw(target);
        say_not_frozen(target, stuck, error);
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
        const struct frozen *thread = &freezer->threads[i];
        ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(intptr_t)thread->signal);
    }
    target->pause_length = target_clock() - target->pause_start;
    free(freezer->threads);
    free(freezer);
    target->freezer = NULL;
}
