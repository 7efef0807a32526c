// Do the orders of the atomic operations suffice? Sequential consistency, which the explorer keeps
// to, hides an order that is too weak. So this keeps for each access to what is not atomic (the
// bytes of a block, the record of a span and the entries of its units) who knows of it: the thread
// itself, who acquired what it released afterwards, and so on. Nobody may use such memory, or give
// it to the arena, who does not know of every use by others before.
#ifndef MODEL_ORDERS_H
#define MODEL_ORDERS_H

#include "explore.h"

enum orders_kind { ORDERS_LOAD, ORDERS_STORE, ORDERS_EXCHANGE };

void orders_reset(void);
struct memory orders_memory(void);

// The running thread's operation on an atomic object, with a memory_order.
void orders_operate(const volatile void *object, enum orders_kind kind, int order);

// The arena's own lock, which the model does not have.
void orders_in_arena(void);

// The running thread uses, makes or ends a span at this unit; it has just got or is about to give a
// block of it.
void orders_use_span(unsigned unit);
void orders_make_span(unsigned unit);
void orders_end_span(unsigned unit);
void orders_use_block(unsigned unit, unsigned block);

#endif
