#include "settings.h"

#include "options.h"
#include "os/os.h"
#include "root.h"

#include <lucid.h>

#pragma weak lucid_options // most programs have none

static void read_file(struct option_values *values, void (*complain)(const char *line)) {
    char text[OPTIONS_FILE_ROOM];
    size_t length;
    if (os_read_file(OPTIONS_FILE, text, sizeof(text), &length)) {
        options_read_file(values, text, length, complain);
    } // else there is none, or it is not for this process
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
