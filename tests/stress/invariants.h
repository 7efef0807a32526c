// Every invariant of the heap, verified from the tables. For a moment at which no other thread is
// inside the allocator.
#ifndef INVARIANTS_H
#define INVARIANTS_H

// Ends the program with a sentence when one does not hold.
void invariants_check(void);

#endif
