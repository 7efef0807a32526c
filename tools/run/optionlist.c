#include "optionlist.h"

#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_TEXT = 32 };

static bool complained;

static void complain(const char *line) {
    fprintf(stderr, "lucid: %s\n", line);
    complained = true;
}

// The number as a user would write it: the largest unit that leaves no remainder.
static const char *value_text(char text[VALUE_TEXT], enum option_unit unit, uint64_t value) {
    static const char *const letters[] = {"", "K", "M", "G", "T"};
    size_t letter = 0;
    switch (unit) {
    case OPTION_BOOL:
        snprintf(text, VALUE_TEXT, "%s", value != 0 ? "1" : "0");
        break;
    case OPTION_SIZE:
        while (value != 0 && value % 1024 == 0 && letter < 4) {
            value /= 1024;
            letter++;
        }
        snprintf(text, VALUE_TEXT, "%" PRIu64 "%s", value, letters[letter]);
        break;
    case OPTION_TIME:
        if (value != 0 && value % 1000 == 0) {
            snprintf(text, VALUE_TEXT, "%" PRIu64 "s", value / 1000);
        } else {
            snprintf(text, VALUE_TEXT, "%" PRIu64 "ms", value);
        }
        break;
    case OPTION_RATE:
        snprintf(text, VALUE_TEXT, value != 0 ? "1/%" PRIu64 : "%" PRIu64, value);
        break;
    default:
        snprintf(text, VALUE_TEXT, "%" PRIu64, value);
        break;
    }
    return text;
}

static void print_row(const struct option_row *row, uint64_t value, uint8_t source) {
    char now[VALUE_TEXT];
    char initial[VALUE_TEXT];
    printf("%-16s %-8s %-8s %-13s %s\n", row->name, value_text(now, row->unit, value),
           value_text(initial, row->unit, row->initial),
           source == SOURCE_ENVIRONMENT ? "LUCID_OPTIONS" : "default", row->help);
}

bool option_list_print(void) {
    struct option_values values;
    options_read(&values, getenv("LUCID_OPTIONS"), complain);
    printf("%-16s %-8s %-8s %-13s %s\n", "name", "value", "default", "from", "what it is for");
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        print_row(&option_table[i], values.value[i], values.source[i]);
    }
    return !complained;
}
