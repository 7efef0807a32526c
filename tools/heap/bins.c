// lucid bins: the size classes, one line each.
#include "commands.h"
#include "session.h"
#include "tally.h"
#include "util/human.h"

struct classes {
    struct session session;
    bool all;
    struct tally tally;
};

static bool take_option(int option, const char *value, void *context) {
    struct classes *classes = context;
    (void)option;
    (void)value;
    classes->all = true;
    return true;
}

static double share(uint64_t part, uint64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

static void print_text(const struct classes *classes) {
    const struct snapshot *snapshot = classes->session.snapshot;
    struct out *out = &out_standard;
    char size[SIZE_TEXT];
    session_print_head(&classes->session, out);
    out_text(out, "\n CLASS   SIZE     SPANS         USED       CACHED         FREE    UNTOUCHED"
                  "   USED %     BYTES\n");
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        const struct class_tally *class = &classes->tally.classes[i];
        const struct sizeclass *row = &snapshot->reader.fixed.classes[i];
        if (class->spans == 0 && !classes->all) {
            continue;
        }
        out_format(
            out, "%6u %6u %9llu %12llu %12llu %12llu %12llu   %5.1f%% %9s\n", i, row->size,
            ull(class->spans), ull(class->used), ull(class->cached), ull(class->free),
            ull(class->blocks - class->carved), 100 * share(class->used, class->blocks),
            human_size(size, class->spans * row->units * reader_unit_size(&snapshot->reader)));
    }
    if (classes->tally.small.spans == 0) {
        out_text(out, "  no span yet: no small block has been allocated\n");
    }
}

static void print_json(const struct classes *classes) {
    const struct snapshot *snapshot = classes->session.snapshot;
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&classes->session, &json, "bins");
    json_open_array(&json, "classes");
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        const struct class_tally *class = &classes->tally.classes[i];
        const struct sizeclass *row = &snapshot->reader.fixed.classes[i];
        if (class->spans == 0 && !classes->all) {
            continue;
        }
        json_open_object(&json, NULL);
        json_number(&json, "class", i);
        json_number(&json, "size", row->size);
        json_number(&json, "span_bytes", row->units * reader_unit_size(&snapshot->reader));
        json_number(&json, "spans", class->spans);
        json_number(&json, "blocks", class->blocks);
        json_number(&json, "used", class->used);
        json_number(&json, "cached", class->cached);
        json_number(&json, "free", class->free);
        json_number(&json, "uncarved", class->blocks - class->carved);
        json_fraction(&json, "utilisation", share(class->used, class->blocks));
        json_open_array(&json, "bins");
        for (size_t k = 0; k < snapshot->heap_count; k++) {
            if (snapshot->heaps[k].count[i] > 0) {
                json_open_object(&json, NULL);
                json_number(&json, "thread", (uint64_t)snapshot->heaps[k].tid);
                json_number(&json, "blocks", snapshot->heaps[k].count[i]);
                json_close_object(&json);
            }
        }
        json_close_array(&json);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_close_object(&json);
}

int cmd_bins(int argc, char **argv) {
    static const struct option options[] = {
        {"all", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    struct classes classes = {.all = false};
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Shows each size class: its spans, and its used, cached and free blocks.",
        .details = "\n  --all             classes without spans too\n"
                   "\nexample: lucid bins -- python3 -c 'print(1)'\n",
        .options = options,
        .take = take_option,
        .context = &classes,
    };
    int code = session_begin(&classes.session, &command, argc, argv, false);
    if (code >= 0) {
        return code;
    }
    if (!tally_heap(&classes.tally, classes.session.snapshot)) {
        snapshot_say_fault(classes.session.snapshot);
        return session_end(&classes.session, EXIT_UNREADABLE);
    }
    if (classes.session.cli.json) {
        print_json(&classes);
    } else {
        print_text(&classes);
    }
    return session_end(&classes.session, EXIT_FINE);
}
