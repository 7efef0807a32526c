// How many blocks a bin may hold: policy only, bin.c makes it so.
//
// A bin begins small and doubles each time it proves too small, up to a limit of its class that
// looks neither at other bins nor at how often the bin was too small. A bin at that limit that went
// on running empty and full, in a streak, may have more out of what all bins of the thread may have
// together; when that is used up, the bin that has stood still for longest becomes small again.
#ifndef LUCID_BINSIZE_H
#define LUCID_BINSIZE_H

#include "layout.h"

// Slots of a new bin: 1 at least, no more than the limit.
unsigned binsize_first(unsigned class);

// Slots that any bin of the class may have at present: as many tiny blocks as come in a burst, and
// of larger ones what is a small part of the memory in use.
unsigned binsize_limit(unsigned class);

// Slots that the bin may grow to now; no more than its capacity: it may not.
unsigned binsize_most(const struct heap *heap, unsigned class);

// Is it worth while to look for another bin that should become small for the sake of this one?
bool binsize_lacks_room(const struct heap *heap, unsigned class);

// The class of the bin that neither ran empty nor full for longest, of those that could become
// smaller. 0: none did so for long.
unsigned binsize_stillest(const struct heap *heap);

#endif
