// Memory for the allocator's own records that are not tables: heaps and the bins' arrays. It
// comes from the tables' place (tables.h), never from the arena, and lies nowhere near user memory.
#ifndef LUCID_META_H
#define LUCID_META_H

#include "base.h"

// Zeroed memory of at least `size` bytes (rounded up to a power of two, 64 at least), aligned to
// 64 bytes. NULL: no memory. Thread-safe.
void *meta_take(size_t size);

// The same for what is never given back: rounded up to 64 bytes only.
void *meta_take_for_good(size_t size);

// The same for what it takes to give more memory back: the limit does not refuse it.
void *meta_take_for_return(size_t size);

// Gives it back for later meta_take of the same rounded size. Contents need not be zero.
void meta_give(void *memory, size_t size);

// A fork may have cut a meta_take short in another thread: forget the lock.
void meta_after_fork(void);

#endif
