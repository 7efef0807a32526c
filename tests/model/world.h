// The world in which src/span.c and src/lane.c run in the model: two lanes, two size classes with
// spans of two or three blocks, an arena of a few units, locks that the explorer knows, and a
// record of who has which block, against which every step is judged.
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include "explore.h"

#include <stdint.h>

#define WORLD_UNITS 6u // unit 0 is never used
#define WORLD_LANES 2u

// Everything back to the beginning; spans have `blocks` blocks from now on.
void world_reset(unsigned blocks);

// From now on who knows of which access is part of every state, and judged (orders.h).
void world_look_at_orders(void);

// The memory that is part of every state.
const struct memory *world_memory(void);

// For the threads and for the beginning of a scenario: calls of span.c with the record kept.
// `class` is 1 or 2.
uint32_t world_acquire(unsigned class, unsigned lane);
void world_release(uint32_t head);
void *world_take(uint32_t head); // one block or NULL
void *world_take_one(unsigned class);
void world_give(unsigned class, void *const *blocks, unsigned count);
// What the thread that gives pages of half-used spans back does with one unit.
void world_look_after(uint32_t head);

// When all threads have ended: no span is lost, every number agrees. Spans that are `held` on
// purpose are named by world_keep_held.
void world_judge_end(void);
void world_keep_held(uint32_t head);

#endif
