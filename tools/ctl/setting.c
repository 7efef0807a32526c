#include "setting.h"

#include "options.h"
#include "util/human.h"

#include <stdio.h>
#include <string.h>

// "mmap_threshold, purge, ...": what can be set while a program runs.
static const char *list_live(char *to, size_t length) {
    to[0] = 0;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        size_t used = strlen(to);
        if (option_table[i].moment == ANY_TIME) {
            snprintf(to + used, length - used, "%s%s", used > 0 ? ", " : "", option_table[i].name);
        }
    }
    return to;
}

bool setting_parse(struct setting *setting, const char *text) {
    char live[256];
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const char *value = equals != NULL ? equals + 1 : "";
    setting->option = option_find(text, length);
    if (setting->option == OPTION_COUNT) {
        say("no option is called '%.*s'; what can be set now: %s", (int)length, text,
            list_live(live, sizeof(live)));
        return false;
    }
    const struct option_row *row = &option_table[setting->option];
    if (row->moment != ANY_TIME) {
        say("a program looks at %s only when it starts; what can be set now: %s", row->name,
            list_live(live, sizeof(live)));
        return false;
    }
    if (!option_parse(row, value, strlen(value), &setting->value)) {
        say("'%s' is no value for %s; lucid-options(7) says what it takes", value, row->name);
        return false;
    }
    return true;
}
