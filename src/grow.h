// Where the arena's memory comes from: the program break first; when the break does not move
// (a limit, another mapping, an emulator), the arena goes on in mappings at the addresses behind
// it. What lies in between belongs to somebody else and becomes a foreign run.
#ifndef LUCID_GROW_H
#define LUCID_GROW_H

#include "layout.h"

// Chooses the base, reserves and opens the tables. False: no memory.
bool grow_init(void);

// Makes room for at least `units` more units in a row at the top. False: no memory.
// pre: the pool's lock is held. The top may have moved over a foreign run.
bool grow_arena(uint32_t units);

// In the child of a fork: the limit and the reach are what the top and each other say.
void grow_after_fork(void);

#endif
