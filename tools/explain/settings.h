// The options of a target that decide what goes back to the kernel, and what has gone.
#ifndef LUCID_EXPLAIN_SETTINGS_H
#define LUCID_EXPLAIN_SETTINGS_H

#include "reader.h"

struct settings {
    bool purges;       // option purge
    bool hardened;     // option harden: free blocks stay as they are
    bool ctl;          // option ctl: `lucid ctl` is listened to
    uint64_t age;      // ms that memory stays free before it goes by itself
    uint64_t returned; // bytes given back since the start
};

void settings_read(struct settings *settings, const struct reader *reader);

#endif
