#include "optionlist.h"

#include "options.h"
#include "util/human.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_TEXT = 32 };

static bool complained;

static void complain(const char *line) {
    say("%s", line);
    complained = true;
}

static const char *value_text(char to[VALUE_TEXT], const struct option_row *row, uint64_t value) {
    struct text text = text_begin(to, VALUE_TEXT);
    option_write(&text, row, value);
    return to;
}

void option_list_print(const struct option_values *values, struct out *out) {
    out_format(out, "%-16s %-8s %-8s %-15s %s\n", "name", "value", "default", "from",
               "what it is for");
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        char now[VALUE_TEXT];
        char initial[VALUE_TEXT];
        out_format(out, "%-16s %-8s %-8s %-15s %s\n", row->name,
                   value_text(now, row, values->value[i]), value_text(initial, row, row->initial),
                   option_source_name(values->source[i]), row->help);
    }
}

void option_list_json(const struct option_values *values, struct json *json) {
    json_open_array(json, "options");
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        char text[VALUE_TEXT];
        json_open_object(json, NULL);
        json_string(json, "name", row->name);
        json_string(json, "value", value_text(text, row, values->value[i]));
        json_number(json, "number", values->value[i]);
        json_string(json, "default", value_text(text, row, row->initial));
        json_string(json, "from", option_source_name(values->source[i]));
        json_bool(json, "at_run_time", row->moment == ANY_TIME);
        json_string(json, "help", row->help);
        json_close_object(json);
    }
    json_close_array(json);
}

static void read_file(struct option_values *values) {
    char text[OPTIONS_FILE_ROOM];
    FILE *file = fopen(OPTIONS_FILE, "re");
    if (file == NULL) {
        if (errno != ENOENT) {
            say("%s is there but cannot be read (%s); programs of this user ignore it",
                OPTIONS_FILE, strerror(errno));
        }
        return;
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    fclose(file);
    options_read_file(values, text, length, complain);
}

bool option_list_here(struct option_values *values) {
    options_default(values);
    read_file(values);
    options_read(values, SOURCE_ENVIRONMENT, getenv("LUCID_OPTIONS"), complain);
    return !complained;
}
