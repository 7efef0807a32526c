// Does the program fill the memory it takes? Where it does not, huge pages make resident what nobody
// has touched: 1,000 blocks of 1 MiB of which 16 KiB are used have 21 MiB in small pages and 970 in
// huge ones. What blocks of up to a page lie in is touched. For longer ones the kernel is asked which
// pages are there; in huge pages it cannot tell, so that some parts of the arena, the witnesses, stay
// without. Of blocks up to SMALL_MAX malloc itself touches the first page: one that is to be filled later
// looks like one of which little is used.
#ifndef LUCID_FILLED_H
#define LUCID_FILLED_H

#include "base.h"

// Is this part of the arena, a whole huge page, a witness? In a large arena fewer are.
bool filled_is_witness(uintptr_t huge_page);

enum filled {
    FILLED_SURELY, // witnesses would not say more
    FILLED_SO_FAR, // by half at least, or nobody knows
    FILLED_NOT,
};

// What the program took last in the arena, blocks of HUGE_BLOCK_MIN left out. pre: the pool's lock is
// held. Reads a file, unless the program has restricted itself.
enum filled filled_lately(void);

// The calling thread makes a block of at least HUGE_BLOCK_MIN at `head`, in clean memory. Are such
// blocks of it filled? One is looked at when the next one comes, or when it is freed; false once several
// in a row were not. Reads a file, too.
bool filled_blocks(uint32_t head);

// A large block is about to be freed.
void filled_block_ends(uint32_t head);

#endif
