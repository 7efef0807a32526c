// TARGET = -- program args: the tool starts the program and reads it when it stops.
#ifndef LUCID_TARGET_LAUNCH_H
#define LUCID_TARGET_LAUNCH_H

#include "target.h"
#include "trace.h"

struct launch_order {
    char **program;             // its arguments, NULL behind the last one
    const char *break_function; // NULL: run to the end
    bool plain;                 // without lucid, on the C library's malloc
};

struct launch {
    struct trace trace;
    bool at_end;
};

// Starts the program, lets it run to the function or its end, and opens it. False: a sentence has
// been printed and the program is gone.
bool target_open_launch(struct target *target, const struct launch_order *order);

// The two halves, for the tour: stops where the program begins, with its libraries in place.
bool launch_start(struct launch *launch, const struct launch_order *order);
bool launch_find_function(pid_t pid, const char *function, uint64_t *address);

// Lets it run to its end; says so when that was not a good one.
void launch_finish(struct launch *launch);

#endif
