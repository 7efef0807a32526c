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

bool os_read_file(const char *path, char *to, size_t room, size_t *length) {
    int saved = errno;
    int file =
        (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
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

// The number of kilobytes behind a name at the start of a line, in bytes; 0: it is not there.
static size_t amount_of(const char *status, const char *name) {
    const char *at = strstr(status, name);
    size_t kilobytes = 0;
    if (at != NULL) {
        at += strlen(name);
        at += strspn(at, " \t");
        for (; *at >= '0' && *at <= '9'; at++) {
            kilobytes = kilobytes * 10 + (size_t)(*at - '0');
        }
    }
    return kilobytes << 10;
}

// Not from getrusage: its peak is that of the process, which was another program before exec.
bool os_resident(size_t *now, size_t *peak) {
    char status[4096];
    size_t length;
    bool known = os_read_file("/proc/self/status", status, sizeof(status), &length);
    *now = known ? amount_of(status, "\nVmRSS:") : 0;
    *peak = known ? amount_of(status, "\nVmHWM:") : 0;
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
