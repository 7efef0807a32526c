// A short program of every kind of request, for sweeps that make one call of the system fail.
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>

struct family {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void (*free)(void *block);
    int (*malloc_trim)(size_t keep);
};

// Ends the program with a sentence unless each request is either served rightly or refused with
// ENOMEM. Returns how many were refused.
unsigned workload_run(const struct family *family);

#endif
