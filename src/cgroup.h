// What the control group of this process allows it to have of memory, both versions. Reads text
// only; who opens the files is the caller's business.
#ifndef LUCID_CGROUP_H
#define LUCID_CGROUP_H

#include "base.h"

// Reads a file as os_read_file does.
typedef bool cgroup_reader(const char *path, char *to, size_t room, size_t *length);

// The least limit of the group and those above it, as far as they can be seen; 0: there is none.
uint64_t cgroup_memory_limit(cgroup_reader *read_file);

#endif
