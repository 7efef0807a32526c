// Heaps: each thread's bins, and the registry of all of them. A heap record is made once and
// never freed; when its thread ends it waits for the next thread.
//
// Invariant: every heap ever made is on the registry; a heap is on the free list exactly when
// its state is HEAP_FREE, and its bins and held spans are empty then.
#ifndef LUCID_HEAP_H
#define LUCID_HEAP_H

#include "layout.h"

// The calling thread's heap, made if need be. NULL: the thread has to do without one, because
// there is no memory or because it is past its exit hook. May call back into malloc.
struct heap *heap_get(void);

// In the child of a fork, before anything else is allocated: gives back what the threads that
// are gone had in their bins. `forker` is the heap of the thread that lives on (that of nobody: it has
// none), NULL if that is not known. Counts and lists of spans are made anew afterwards.
void heap_after_fork(struct heap *forker);

#endif
