// Set-ups that several unit tests share, for cmocka.
#ifndef SETUPS_H
#define SETUPS_H

#include "arena.h"
#include "helper.h"
#include "init.h"
#include "root.h"
#include "unit.h"

#include <lucid.h>

// What goes back to the system then goes because the test asked.
static inline int without_helper(void **state) {
    (void)state;
    if (!init_ready()) {
        return -1;
    }
    helper_pause();
    return 0;
}

// What follows the block in the arena is in use from then on.
static inline void fill_behind(const void *block) {
    uint32_t head = unit_of((uintptr_t)block);
    uint32_t next = head + run_length_of(run_load(head));
    while (next == atomic_load(&root.live.top) || run_kind_of(run_load(next)) == RUN_FREE) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
}

// Whatever was freed before: blocks above the threshold stay mappings where it has been set.
static inline int with_set_threshold(void **state) {
    (void)state;
    return lucid_option_set("mmap_threshold", "32M");
}

#endif
