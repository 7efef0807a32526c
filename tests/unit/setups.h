// Set-ups that several unit tests share, for cmocka.
#ifndef SETUPS_H
#define SETUPS_H

#include "helper.h"
#include "init.h"

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

// Whatever was freed before: blocks above the threshold stay mappings where it has been set.
static inline int with_set_threshold(void **state) {
    (void)state;
    return lucid_option_set("mmap_threshold", "32M");
}

#endif
