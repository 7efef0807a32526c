// Walking glibc's main arena by the sizes and flag bits in front of its blocks. Best effort: the
// structures are glibc's own business and this knows those of 2.26 to 2.4x. What it relies on:
//   chunk   [size of the previous one, if that is free][size | flags] bytes...; sizes are
//           multiples of 16; the next chunk's PREV_INUSE bit tells whether this one is in use
//   tcache  the first chunk of the first thread: 64 counts of 16 bits, then 64 list heads; the
//           links of the lists are xored with their own address >> 12 since 2.32
//   top     the chunk that ends where the heap ends
#include "glibc.h"

#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN 32u
#define FLAG_BITS 7u
#define PREV_INUSE 1u
#define TCACHE_BINS 64u
#define TCACHE_CHUNK 0x290u // counts of 16 bits; 0x250 with counts of 8, before 2.30
#define TCACHE_CHUNK_OLD 0x250u
#define START_TRIES 8192u // bytes that something else may have taken from the break before
#define HEAP_MAX ((uint64_t)64 << 30)

static uint64_t word_at(const struct glibc_walk *walk, uint64_t address) {
    uint64_t word;
    memcpy(&word, walk->heap + (address - walk->start), sizeof(word));
    return word;
}

static bool sound_size(const struct glibc_walk *walk, uint64_t chunk, uint64_t size) {
    return size >= CHUNK_MIN && size % 16 == 0 && size <= walk->end - chunk;
}

// How far a walk from `chunk` gets; the heap's end when it is one.
static uint64_t try_walk(const struct glibc_walk *walk, uint64_t chunk) {
    while (walk->end - chunk >= CHUNK_MIN) {
        uint64_t size = word_at(walk, chunk + 8) & ~(uint64_t)FLAG_BITS;
        if (!sound_size(walk, chunk, size)) {
            return chunk;
        }
        chunk += size;
    }
    return chunk;
}

static void record_chunks(struct glibc_walk *walk, uint64_t chunk) {
    while (walk->end - chunk >= CHUNK_MIN) {
        uint64_t word = word_at(walk, chunk + 8);
        uint64_t size = word & ~(uint64_t)FLAG_BITS;
        if (!sound_size(walk, chunk, size)) {
            walk->problem = "an impossible chunk size";
            walk->problem_at = chunk;
            return;
        }
        walk->chunks =
            memory_grow(walk->chunks, walk->count, &walk->capacity, sizeof(struct glibc_chunk));
        walk->chunks[walk->count++] = (struct glibc_chunk){
            .address = chunk,
            .size = size,
            .flags = word & FLAG_BITS,
            .top = chunk + size == walk->end,
            .state = BLOCK_IS_USED,
        };
        chunk += size;
    }
}

static struct glibc_chunk *chunk_of_block(const struct glibc_walk *walk, uint64_t block) {
    size_t low = 0;
    size_t high = walk->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (walk->chunks[middle].address + 16 < block) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < walk->count && walk->chunks[low].address + 16 == block;
    return found ? &walk->chunks[low] : NULL;
}

// A chunk is free when its successor says so; the top is free in any case.
static void mark_free(struct glibc_walk *walk) {
    for (size_t i = 0; i < walk->count; i++) {
        bool free_one = walk->chunks[i].top ||
                        (i + 1 < walk->count && !(walk->chunks[i + 1].flags & PREV_INUSE));
        walk->chunks[i].state = free_one ? BLOCK_IS_FREE : BLOCK_IS_USED;
    }
}

// The block behind this one in its list.
static uint64_t next_cached(const struct glibc_walk *walk, uint64_t block) {
    uint64_t link = word_at(walk, block);
    uint64_t plain = link ^ block >> 12;
    return chunk_of_block(walk, plain) != NULL || plain == 0 ? plain : link;
}

// Head and length of one of the tcache's lists.
static uint64_t cached_list(const struct glibc_walk *walk, unsigned bin, uint64_t *count) {
    const struct glibc_chunk *first = &walk->chunks[0];
    bool wide = first->size == TCACHE_CHUNK;
    uint64_t counts = first->address + 16;
    uint64_t heads = counts + TCACHE_BINS * (wide ? 2 : 1);
    const unsigned char *at = walk->heap + (counts - walk->start) + bin * (wide ? 2u : 1u);
    *count = wide ? at[0] + at[1] * 256u : *at;
    return word_at(walk, heads + bin * 8);
}

