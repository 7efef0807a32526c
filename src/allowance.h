// How much memory the heap may take (option `limit`, lucid_limit_set), and how much it has taken.
//
// What counts: the units of the arena that a run uses or that are dirty, the mappings of large
// blocks, and the tables. All that can be resident is among it, so that no more of the heap is
// resident than is counted; the tables' last pages and what is said at allowance_add aside. It is
// counted where units become a run, where the kernel got dirty ones, and where mappings come and
// go; what bins and spans hand out counts already.
#ifndef LUCID_ALLOWANCE_H
#define LUCID_ALLOWANCE_H

#include "root.h"

static inline bool allowance_is_limited(void) {
    return __atomic_load_n(&root.live.allowance.most, __ATOMIC_RELAXED) != 0;
}

// Counts so many bytes more, or refuses to (false). Before they are touched. 0 is refused too when
// more is taken than the limit, which was lowered then: dirty units are not used again but go.
bool allowance_take(size_t bytes);

// Counts what cannot be refused: records of a table that is opened together with what they are for.
void allowance_add(size_t bytes);

// Counts so many bytes less. After they have gone back.
void allowance_give(size_t bytes);

// Sets the limit; 0: none. huge_obey_limit is to follow, because a huge page holds what was never
// asked for.
void allowance_set(uint64_t most);

// Sets it as the option `limit` says; the same is to follow.
void allowance_begin(void (*complain)(const char *line));

// What is taken according to the tables, when so many units of the arena are.
uint64_t allowance_counted(uint64_t units);

// In the child of a fork, where a thread may have been cut off before it counted.
void allowance_after_fork(uint64_t units);

#endif
