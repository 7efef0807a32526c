// What a finished contest says: medians, paired ratios with their spread, a table or JSON.
#ifndef LUCID_BENCH_VERDICT_H
#define LUCID_BENCH_VERDICT_H

#include "contestant.h"

void verdict_table(const struct contest *contest, char *const *program);
void verdict_json(const struct contest *contest, char *const *program);

// Says which runs ended otherwise than under the C library. False when there is such a run.
bool verdict_endings(const struct contest *contest);

#endif
