// lucid ctl: gives memory of a running process back, and shows and sets what steers that.
#include "ask.h"
#include "commands.h"
#include "heap/session.h"
#include "run/optionlist.h"
#include "setting.h"
#include "util/human.h"
#include "util/name.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE 5u
#define SETTINGS_MAX 16

struct ctl {
    struct reader reader;
    unsigned char window[READER_RECORD_MAX];
    struct target target;
    struct root_places places;
    struct cli cli;
    unsigned patience;
};

static const char *result_text(uint32_t result) {
    static const char no_helper[] =
        "can have no helper thread, which would do the work: the option helper is 0, events "
        "are counted, or the machine or a filter on system calls does not allow it";
    static const char *const texts[] = {
        [RESULT_UNKNOWN] = "does not know what was asked",
        [RESULT_NO_VALUE] = "says that the value is out of range",
        [RESULT_FIXED] = "looks at this option only when it starts",
        [RESULT_NO_HELPER] = no_helper,
    };
    bool known = result < sizeof(texts) / sizeof(texts[0]) && texts[result] != NULL;
    return known ? texts[result] : "gives an answer that this lucid does not know";
}

static bool ask(struct ctl *ctl, const struct asker *asker, const struct wish *wish,
                struct request *answer) {
    if (!asker_ask(asker, wish, answer)) {
        return false;
    }
    if (answer->result != RESULT_DONE) {
        say("%s %s", ctl->target.label, result_text(answer->result));
        return false;
    }
    return true;
}

static void json_head(struct json *json, const struct ctl *ctl) {
    json_start(json, &out_standard);
    json_open_object(json, NULL);
    json_string(json, "schema", "lucid.heap/1");
    json_string(json, "command", "ctl");
    json_string(json, "tool", LUCID_VERSION_TEXT);
    session_json_target(&ctl->target, json);
    json_string(json, "action", ctl->cli.arguments[0]);
}

// ---- purge, trim, set ---------------------------------------------------------------------------

static void print_given(const struct ctl *ctl, const struct request *answer) {
    char pool[SIZE_TEXT];
    char spans[SIZE_TEXT];
    if (ctl->cli.json) {
        struct json json;
        json_head(&json, ctl);
        json_number(&json, "pool_bytes", answer->pool_bytes);
        json_number(&json, "span_bytes", answer->span_bytes);
        json_close_object(&json);
        return;
    }
    out_format(&out_standard, "%s gave back %s of free runs", ctl->target.label,
               human_size(pool, answer->pool_bytes));
    if (strcmp(ctl->cli.arguments[0], "trim") == 0) {
        out_format(&out_standard, " and %s of free pages inside spans",
                   human_size(spans, answer->span_bytes));
    }
    out_char(&out_standard, '\n');
}

static int give_back(struct ctl *ctl, enum request_action action) {
    struct asker asker;
    const struct wish wish = {.action = action};
    struct request answer;
    bool done = asker_open(&asker, &ctl->target, &ctl->reader, ctl->patience) &&
                ask(ctl, &asker, &wish, &answer);
    asker_close(&asker);
    if (done) {
        print_given(ctl, &answer);
    }
    return done ? EXIT_FINE : EXIT_UNREADABLE;
}

static bool send_settings(struct ctl *ctl, const struct setting *settings, int count) {
    struct asker asker;
    struct request answer;
    bool done = asker_open(&asker, &ctl->target, &ctl->reader, ctl->patience);
    for (int i = 0; done && i < count; i++) {
        const struct wish wish = {REQUEST_SET, settings[i].option, settings[i].value};
        done = ask(ctl, &asker, &wish, &answer);
    }
    asker_close(&asker);
    return done;
}

// Everything is parsed first: a mistake in the last one changes nothing.
static int set(struct ctl *ctl) {
    struct setting settings[SETTINGS_MAX];
    int count = ctl->cli.argument_count - 1;
    if (count == 0) {
        say("set what? Give NAME=VALUE, such as purge_age=2s");
        return EXIT_USAGE;
    }
    for (int i = 0; i < count; i++) {
        if (!setting_parse(&settings[i], ctl->cli.arguments[i + 1])) {
            return EXIT_USAGE;
        }
    }
    if (!send_settings(ctl, settings, count)) {
        return EXIT_UNREADABLE;
    }
    if (ctl->cli.json) {
        struct json json;
        json_head(&json, ctl);
        json_number(&json, "set", (uint64_t)count);
        json_close_object(&json);
    }
    return EXIT_FINE;
}

