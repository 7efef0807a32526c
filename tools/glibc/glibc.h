// glibc's own heap, read without symbols: best effort, for comparison and as a free trial.
#ifndef LUCID_GLIBC_GLIBC_H
#define LUCID_GLIBC_GLIBC_H

#include "heap/session.h"

struct glibc_filter {
    int state;      // enum block_state; -1: all
    uint64_t least; // bytes the program may use
    uint64_t limit; // rows
};

// What `lucid heap`, `arena` and `block` print for a process without a lucid heap.
int glibc_heap(struct session *session, const struct glibc_filter *filter);
int glibc_arena(struct session *session);
int glibc_block(struct session *session, uint64_t address, uint64_t around);

// The chunk after which the given pointer comes, for the tour: its first word's address, size
// word, and where the top is. False: not a heap of glibc's that could be walked.
struct glibc_chunk {
    uint64_t address; // of the chunk: 16 bytes before what malloc returned
    uint64_t size;    // without flag bits
    uint64_t flags;   // the low three bits
    bool top;
    bool tcache; // the first chunk, glibc's table of the thread's cached blocks
    int state;   // enum block_state; of the top BLOCK_IS_FREE
};

struct glibc_walk {
    struct glibc_chunk *chunks; // by address, the top last
    size_t count;
    size_t capacity;
    uint64_t start;        // of the first chunk
    uint64_t end;          // of the heap
    unsigned char *heap;   // its bytes, from `start` on
    uint64_t tcache_count; // blocks in the main thread's cache
    const char *problem;   // why the walk ended early, or NULL
    uint64_t problem_at;
};

bool glibc_walk_heap(struct glibc_walk *walk, const struct target *target);
// The blocks in the first thread's cache for chunks of this size, those that malloc hands out first
// in front: their number, and at most `room` of them.
uint64_t glibc_cached(const struct glibc_walk *walk, uint64_t chunk_size, uint64_t *blocks,
                      size_t room);

void glibc_walk_free(struct glibc_walk *walk);

#endif
