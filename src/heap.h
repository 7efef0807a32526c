// Heaps: each thread's bins, and the registry of all of them. A heap record is made once and
// never freed; when its thread ends it waits for the next thread.
//
// Invariant: every heap ever made is on the registry; a heap is on the free list exactly when
// its state is HEAP_FREE, and its bins and held spans are empty then.
#ifndef LUCID_HEAP_H
#define LUCID_HEAP_H

#include "layout.h"

// The calling thread's heap, made if need be. NULL: the thread has to do without one, because
// there is no memory, because it is past its exit hook, or because it is the child of a vfork by a
// thread that has none. May call back into malloc.
struct heap *heap_get(void);

// As heap_get, for a thread that frees a small block. NULL too the first time a thread does so that
// has no heap yet.
struct heap *heap_for_free(void);

// Gives back what the calling thread has in its bins, which verifies it.
void heap_verify(void);

// Asks all other threads for what they have in their bins (idle_ask), and gives back what threads
// had that ended without their hook. For the thread of `mine`; NULL: it has no heap.
void heap_ask_others(struct heap *mine);

// To be called before main. The hook that gives a heap back when its thread ends hangs on a thread
// key; of the first 32 keys the C library knows the place without allocating, so that setting ours
// can never happen inside the setting of another, which would then lose it.
void heap_prepare_hook(void);

// In the child of a fork, before anything else is allocated: gives back what the threads that
// are gone had in their bins. `forker` is the heap of the thread that lives on (that of nobody: it
// has none), NULL if that is not known. Counts and lists of spans are made anew afterwards.
void heap_after_fork(struct heap *forker);

#endif
