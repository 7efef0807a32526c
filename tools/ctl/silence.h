// Why a process does not answer.
#ifndef LUCID_CTL_SILENCE_H
#define LUCID_CTL_SILENCE_H

#include "target/target.h"

// Prints a sentence. `signal`: what was sent to it; `heard`: lucid's handler has run meanwhile.
void silence_explain(struct target *target, uint32_t signal, bool heard, unsigned patience);

#endif
