// Does the program fill the memory it takes? Where it does not, huge pages make resident what
// nobody has touched: 1,000 blocks of 1 MiB of which 16 KiB are used have 21 MiB in small pages and
// 970 in huge ones. What blocks of up to a page lie in is touched. For longer ones the kernel is
// asked which pages are there; in huge pages it cannot tell, so that some parts of the arena, the
// witnesses, stay without. Of blocks up to SMALL_MAX malloc itself touches the first page: one that
// is to be filled later looks like one of which little is used.
#ifndef LUCID_FILLED_H
#define LUCID_FILLED_H

#include "root.h"

// The arena's huge pages are numbered from 1 on. Witnesses are 8, 16, 32, 64, 96 and 128, and from
// there on two in each doubling: the first touch of one costs as much as that of ten huge pages.
#define FILLED_FIRST 8u
#define FILLED_EVERY 32u

// About this number one in so many is a witness.
static inline uint64_t filled_spacing(uint64_t number) {
    uint64_t every = FILLED_FIRST;
    while (number > every * (every < FILLED_EVERY ? 2 : 4)) {
        every *= 2;
    }
    return every;
}

static inline uint64_t filled_number(uintptr_t huge_page) {
    return (huge_page - root.fixed.base) / HUGE_PAGE_SIZE + 1;
}

// Is this part of the arena, a whole huge page, a witness?
static inline bool filled_is_witness(uintptr_t huge_page) {
    return filled_number(huge_page) % filled_spacing(filled_number(huge_page)) == 0;
}

enum filled {
    FILLED_SURELY, // witnesses would not say more
    FILLED_SO_FAR, // by half at least, or nobody knows
    FILLED_MAYBE,  // nobody knows, and it may well stay empty
    FILLED_NOT,
};

// What the program took last in the arena, blocks of HUGE_BLOCK_MIN left out. pre: the pool's lock
// is held. Reads a file, unless the program has restricted itself.
enum filled filled_lately(void);

// The calling thread makes a block of at least HUGE_BLOCK_MIN at `head`, in clean memory. Are such
// blocks of it filled? One is looked at when the next one comes, or when it is freed; FILLED_NOT
// once several in a row were not. Of `zeroed` ones, which tables are that may stay mostly empty,
// FILLED_MAYBE until one was filled. Reads a file, too.
enum filled filled_blocks(uint32_t head, bool zeroed);

// Looks at the last of them. pre: the heap is the calling thread's.
void filled_judge(struct heap *heap);

// The calling thread is about to free a large block.
static inline void filled_block_ends(uint32_t head) {
    struct heap *heap = heap_mine();
    if (heap != heap_of_nobody() && unlikely(heap->fresh_block == head)) {
        filled_judge(heap);
    }
}

// Somebody makes a mapping at `start`, the first HUGE_BLOCK_MIN of which have no huge pages, unless
// the system gives them to all memory. Are such mappings filled, by their beginnings? As for
// blocks, but the last one is that of any thread.
bool filled_mappings(uintptr_t start);

// The mapping at this address is about to be moved, or to be no more.
void filled_mapping_ends(uintptr_t start);

#endif
