#include "silence.h"

#include "util/human.h"
#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is behind "\nNAME:" in a status file; "": it is not there. The first line is the thread's
// own name, in which anything may stand.
static const char *field_of(const char *text, const char *field) {
    const char *at = text != NULL ? strstr(text, field) : NULL;
    return at != NULL ? at + strlen(field) : "";
}

static bool has_signal(const char *text, const char *field, uint32_t number) {
    return number - 1 < 64 && strtoull(field_of(text, field), NULL, 16) >> (number - 1) & 1;
}

static bool is_blocked_everywhere(struct target *target, uint32_t number) {
    target_list_threads(target);
    bool everywhere = target->thread_count > 0;
    for (size_t i = 0; i < target->thread_count && everywhere; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)target->pid,
                 (int)target->threads[i].tid);
        char *text = memory_file(path, NULL);
        everywhere = text == NULL || has_signal(text, "\nSigBlk:", number);
        free(text);
    }
    return everywhere;
}

void silence_explain(struct target *target, uint32_t signal, bool heard, unsigned patience) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)target_alive(target->pid));
    char *status = memory_file(path, NULL);
    const char *state = field_of(status, "\nState:\t");
    if (status == NULL || *state == 'Z' || *state == 'X') {
        say("%s has ended before it could answer", target->label);
    } else if (*state == 't') {
        say("%s is stopped by process %d, which traces it (gdb, strace), and cannot answer; let it "
            "go on there",
            target->label, (int)target_tracer(target->pid));
    } else if (*state == 'T') {
        say("%s is stopped and cannot answer; let it go on with `kill -CONT %d`", target->label,
            (int)target->pid);
    } else if (!has_signal(status, "\nSigCgt:", signal)) {
        say("%s has put lucid's handler for SIGURG away, so it cannot be asked", target->label);
    } else if (is_blocked_everywhere(target, signal)) {
        say("%s blocks SIGURG in all of its threads, so it cannot be asked", target->label);
    } else if (!heard) {
        say("%s has a handler of its own for SIGURG, so it cannot be asked", target->label);
    } else {
        say("%s has not answered within %u s; try again, or with a longer --timeout", target->label,
            patience);
    }
    free(status);
}
