// `lucid top` on a terminal: four tabs, keys, and a size that changes.
#ifndef LUCID_TOP_SCREEN_H
#define LUCID_TOP_SCREEN_H

#include "tabs.h"

// Shows readings until the user ends it. Returns the exit code; a terminal that cannot be used
// gives a sentence.
int screen_run(struct sample *sample, enum tab tab, uint64_t interval, bool colour);

#endif
