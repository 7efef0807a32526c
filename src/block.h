// The one entry from a program's pointer to what is known about it. Everything but the fast
// paths of malloc and free goes through here, so that misuse is recognised in one place.
#ifndef LUCID_BLOCK_H
#define LUCID_BLOCK_H

#include "root.h"

enum block_kind { BLOCK_SMALL, BLOCK_LARGE, BLOCK_MAPPING, BLOCK_GUARDED };

struct block {
    enum block_kind kind;
    uint32_t head;               // of the run; 0 for a mapping
    unsigned class;              // small: the size class
    size_t size;                 // bytes the program may use
    struct lucid_region *region; // it belongs to, or NULL
};

// What `pointer` is. pre: pointer != NULL, init_ready(). Panics, naming `function`, unless it is
// the start of a block in use.
struct block block_of(const void *pointer, const char *function);

// panic_misuse that also finds a pointer in a block with a mapping of its own.
_Noreturn void block_panic(const char *function, const char *kind, const void *pointer);

// The class of a small block in use, by the same tests as block_of but at half the cost. 0: it is
// none, or one with more to it (a mode, an observer, a region), which block_of tells.
unsigned block_plain_class(const void *pointer);

// A free block carries a mark in its second word that differs from process to process. The mark
// decides nothing: it only makes free look closely at blocks that carry it.
static inline uint64_t *block_mark(void *pointer) {
    return (uint64_t *)pointer + 1;
}

// The mark is the address of the unit table, because free has that in a register anyway.
static inline uint64_t free_mark(const struct unit *units) {
    return (uintptr_t)units;
}

// Moves the top of a bin by one block. On x86-64 a read-modify-write saves an instruction that
// the compiler would spend on keeping the value it does not need.
ALWAYS_INLINE void bin_step(struct bin *bin, int blocks) {
#ifdef __x86_64__
    if (blocks > 0) {
        __asm__("addq $8, %0" : "+m"(bin->top) : : "cc");
    } else {
        __asm__("subq $8, %0" : "+m"(bin->top) : : "cc");
    }
#else
    bin->top += blocks;
#endif
}

// Takes the topmost block of a bin. The top moves before the slot is read, so that a top which has
// not moved for a while tells that its thread has no block in hand (idle.h). NULL: there was none,
// and bin_unpop is due.
ALWAYS_INLINE void *bin_pop(struct bin *bin) {
    void **top = bin->top;
    bin_step(bin, -1);
    atomic_signal_fence(memory_order_seq_cst);
    return top[-1];
}

// The bins of nobody belong to all threads without a heap. Each of these moves a top down by one
// slot from where it saw it, and comes here at once: a top is never further down than there are
// threads in between, and each thread is in its first malloc or has ended.
READS_RACILY static inline void bin_unpop(struct bin *bin) {
    if ((uintptr_t)bin - (uintptr_t)root.live.nobody < sizeof(root.live.nobody)) {
        *(void **volatile *)&bin->top = bin_of_nobody().top;
    } else {
        bin_step(bin, 1);
    }
}

// Puts a block on top of a bin that has room. The slot first: in between the child of a fork, or
// who looks from outside, would take for free what was in the slot before.
ALWAYS_INLINE void bin_push(struct bin *bin, void **top, void *block) {
    *top = block;
    atomic_signal_fence(memory_order_release);
    bin_step(bin, 1);
}

#endif