// One list of the tcache; `count` bounds it, and so does every link that leads nowhere.
static void mark_list(struct glibc_walk *walk, uint64_t block, uint64_t count) {
    for (; block != 0 && count > 0; count--) {
        struct glibc_chunk *chunk = chunk_of_block(walk, block);
        if (chunk == NULL) {
            return; // in another arena, or this glibc is laid out in another way
        }
        chunk->state = BLOCK_IS_CACHED;
        walk->tcache_count++;
        block = next_cached(walk, block);
    }
}

static void mark_cached(struct glibc_walk *walk) {
    struct glibc_chunk *first = &walk->chunks[0];
    if (first->size != TCACHE_CHUNK && first->size != TCACHE_CHUNK_OLD) {
        return; // tcache switched off, or a layout not known here
    }
    first->tcache = true;
    for (unsigned bin = 0; bin < TCACHE_BINS; bin++) {
        uint64_t count = 0;
        uint64_t head = cached_list(walk, bin, &count);
        mark_list(walk, head, count);
    }
}

uint64_t glibc_cached(const struct glibc_walk *walk, uint64_t chunk_size, uint64_t *blocks,
                      size_t room) {
    uint64_t bin = chunk_size / 16 - 2; // the smallest chunk has 32 bytes
    uint64_t count = 0;
    uint64_t seen = 0;
    if (walk->count == 0 || !walk->chunks[0].tcache || chunk_size < CHUNK_MIN ||
        bin >= TCACHE_BINS) {
        return 0;
    }
    uint64_t block = cached_list(walk, (unsigned)bin, &count);
    for (; seen < count && chunk_of_block(walk, block) != NULL; seen++) {
        if (seen < room) {
            blocks[seen] = block;
        }
        block = next_cached(walk, block);
    }
    return seen;
}

static bool walk_region(struct glibc_walk *walk, const struct target *target,
                        const struct region *region) {
    uint64_t start = region->start;
    uint64_t end = region->end;
    if (region->name[0] != 0) {
        regions_extent(&target->regions, region->name, &start, &end);
    }
    uint64_t length = end - start;
    if (length > HEAP_MAX || length < CHUNK_MIN) {
        return false;
    }
    walk->start = start;
    walk->end = end;
    uint64_t failed_at = 0;
    walk->heap = target_take(target, start, length, &failed_at);
    if (walk->heap == NULL) {
        return false;
    }
    // Static programs take their thread-local storage from the break before malloc starts.
    for (uint64_t skip = 0; skip < START_TRIES && skip + CHUNK_MIN < length; skip += 16) {
        if (try_walk(walk, walk->start + skip) == walk->end) {
            record_chunks(walk, walk->start + skip);
            return true;
        }
    }
    // What is missing from a core may be what would have told that this is another allocator's.
    uint64_t reached = target->truncated ? walk->start : try_walk(walk, walk->start);
    if (reached > walk->start) {
        record_chunks(walk, walk->start);
    }
    return reached > walk->start;
}

void glibc_walk_free(struct glibc_walk *walk) {
    free(walk->chunks);
    free(walk->heap);
    memset(walk, 0, sizeof(*walk));
}

// In a core nothing is called [heap]: it is the first memory without a file that walks.
static bool may_be_heap(const struct target *target, const struct region *region) {
    if (target->kind != TARGET_CORE) {
        return strcmp(region->name, "[heap]") == 0;
    }
    return region->name[0] == 0 && strcmp(region->rights, "rw-p") == 0 &&
           (target->entry == 0 || region->start > target->entry);
}

bool glibc_walk_heap(struct glibc_walk *walk, const struct target *target) {
    memset(walk, 0, sizeof(*walk));
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        if (!may_be_heap(target, region)) {
            continue;
        }
        if (walk_region(walk, target, region)) {
            mark_free(walk);
            mark_cached(walk);
            return true;
        }
        glibc_walk_free(walk);
    }
    return false;
}
