// Run-time options: one table, and three places where a value may come from. What comes later in
// this order counts: the file /etc/lucid.conf, the symbol lucid_options of the program, the
// variable LUCID_OPTIONS. All three are written name=value, name=value; a new line is as good as
// a comma, blanks do not matter, and # begins a comment. A name or a value that makes no sense
// gives one line on standard error, and what was in force before stays.
#ifndef LUCID_OPTIONS_H
#define LUCID_OPTIONS_H

#include "layout.h"
#include "text.h"

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
    OPTION_CTL,
    OPTION_LIMIT,
    OPTION_THP,
    OPTION_COUNT,
};

// OPTION_SHARE: 0, a size from LIMIT_MIN on, or 1 to 100 percent, as that number.
// OPTION_WORD: one of the row's words, as its number.
enum option_unit {
    OPTION_BOOL,
    OPTION_SIZE,
    OPTION_TIME,
    OPTION_NUMBER,
    OPTION_RATE,
    OPTION_SHARE,
    OPTION_WORD,
};

// Values of OPTION_THP.
enum thp_wish { THP_AUTO = 0, THP_NEVER = 1, THP_ALWAYS = 2 };

// When an option may be set: before the first block is served, or also while the program runs.
enum option_moment { AT_START, ANY_TIME };

enum option_source {
    SOURCE_DEFAULT = 0,
    SOURCE_ENVIRONMENT = 1,
    SOURCE_PROGRAM = 2, // mallopt or lucid_option_set
    SOURCE_FILE = 3,
    SOURCE_SYMBOL = 4, // the program's own lucid_options
    SOURCE_CTL = 5,    // lucid ctl, while the program ran
};

struct option_row {
    const char *name;
    enum option_unit unit;
    enum option_moment moment;
    uint64_t initial;
    uint64_t least;
    uint64_t most;
    const char *help;         // one sentence
    const char *const *words; // OPTION_WORD: `most` + 1 of them
};

// Indexed by enum option.
extern const struct option_row option_table[OPTION_COUNT];

// Sets all options to their defaults.
void options_default(struct option_values *values);

// Reads one source; `text` may be NULL. Errors are reported through `complain`, one line each,
// without a newline at the end.
void options_read(struct option_values *values, enum option_source source, const char *text,
                  void (*complain)(const char *line));

// The file is text of a few lines: of one that is longer no more is read, and that is said.
#define OPTIONS_FILE_MOST 4095u
#define OPTIONS_FILE_ROOM (OPTIONS_FILE_MOST + 2) // for a byte too many, and the terminator

// Reads the file, of which there are `length` bytes in `text`; cuts it off where it is too long.
void options_read_file(struct option_values *values, char *text, size_t length,
                       void (*complain)(const char *line));

// Where a value comes from, as a word.
const char *option_source_name(enum option_source source);

// The option of this name (case does not matter); OPTION_COUNT: there is none.
enum option option_find(const char *name, size_t length);

// Reads one value in the notation of the row's unit. False: not a value, or out of range.
bool option_parse(const struct option_row *row, const char *text, size_t length, uint64_t *value);

// Writes a value as a user would write it: in the largest unit that leaves no remainder.
void option_write(struct text *text, const struct option_row *row, uint64_t value);

#endif