// ---- stats, options -----------------------------------------------------------------------------

static uint64_t unit_bytes(const struct ctl *ctl, uint64_t units) {
    return units * reader_unit_size(&ctl->reader);
}

static void json_stats(const struct ctl *ctl) {
    const struct pool *pool = &ctl->reader.live.pool;
    const struct giving *giving = &ctl->reader.live.giving;
    struct json json;
    json_head(&json, ctl);
    json_number(&json, "free", unit_bytes(ctl, pool->free_units));
    json_number(&json, "dirty", unit_bytes(ctl, pool->dirty_units));
    json_number(&json, "purged", unit_bytes(ctl, pool->purged_units));
    json_number(&json, "purges", pool->purges);
    json_number(&json, "trimmed", giving->trimmed_bytes);
    json_number(&json, "idle_blocks", giving->idle_blocks);
    json_number(&json, "regretted", unit_bytes(ctl, giving->regret_units));
    json_number(&json, "age_ms", giving->age);
    json_number(&json, "helpers", giving->starts);
    json_bool(&json, "helper_here", giving->tid != 0);
    json_bool(&json, "allowed", ctl->reader.live.request.state != REQUEST_CLOSED);
    json_close_object(&json);
}

static void print_amount(const char *name, uint64_t bytes, const char *note) {
    char size[SIZE_TEXT];
    out_format(&out_standard, "  %-26s %8s  %s\n", name, human_size(size, bytes), note);
}

static int stats(const struct ctl *ctl) {
    const struct pool *pool = &ctl->reader.live.pool;
    const struct giving *giving = &ctl->reader.live.giving;
    bool allowed = ctl->reader.live.request.state != REQUEST_CLOSED;
    if (ctl->cli.json) {
        json_stats(ctl);
        return EXIT_FINE;
    }
    char version[sizeof(ctl->reader.fixed.library_version)];
    out_format(&out_standard, "%s, lucid %s\n", ctl->target.label,
               name_shown(version, sizeof(version), ctl->reader.fixed.library_version));
    print_amount("free runs", unit_bytes(ctl, pool->free_units), "in the pool");
    print_amount("of these dirty", unit_bytes(ctl, pool->dirty_units), "not yet given back");
    print_amount("runs given back", unit_bytes(ctl, pool->purged_units), "so far");
    print_amount("pages of spans given back", giving->trimmed_bytes, "so far");
    print_amount("regretted", unit_bytes(ctl, giving->regret_units),
                 "given back, and taken again within a second");
    out_format(&out_standard, "  %-26s %8llu  %s\n", "blocks of idle threads",
               ull(giving->idle_blocks), "taken out of their bins");
    out_format(&out_standard, "  %-26s %8llu  %s\n", "helpers started", ull(giving->starts),
               giving->tid != 0 ? "one is at work" : "none is at work");
    out_format(&out_standard, "  %-26s %8s  %s\n", "purge, trim and set", allowed ? "yes" : "no",
               allowed ? "the option ctl is 1" : "start it with LUCID_OPTIONS=ctl=1");
    return EXIT_FINE;
}

static int list_options(const struct ctl *ctl) {
    if (strcmp(ctl->reader.fixed.library_version, LUCID_VERSION_TEXT) != 0) {
        say("%s runs lucid %s and this is %s; use the command that belongs to it",
            ctl->target.label, ctl->reader.fixed.library_version, LUCID_VERSION_TEXT);
        return EXIT_UNREADABLE;
    }
    if (ctl->cli.json) {
        struct json json;
        json_head(&json, ctl);
        option_list_json(&ctl->reader.live.options, &json);
        json_close_object(&json);
        return EXIT_FINE;
    }
    option_list_print(&ctl->reader.live.options, &out_standard);
    return EXIT_FINE;
}

// ---- the command --------------------------------------------------------------------------------

