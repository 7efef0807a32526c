#include "settings.h"

#include "options.h" // not beside getopt.h, which has an `option` of its own

void settings_read(struct settings *settings, const struct reader *reader) {
    const struct root_live *live = &reader->live;
    const uint64_t *value = live->options.value;
    uint64_t trimmed = __atomic_load_n((const uint64_t *)(const void *)&live->giving.trimmed_bytes,
                                       __ATOMIC_RELAXED);
    *settings = (struct settings){
        .purges = value[OPTION_PURGE] != 0,
        .hardened = value[OPTION_HARDEN] != 0,
        .ctl = value[OPTION_CTL] != 0,
        .age = live->giving.age != 0 ? live->giving.age : value[OPTION_PURGE_AGE],
        .returned = live->pool.purged_units * reader_unit_size(reader) + trimmed,
    };
}
