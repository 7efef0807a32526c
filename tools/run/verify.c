// lucid verify: does a process use lucid, and which version?
#include "../commands.h"

#include "binary.h"
#include "layout.h"
#include "target/target.h"
#include "util/human.h"
#include "util/name.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct process {
    int id;
    int alive; // a thread by which it is read, see target_alive
    char name[32];
    struct binary program; // what its executable says
    // The mapped file that carries lucid's note; empty while none was found.
    char path[PATH_MAX];
    struct binary lucid;
    uint64_t start; // where it is mapped
};

static void print_help(FILE *out) {
    fputs("usage: lucid verify PID\n\n"
          "Tells whether the process PID has lucid, which version, and whether its memory comes\n"
          "from there. Exit codes: 0 yes, 1 no, 2 cannot read the process, 64 wrong usage.\n\n"
          "example: lucid verify $(pidof -s redis-server)\n",
          out);
}

static bool parse_pid(const char *text, int *id) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    *id = (int)number;
    return errno == 0 && *end == '\0' && end != text && number > 0 && number <= INT_MAX;
}

static void read_name(struct process *process) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", process->id);
    snprintf(process->name, sizeof(process->name), "?");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return;
    }
    size_t length = fread(process->name, 1, sizeof(process->name) - 1, file);
    fclose(file);
    if (length > 0) {
        process->name[length - 1] = '\0'; // the kernel's end of line; the name may have others
    }
}

// One line of maps: if it is the beginning of a file with lucid's note, remembers it.
static void read_line(struct process *process, char *line) {
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    int name_at = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*u %n", &start, &end, &offset,
               &name_at) != 3 ||
        name_at == 0 || line[name_at] != '/' || offset != 0) {
        return;
    }
    // The kernel's own link leads to the file even if its name was taken away or is in another
    // mount namespace; following it needs rights that its name may not need, so both are tried.
    struct binary binary;
    char link[PATH_MAX + 32];
    snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, process->alive, start,
             end);
    if (binary_read(link, &binary) != BINARY_READ) {
        snprintf(link, sizeof(link), "/proc/%d/root%s", process->alive, line + name_at);
        if (binary_read(link, &binary) != BINARY_READ) {
            return;
        }
    }
    if (binary.version[0] != '\0') {
        process->lucid = binary;
        process->start = start;
        snprintf(process->path, sizeof(process->path), "%s", line + name_at);
    }
}

// False: the process cannot be read; errno tells why.
static bool read_process(struct process *process) {
    char path[64];
    process->alive = target_alive(process->id);
    snprintf(path, sizeof(path), "/proc/%d/exe", process->alive);
    if (binary_read(path, &process->program) == BINARY_UNREADABLE) {
        return false;
    }
    snprintf(path, sizeof(path), "/proc/%d/maps", process->alive);
    FILE *maps = fopen(path, "r");
    if (maps == NULL) {
        return false;
    }
    char *line = NULL;
    size_t capacity = 0;
    while (process->path[0] == '\0' && getline(&line, &capacity, maps) > 0) {
        read_line(process, line);
    }
    free(line);
    bool whole = ferror(maps) == 0;
    fclose(maps);
    read_name(process);
    return whole;
}

enum root_result { ROOT_LIVE, ROOT_ASLEEP, ROOT_HIDDEN };

// Has this lucid served anything? Then its arena has a first run, or there is a mapping.
static enum root_result read_root(const struct process *process) {
    struct lucid_root root;
    uint64_t address = process->start - process->lucid.first + process->lucid.root;
    struct iovec here = {&root, sizeof(root)};
    struct iovec there = {(void *)(uintptr_t)address, sizeof(root)};
    if (process->lucid.root == 0 ||
        process_vm_readv(process->alive, &here, 1, &there, 1, 0) != (ssize_t)sizeof(root)) {
        return ROOT_HIDDEN;
    }
    if (strncmp(root.fixed.magic, LUCID_LAYOUT_MAGIC, sizeof(root.fixed.magic)) != 0) {
        return ROOT_ASLEEP; // its first allocation would have written that
    }
    if (root.fixed.version != LUCID_LAYOUT_VERSION) {
        return ROOT_HIDDEN;
    }
    return root.live.top > 1 || root.live.mappings.bytes > 0 ? ROOT_LIVE : ROOT_ASLEEP;
}

static int report(const struct process *process) {
    char shown[PATH_MAX];
    char version[sizeof(process->lucid.version)];
    printf("%s(%d): ", name_shown(shown, sizeof(shown), process->name), process->id);
    if (process->path[0] == '\0') {
        puts("lucid is not there");
        return EXIT_FINDING;
    }
    printf("lucid %s, %s: ", name_shown(version, sizeof(version), process->lucid.version),
           name_shown(shown, sizeof(shown), process->path));
    if (process->program.defines_malloc && process->program.version[0] == '\0') {
        puts("mapped but not in use, the program brings its own malloc");
        return EXIT_FINDING;
    }
    switch (read_root(process)) {
    case ROOT_LIVE:
        puts("in use");
        return EXIT_FINE;
    case ROOT_ASLEEP:
        puts("mapped but not in use, it has served no allocation");
        return EXIT_FINDING;
    case ROOT_HIDDEN:
        break;
    }
    puts("mapped; whether it is in use cannot be read");
    return EXIT_FINE;
}

// What the other commands say of such a process; else what is missing here.
static void say_unreadable(int id, int error) {
    struct target target = {.memory_fd = -1};
    if (target_open_live(&target, id)) {
        target_refused(&target, "the program", error);
        say("%s", target.obstacle);
    }
    target_close(&target);
}

int cmd_verify(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    say_command(argv[0]);
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            print_help(stdout);
            return EXIT_FINE;
        }
        fputs("lucid verify: `lucid help verify` lists the options.\n", stderr);
        return EXIT_USAGE;
    }
    struct process process = {0};
    if (argc - optind != 1 || !parse_pid(argv[optind], &process.id)) {
        fputs("lucid verify: say which process, by its number: lucid verify PID\n", stderr);
        return EXIT_USAGE;
    }
    process.id = target_process(process.id);
    if (!read_process(&process)) {
        say_unreadable(process.id, errno);
        return EXIT_UNREADABLE;
    }
    return report(&process);
}
