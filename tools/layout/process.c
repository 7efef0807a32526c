#include "process.h"

#include "util/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *proc_text(pid_t pid, const char *name, size_t *length) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%.32s", (int)pid, name);
    return memory_file(path, length);
}

// The numbers of stat behind the name, which may itself hold blanks and brackets. Field 3 of
// proc(5) is number 0 here.
static size_t stat_fields(const char *text, uint64_t *fields, size_t most) {
    const char *at = strrchr(text, ')');
    size_t count = 0;
    if (at == NULL || at[1] == 0 || at[2] == 0) {
        return 0;
    }
    fields[count++] = (unsigned char)at[2];
    at += 3;
    while (count < most && *at != 0) {
        char *end = NULL;
        fields[count] = strtoull(at, &end, 10);
        if (end == at) {
            break;
        }
        count++;
        at = end;
    }
    return count;
}

static void read_stat(struct process *process, pid_t pid) {
    uint64_t fields[50] = {0};
    char *text = proc_text(pid, "stat", NULL);
    if (text == NULL) {
        return;
    }
    process->known = stat_fields(text, fields, 50) >= 49;
    free(text);
    process->state = (char)fields[0];
    process->parent = (pid_t)fields[1];
    process->threads = fields[17];
    process->start_code = fields[23];
    process->end_code = fields[24];
    process->start_stack = fields[25];
    process->start_data = fields[42];
    process->end_data = fields[43];
    process->start_brk = fields[44];
    process->arg_start = fields[45];
    process->arg_end = fields[46];
    process->env_start = fields[47];
    process->env_end = fields[48];
}

static uint64_t status_number(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void read_status(struct process *process, pid_t pid) {
    char *text = proc_text(pid, "status", NULL);
    if (text == NULL) {
        return;
    }
    process->user = status_number(text, "\nUid:");
    process->page_tables = status_number(text, "\nVmPTE:") * 1024;
    process->resident = status_number(text, "\nVmRSS:") * 1024;
    process->swapped = status_number(text, "\nVmSwap:") * 1024;
    process->peak_resident = status_number(text, "\nVmHWM:") * 1024;
    process->virtual_size = status_number(text, "\nVmSize:") * 1024;
    free(text);
}

static void count_files(struct process *process, pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        process->open_files += entry->d_name[0] != '.';
    }
    closedir(folder);
    process->files_known = true;
}

static void read_command(struct process *process, pid_t pid) {
    size_t length = 0;
    char *text = proc_text(pid, "cmdline", &length);
    for (size_t i = 0; text != NULL && i + 1 < length; i++) {
        text[i] = text[i] == 0 ? ' ' : text[i];
    }
    snprintf(process->command, sizeof(process->command), "%s", text != NULL ? text : "");
    free(text);
}

// As the kernel counts them, which leaves its own page at the end of all addresses out.
static uint64_t mapped_bytes(const struct target *target) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        bytes += region->start < (uint64_t)1 << 63 ? region->end - region->start : 0;
    }
    return bytes;
}

void process_read(struct process *process, const struct target *target) {
    memset(process, 0, sizeof(*process));
    if (target->kind == TARGET_CORE || target->pid == 0) {
        process->threads = target->thread_count;
        process->virtual_size = mapped_bytes(target);
        return;
    }
    read_stat(process, target->alive);
    read_status(process, target->alive);
    count_files(process, target->alive);
    read_command(process, target->alive);
}

const char *process_state_text(char state) {
    switch (state) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "waiting for a device";
    case 'T':
        return "stopped by a signal";
    case 't':
        return "stopped by a tracer";
    case 'Z':
        return "a zombie";
    case 'I':
        return "idle";
    default:
        return "in an unknown state";
    }
}

// With 4-level page tables user space has 47 bits, with 5-level ones 56; the last page is unused.
uint64_t process_user_end(const struct target *target) {
    uint64_t low_end = ((uint64_t)1 << 47) - target->page_size;
    for (size_t i = 0; i < target->regions.count; i++) {
        uint64_t end = target->regions.list[i].end;
        if (end > low_end && end < (uint64_t)1 << 63) {
            return ((uint64_t)1 << 56) - target->page_size;
        }
    }
    return low_end;
}
