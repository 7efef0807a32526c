// The pieces of a target's address space, as /proc/PID/maps and smaps, or a core's segments and
// its list of mapped files, tell them.
#ifndef LUCID_TARGET_REGION_H
#define LUCID_TARGET_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region {
    uint64_t start;
    uint64_t end;
    uint64_t offset; // in the file
    uint64_t inode;  // 0: no file
    char rights[5];  // rwxp as the kernel prints them
    bool deleted;    // the file is no longer there
    uint64_t stored; // in a core: so many of its bytes are there
    bool counted;    // the numbers below are known
    uint64_t resident;
    uint64_t swapped;
    uint64_t huge;      // bytes in transparent huge pages
    uint64_t lazy_free; // bytes given back with MADV_FREE that nobody has collected yet
    char *name;         // file, [heap], [stack], ...; "" for anonymous memory
};

struct regions {
    struct region *list; // by address
    size_t count;
    size_t capacity;
};

// Reads the text of /proc/PID/maps or /proc/PID/smaps.
void regions_parse(struct regions *regions, const char *text);

// Appends one; the caller appends in address order. `name` is copied.
struct region *regions_add(struct regions *regions, uint64_t start, uint64_t end,
                           const char *rights, const char *name);
void regions_free(struct regions *regions);

// The region an address lies in, or NULL.
const struct region *regions_find(const struct regions *regions, uint64_t address);

// The region of that name, or NULL.
const struct region *regions_named(const struct regions *regions, const char *name);

// From the first to the last region of that name: the kernel cuts [heap] in pieces when parts of it
// are treated differently. False: there is none.
bool regions_extent(const struct regions *regions, const char *name, uint64_t *start,
                    uint64_t *end);

// Is all of [start, start + length) mapped? With which rights does not matter: a program may take
// them away from what it has, and memory without any is there all the same.
bool regions_cover(const struct regions *regions, uint64_t start, uint64_t length);

// Is all of [start, end) memory without a file? Only there an untouched page is all zeros.
bool regions_without_file(const struct regions *regions, uint64_t start, uint64_t end);

#endif
