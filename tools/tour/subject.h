// The small program that the tour looks at: the tool itself, started anew, so that it needs no
// file of its own. Under lucid or on the C library's malloc.
#ifndef LUCID_TOUR_SUBJECT_H
#define LUCID_TOUR_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SUBJECT_ARGUMENT "--subject"

enum subject_step {
    STEP_START,   // nothing allocated yet
    STEP_TEN,     // a = malloc(10)
    STEP_FILL,    // filled with 'A'
    STEP_FIFTEEN, // b = malloc(15), filled with 'B'
    STEP_FREE,    // free(a)
    STEP_LARGE,   // malloc(64 MiB)
    STEP_COUNT,
};

struct subject {
    pid_t pid;
    int steps; // what it reports
    int go;    // a byte lets it go on
};

// What the subject does when it is started: the other side of these pipes.
int subject_main(int steps, int go);

bool subject_start(struct subject *subject, bool with_lucid);

// Lets it take the next step; `pointer` is the block of that step.
bool subject_step(struct subject *subject, uint64_t *pointer);
void subject_end(struct subject *subject);

#endif