static int act(struct ctl *ctl) {
    const char *action = ctl->cli.arguments[0];
    if (strcmp(action, "set") == 0) {
        return set(ctl);
    }
    if (ctl->cli.argument_count > 1) {
        say("%s takes no argument, but got \"%s\"", action, ctl->cli.arguments[1]);
        return EXIT_USAGE;
    }
    if (strcmp(action, "purge") == 0) {
        return give_back(ctl, REQUEST_PURGE);
    }
    if (strcmp(action, "trim") == 0) {
        return give_back(ctl, REQUEST_TRIM);
    }
    if (strcmp(action, "stats") == 0) {
        return stats(ctl);
    }
    if (strcmp(action, "options") == 0) {
        return list_options(ctl);
    }
    say("there is no action \"%s\"; there are purge, trim, stats, options and set", action);
    return EXIT_USAGE;
}

static bool take_option(int option, const char *value, void *context) {
    struct ctl *ctl = context;
    uint64_t seconds = 0;
    (void)option;
    if (!human_to_number(value, &seconds) || seconds == 0 || seconds > 3600) {
        say("--timeout %s: give seconds, from 1 to 3600", value);
        return false;
    }
    ctl->patience = (unsigned)seconds;
    return true;
}

static bool open_heap(struct ctl *ctl) {
    struct target *target = &ctl->target;
    if (target->kind != TARGET_LIVE) {
        say("%s is no process, and only those that run can be told something", target->label);
        return false;
    }
    if (!target->memory_readable) {
        say("%s", target->obstacle);
        return false;
    }
    locate_roots(&ctl->places, target);
    size_t wanted = ctl->cli.root != 0 ? ctl->cli.root - 1 : 0;
    if (ctl->places.count == 0 && target_say_fate(target)) {
        return false;
    }
    if (ctl->places.count == 0) {
        say("%s does not run on lucid; start it with `lucid run -- PROGRAM`", target->label);
        return false;
    }
    if (wanted >= ctl->places.count) {
        say("%s has %zu lucid %s, so there is no --root %llu", target->label, ctl->places.count,
            human_plural(ctl->places.count, "heap", "heaps"), ull(ctl->cli.root));
        return false;
    }
    if (!reader_open(&ctl->reader, &target->view, ctl->places.list[wanted].address, ctl->window,
                     sizeof(ctl->window))) {
        say("the heap of %s cannot be read: it has not been asked for memory yet, or has just "
            "ended; `lucid arena %d` says which",
            target->label, (int)target->pid);
        return false;
    }
    return true;
}

static const char details[] =
    "\n"
    "  purge             give free runs back to the system\n"
    "  trim              the same, and the free pages beside used blocks\n"
    "  stats             what was given back so far, and what waits\n"
    "  options           the options in force there\n"
    "  set NAME=VALUE    set options there\n"
    "\n"
    "  --timeout S       how many seconds to wait for an answer; 5\n"
    "\n"
    "purge, trim and set work on processes that were started with LUCID_OPTIONS=ctl=1.\n"
    "\n"
    "example: lucid ctl $(pidof -s redis-server) purge\n";

static int cmd_open_and_act(struct ctl *ctl) {
    if (ctl->cli.program != NULL || ctl->cli.gdb_pipe != NULL) {
        say("it is for a process that runs by itself: give its number");
        return EXIT_USAGE;
    }
    if (ctl->cli.freeze) {
        say("a process that is stopped cannot answer; leave out --freeze");
        return EXIT_USAGE;
    }
    if (!cli_open(&ctl->cli, &ctl->target)) {
        return EXIT_UNREADABLE;
    }
    int code = open_heap(ctl) ? act(ctl) : EXIT_UNREADABLE;
    code = cli_end(code);
    target_close(&ctl->target);
    return code;
}

int cmd_ctl(int argc, char **argv) {
    static const struct option options[] = {
        {"timeout", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    static struct ctl ctl = {.patience = PATIENCE};
    const struct cli_command command = {
        .usage = "PID purge|trim|stats|options|set [NAME=VALUE...]",
        .purpose = "Gives memory of a running process back, without stopping it.",
        .details = details,
        .options = options,
        .take = take_option,
        .context = &ctl,
        .arguments_least = 1,
        .arguments_most = SETTINGS_MAX + 1,
        .pid_only = true,
    };
    int code = cli_parse(&ctl.cli, &command, argc, argv);
    return code >= 0 ? code : cmd_open_and_act(&ctl);
}
