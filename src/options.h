// Run-time options: one table, one variable LUCID_OPTIONS="key=value,key=value".
// A program that runs with more rights than its user ignores the variable. A key or a value
// that makes no sense gives one line on standard error and the default stays.
#ifndef LUCID_OPTIONS_H
#define LUCID_OPTIONS_H

#include "layout.h"

enum option {
    OPTION_MMAP_THRESHOLD,
    OPTION_PURGE,
    OPTION_PURGE_AGE,
    OPTION_SUMMARY,
    OPTION_EVENTS,
    OPTION_HARDEN,
    OPTION_QUARANTINE,
    OPTION_HELPER,
    OPTION_GUARD,
    OPTION_COUNT,
};

enum option_unit { OPTION_BOOL, OPTION_SIZE, OPTION_TIME, OPTION_NUMBER, OPTION_RATE };

enum option_source {
    SOURCE_DEFAULT = 0,
    SOURCE_ENVIRONMENT = 1,
    SOURCE_PROGRAM = 2, // mallopt or lucid.h
};

struct option_row {
    const char *name;
    enum option_unit unit;
    uint64_t initial;
    uint64_t least;
    uint64_t most;
    const char *help; // one sentence
};

// Indexed by enum option.
extern const struct option_row option_table[OPTION_COUNT];

// Sets all options to their defaults, then reads `text` (may be NULL). Errors are reported
// through `complain`, one line each, without a newline at the end.
void options_read(struct option_values *values, const char *text,
                  void (*complain)(const char *line));

// Reads one value in the notation of the row's unit. False: not a value, or out of range.
bool option_parse(const struct option_row *row, const char *text, size_t length, uint64_t *value);

#endif
