#include "options.h"

#include <string.h>

static const char *const thp_words[] = {
    [THP_AUTO] = "auto", [THP_NEVER] = "never", [THP_ALWAYS] = "always"};

const struct option_row option_table[OPTION_COUNT] = {
    [OPTION_MMAP_THRESHOLD] =
        {"mmap_threshold", OPTION_SIZE, ANY_TIME, MAPPING_THRESHOLD, SMALL_MAX,
         MAPPING_THRESHOLD_MAX,
         "blocks above this size have a mapping of their own, unless recycled", NULL},
    [OPTION_PURGE] = {"purge", OPTION_BOOL, ANY_TIME, 1, 0, 1,
                      "give memory that stays free back to the system", NULL},
    [OPTION_PURGE_AGE] = {"purge_age", OPTION_TIME, ANY_TIME, PURGE_AGE_MS, 0, 3600000,
                          "how long memory stays free before it is given back", NULL},
    [OPTION_SUMMARY] = {"summary", OPTION_BOOL, ANY_TIME, 0, 0, 1,
                        "print a short account of the heap when the program ends", NULL},
    [OPTION_EVENTS] = {"events", OPTION_BOOL, AT_START, 0, 0, 1,
                       "count every call and event, and print the counts when the program ends",
                       NULL},
    [OPTION_HARDEN] = {"harden", OPTION_BOOL, AT_START, 0, 0, 1,
                       "check every block at every free, and find writes after free", NULL},
    [OPTION_QUARANTINE] = {"quarantine", OPTION_SIZE, AT_START, (uint64_t)1 << 20, 0,
                           (uint64_t)1 << 30,
                           "hardened mode: how much freed memory is kept out of use", NULL},
    [OPTION_HELPER] =
        {"helper", OPTION_BOOL, ANY_TIME, 1, 0, 1,
         "a thread may come for a second to give memory back while the program is idle", NULL},
    [OPTION_GUARD] = {"guard", OPTION_RATE, AT_START, 0, 0, 1000000000,
                      "one in so many blocks lies between inaccessible pages; 0: none", NULL},
    [OPTION_CTL] = {"ctl", OPTION_BOOL, AT_START, 0, 0, 1,
                    "let `lucid ctl` give memory back and set options in this process", NULL},
    [OPTION_LIMIT] = {"limit", OPTION_SHARE, AT_START, 0, 0, (uint64_t)1 << 50,
                      "no more memory than this, or this share of the control group's; 0: any",
                      NULL},
    [OPTION_THP] = {"thp", OPTION_WORD, AT_START, THP_AUTO, THP_AUTO, THP_ALWAYS,
                    "huge pages: where they pay (auto), nowhere (never), everywhere (always)",
                    thp_words},
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

// "80%" becomes 80; sizes so small that they could be mistaken for that are none.
static bool parse_share(const struct option_row *row, const char *text, size_t length,
                        uint64_t *value) {
    static const struct option_row percent = {.unit = OPTION_NUMBER, .least = 1, .most = 100};
    static const struct option_row size = {.unit = OPTION_SIZE, .most = UINT64_MAX};
    if (length > 1 && text[length - 1] == '%') {
        return option_parse(&percent, text, length - 1, value);
    }
    return option_parse(&size, text, length, value) && *value <= row->most &&
           (*value == 0 || *value >= LIMIT_MIN);
}

static bool parse_word(const struct option_row *row, const char *text, size_t length,
                       uint64_t *value) {
    for (uint64_t i = 0; i <= row->most; i++) {
        if (same_word(text, length, row->words[i])) {
            *value = i;
            return true;
        }
    }
    return false;
}

COLD bool option_parse(const struct option_row *row, const char *text, size_t length,
                       uint64_t *value) {
    if (row->unit == OPTION_BOOL) {
        return parse_bool(text, length, value);
    }
    if (row->unit == OPTION_SHARE) {
        return parse_share(row, text, length, value);
    }
    if (row->unit == OPTION_WORD) {
        return parse_word(row, text, length, value);
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

static void write_scaled(struct text *text, uint64_t value, uint64_t step,
                         const char *const *suffixes, unsigned most) {
    unsigned power = 0;
    while (power < most && value != 0 && value % step == 0) {
        value /= step;
        power++;
    }
    text_add_number(text, value);
    text_add(text, suffixes[power]);
}

COLD void option_write(struct text *text, const struct option_row *row, uint64_t value) {
    static const char *const sizes[] = {"", "K", "M", "G", "T"};
    static const char *const times[] = {"ms", "s"};
    switch (row->unit) {
    case OPTION_SHARE:
        if (value != 0 && value <= 100) {
            text_add_number(text, value);
            text_add_char(text, '%');
            break;
        }
        __attribute__((fallthrough));
    case OPTION_SIZE:
        write_scaled(text, value, 1024, sizes, 4);
        break;
    case OPTION_TIME:
        write_scaled(text, value, 1000, times, 1);
        break;
    case OPTION_WORD:
        if (value <= row->most) {
            text_add(text, row->words[value]);
            break;
        }
        text_add_number(text, value); // from a process of another version
        break;
    case OPTION_RATE:
        text_add(text, value != 0 ? "1/" : "");
        text_add_number(text, value);
        break;
    default:
        text_add_number(text, value);
        break;
    }
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

COLD enum option option_find(const char *name, size_t length) {
    unsigned i = 0;
    while (i < OPTION_COUNT && !same_word(name, length, option_table[i].name)) {
        i++;
    }
    return (enum option)i;
}

// ---- complaints ---------------------------------------------------------------------------------

// One source while it is read.
struct reading {
    struct option_values *values;
    const struct option_values *before; // what holds where this source makes no sense
    enum option_source source;
    unsigned line;
    void (*complain)(const char *line);
};

const char *option_source_name(enum option_source source) {
    static const char *const names[] = {
        [SOURCE_DEFAULT] = "default",      [SOURCE_ENVIRONMENT] = "LUCID_OPTIONS",
        [SOURCE_PROGRAM] = "program",      [SOURCE_FILE] = OPTIONS_FILE,
        [SOURCE_SYMBOL] = "lucid_options", [SOURCE_CTL] = "lucid ctl",
    };
    return (unsigned)source < sizeof(names) / sizeof(names[0]) ? names[source] : "unknown";
}

static void add_part(struct text *line, const char *part, size_t length) {
    for (size_t i = 0; i < length && i < 60; i++) {
        text_add_char(line, part[i]);
    }
}

static struct text complaint_begin(const struct reading *reading, char *buffer, size_t room) {
    struct text line = text_begin(buffer, room);
    text_add(&line, option_source_name(reading->source));
    if (reading->source == SOURCE_FILE) {
        text_add(&line, ", line ");
        text_add_number(&line, reading->line);
    }
    text_add(&line, ": ");
    return line;
}

static void complain_name(const struct reading *reading, const char *name, size_t length) {
    char buffer[256];
    struct text line = complaint_begin(reading, buffer, sizeof(buffer));
    text_add(&line, "no option is called '");
    add_part(&line, name, length);
    text_add(&line, "'; did you mean '");
    text_add(&line, nearest_name(name, length));
    text_add(&line, "'?");
    reading->complain(buffer);
}

static void add_words(struct text *line, const struct option_row *row) {
    for (uint64_t i = 0; i <= row->most; i++) {
        text_add(line, i == 0 ? "" : i == row->most ? " or " : ", ");
        text_add(line, row->words[i]);
    }
}

static void complain_value(const struct reading *reading, enum option option, const char *value,
                           size_t length) {
    static const char *const expected[] = {
        [OPTION_BOOL] = "0 or 1",
        [OPTION_SIZE] = "a size such as 64K or 2M",
        [OPTION_TIME] = "a time such as 500ms or 2s",
        [OPTION_NUMBER] = "a number",
        [OPTION_RATE] = "0 or a rate such as 1/5000",
        [OPTION_SHARE] = "0, a size such as 2G from 1M on, or a share such as 80%",
        [OPTION_WORD] = "",
    };
    const struct option_row *row = &option_table[option];
    enum option_source stays = reading->before->source[option];
    char buffer[400];
    struct text line = complaint_begin(reading, buffer, sizeof(buffer));
    text_add_char(&line, '\'');
    add_part(&line, value, length);
    text_add(&line, "' is no value for ");
    text_add(&line, row->name);
    text_add(&line, ", which takes ");
    text_add(&line, expected[row->unit]);
    if (row->unit == OPTION_WORD) {
        add_words(&line, row);
    }
    if (row->unit == OPTION_SIZE || row->unit == OPTION_TIME || row->unit == OPTION_NUMBER) {
        text_add(&line, " from ");
        option_write(&line, row, row->least);
        text_add(&line, " to ");
        option_write(&line, row, row->most);
    }
    text_add(&line, "; the ");
    text_add(&line, stays == SOURCE_DEFAULT ? "default" : "value from ");
    text_add(&line, stays == SOURCE_DEFAULT ? "" : option_source_name(stays));
    text_add(&line, " stays");
    reading->complain(buffer);
}

// ---- reading ------------------------------------------------------------------------------------

static bool is_blank(char letter) {
    return letter == ' ' || letter == '\t' || letter == '\r';
}

// A piece of a longer text.
struct words {
    const char *start;
    size_t length;
};

static struct words trimmed(const char *start, size_t length) {
    while (length > 0 && is_blank(start[0])) {
        start++;
        length--;
    }
    while (length > 0 && is_blank(start[length - 1])) {
        length--;
    }
    return (struct words){start, length};
}

// Most processes are given no option.
static COLD void read_pair(const struct reading *reading, struct words pair) {
    const char *equals = memchr(pair.start, '=', pair.length);
    size_t length = equals != NULL ? (size_t)(equals - pair.start) : pair.length;
    struct words name = trimmed(pair.start, length);
    struct words value = {"", 0};
    if (equals != NULL) {
        value = trimmed(equals + 1, pair.length - length - 1);
    }
    enum option option = option_find(name.start, name.length);
    if (option == OPTION_COUNT) {
        complain_name(reading, name.start, name.length);
        return;
    }
    struct option_values *values = reading->values;
    if (option_parse(&option_table[option], value.start, value.length, &values->value[option])) {
        values->source[option] = (uint8_t)reading->source;
    } else {
        values->value[option] = reading->before->value[option];
        values->source[option] = reading->before->source[option];
        complain_value(reading, option, value.start, value.length);
    }
}

void options_default(struct option_values *values) {
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        values->value[i] = option_table[i].initial;
        values->source[i] = SOURCE_DEFAULT;
    }
}

void options_read(struct option_values *values, enum option_source source, const char *text,
                  void (*complain)(const char *line)) {
    struct option_values before = *values;
    struct reading reading = {values, &before, source, 1, complain};
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ",\n#");
        struct words pair = trimmed(text, length);
        if (pair.length > 0) {
            read_pair(&reading, pair);
        }
        text += length;
        text += *text == '#' ? strcspn(text, "\n") : 0;
        reading.line += *text == '\n';
        text += *text != '\0';
    }
}

COLD void options_read_file(struct option_values *values, char *text, size_t length,
                            void (*complain)(const char *line)) {
    if (length > OPTIONS_FILE_MOST) {
        text[OPTIONS_FILE_MOST] = '\0';
        char *last = strrchr(text, '\n');
        *(last != NULL ? last : text) = '\0';
        complain(OPTIONS_FILE ": longer than 4095 bytes; what is behind them is not read");
    }
    options_read(values, SOURCE_FILE, text, complain);
}
