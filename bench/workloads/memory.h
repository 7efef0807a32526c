// The process's own resident memory. smaps_rollup walks the page tables and is exact; statm and
// ru_maxrss are kept in per-processor counters and can be 64 pages off on two processors.
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "common.h"

static inline uint64_t memory_resident(void) {
    char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (length <= 0) {
        fail("/proc/self/smaps_rollup could not be read");
    }
    text[length] = '\0';
    const char *line = strstr(text, "\nRss:");
    if (line == NULL) {
        fail("/proc/self/smaps_rollup has no line Rss");
    }
    return strtoull(line + 5, NULL, 10) * 1024;
}

#endif
