#include "options.h"

#include "text.h"

#include <string.h>

const struct option_row option_table[OPTION_COUNT] = {
    [OPTION_MMAP_THRESHOLD] = {"mmap_threshold", OPTION_SIZE, MAPPING_THRESHOLD, SMALL_MAX,
                               MAPPING_THRESHOLD_MAX,
                               "blocks above this size have a mapping of their own"},
    [OPTION_PURGE] = {"purge", OPTION_BOOL, 1, 0, 1,
                      "give memory that stays free back to the system"},
    [OPTION_PURGE_AGE] = {"purge_age", OPTION_TIME, PURGE_AGE_MS, 0, 3600000,
                          "how long memory stays free before it is given back"},
    [OPTION_SUMMARY] = {"summary", OPTION_BOOL, 0, 0, 1,
                        "print a short account of the heap when the program ends"},
    [OPTION_EVENTS] = {"events", OPTION_BOOL, 0, 0, 1,
                       "count every call and event, and print the counts when the program ends"},
    [OPTION_HARDEN] = {"harden", OPTION_BOOL, 0, 0, 1,
                       "check every block at every free, and find writes after free"},
    [OPTION_QUARANTINE] = {"quarantine", OPTION_SIZE, (uint64_t)1 << 20, 0, (uint64_t)1 << 30,
                           "hardened mode: how much freed memory is kept out of use"},
    [OPTION_HELPER] =
        {"helper", OPTION_BOOL, 1, 0, 1,
         "a thread may come for a second to give memory back while the program is idle"},
    [OPTION_GUARD] = {"guard", OPTION_RATE, 0, 0, 1000000000,
                      "one in so many blocks lies between inaccessible pages; 0: none"},
};

_Static_assert(OPTION_COUNT <= OPTION_ROOM, "the layout has room for every option");

static unsigned char lower(char letter) {
    return (unsigned char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

static bool same_word(const char *text, size_t length, const char *word) {
    size_t i = 0;
    while (i < length && word[i] != '\0' && lower(text[i]) == (unsigned char)word[i]) {
        i++;
    }
    return i == length && word[i] == '\0';
}

// The factor a suffix stands for, 0 if it is none.
static uint64_t suffix_factor(enum option_unit unit, const char *suffix, size_t length) {
    static const struct {
        enum option_unit unit;
        const char *name;
        uint64_t factor;
    } suffixes[] = {
        {OPTION_SIZE, "k", (uint64_t)1 << 10},
        {OPTION_SIZE, "m", (uint64_t)1 << 20},
        {OPTION_SIZE, "g", (uint64_t)1 << 30},
        {OPTION_SIZE, "t", (uint64_t)1 << 40},
        {OPTION_TIME, "ms", 1},
        {OPTION_TIME, "s", 1000},
    };
    if (length == 0) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (suffixes[i].unit == unit && same_word(suffix, length, suffixes[i].name)) {
            return suffixes[i].factor;
        }
    }
    return 0;
}

static bool parse_bool(const char *text, size_t length, uint64_t *value) {
    static const char *const on[] = {"1", "on", "yes", "true"};
    static const char *const off[] = {"0", "off", "no", "false"};
    for (size_t i = 0; i < 4; i++) {
        if (same_word(text, length, on[i]) || same_word(text, length, off[i])) {
            *value = same_word(text, length, on[i]);
            return true;
        }
    }
    return false;
}

bool option_parse(const struct option_row *row, const char *text, size_t length, uint64_t *value) {
    if (row->unit == OPTION_BOOL) {
        return parse_bool(text, length, value);
    }
    size_t i = 0;
    if (row->unit == OPTION_RATE && length > 2 && text[0] == '1' && text[1] == '/') {
        i = 2;
    } else if (row->unit == OPTION_RATE && !same_word(text, length, "0")) {
        return false;
    }
    size_t digits = i;
    uint64_t number = 0;
    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        if (number > (UINT64_MAX - 9) / 10) {
            return false;
        }
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    uint64_t factor = suffix_factor(row->unit, text + i, length - i);
    if (i == digits || (digits == 2 && number == 0) || factor == 0 ||
        number > UINT64_MAX / factor) {
        return false;
    }
    *value = number * factor;
    return *value >= row->least && *value <= row->most;
}

// Levenshtein distance with one row of state; names are short.
static unsigned distance(const char *a, size_t a_length, const char *b) {
    unsigned row[33];
    size_t b_length = strlen(b);
    if (a_length > 32 || b_length > 32) {
        return 99;
    }
    for (unsigned j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned substitute = diagonal + (lower(a[i - 1]) != (unsigned char)b[j - 1]);
            diagonal = row[j];
            unsigned shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = shorter < substitute ? shorter : substitute;
        }
    }
    return row[b_length];
}

