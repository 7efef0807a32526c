// lucid stats: every resident byte of a process, and the sum against what the kernel counts.
#include "commands.h"
#include "heap/ownheaps.h"
#include "ledger.h"
#include "openmetrics.h"
#include "util/human.h"

#include <stdio.h>

struct stats {
    struct session session;
    struct ledger ledger;
    struct own_heaps own_heaps;
    bool openmetrics;
};

static double percent(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void part_note(char *note, size_t length, const struct ledger *ledger,
                      enum ledger_part part) {
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    switch (part) {
    case PART_LIVE:
        snprintf(note, length, "%llu small, %llu large, %llu in mappings of their own",
                 ull(ledger->small_blocks), ull(ledger->large_blocks), ull(ledger->mapping_blocks));
        break;
    case PART_SLACK:
        snprintf(note, length,
                 ledger->hardened
                     ? "large blocks, mappings, and %s behind hardened small ones"
                     : "large blocks and mappings; unknown for small ones: at most %s of live",
                 human_size(a, ledger->small_slack_most));
        break;
    case PART_PARTIAL:
        snprintf(note, length, "free blocks beside used ones");
        break;
    case PART_CACHED:
        snprintf(note, length, "free blocks that threads keep for themselves");
        break;
    case PART_DIRTY:
        snprintf(note, length, "not yet given back: pool %s, pages of spans %s, top %s",
                 human_size(a, ledger->dirty_pool), human_size(b, ledger->dirty_spans),
                 human_size(c, ledger->dirty_top));
        break;
    case PART_METADATA:
        snprintf(note, length, "lucid's own tables");
        break;
    case PART_FILES:
        snprintf(note, length,
                 ledger->estimated ? "not ours: data of programs and libraries; a core has no more"
                                   : "not ours: programs, libraries, mapped files");
        break;
    default:
        snprintf(note, length,
                 part == PART_STACKS ? "not ours" : "not ours; `lucid layout` lists them");
        break;
    }
}

static void print_row(const char *name, uint64_t bytes, uint64_t whole, const char *note) {
    char count[COUNT_TEXT];
    out_format(&out_standard, "  %-22s %17s  %5.1f%%%s%s\n", name, human_count(count, bytes),
               percent(bytes, whole), note[0] != 0 ? "  " : "", note);
}

static void print_residue(const struct ledger *ledger) {
    char count[COUNT_TEXT];
    int64_t residue = ledger_residue(ledger);
    uint64_t size = (uint64_t)(residue < 0 ? -residue : residue);
    print_row("counted by the kernel", ledger->total, ledger->sum, "smaps");
    out_format(&out_standard, "  %-22s %c%16s  %5.2f%%%s\n", "residue",
               residue < 0 ? '-' : (residue > 0 ? '+' : ' '), human_count(count, size),
               percent(size, ledger->total),
               ledger_closes(ledger)
                   ? ""
                   : "  the sum does not close: it changed while it was read; try --freeze");
}

static void print_beside(const struct ledger *ledger) {
    struct out *out = &out_standard;
    char size[SIZE_TEXT];
    if (ledger->untouched > 0) {
        out_format(out, "  not resident: %s of the live blocks, never touched or swapped out\n",
                   human_size(size, ledger->untouched));
    }
    if (ledger->swapped > 0) {
        out_format(out, "  swapped out: %s\n", human_size(size, ledger->swapped));
    }
    if (ledger->huge > 0) {
        out_format(out, "  in huge pages: %s\n", human_size(size, ledger->huge));
    }
    if (ledger->zeros > 0) {
        out_format(out, "  read but never written, so nobody's memory: %s\n",
                   human_size(size, ledger->zeros));
    }
    if (ledger->moved + ledger->grown > 0) {
        out_format(out, "  changed while it was read: %s\n",
                   human_size(size, ledger->moved + ledger->grown));
    }
    if (ledger->guarded_blocks > 0) {
        out_format(out, "  sampled blocks between guard pages, among the live ones: %llu (%s)\n",
                   ull(ledger->guarded_blocks), human_size(size, ledger->guarded_asked));
    }
    if (ledger->quarantined > 0) {
        out_format(out, "  in the quarantine of hardened mode, counted with thread caches: %s\n",
                   human_size(size, ledger->quarantined));
    }
}

static void print_text(const struct stats *stats) {
    const struct ledger *ledger = &stats->ledger;
    char note[160];
    session_print_head(&stats->session, &out_standard);
    out_format(&out_standard, "\n  %-22s %17s\n", ledger->estimated ? "IN USE" : "RESIDENT",
               "BYTES");
    for (unsigned i = 0; i < PART_COUNT; i++) {
        part_note(note, sizeof(note), ledger, i);
        print_row(part_titles[i], ledger->part[i], ledger->sum, note);
    }
    print_row("sum", ledger->sum, ledger->sum, "");
    if (ledger->counted) {
        print_residue(ledger);
    } else if (ledger->estimated) {
        out_text(&out_standard, "  a core does not tell what was resident: pages that are all "
                                "zeros count as not resident\n");
    } else {
        out_text(&out_standard, "  the kernel's own count cannot be read here\n");
    }
    print_beside(ledger);
    own_heaps_print(&stats->own_heaps, &out_standard);
}

static void json_classes(struct json *json, const struct stats *stats) {
    json_open_array(json, "classes");
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        const struct ledger_class *class = &stats->ledger.classes[i];
        if (class->spans == 0) {
            continue;
        }
        json_open_object(json, NULL);
        json_number(json, "size", stats->session.snapshot->reader.fixed.classes[i].size);
        json_number(json, "spans", class->spans);
        json_number(json, "blocks", class->blocks);
        json_number(json, "cached_blocks", class->cached_blocks);
        json_number(json, "live", class->live);
        json_number(json, "cached", class->cached);
        json_number(json, "partial", class->partial);
        json_number(json, "dirty", class->dirty);
        json_close_object(json);
    }
    json_close_array(json);
}

