// An ELF core file: segments, the notes about threads and mapped files.
#ifndef LUCID_TARGET_COREFILE_H
#define LUCID_TARGET_COREFILE_H

#include "target.h"

struct core;

// What the notes say; fills name, pid, threads, regions, auxv of the target.
void core_read_notes(struct target *target, struct core *core);

// These bytes should be in the core file. Returns how many of them are.
uint64_t core_expect(struct target *target, const struct core *core, uint64_t offset,
                     uint64_t length);

struct core_segment {
    uint64_t start;
    uint64_t end;
    uint64_t offset; // in the core file
    uint64_t stored; // bytes of it that the core file holds
    uint32_t flags;
    int file;             // index of the mapped file behind it, or -1
    uint64_t file_offset; // where in that file `start` is
};

struct core_file {
    char *path;
    int fd; // -1: could not be opened
};

struct core {
    int fd;
    size_t length;
    struct core_segment *segments; // by address
    size_t segment_count;
    size_t segment_capacity;
    struct core_file *files;
    size_t file_count;
    size_t file_capacity;
};

#endif