static const char *nearest_name(const char *text, size_t length) {
    const char *best = option_table[0].name;
    unsigned least = 99;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        unsigned d = distance(text, length, option_table[i].name);
        if (d < least) {
            least = d;
            best = option_table[i].name;
        }
    }
    return best;
}

static void add_part(struct text *line, const char *part, size_t length) {
    for (size_t i = 0; i < length && i < 60; i++) {
        text_add_char(line, part[i]);
    }
}

static void complain_key(const char *key, size_t length, void (*complain)(const char *)) {
    char buffer[256];
    struct text line = text_begin(buffer, sizeof(buffer));
    text_add(&line, "LUCID_OPTIONS: no option is called '");
    add_part(&line, key, length);
    text_add(&line, "'; did you mean '");
    text_add(&line, nearest_name(key, length));
    text_add(&line, "'?");
    complain(buffer);
}

static void complain_value(const struct option_row *row, const char *value, size_t length,
                           void (*complain)(const char *)) {
    static const char *const expected[] = {
        [OPTION_BOOL] = "0 or 1",
        [OPTION_SIZE] = "a size such as 64K or 2M",
        [OPTION_TIME] = "a time such as 500ms or 2s",
        [OPTION_NUMBER] = "a number",
        [OPTION_RATE] = "0 or a rate such as 1/5000",
    };
    char buffer[320];
    struct text line = text_begin(buffer, sizeof(buffer));
    text_add(&line, "LUCID_OPTIONS: '");
    add_part(&line, value, length);
    text_add(&line, "' is no value for ");
    text_add(&line, row->name);
    text_add(&line, ", which takes ");
    text_add(&line, expected[row->unit]);
    if (row->unit != OPTION_BOOL && row->unit != OPTION_RATE) {
        text_add(&line, " from ");
        text_add_number(&line, row->least);
        text_add(&line, " to ");
        text_add_number(&line, row->most);
    }
    text_add(&line, "; the default stays");
    complain(buffer);
}

static void read_pair(struct option_values *values, const char *pair, size_t length,
                      void (*complain)(const char *)) {
    const char *equals = memchr(pair, '=', length);
    size_t key_length = equals != NULL ? (size_t)(equals - pair) : length;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        if (!same_word(pair, key_length, row->name)) {
            continue;
        }
        const char *value = equals != NULL ? equals + 1 : "";
        size_t value_length = equals != NULL ? length - key_length - 1 : 0;
        if (option_parse(row, value, value_length, &values->value[i])) {
            values->source[i] = SOURCE_ENVIRONMENT;
        } else {
            values->value[i] = row->initial;
            values->source[i] = SOURCE_DEFAULT;
            complain_value(row, value, value_length, complain);
        }
        return;
    }
    complain_key(pair, key_length, complain);
}

void options_read(struct option_values *values, const char *text,
                  void (*complain)(const char *line)) {
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        values->value[i] = option_table[i].initial;
        values->source[i] = SOURCE_DEFAULT;
    }
    while (text != NULL && *text != '\0') {
        const char *comma = strchr(text, ',');
        size_t length = comma != NULL ? (size_t)(comma - text) : strlen(text);
        if (length > 0) {
            read_pair(values, text, length, complain);
        }
        text = comma != NULL ? comma + 1 : NULL;
    }
}
