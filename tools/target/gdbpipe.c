#include "gdbpipe.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool write_text(int fd, const char *text) {
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written <= 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    return true;
}

static bool read_exactly(int fd, char *to, size_t length) {
    while (length > 0) {
        ssize_t got = read(fd, to, length);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        if (got > 0) {
            to += got;
            length -= (size_t)got;
        }
    }
    return true;
}

// The line with the count that begins every answer. False: gdb has gone.
static bool read_count(const struct gdb_pipe *pipe, size_t *count) {
    char line[32];
    size_t used = 0;
    do {
        if (used + 1 == sizeof(line) || !read_exactly(pipe->answer, line + used, 1)) {
            return false;
        }
    } while (line[used++] != '\n');
    line[used - 1] = 0;
    uint64_t number = 0;
    bool fine = human_to_number(line, &number);
    *count = (size_t)number;
    return fine;
}

static size_t read_gdb(void *context, uint64_t address, void *to, size_t length) {
    struct target *target = context;
    char question[64];
    size_t count = 0;
    snprintf(question, sizeof(question), "read %llx %zx\n", ull(address), length);
    if (!write_text(target->gdb->ask, question) || !read_count(target->gdb, &count) ||
        count > length || !read_exactly(target->gdb->answer, to, count)) {
        return 0;
    }
    return count;
}

static char *ask_text(struct target *target, const char *question) {
    size_t count = 0;
    if (!write_text(target->gdb->ask, question) || !read_count(target->gdb, &count) ||
        count > (size_t)1 << 30) {
        return NULL;
    }
    char *text = memory_take(count + 1);
    if (!read_exactly(target->gdb->answer, text, count)) {
        free(text);
        return NULL;
    }
    return text;
}

static void read_threads(struct target *target) {
    char *text = ask_text(target, "threads\n");
    size_t capacity = 0;
    for (char *line = text; line != NULL && *line != 0;) {
        char *end = strchr(line, '\n');
        int tid = 0;
        unsigned long long pc = 0;
        unsigned long long sp = 0;
        struct target_thread thread = {.state = 't', .has_registers = true};
        if (end != NULL) {
            *end = 0;
        }
        if (sscanf(line, "%d %llx %llx %16[^\n]", &tid, &pc, &sp, thread.name) >= 3) {
            thread.tid = tid;
            thread.pc = pc;
            thread.sp = sp;
            target->threads =
                memory_grow(target->threads, target->thread_count, &capacity, sizeof(thread));
            target->threads[target->thread_count++] = thread;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    free(text);
    target_find_own_numbers(target);
}

// `pipes` is "ASK,ANSWER,PID,NAME": two file descriptors and what gdb knows of its program.
bool target_open_gdb(struct target *target, const char *pipes) {
    struct gdb_pipe *pipe = memory_take(sizeof(*pipe));
    int pid = 0;
    target->kind = TARGET_GDB;
    target->memory_fd = -1;
    target->gdb = pipe;
    target->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    target->view = (struct view){.read = read_gdb, .context = target};
    target->pause = PAUSE_STOPPED;
    if (sscanf(pipes, "%d,%d,%d,%63[^\n]", &pipe->ask, &pipe->answer, &pid, target->name) < 3) {
        say("--gdb-pipe is for the gdb plugin: two file descriptors, a process number, a name");
        return false;
    }
    target->pid = pid;
    target->alive = target_alive(pid);
    snprintf(target->label, sizeof(target->label), "gdb's process %d (%s)", pid, target->name);
    name_shown(target->label, sizeof(target->label), target->label);
    char *maps = ask_text(target, "maps\n");
    if (maps == NULL || maps[0] == 0) {
        say("gdb does not tell the address space of its program; start it first (`starti`)");
        free(maps);
        return false;
    }
    regions_parse(&target->regions, maps);
    free(maps);
    read_threads(target);
    target->memory_readable = true;
    return true;
}
