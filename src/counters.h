// The first observer: counts every event, and the blocks of each class that were allocated and
// freed (option `events`). The counts are found through root.live.counts; when the program ends
// they are printed on standard error.
#ifndef LUCID_COUNTERS_H
#define LUCID_COUNTERS_H

// Attaches the observer. Called at most once, at start-up.
void counters_begin(void);

#endif
