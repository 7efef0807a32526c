// A living process: its memory through process_vm_readv and /proc/PID/mem, the rest from /proc.
// Nothing here stops it.
#include "target.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"
#include "util/regular.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// The kernel copies in pieces of at most this size, so that a signal does not wait for long.
#define PIECE ((size_t)64 << 20)

// Of a thread's flags in /proc/PID/stat, from the kernel's include/linux/sched.h.
#define PF_EXITING 0x00000004u
#define PF_KTHREAD 0x00200000u

uint64_t target_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static char *proc_file(pid_t pid, const char *name, size_t *length) {
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return memory_file(path, length);
}

// What process_vm_readv refuses although the page exists (no read access), /proc/PID/mem gives.
static size_t read_through_file(struct target *target, uint64_t address, char *to, size_t length) {
    if (target->memory_fd < 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/mem", (int)target->alive);
        target->memory_fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (target->memory_fd < 0 || address > INT64_MAX) {
        return 0;
    }
    ssize_t got = pread(target->memory_fd, to, length, (off_t)address);
    return got > 0 ? (size_t)got : 0;
}

// The thread by which the memory was reached may have ended. True: there is another one.
static bool find_another(struct target *target) {
    pid_t before = target->alive;
    target->alive = target_alive(target->pid);
    if (target->alive != before && target->memory_fd >= 0) {
        close(target->memory_fd);
        target->memory_fd = -1;
    }
    return target->alive != before;
}

static size_t read_piece(struct target *target, uint64_t address, char *to, size_t length) {
    struct iovec local = {.iov_base = to, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = length};
    ssize_t got = 0;
    do {
        got = process_vm_readv(target->alive, &local, 1, &remote, 1, 0);
    } while (got < 0 && errno == ESRCH && find_another(target));
    return got > 0 ? (size_t)got : read_through_file(target, address, to, length);
}

static size_t read_live(void *context, uint64_t address, void *to, size_t length) {
    struct target *target = context;
    size_t done = 0;
    while (done < length) {
        size_t want = length - done < PIECE ? length - done : PIECE;
        size_t piece = read_piece(target, address + done, (char *)to + done, want);
        if (piece == 0) {
            break;
        }
        done += piece;
    }
    return done;
}

static bool read_name(struct target *target) {
    size_t length = 0;
    char *text = proc_file(target->pid, "comm", &length);
    if (text == NULL) {
        return false;
    }
    if (length > 0 && text[length - 1] == '\n') {
        text[length - 1] = 0; // the kernel's; the name may have others
    }
    snprintf(target->name, sizeof(target->name), "%s", text);
    snprintf(target->label, sizeof(target->label), "process %d (%s)", (int)target->pid,
             name_shown(text, length + 1, text));
    free(text);
    return true;
}

bool target_regions(struct target *target, bool counts) {
    if (target->kind == TARGET_CORE || target->pid == 0) {
        return true; // what was given at the start is all there is
    }
    target->alive = target_alive(target->pid);
    char *text = counts ? proc_file(target->alive, "smaps", NULL) : NULL;
    if (text == NULL) {
        text = proc_file(target->alive, "maps", NULL);
    }
    if (text == NULL) {
        return false;
    }
    regions_free(&target->regions);
    regions_parse(&target->regions, text);
    free(text);
    return true;
}

uint64_t target_program(pid_t alive) {
    size_t length = 0;
    char *bytes = proc_file(alive, "auxv", &length);
    uint64_t sum = bytes != NULL && length > 0 ? 0xcbf29ce484222325 : 0; // FNV-1a
    for (size_t i = 0; sum != 0 && i < length; i++) {
        sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3;
    }
    free(bytes);
    return sum;
}

// The auxiliary vector as the kernel gave it to the program.
static void read_auxv(struct target *target) {
    size_t length = 0;
    char *bytes = proc_file(target->alive, "auxv", &length);
    for (size_t at = 0; bytes != NULL && at + sizeof(Elf64_auxv_t) <= length;
         at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, bytes + at, sizeof(entry));
        if (entry.a_type == AT_ENTRY) {
            target->entry = entry.a_un.a_val;
        } else if (entry.a_type == AT_PHDR) {
            target->headers = entry.a_un.a_val;
        } else if (entry.a_type == AT_PAGESZ) {
            target->page_size = entry.a_un.a_val;
        }
    }
    free(bytes);
}

