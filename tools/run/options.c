// lucid options: the table of options, and what they are here and now or in a process.
#include "heap/session.h"
#include "optionlist.h"
#include "util/human.h"

#include <string.h>

static const struct cli_command command = {
    .usage = "[TARGET]",
    .purpose = "Lists the options: name, value, default, where the value comes from, and what it "
               "is for.\nWithout TARGET: as a program started here would have them, from "
               "/etc/lucid.conf and the\nvariable LUCID_OPTIONS; a mistake there is told, and the "
               "exit code is 1 then.",
    .details = "\nexample: LUCID_OPTIONS=purge_age=2s lucid options\n",
};

static int list_here(bool as_json) {
    struct option_values values;
    struct json json;
    bool fine = option_list_here(&values);
    if (as_json) {
        json_start(&json, &out_standard);
        json_open_object(&json, NULL);
        json_string(&json, "schema", "lucid.heap/1");
        json_string(&json, "command", "options");
        json_string(&json, "tool", LUCID_VERSION_TEXT);
        option_list_json(&values, &json);
        json_close_object(&json);
    } else {
        option_list_print(&values, &out_standard);
    }
    return cli_end(fine ? EXIT_FINE : EXIT_FINDING);
}

static int list_target(int argc, char **argv) {
    struct session session;
    struct json json;
    int code = session_begin(&session, &command, argc, argv, false);
    if (code >= 0) {
        return code;
    }
    const struct option_values *values = &session.snapshot->reader.live.options;
    if (session.cli.json) {
        json_start(&json, &out_standard);
        session_json_head(&session, &json, "options");
        option_list_json(values, &json);
        json_close_object(&json);
    } else {
        session_print_head(&session, &out_standard);
        option_list_print(values, &out_standard);
    }
    return session_end(&session, EXIT_FINE);
}

int cmd_options(int argc, char **argv) {
    if (argc == 1 || (argc == 2 && strcmp(argv[1], "--json") == 0)) {
        say_command(argv[0]);
        return list_here(argc == 2);
    }
    return list_target(argc, argv);
}
