// In a container a thread has another number for itself than for those who look at it from outside.
// The heap holds the number that the thread gave; /proc and ptrace go by the other one.
#include "target.h"

#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct numbers {
    pid_t own;    // the last one
    size_t count; // one for each PID namespace, from that of /proc to the thread's own
};

static struct numbers read_numbers(pid_t pid, pid_t tid) {
    static const char field[] = "\nNSpid:";
    struct numbers numbers = {0};
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
    char *text = memory_file(path, NULL);
    char *at = text != NULL ? strstr(text, field) : NULL;
    for (at = at != NULL ? at + strlen(field) : NULL; at != NULL && *at == '\t'; numbers.count++) {
        numbers.own = (pid_t)strtol(at, &at, 10);
    }
    free(text);
    return numbers;
}

void target_find_own_numbers(struct target *target) {
    // All threads of a process are in one namespace, so that of the first one tells whether the
    // others have to be asked.
    bool inside = target->kind != TARGET_CORE && read_numbers(target->pid, target->pid).count > 1;
    for (size_t i = 0; i < target->thread_count; i++) {
        struct target_thread *thread = &target->threads[i];
        thread->own = inside ? read_numbers(target->pid, thread->tid).own : thread->tid;
    }
}

const struct target_thread *target_thread_named_by(const struct target *target, uint32_t own) {
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];
        if (own != 0 ? thread->own == (pid_t)own : thread->tid == target->pid) {
            return thread;
        }
    }
    return NULL;
}
