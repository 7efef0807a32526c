// Lanes: where spans with free blocks are found. The threads share LANES lanes out among them, and
// each looks in its own first, so that threads on different cores seldom meet at a lock and what
// one of them has used comes back to it, out of its own cache. No lane owns anything: a span that
// one lacks it takes from another's list, unless it has a loose run for a new one (span_acquire).
//
// A span belongs to the lane of the thread that held it last, also while it is full or held.
//
// Invariants of each lane and class, outside of the list's lock: `spans` == spans of the class that
// belong to it; those on its list are the ones of these that are LISTED.
#ifndef LUCID_LANE_H
#define LUCID_LANE_H

#include "layout.h"

// A span of the class that is on the lane's list; it is held and off the list now.
// 0: there is none.
uint32_t lane_listed_to_held(unsigned lane, unsigned class);

// The same from the other lanes' lists; it belongs to this lane from now on.
uint32_t lane_others_listed_to_held(unsigned lane, unsigned class);

// Puts a held span on its lane's list, as the last to be used again if `last`. Returns false when
// it became empty meanwhile; it is then still held and on no list.
bool lane_held_to_listed(uint32_t head, bool last);

// Takes a span off its list that was claimed while it is on it (spanstate.h). It is held.
void lane_claimed_to_held(uint32_t head);

// To be called before a lane is used: writes to its pages. Read first, each would fault twice; and
// a kernel's core leaves out memory that was only read.
void lane_begin(unsigned lane);

// Counts a span that begins in the lane; one that ends.
void lane_add_span(unsigned lane, uint32_t head);
void lane_remove_span(uint32_t head);

// Spans of the class that belong to the lane, about: others may change it meanwhile.
uint32_t lane_spans(unsigned lane, unsigned class);

// In the child of a fork: all lists are empty, nothing is counted.
void lane_reset(void);

#endif
