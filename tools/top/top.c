// lucid top: a running process, again and again.
#include "batch.h"
#include "commands.h"
#include "screen.h"
#include "terminal.h"
#include "util/human.h"

#include <stdlib.h>
#include <string.h>

struct top {
    struct session session;
    struct sample sample;
    uint64_t interval; // nanoseconds
    uint64_t count;    // of readings in batch mode; 0: no end
    bool once;
    bool batch;
    enum tab tab; // TAB_COUNT: not given
};

// "2", "0.5", "500ms", "2s".
static bool parse_interval(const char *text, uint64_t *interval) {
    char *end = NULL;
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    if (end != NULL && strcmp(end, "ms") == 0) {
        value /= 1000;
    } else if (end == NULL || (*end != 0 && strcmp(end, "s") != 0)) {
        return false;
    }
    *interval = (uint64_t)(value * 1e9);
    return value >= 0.1 && value <= 3600;
}

static bool parse_tab(const char *text, enum tab *tab) {
    for (unsigned i = 0; i < TAB_COUNT; i++) {
        if (strcmp(text, tab_names[i]) == 0) {
            *tab = i;
            return true;
        }
    }
    return false;
}

static bool take_option(int option, const char *value, void *context) {
    struct top *top = context;
    switch (option) {
    case 'i':
        if (!parse_interval(value, &top->interval)) {
            say("--interval %s: give seconds from 0.1 to 3600", value);
            return false;
        }
        return true;
    case 'n':
        if (!human_to_number(value, &top->count) || top->count == 0) {
            say("--count %s: give a number of readings from 1 on", value);
            return false;
        }
        return true;
    case 't':
        if (!parse_tab(value, &top->tab)) {
            say("--tab %s: there are summary, classes, threads and map", value);
            return false;
        }
        return true;
    default:
        top->once |= option == 'o';
        top->batch |= option == 'b';
        return true;
    }
}

// Everything that does not fit together, before any target is touched.
static bool is_sensible(const struct top *top) {
    const struct cli *cli = &top->session.cli;
    if (top->once && top->batch) {
        say("--once and --batch are two ways; take one");
    } else if (top->count > 0 && !top->batch) {
        say("--count is for --batch");
    } else if (cli->json && !top->once && !top->batch) {
        say("--json is for --once and --batch");
    } else if (cli->freeze) {
        say("top does not stop what it watches; leave out --freeze");
    } else {
        return true;
    }
    return false;
}

static int show(struct top *top) {
    int code = EXIT_FINE;
    if (!is_sensible(top)) {
        return EXIT_USAGE;
    }
    if (top->session.target.kind != TARGET_LIVE) {
        say("top watches a process that runs; `lucid explain %s` tells about a core",
            top->session.cli.target != NULL ? top->session.cli.target : "CORE");
        return EXIT_USAGE;
    }
    if (!top->once && !top->batch && !terminal_possible()) {
        return EXIT_USAGE;
    }
    if (!sample_begin(&top->sample, &top->session)) {
        return EXIT_UNREADABLE;
    }
    if (top->once) {
        batch_once(&top->sample, top->tab);
    } else if (top->batch) {
        code = batch_run(&top->sample, top->interval, top->count);
    } else {
        code = screen_run(&top->sample, top->tab == TAB_COUNT ? TAB_SUMMARY : top->tab,
                          top->interval, top->session.cli.colour);
    }
    sample_end(&top->sample);
    return code;
}

static bool has_program(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            return true;
        }
    }
    return false;
}

int cmd_top(int argc, char **argv) {
    static const struct option options[] = {
        {"interval", required_argument, NULL, 'i'}, {"once", no_argument, NULL, 'o'},
        {"batch", no_argument, NULL, 'b'},          {"count", required_argument, NULL, 'n'},
        {"tab", required_argument, NULL, 't'},      {NULL, 0, NULL, 0},
    };
    static struct top top = {.interval = (uint64_t)1000 * 1000 * 1000, .tab = TAB_COUNT};
    const struct cli_command command = {
        .usage = "PID",
        .purpose = "Watches where a running process's memory is; q quits, h shows the keys.",
        .details = "  --interval SECS   between two readings (1; 500ms is half a second)\n"
                   "  --tab NAME        begin with summary, classes, threads or map\n"
                   "  --once            print everything, or the tab, once\n"
                   "  --batch           print a line for each reading, for pipes\n"
                   "  --count N         with --batch: end after N readings\n"
                   "\nexample: lucid top $(pidof redis-server)\n",
        .options = options,
        .take = take_option,
        .context = &top,
        .pid_only = true,
    };
    if (has_program(argc, argv)) {
        say_command(argv[0]);
        say("top watches a process that runs; start the program with `lucid run -- PROGRAM` and "
            "give its number");
        return EXIT_USAGE;
    }
    int code = session_begin(&top.session, &command, argc, argv, false);
    return code >= 0 ? code : session_end(&top.session, show(&top));
}
