// Small files, read whole, and what the kernel tells in one of them.
#include "raw.h"

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t fill(int file, char *to, size_t room) {
    size_t length = 0;
    while (length < room) {
        long got = syscall(SYS_read, file, to + length, room - length);
        if (got <= 0 && (got == 0 || errno != EINTR)) {
            break;
        }
        length += got > 0 ? (size_t)got : 0;
    }
    return length;
}

static int open_to_read(const char *path) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

bool os_read_file(const char *path, char *to, size_t room, size_t *length) {
    int saved = errno;
    int file = open_to_read(path);
    bool opened = file >= 0;
    *length = 0;
    if (opened) {
        *length = fill(file, to, room - 1);
        (void)syscall(SYS_close, file);
    }
    to[*length] = '\0';
    errno = saved;
    return opened;
}

// The number of kilobytes in the line of that name, in bytes.
static void amount_of(const char *line, const char *name, size_t *bytes) {
    if (strncmp(line, name, strlen(name)) == 0) {
        const char *at = line + strlen(name);
        size_t kilobytes = 0;
        for (at += strspn(at, " \t"); *at >= '0' && *at <= '9'; at++) {
            kilobytes = kilobytes * 10 + (size_t)(*at - '0');
        }
        *bytes = kilobytes << 10;
    }
}

// Piece by piece: the stack may be small, and one line lists all groups of the user.
static void read_status(const char *path, size_t *now, size_t *peak) {
    char piece[512];
    char line[40]; // the first letters of each
    size_t length = 0;
    int file = open_to_read(path);
    for (size_t got; file >= 0 && (got = fill(file, piece, sizeof(piece))) > 0;) {
        for (size_t i = 0; i < got; i++) {
            if (piece[i] != '\n') {
                line[length] = piece[i];
                length += length + 1 < sizeof(line);
                continue;
            }
            line[length] = '\0';
            amount_of(line, "VmRSS:", now);
            amount_of(line, "VmHWM:", peak);
            length = 0;
        }
    }
    (void)(file >= 0 && syscall(SYS_close, file));
}

// Not from getrusage: its peak is that of the process, which was another program before exec. The
// file of the process is that of its first thread, which has no memory once that has ended.
bool os_resident(size_t *now, size_t *peak) {
    int saved = errno;
    *now = *peak = 0;
    read_status("/proc/self/status", now, peak);
    if (*now == 0) {
        read_status("/proc/thread-self/status", now, peak);
    }
    errno = saved;
    return *now != 0;
}

int os_pagemap_open(void) {
    return (int)raw_call4(SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC,
                          0);
}

void os_pagemap_close(int pagemap) {
    (void)raw_call4(SYS_close, pagemap, 0, 0, 0);
}

// One word for each page.
#define ENTRY_PRESENT ((uint64_t)1 << 63)
#define ENTRY_SWAPPED ((uint64_t)1 << 62)

bool os_pagemap_has(int pagemap, uintptr_t address) {
    uint64_t entry = 0;
    long place = (long)(address / getauxval(AT_PAGESZ) * sizeof(entry));
    long got = raw_call4(SYS_pread64, pagemap, (long)&entry, sizeof(entry), place);
    return got != sizeof(entry) || (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0;
}
