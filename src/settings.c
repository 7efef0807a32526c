#include "settings.h"

#include "options.h"
#include "os/os.h"
#include "root.h"

#include <lucid.h>
#include <string.h>

#pragma weak lucid_options // most programs have none

// The file is text of a few lines; what it has beyond this is not read, and that is said.
static void read_file(struct option_values *values, void (*complain)(const char *line)) {
    char text[4096];
    size_t length;
    if (!os_read_file(OPTIONS_FILE, text, sizeof(text), &length)) {
        return; // there is none, or it is not for this process
    }
    if (length == sizeof(text) - 1) {
        char *last = strrchr(text, '\n');
        *(last != NULL ? last : text) = '\0';
        complain(OPTIONS_FILE ": longer than 4095 bytes; what is behind them is not read");
    }
    options_read(values, SOURCE_FILE, text, complain);
}

void settings_read(void (*complain)(const char *line)) {
    struct option_values *values = &root.live.options;
    options_default(values);
    read_file(values, complain);
    if (&lucid_options != NULL) {
        options_read(values, SOURCE_SYMBOL, lucid_options, complain);
    }
    if (!os_is_secure()) {
        options_read(values, SOURCE_ENVIRONMENT, os_environment("LUCID_OPTIONS"), complain);
    }
}
