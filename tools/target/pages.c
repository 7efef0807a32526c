// Which pages of a living target are in memory, and copying memory without touching the others.
#include "touched.h"

#include "util/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRESENT ((uint64_t)1 << 63)
#define SWAPPED ((uint64_t)1 << 62)
#define FILE_PAGE ((uint64_t)1 << 61)
#define ALONE ((uint64_t)1 << 56)
#define ENTRIES 4096u

static uint8_t state_of(uint64_t entry) {
    return (uint8_t)((entry & PRESENT ? TARGET_PAGE_PRESENT : 0) |
                     (entry & SWAPPED ? TARGET_PAGE_SWAPPED : 0) |
                     (entry & FILE_PAGE ? TARGET_PAGE_FILE : 0) |
                     ((entry & (PRESENT | ALONE)) == PRESENT ? TARGET_PAGE_SHARED : 0));
}

// A page of zeros is nobody's memory: it is not present then. A kernel before 6.7 does not tell
// them apart, and the states stay as they are.
static void mark_zeros(int fd, uint64_t page, uint64_t start, uint64_t end, uint8_t *states) {
    struct touched_run runs[TOUCHED_RUNS];
    int count = 0;
    for (uint64_t next = start; next < end && count >= 0;) {
        count = touched_scan(fd, &next, end, TOUCHED_ZEROS, runs);
        for (int i = 0; i < count; i++) {
            for (uint64_t at = runs[i].start; at < runs[i].end && at < end; at += page) {
                states[(at - start) / page] = TARGET_PAGE_ZERO;
            }
        }
    }
}

bool target_pages(const struct target *target, uint64_t start, size_t pages, uint8_t *states) {
    char path[64];
    uint64_t *entries = NULL;
    bool known = target->pid > 0 && target->kind != TARGET_CORE;
    if (!known) {
        return false;
    }
    snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)target->alive);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    entries = memory_take(ENTRIES * sizeof(*entries));
    uint64_t first = start / target->page_size;
    for (size_t done = 0; done < pages && known;) {
        size_t want = pages - done < ENTRIES ? pages - done : ENTRIES;
        ssize_t got =
            pread(fd, entries, want * sizeof(*entries), (off_t)((first + done) * sizeof(*entries)));
        size_t count = got > 0 ? (size_t)got / sizeof(*entries) : 0;
        for (size_t i = 0; i < count; i++) {
            states[done + i] = state_of(entries[i]);
        }
        done += count;
        known = count > 0;
    }
    free(entries);
    if (known) {
        mark_zeros(fd, target->page_size, start, start + pages * target->page_size, states);
    }
    close(fd);
    return known;
}

static bool copy_plain(const struct target *target, uint64_t start, char *to, size_t length) {
    return view_read(&target->view, start, to, length);
}

// Reading an untouched page would make the kernel map its page of zeros there: harmless, but a
// reader should leave no trace.
bool target_copy(const struct target *target, uint64_t start, void *to, size_t length) {
    uint64_t page = target->page_size;
    uint64_t first = start / page * page;
    uint64_t end = start + length;
    if (length == 0 || end < start) {
        return length == 0;
    }
    size_t pages = (size_t)((end - first + page - 1) / page);
    bool worth = length >= 2 * page && regions_without_file(&target->regions, start, end);
    uint8_t *states = worth ? malloc(pages) : NULL;
    if (states == NULL || !target_pages(target, first, pages, states)) {
        free(states);
        return copy_plain(target, start, to, length);
    }
    bool done = true;
    memset(to, 0, length);
    for (size_t i = 0; i < pages && done;) {
        bool touched = states[i] != 0;
        size_t next = i;
        while (next < pages && (states[next] != 0) == touched) {
            next++;
        }
        uint64_t from = first + i * page > start ? first + i * page : start;
        uint64_t until = first + next * page < end ? first + next * page : end;
        done = !touched || copy_plain(target, from, (char *)to + (from - start), until - from);
        i = next;
    }
    free(states);
    return done;
}

unsigned char *target_take(const struct target *target, uint64_t start, uint64_t length,
                           uint64_t *failed_at) {
    const uint64_t piece = (uint64_t)16 << 20;
    unsigned char *bytes = NULL;
    for (uint64_t done = 0; done < length;) {
        size_t want = length - done < piece ? (size_t)(length - done) : (size_t)piece;
        unsigned char *more = realloc(bytes, (size_t)done + want);
        if (more == NULL || !target_copy(target, start + done, more + done, want)) {
            free(more != NULL ? more : bytes);
            *failed_at = start + done;
            return NULL;
        }
        bytes = more;
        done += want;
    }
    return bytes;
}
