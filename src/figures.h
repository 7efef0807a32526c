// What the heap says about itself, in the struct of lucid.h.
#ifndef LUCID_FIGURES_H
#define LUCID_FIGURES_H

#include "walk.h"

struct lucid_stats;

// Fills in both, the size of *stats included; they are of one moment. The account is the caller's,
// because it is too large for a small stack to hold twice. False and ENOMEM: there is no heap.
bool figures_take(struct lucid_stats *stats, struct account *account);

#endif
