// What a finished contest says: medians, paired ratios with their spread, a table or JSON.
#ifndef LUCID_BENCH_VERDICT_H
#define LUCID_BENCH_VERDICT_H

#include "contestant.h"

void verdict_table(const struct contest *contest, char *const *program);
void verdict_json(const struct contest *contest, char *const *program);

// Says which runs failed. False: some did, or not all in the same way, so that the figures do not
// compare; a program that fails alike in every run does the same work under each.
bool verdict_endings(const struct contest *contest);

#endif