static void json_threads(struct json *json, const struct stats *stats) {
    const struct snapshot *snapshot = stats->session.snapshot;
    json_open_array(json, "threads");
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        if (snapshot->heaps[i].record.state == HEAP_LIVE) {
            json_open_object(json, NULL);
            json_number(json, "tid", (uint64_t)snapshot->heaps[i].tid);
            json_string(json, "name", snapshot->heaps[i].name);
            json_number(json, "cached", ledger_heap_cached(snapshot, &snapshot->heaps[i]));
            json_close_object(json);
        }
    }
    json_close_array(json);
}

static void json_blocks(struct json *json, const struct ledger *ledger) {
    json_open_object(json, "blocks");
    json_number(json, "small", ledger->small_blocks);
    json_number(json, "small_bytes", ledger->small_bytes);
    json_number(json, "small_slack_most", ledger->small_slack_most);
    json_number(json, "large", ledger->large_blocks);
    json_number(json, "large_asked", ledger->large_asked);
    json_number(json, "mappings", ledger->mapping_blocks);
    json_number(json, "mappings_asked", ledger->mapping_asked);
    json_number(json, "guarded", ledger->guarded_blocks);
    json_number(json, "guarded_asked", ledger->guarded_asked);
    json_close_object(json);
    json_open_object(json, "dirty");
    json_number(json, "pool", ledger->dirty_pool);
    json_number(json, "spans", ledger->dirty_spans);
    json_number(json, "top", ledger->dirty_top);
    json_close_object(json);
}

static void print_json(const struct stats *stats) {
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&stats->session, &json, "stats");
    ledger_json_parts(&json, &stats->ledger);
    json_blocks(&json, &stats->ledger);
    json_classes(&json, stats);
    json_threads(&json, stats);
    own_heaps_json(&stats->own_heaps, &json);
    json_close_object(&json);
}

static bool take_option(int option, const char *value, void *context) {
    struct stats *stats = context;
    (void)option;
    (void)value;
    stats->openmetrics = true;
    return true;
}

static int show(struct stats *stats) {
    if (stats->openmetrics && stats->session.cli.json) {
        say("--json and --openmetrics are two formats; take one");
        return EXIT_USAGE;
    }
    if (!ledger_take(&stats->ledger, &stats->session, false)) {
        return EXIT_UNREADABLE;
    }
    if (!own_heaps_take(&stats->own_heaps, stats->session.snapshot)) {
        snapshot_say_fault(stats->session.snapshot);
        own_heaps_free(&stats->own_heaps);
        return EXIT_UNREADABLE;
    }
    if (stats->openmetrics) {
        openmetrics_write(&out_standard, &stats->session, &stats->ledger);
    } else if (stats->session.cli.json) {
        print_json(stats);
    } else {
        print_text(stats);
    }
    own_heaps_free(&stats->own_heaps);
    return ledger_closes(&stats->ledger) ? EXIT_FINE : EXIT_FINDING;
}

int cmd_stats(int argc, char **argv) {
    static const struct option options[] = {
        {"openmetrics", no_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    static struct stats stats;
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Tells what every resident byte is there for, and checks the sum.",
        .details = "\n  --openmetrics     as OpenMetrics text, for Prometheus\n"
                   "\nexample: lucid stats $(pidof redis-server)\n",
        .options = options,
        .take = take_option,
        .context = &stats,
    };
    int code = session_begin(&stats.session, &command, argc, argv, false);
    return code >= 0 ? code : session_end(&stats.session, show(&stats));
}
