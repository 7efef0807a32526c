// `lucid top` without a terminal: everything once, or a line for each reading.
#ifndef LUCID_TOP_BATCH_H
#define LUCID_TOP_BATCH_H

#include "tabs.h"

// The tabs below each other, or one of them (TAB_COUNT: all); or JSON.
void batch_once(const struct sample *sample, enum tab tab);

// A line, or a JSON object, for each reading, until there were `count` (0: no end), or the target
// or the output ends. Returns the exit code.
int batch_run(struct sample *sample, uint64_t interval, uint64_t count);

#endif