static bool is_32_bit(const struct target *target) {
    char path[64];
    unsigned char ident[EI_NIDENT] = {0};
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)target->alive);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false; // not ours to open; the maps decide
    }
    ssize_t got = read(fd, ident, sizeof(ident));
    close(fd);
    return got == sizeof(ident) && memcmp(ident, ELFMAG, SELFMAG) == 0 &&
           ident[EI_CLASS] == ELFCLASS32;
}

// Name and state of one thread from its stat file.
static bool describe_thread(pid_t pid, pid_t tid, struct target_thread *thread) {
    char name[64];
    snprintf(name, sizeof(name), "task/%d/stat", (int)tid);
    char *text = proc_file(pid, name, NULL);
    if (text == NULL) {
        return false; // it ended while we looked
    }
    memset(thread, 0, sizeof(*thread));
    thread->tid = tid;
    char *first = strchr(text, '(');
    char *last = strrchr(text, ')');
    if (first != NULL && last != NULL && last > first && last[1] == ' ') {
        snprintf(thread->name, sizeof(thread->name), "%.*s", (int)(last - first - 1), first + 1);
        sscanf(last + 2, "%c %*d %*d %*d %*d %*d %u", &thread->state, &thread->flags);
    }
    free(text);
    return true;
}

static void probe_memory(struct target *target) {
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        char byte;
        if (region->rights[0] != 'r' || region->name[0] != '/') {
            continue;
        }
        struct iovec local = {.iov_base = &byte, .iov_len = 1};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)region->start, .iov_len = 1};
        errno = 0;
        if (process_vm_readv(target->alive, &local, 1, &remote, 1, 0) == 1 ||
            read_through_file(target, region->start, &byte, 1) == 1) {
            target->memory_readable = true;
            return;
        }
        if (errno == EPERM || errno == EACCES || errno == ESRCH || errno == ENOSYS) {
            target_refused(target, "the memory", errno);
            return;
        }
    }
    target_refused(target, "the memory", EPERM);
}

static void say_no_memory(const struct target *target) {
    struct target_thread thread = {0};
    describe_thread(target->pid, target->alive, &thread);
    if (thread.state == 'Z') {
        say("%s has ended: it is a zombie without memory, until its parent takes note of it; `ps "
            "-e` lists those that run",
            target->label);
    } else if (thread.flags & PF_KTHREAD) {
        say("%s has no memory of its own: it is a kernel thread; look for another one",
            target->label);
    } else if (!target_say_fate(target)) {
        say("%s shows no memory at this moment; run the command again", target->label);
    }
}

bool target_open_live(struct target *target, pid_t pid) {
    pid = target_process(pid); // top, perf and gdb show threads by their own numbers
    target->kind = TARGET_LIVE;
    target->pid = pid;
    target->alive = target_alive(pid);
    target->memory_fd = -1;
    target->view = (struct view){.read = read_live, .context = target};
    target->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    if (pid <= 0 || !read_name(target)) {
        target_not_there(pid);
        return false;
    }
    target->program = target_program(target->alive); // before the rest, which may be another's
    if (is_32_bit(target)) {
        say("%s is a 32-bit program; lucid and its reader are for 64-bit programs only",
            target->label);
        return false;
    }
    // Of a process without memory some kernels show an empty list, others refuse it with ESRCH.
    if (!target_regions(target, false) && errno != ESRCH) {
        target_refused(target, "the address space", errno);
        say("%s", target->obstacle);
        return false;
    }
    if (target->regions.count == 0) {
        say_no_memory(target);
        return false;
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)target->alive);
    ssize_t length = readlink(path, target->executable, sizeof(target->executable) - 1);
    target->executable[length > 0 ? length : 0] = 0;
    read_auxv(target);
    probe_memory(target);
    return true;
}

