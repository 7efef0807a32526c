// lucid find: which blocks contain a value or a string.
#include "commands.h"
#include "rows.h"
#include "scan.h"
#include "session.h"
#include "util/human.h"

#include <string.h>

struct search {
    struct session session;
    const char *string;
    uint64_t value;
    uint64_t width; // of a value, in bytes
    uint64_t limit;
    uint64_t count;
    struct json json;
};

static bool take_option(int option, const char *value, void *context) {
    struct search *search = context;
    bool fine = true;
    if (option == 's') {
        search->string = value;
        fine = value[0] != 0;
    } else if (option == 'w') {
        fine =
            human_to_number(value, &search->width) &&
            (search->width == 1 || search->width == 2 || search->width == 4 || search->width == 8);
    } else {
        fine = human_to_number(value, &search->limit);
    }
    if (!fine) {
        say("%s: --string needs a text, --width 1, 2, 4 or 8, --limit a number", value);
    }
    return fine;
}

static void print_found(uint64_t address, void *context) {
    struct search *search = context;
    struct row row;
    struct out *out = &out_standard;
    if (!rows_find(search->session.snapshot, address, &row) || !row_is_block(&row)) {
        return;
    }
    search->count++;
    if (search->limit != 0 && search->count > search->limit) {
        return;
    }
    if (search->session.cli.json) {
        json_open_object(&search->json, NULL);
        json_address(&search->json, "at", address);
        json_address(&search->json, "address", row.address);
        json_number(&search->json, "offset", address - row.address);
        json_number(&search->json, "size", row.size);
        json_string(&search->json, "state", block_state_names[row.state]);
        json_close_object(&search->json);
    } else {
        out_format(out, "  0x%-16llx  byte %llu of the %s block 0x%llx of %llu bytes\n",
                   ull(address), ull(address - row.address), row_name(&row), ull(row.address),
                   ull(row.size));
    }
}

static void run_search(struct search *search) {
    struct scan scan = {
        .target = &search->session.target,
        .bytes = search->string != NULL ? (const void *)search->string : &search->value,
        .length = search->string != NULL ? strlen(search->string) : (size_t)search->width,
        .step = search->string != NULL ? 1 : (size_t)search->width,
        .found = print_found,
        .context = search,
    };
    scan_heap(&scan, search->session.snapshot);
}

static void print_result(struct search *search) {
    struct out *out = &out_standard;
    char count[COUNT_TEXT];
    if (search->session.cli.json) {
        json_start(&search->json, out);
        session_json_head(&search->session, &search->json, "find");
        json_open_array(&search->json, "found");
        run_search(search);
        json_close_array(&search->json);
        json_number(&search->json, "count", search->count);
        json_close_object(&search->json);
        return;
    }
    session_print_head(&search->session, out);
    out_char(out, '\n');
    run_search(search);
    if (search->limit != 0 && search->count > search->limit) {
        out_format(out, "  %s more are not shown: the limit is %llu (--limit N, 0 for all)\n",
                   human_count(count, search->count - search->limit), ull(search->limit));
    }
    out_format(out, "%s %s\n", human_count(count, search->count),
               human_plural(search->count, "place", "places"));
}

// The value is an argument unless --string was given.
static bool take_value(struct search *search) {
    const struct cli *cli = &search->session.cli;
    if ((search->string != NULL) == (cli->argument_count == 1)) {
        say("give either a VALUE or --string TEXT");
        return false;
    }
    if (search->string == NULL && !human_to_number(cli->arguments[0], &search->value)) {
        say("%s is not a number; for a text use --string", cli->arguments[0]);
        return false;
    }
    if (search->string == NULL && search->width < 8 && search->value >> (search->width * 8) != 0) {
        say("%s does not fit into %llu bytes (--width)", cli->arguments[0], ull(search->width));
        return false;
    }
    return true;
}

int cmd_find(int argc, char **argv) {
    static const struct option options[] = {
        {"string", required_argument, NULL, 's'},
        {"width", required_argument, NULL, 'w'},
        {"limit", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    struct search search = {.width = 8, .limit = 1000};
    const struct cli_command command = {
        .usage = "TARGET VALUE|--string TEXT",
        .purpose = "Tells which blocks contain a value or a text. Exit code 1: none does.",
        .details = "\n  --string TEXT     look for these bytes\n"
                   "  --width BYTES     1, 2, 4 or 8: look for a VALUE of this width (8), at "
                   "multiples of it\n"
                   "  --limit N         show at most N places (1000; 0 for all)\n"
                   "\nexample: lucid find 4711 --string session_id=\n",
        .options = options,
        .take = take_option,
        .context = &search,
        .arguments_most = 1,
    };
    int code = session_begin(&search.session, &command, argc, argv, false);
    if (code >= 0) {
        return code;
    }
    if (!take_value(&search)) {
        return session_end(&search.session, EXIT_USAGE);
    }
    print_result(&search);
    return session_end(&search.session, search.count > 0 ? EXIT_FINE : EXIT_FINDING);
}
