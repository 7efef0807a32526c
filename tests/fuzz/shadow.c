#include "shadow.h"

#include "fail.h"

#include <lucid.h>
#include <string.h>

#define WHOLE_MAX 4096u // blocks up to this are filled and checked byte by byte
#define EDGE 64u        // of larger ones both ends, and one word per step in between
#define STEPS 64u

struct slot shadow[SHADOW_SLOTS];

static unsigned char byte_at(uint32_t seed, size_t offset) {
    uint64_t x = (seed + offset) * 0x9e3779b97f4a7c15u;
    return (unsigned char)(x >> 56 | 1); // never 0, so that a cleared byte is noticed
}

typedef void visit_function(unsigned char *byte, unsigned char expected, const void *context);

static void visit_range(unsigned char *block, uint32_t seed, size_t from, size_t to,
                        visit_function *visit, const void *context) {
    for (size_t i = from; i < to; i++) {
        visit(block + i, byte_at(seed, i), context);
    }
}

// The bytes of [0, size) that are filled when `filled` bytes were; the same choice each time.
static void visit_bytes(unsigned char *block, uint32_t seed, size_t size, size_t filled,
                        visit_function *visit, const void *context) {
    if (filled <= WHOLE_MAX) {
        visit_range(block, seed, 0, size < filled ? size : filled, visit, context);
        return;
    }
    size_t step = filled / STEPS & ~(size_t)15;
    for (size_t from = 0; from < filled; from += step) {
        size_t to = from + (from == 0 ? EDGE : 8);
        if (to <= size && to <= filled) {
            visit_range(block, seed, from, to, visit, context);
        }
    }
    if (size >= filled) {
        visit_range(block, seed, filled - EDGE, filled, visit, context);
    }
}

static void set_byte(unsigned char *byte, unsigned char expected, const void *context) {
    (void)context;
    *byte = expected;
}

static void check_byte(unsigned char *byte, unsigned char expected, const void *context) {
    if (*byte != expected) {
        const struct slot *slot = context;
        fail("a block of %zu bytes at %p changed at %p: %02x instead of %02x", slot->size,
             (void *)slot->block, (void *)byte, *byte, expected);
    }
}

static void check_zero(unsigned char *byte, unsigned char expected, const void *context) {
    (void)expected;
    if (*byte != 0) {
        fail("calloc's block %p is not zero at %p", context, (void *)byte);
    }
}

static void check_all_zero(unsigned char *block, size_t size) {
    static const unsigned char zeros[4096];
    if (size > (size_t)1 << 20) {
        visit_bytes(block, 0, size, size, check_zero, block);
        return;
    }
    for (size_t i = 0; i < size; i += sizeof(zeros)) {
        size_t part = size - i < sizeof(zeros) ? size - i : sizeof(zeros);
        if (memcmp(block + i, zeros, part) != 0) {
            fail("calloc's block %p of %zu bytes is not zero near offset %zu", (void *)block, size,
                 i);
        }
    }
}

static void check_overlap(const unsigned char *block, size_t usable) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        const struct slot *other = &shadow[i];
        if (other->block != NULL && block < other->block + other->usable &&
            other->block < block + usable) {
            fail("new block %p of %zu bytes overlaps %p of %zu bytes", (const void *)block, usable,
                 (void *)other->block, other->usable);
        }
    }
}

void shadow_adopt(struct slot *slot, void *block, size_t size, size_t alignment, bool zeroed) {
    static uint32_t seeds;
    if ((uintptr_t)block % alignment != 0 || (uintptr_t)block % 16 != 0) {
        fail("block %p of %zu bytes is not aligned to %zu", block, size, alignment);
    }
    size_t usable = lucid_malloc_usable_size(block);
    if (usable < size || usable == 0) {
        fail("block %p of %zu bytes has only %zu usable", block, size, usable);
    }
    check_overlap(block, usable);
    if (zeroed) {
        check_all_zero(block, size);
    }
    seeds += 1000003;
    *slot = (struct slot){block, size, usable, alignment, seeds};
    visit_bytes(block, seeds, usable, usable, set_byte, slot);
}

void shadow_verify(const struct slot *slot) {
    size_t usable = lucid_malloc_usable_size(slot->block);
    if (usable != slot->usable) {
        fail("usable size of %p was %zu and is %zu now", (void *)slot->block, slot->usable, usable);
    }
    visit_bytes(slot->block, slot->seed, slot->usable, slot->usable, check_byte, slot);
}

void shadow_verify_all(void) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block != NULL) {
            shadow_verify(&shadow[i]);
        }
    }
}

void shadow_verify_copy(const struct slot *slot, const void *block, size_t size) {
    size_t kept = size < slot->usable ? size : slot->usable;
    unsigned char *bytes = (unsigned char *)(uintptr_t)block;
    visit_bytes(bytes, slot->seed, kept, slot->usable, check_byte, slot);
}

void shadow_drop(struct slot *slot) {
    slot->block = NULL;
}

const struct slot *shadow_find(uintptr_t address) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block != NULL && address - (uintptr_t)shadow[i].block < shadow[i].usable) {
            return &shadow[i];
        }
    }
    return NULL;
}

unsigned shadow_count(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        count += shadow[i].block != NULL;
    }
    return count;
}