static int by_tid(const void *left, const void *right) {
    const struct target_thread *a = left;
    const struct target_thread *b = right;
    return (a->tid > b->tid) - (a->tid < b->tid);
}

bool target_thread_ended(pid_t pid, pid_t tid) {
    struct target_thread thread;
    return !describe_thread(pid, tid, &thread) || thread.state == 'Z' || thread.state == 'X' ||
           (thread.flags & PF_EXITING) != 0;
}

pid_t target_alive(pid_t pid) {
    char path[64];
    pid_t alive = pid;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = target_thread_ended(pid, pid) ? opendir(path) : NULL;
    struct dirent *entry;
    while (alive == pid && folder != NULL && (entry = readdir(folder)) != NULL) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        alive = tid > 0 && !target_thread_ended(pid, tid) ? tid : pid;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return alive;
}

// Where a sleeping thread is; the kernel tells it only to those who may trace it.
static void read_syscall(pid_t pid, struct target_thread *thread) {
    char name[64];
    snprintf(name, sizeof(name), "task/%d/syscall", (int)thread->tid);
    char *text = proc_file(pid, name, NULL);
    if (text == NULL) {
        return;
    }
    char *end = strchr(text, '\n');
    char *sp = NULL;
    char *pc = NULL;
    if (end != NULL) {
        *end = 0;
    }
    if ((pc = strrchr(text, ' ')) != NULL) {
        *pc = 0;
        sp = strrchr(text, ' ');
    }
    if (sp != NULL) {
        thread->pc = strtoull(pc + 1, NULL, 16);
        thread->sp = strtoull(sp + 1, NULL, 16);
        thread->has_registers = thread->pc != 0;
    }
    free(text);
}

void target_list_threads(struct target *target) {
    if (target->kind != TARGET_LIVE) {
        return; // a core brought them along
    }
    char path[64];
    size_t capacity = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)target->pid);
    DIR *folder = opendir(path);
    free(target->threads);
    target->threads = NULL;
    target->thread_count = 0;
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct target_thread thread;
        if (tid > 0 && describe_thread(target->pid, tid, &thread)) {
            read_syscall(target->pid, &thread);
            target->threads =
                memory_grow(target->threads, target->thread_count, &capacity, sizeof(thread));
            target->threads[target->thread_count++] = thread;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    if (target->thread_count > 0) {
        qsort(target->threads, target->thread_count, sizeof(struct target_thread), by_tid);
    }
    target_find_own_numbers(target);
}

static int open_at(pid_t pid, const char *format, const char *name) {
    char path[4200];
    int length = snprintf(path, sizeof(path), format, (int)pid, name);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return -1;
    }
    return regular_open(path);
}

// A path may lead to another file by now; the inode tells.
static bool same_file(int fd, const struct region *region) {
    struct stat file;
    return fd >= 0 && fstat(fd, &file) == 0 && (region->inode == 0 || file.st_ino == region->inode);
}

int target_open_file(const struct target *target, const struct region *region) {
    char range[64];
    int fd = -1;
    if (region->name[0] != '/') {
        return -1;
    }
    if (target->pid == 0 || target->kind == TARGET_CORE) {
        return regular_open(region->name);
    }
    if (strcmp(region->name, target->executable) == 0 || region->deleted) {
        fd = open_at(target->alive, "/proc/%d/exe%s", "");
        if (same_file(fd, region)) {
            return fd;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    fd = open_at(target->alive, "/proc/%d/root%s", region->name);
    if (same_file(fd, region)) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    snprintf(range, sizeof(range), "%llx-%llx", ull(region->start), ull(region->end));
    return open_at(target->alive, "/proc/%d/map_files/%s", range); // needs a capability
}
