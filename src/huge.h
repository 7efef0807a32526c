// Huge pages: which memory asks for them, and which declines them (option thp). A huge page makes
// first touches several times cheaper, and takes memory where only a part of it is used.
//
//   auto     asked for where they pay: in an arena above HUGE_ARENA_MIN, in large blocks, and in
//            the middle of mappings; declined where the program leaves most of its memory untouched
//            (filled.h)
//   never    declined in the arena, in mappings and in the tables
//   always   asked for in all of the arena and in mappings
//
// Where memory was given back around something that lives they are declined, whatever was asked for
// before and whatever the system's setting: the kernel would fill the holes again. A limit of
// memory is like `never` for the arena, because a huge page holds what was never asked for.
#ifndef LUCID_HUGE_H
#define LUCID_HUGE_H

#include "base.h"

// The tables have their place. Called once.
void huge_begin(void);

// What the arena has from `start` up to its limit is new; `apart`: it does not go on where the
// arena ended. pre: the pool's lock is held.
void huge_arena(uintptr_t start, bool apart);

// A fresh run of clean units is to be one block, `zeroed` as calloc's.
void huge_block(uintptr_t start, size_t size, bool zeroed);

// A fresh mapping is to be one block.
void huge_mapping(uintptr_t start, size_t length);

// The program will fill it, from the front, from the end, or from both, but maybe not all of it:
// with `auto` the middle of a mapping of HUGE_MAPPING_MIN asks for them.
void huge_mapping_filled(uintptr_t start, size_t length);

// The kernel refuses to move what has parts of two kinds: all of it declines them before the next
// try, and asks again, but for its front, where that is worth another such refusal.
void huge_mapping_join(uintptr_t start, size_t length);
void huge_mapping_part(uintptr_t start, size_t length);

// Is an arena of this size to end where a huge page does? A huge page must be asked for before any
// part of it is touched.
bool huge_wants_end(size_t arena);

// Have huge pages been asked for here, in the arena, or beside it? Without the pool's lock an old
// answer may come.
bool huge_covers(uintptr_t address);

// Or anywhere between these?
bool huge_covers_part(uintptr_t start, uintptr_t end);

// Pages of the arena were given back.
void huge_keep_small(uintptr_t start, size_t length);

// A limit of memory may have been set (allowance.h): declines them in all of the arena then.
void huge_obey_limit(void);

#endif
