// Explores every interleaving of a few threads, step by step: a depth-first search over states,
// in which a state that was seen before is not followed again.
//
// A thread is a coroutine on a stack of its own. A state is the memory that the scenario names,
// plus each thread's stack and registers; it is saved and put back byte by byte. Memory is
// sequentially consistent: what weaker machines may reorder is not explored; orders.h judges
// whether enough order was asked for.
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_THREADS 4u

struct memory {
    void *start;
    size_t length; // a multiple of 8
};

struct exploration {
    unsigned threads;
    void (*run)(unsigned thread); // what each thread does
    void (*at_end)(void);         // called whenever all threads have ended
    const struct memory *memory;  // ends with an entry of length 0
};

struct verdict {
    uint64_t states; // different ones
    uint64_t steps;
    uint64_t ends;      // different states in which all threads have ended
    unsigned depth;     // of the longest schedule
    const char *broken; // the property that does not hold; NULL: all hold
};

struct verdict explore(const struct exploration *exploration);

// For the threads: the current one gives the others a chance. `where` is for the trace.
void explore_step(const char *where);

// The current thread waits until *lock is 0.
void explore_wait(const volatile uint32_t *lock, const char *where);

// Ends the exploration: a property does not hold in this state.
void explore_broken(const char *property);

// Is one of the threads running (and not the scenario's beginning or end)?
bool explore_in_thread(void);

// Which one; pre: one is.
unsigned explore_thread(void);

// Prints the schedule that led to the broken property.
void explore_print_trace(void);

#endif
