// The tour's two halves: over the built-in program, and over one of the user's.
#ifndef LUCID_TOUR_TOUR_H
#define LUCID_TOUR_TOUR_H

#include "observe.h"

struct tour {
    bool json;
    bool both;  // the C library's malloc too
    bool plain; // only that
    bool wait;  // for a line on the standard input after each step
    struct json writer;
    char **program;
};

// Begins and ends the report of one step; `title` says what the program just did.
void tour_step(struct tour *tour, const char *name, const char *title,
               const struct observation *seen, size_t count, const char *const *sentences);
void tour_pause(const struct tour *tour);

int tour_program(struct tour *tour);

#endif
