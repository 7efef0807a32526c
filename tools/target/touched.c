#include "touched.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IN_MEMORY ((uint64_t)1 << 63) // bits of an entry of /proc/PID/pagemap
#define SWAPPED_OUT ((uint64_t)1 << 62)
#define ENTRIES 4096u
#define GAP_PAGES 16u // to read so many pages costs less than to begin anew behind them

// The headers of Debian 12 do not know of it yet.
struct scan_request {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; // out
    uint64_t found;    // address of an array of struct touched_run
    uint64_t room;     // entries of it
    uint64_t max_pages;
    uint64_t inverted;
    uint64_t mask;
    uint64_t any_of;
    uint64_t wanted;
};

#define SCAN_PAGES _IOWR('f', 16, struct scan_request)

int touched_scan(int fd, uint64_t *at, uint64_t end, uint64_t categories,
                 struct touched_run *runs) {
    struct scan_request request = {
        .size = sizeof(request),
        .start = *at,
        .end = end,
        .found = (uint64_t)(uintptr_t)runs,
        .room = TOUCHED_RUNS,
        .any_of = categories,
        .wanted = categories,
    };
    int count = ioctl(fd, SCAN_PAGES, &request);
    if (count < 0 || request.walk_end <= *at) {
        return -1;
    }
    *at = request.walk_end;
    return count;
}

// The same from the page map, entry by entry.
static int read_entries(struct touched *walk) {
    uint64_t entries[ENTRIES];
    uint64_t rest = (walk->end - walk->at) / walk->page;
    size_t want = rest < ENTRIES ? (size_t)rest : ENTRIES;
    ssize_t got = pread(walk->fd, entries, want * sizeof(*entries),
                        (off_t)(walk->at / walk->page * sizeof(*entries)));
    size_t known = got > 0 ? (size_t)got / sizeof(*entries) : 0;
    size_t count = 0;
    size_t i = 0;
    for (bool before = false; i < known; i++) {
        bool touched = (entries[i] & (IN_MEMORY | SWAPPED_OUT)) != 0;
        uint64_t address = walk->at + i * walk->page;
        if (touched && !before && count == TOUCHED_RUNS) {
            break;
        }
        if (touched && !before) {
            walk->runs[count++].start = address;
        }
        if (touched) {
            walk->runs[count - 1].end = address + walk->page;
        }
        before = touched;
    }
    walk->at += i * walk->page;
    return known > 0 ? (int)count : -1;
}

// Is there a run that was not handed out?
static bool has_run(struct touched *walk) {
    while (walk->next == walk->count && walk->at < walk->end) {
        int count = walk->scans ? touched_scan(walk->fd, &walk->at, walk->end,
                                               TOUCHED_PRESENT | TOUCHED_SWAPPED, walk->runs)
                                : -1;
        if (count < 0) {
            walk->scans = false;
            count = read_entries(walk);
        }
        walk->failed |= count < 0;
        walk->at = count < 0 ? walk->end : walk->at;
        walk->count = count < 0 ? 0 : (size_t)count;
        walk->next = 0;
    }
    return walk->next < walk->count;
}

bool touched_begin(struct touched *walk, const struct target *target, uint64_t start,
                   uint64_t end) {
    char path[64];
    uint64_t entry;
    uint64_t page = target->page_size;
    memset(walk, 0, sizeof(*walk));
    walk->fd = -1;
    walk->page = page;
    walk->at = start / page * page;
    walk->end = end / page * page + (end % page != 0 ? page : 0);
    walk->scans = true;
    if (target->pid <= 0 || target->kind == TARGET_CORE) {
        return false;
    }
    snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)target->alive);
    walk->fd = open(path, O_RDONLY | O_CLOEXEC);
    // Of a process that has ended a scan says that nothing is there, a read that it has ended.
    if (walk->fd >= 0 && pread(walk->fd, &entry, sizeof(entry),
                               (off_t)(walk->at / page * sizeof(entry))) == sizeof(entry)) {
        return true;
    }
    touched_end(walk);
    return false;
}

bool touched_next(struct touched *walk, uint64_t *from, uint64_t *to) {
    if (!has_run(walk)) {
        return false;
    }
    *from = walk->runs[walk->next].start;
    do {
        *to = walk->runs[walk->next++].end;
    } while (has_run(walk) && walk->runs[walk->next].start - *to <= GAP_PAGES * walk->page);
    return true;
}

void touched_end(struct touched *walk) {
    if (walk->fd >= 0) {
        close(walk->fd);
    }
    walk->fd = -1;
}
