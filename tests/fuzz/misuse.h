// What a program must not do. Each kind is done in a child of a fork, which has to end by SIGABRT
// with a line that names the right kind.
#ifndef FUZZ_MISUSE_H
#define FUZZ_MISUSE_H

#include "input.h"

// Remembers a block that was just given back, for the double frees.
void misuse_remember(const void *freed);

// Does one kind of misuse, chosen by the input; none if there is no block to misuse.
void misuse_try(struct input *input);

#endif
