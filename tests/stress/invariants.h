// Every invariant of the heap, verified from the tables. For a moment at which no other thread is
// inside the allocator.
#ifndef INVARIANTS_H
#define INVARIANTS_H

#include <stdbool.h>

// Ends the program with a sentence when one does not hold. `forked`: this is the child of a fork
// that cut other threads off.
void invariants_check(bool forked);

#endif
