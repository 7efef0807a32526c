// Whether what a root says of itself can be: sizes and offsets, page size, tables, size classes. It
// is the first thing a reader believes, and after this it can.
#ifndef LUCID_ROOTCHECK_H
#define LUCID_ROOTCHECK_H

#include "reader.h"

// Looks at reader->fixed. False: see reader->fault.
bool rootcheck(struct reader *reader);

#endif
