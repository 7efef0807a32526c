// One run of the user's program under one allocator.
#ifndef LUCID_BENCH_TRIAL_H
#define LUCID_BENCH_TRIAL_H

#include "contestant.h"

// Can a preloaded library reach this program? False: a sentence has been said.
bool trial_possible(const char *name);

// Starts the program, waits for it and says what it used. `program` ends with NULL. Its standard
// input is read from the start when it is a file, and empty otherwise. False: it could not be
// started; a sentence has been said.
bool trial_run(const struct contestant *contestant, char *const *program, bool show_output,
               struct measurement *result);

#endif
