// Where the tables of units and runs and the metadata lie, and how more of them opens.
//
//     meta_start               meta_end == units         runs                    live bits
//     |              metadata <|> units                  |> runs                 |> if hardened
//
// Each of them grows by itself and needs free addresses beside it. Where the address space is
// large they lie apart: at a random place below where the kernel puts programs, which neither the
// break nor mappings come near. Nothing is reserved then: a start takes two system calls, and no
// limit on addresses or locked memory counts what is not used. Elsewhere a reservation without
// access keeps the addresses, as large as memory and limits suggest (docs/decisions/036).
#ifndef LUCID_TABLES_H
#define LUCID_TABLES_H

#include "base.h"

#define META_STEP ((size_t)128 << 10) // of metadata becomes accessible at once

// Chooses the place. False: no addresses, or no memory.
bool tables_begin(void);

// Makes the records of all units below `units` accessible. False: no memory, or no room.
bool tables_cover(uint64_t units);

// Makes metadata accessible from `start` on. False: no memory.
// pre: meta_start <= start.
bool tables_cover_meta(uintptr_t start);

// The place of a table of hardened mode, with a bit for each BLOCK_ALIGN bytes of the arena and a
// page without access in front. NULL: no addresses. Called once.
void *tables_place_bits(void);

// Makes the live bits of all units below `units` accessible. False: no memory.
// pre: hardened mode is on; a lock is held.
bool tables_cover_bits(uint64_t units);

// No huge pages in the tables from now on.
void tables_keep_small(void);

// Bytes of arena that are worth addresses: twice the machine's memory, so that sparse programs fit.
size_t tables_sensible_capacity(void);

// In the child of a fork: what was being opened is not open.
void tables_after_fork(void);

// Where tables of `length` bytes lie apart, in an address space that ends at the power of two above
// `stack`, an address of a stack. From two thirds of it upwards Linux puts position-independent
// programs; the 256th part below that is empty in all programs. On x86-64 the runtimes of the
// address, memory and thread sanitizers let others have few places, and this is one of them.
// A multiple of the page size; 0: the address space is too small.
uintptr_t tables_place(uintptr_t stack, size_t length, uint64_t random);

#endif
