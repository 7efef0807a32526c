// lucid heap: the whole heap, a summary first, then every block in address order, then the top.
#include "commands.h"
#include "glibc/glibc.h"
#include "rows.h"
#include "session.h"
#include "tally.h"
#include "util/human.h"
#include "util/name.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_LIMIT 1000u // rows shown on a terminal unless --limit says otherwise

struct filter {
    uint64_t size; // of the class; 0: all
    int state;     // enum block_state; -1: all
    uint64_t least;
    uint64_t limit;
    bool has_limit;
};

struct listing {
    struct session session;
    struct filter filter;
    struct tally tally;
    uint64_t shown;
    uint64_t hidden; // rows that suit the filter but came behind the limit
};

// ---- options ------------------------------------------------------------------------------------

static bool take_state(struct filter *filter, const char *value) {
    for (int state = 0; state < 3; state++) {
        if (strcmp(value, block_state_names[state]) == 0) {
            filter->state = state;
            return true;
        }
    }
    say("--state %s: a block is used, cached or free", value);
    return false;
}

static bool take_option(int option, const char *value, void *context) {
    struct filter *filter = context;
    bool fine = true;
    switch (option) {
    case 'c':
        fine = human_to_size(value, &filter->size) && filter->size > 0;
        break;
    case 's':
        return take_state(filter, value);
    case 'm':
        fine = human_to_size(value, &filter->least);
        break;
    default:
        fine = human_to_number(value, &filter->limit);
        filter->has_limit = true;
        break;
    }
    if (!fine) {
        say("%s is not a number here", value);
    }
    return fine;
}

static bool suits(const struct filter *filter, const struct row *row) {
    if (!row_is_block(row)) {
        return filter->size == 0 && filter->state < 0 && row->size >= filter->least;
    }
    return (filter->size == 0 || (row->kind == ROW_SMALL && row->size == filter->size)) &&
           (filter->state < 0 || (int)row->state == filter->state) && row->size >= filter->least;
}

// A class that does not exist is a mistake to be told of, not an empty list.
static bool check_class(const struct filter *filter, const struct reader *reader) {
    if (filter->size == 0) {
        return true;
    }
    uint64_t next = 0;
    for (unsigned class = CLASS_COUNT - 1; class > 0; class --) {
        uint64_t size = reader->fixed.classes[class].size;
        if (size == filter->size) {
            return true;
        }
        next = size > filter->size ? size : next;
    }
    if (next != 0) {
        say("--class %llu: no class has that size; a request of it gets a block of %llu",
            ull(filter->size), ull(next));
    } else {
        say("--class %llu: blocks of that size have no class; try --min %llu", ull(filter->size),
            ull(filter->size));
    }
    return false;
}

static uint64_t used_blocks(const struct tally *tally) {
    return tally->small.used + tally->large_count + tally->mapping_count + tally->guarded_count;
}

static uint64_t used_bytes(const struct tally *tally) {
    return tally->used_bytes + tally->large_bytes + tally->mapping_bytes + tally->guarded_bytes;
}

// ---- text ---------------------------------------------------------------------------------------

static void print_counts(struct out *out, const char *name, uint64_t blocks, uint64_t bytes) {
    char count[COUNT_TEXT];
    char size[SIZE_TEXT];
    out_format(out, "  %-9s %15s %-6s %8s\n", name, human_count(count, blocks),
               human_plural(blocks, "block", "blocks"), human_size(size, bytes));
}

static void print_summary(struct out *out, const struct tally *tally) {
    char size[SIZE_TEXT];
    char dirty[SIZE_TEXT];
    print_counts(out, "used", used_blocks(tally), used_bytes(tally));
    print_counts(out, "cached", tally->small.cached, tally->cached_bytes);
    print_counts(out, "free", tally->small.free, tally->free_bytes);
    out_format(out, "  %-9s %15llu %-6s %8s\n", "untouched",
               ull(tally->small.blocks - tally->small.carved), "blocks",
               human_size(size, tally->uncarved_bytes));
    out_format(out, "  %-9s %15llu %-6s %8s  %s of it dirty\n", "pool", ull(tally->pool_runs),
               human_plural(tally->pool_runs, "run", "runs"), human_size(size, tally->pool_bytes),
               human_size(dirty, tally->dirty_bytes));
    if (tally->foreign_bytes > 0) {
        out_format(out, "  %-9s %31s\n", "foreign", human_size(size, tally->foreign_bytes));
    }
    out_format(out, "  %-9s %31s\n\n", "top", human_size(size, tally->top_bytes));
}

static void print_padded_number(struct out *out, uint64_t number, size_t width) {
    char digits[20];
    size_t length = out_digits(digits, number);
    out_spaces(out, length < width ? width - length : 0);
    out_bytes(out, digits, length);
}

// Columns: address, size, class (of small blocks), state, what else there is to say.
static void print_row(struct out *out, const struct row *row) {
    char address[18];
    size_t length = out_hex_digits(address, row->address);
    out_text(out, row->moved ? "~ " : "  ");
    out_bytes(out, address, length);
    out_spaces(out, length < 18 ? 18 - length : 0);
    print_padded_number(out, row->size, 12);
    if (row->kind == ROW_SMALL || row->kind == ROW_UNCARVED) {
        print_padded_number(out, row->class, 7);
        out_text(out, "  ");
    } else {
        out_text(out, "      -  ");
    }
    out_text(out, row_name(row));
    if (row->heap != NULL) {
        char name[sizeof(row->heap->name)];
        out_format(out, "  thread %d %s", (int)row->heap->tid,
                   name_shown(name, sizeof(name), row->heap->name));
    } else if (row_is_block(row) && row->state == BLOCK_IS_CACHED) {
        out_text(out, "  in quarantine");
    } else if (row_has_asked(row)) {
        out_format(out, "    %s, asked for %llu", row_kind_names[row->kind], ull(row->asked));
    } else if (row->kind == ROW_UNCARVED) {
        out_format(out, "  %u %s never handed out", row->blocks,
                   human_plural(row->blocks, "block", "blocks"));
    }
    out_char(out, '\n');
}

static void print_text(struct listing *listing) {
    struct out *out = &out_standard;
    struct rows rows;
    struct row row;
    struct row top = {0};
    session_print_head(&listing->session, out);
    print_summary(out, &listing->tally);
    out_flush(out); // the summary first, however long the list is
    out_text(out, "  ADDRESS                   SIZE  CLASS  STATE\n");
    rows_begin(&rows, listing->session.snapshot);
    while (rows_next(&rows, &row)) {
        if (row.kind == ROW_TOP) {
            top = row; // comes last, behind the mappings at higher addresses
        } else if (suits(&listing->filter, &row)) {
            bool fits = listing->shown < listing->filter.limit;
            listing->shown += fits;
            listing->hidden += !fits;
            if (fits) {
                print_row(out, &row);
            }
        }
    }
    print_row(out, &top);
    if (listing->hidden > 0) {
        char hidden[COUNT_TEXT];
        out_format(out, "  %s more rows are not shown: the limit is %llu (--limit N, 0 for all)\n",
                   human_count(hidden, listing->hidden), ull(listing->filter.limit));
    }
    if (listing->tally.moved_runs > 0) {
        out_text(out, "  ~ changed while it was read; --freeze shows one instant\n");
    }
}

// ---- JSON ---------------------------------------------------------------------------------------

static char *put_state(char *at, enum block_state state) {
    switch (state) {
    case BLOCK_IS_USED:
        return stpcpy(at, ",\"state\":\"used\"");
    case BLOCK_IS_CACHED:
        return stpcpy(at, ",\"state\":\"cached\"");
    default:
        return stpcpy(at, ",\"state\":\"free\"");
    }
}

// Rows are written by hand, a line at a time: ten million of them in less than two seconds.
static void json_block(struct out *out, const struct row *row) {
    char line[192];
    char *at = stpcpy(line, "{\"address\":\"");
    at += out_hex_digits(at, row->address);
    at = stpcpy(at, "\",\"size\":");
    at += out_digits(at, row->size);
    at = put_state(at, row->state);
    if (row->kind == ROW_SMALL) {
        at = stpcpy(at, ",\"class\":");
        at += out_digits(at, row->class);
    } else {
        at = stpcpy(at, ",\"kind\":\"");
        at = stpcpy(at, row_kind_names[row->kind]);
        at = stpcpy(at, "\",\"asked\":");
        at += out_digits(at, row->asked);
    }
    if (row->heap != NULL) {
        at = stpcpy(at, ",\"thread\":");
        at += out_digits(at, (uint64_t)row->heap->tid);
    }
    at = stpcpy(at, row->moved ? ",\"moved\":true}" : "}");
    out_bytes(out, line, (size_t)(at - line));
}

static void json_place(struct json *json, const char *key, const struct row *row) {
    json_open_object(json, key);
    if (key == NULL) {
        json_string(json, "kind", row_kind_names[row->kind]);
    }
    json_address(json, "address", row->address);
    json_number(json, "size", row->size);
    if (row->kind == ROW_UNCARVED) {
        json_number(json, "blocks", row->blocks);
        json_number(json, "class", row->class);
    }
    if (row->moved) {
        json_bool(json, "moved", true);
    }
    json_close_object(json);
}

static void json_blocks(struct listing *listing, struct json *json) {
    struct rows rows;
    struct row row;
    json_open_array(json, "blocks");
    rows_begin(&rows, listing->session.snapshot);
    while (rows_next(&rows, &row)) {
        if (!row_is_block(&row) || !suits(&listing->filter, &row)) {
            continue;
        }
        if (listing->shown >= listing->filter.limit) {
            listing->hidden++;
            continue;
        }
        listing->shown++;
        json_separate(json);
        json_block(json->out, &row);
    }
    json_close_array(json);
}

static void json_between(struct listing *listing, struct json *json) {
    struct snapshot *snapshot = listing->session.snapshot;
    struct reader_run run;
    json_open_array(json, "between");
    for (bool more = reader_first(&snapshot->reader, &run); more;
         more = reader_next(&snapshot->reader, &run)) {
        struct rows rows;
        struct row row;
        if (run.kind == RUN_LARGE || (run.kind == RUN_SPAN && run.carved == run.blocks)) {
            continue;
        }
        rows_begin_at(&rows, snapshot, &run);
        rows.index = run.kind == RUN_SPAN ? run.carved : 0;
        rows.mapping_at = snapshot->mapping_count;
        if (rows_next(&rows, &row)) {
            json_place(json, NULL, &row);
        }
    }
    json_close_array(json);
}

static void json_counts(struct json *json, const char *key, uint64_t blocks, uint64_t bytes) {
    json_open_object(json, key);
    json_number(json, "blocks", blocks);
    json_number(json, "bytes", bytes);
    json_close_object(json);
}

static void json_summary(const struct tally *tally, struct json *json) {
    json_open_object(json, "summary");
    json_counts(json, "used", used_blocks(tally), used_bytes(tally));
    json_counts(json, "cached", tally->small.cached, tally->cached_bytes);
    json_counts(json, "free", tally->small.free, tally->free_bytes);
    json_counts(json, "uncarved", tally->small.blocks - tally->small.carved, tally->uncarved_bytes);
    json_number(json, "pool_bytes", tally->pool_bytes);
    json_number(json, "dirty_bytes", tally->dirty_bytes);
    json_number(json, "foreign_bytes", tally->foreign_bytes);
    json_number(json, "moved_runs", tally->moved_runs);
    json_close_object(json);
}

static void print_json(struct listing *listing) {
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&listing->session, &json, "heap");
    json_summary(&listing->tally, &json);
    json_blocks(listing, &json);
    json_number(&json, "blocks_not_shown", listing->hidden);
    json_between(listing, &json);
    const struct reader *reader = &listing->session.snapshot->reader;
    struct row top = {
        .kind = ROW_TOP,
        .address = reader_address(reader, reader_top(reader)),
        .size = listing->tally.top_bytes,
    };
    json_place(&json, "top", &top);
    json_close_object(&json);
}

// ---- the command --------------------------------------------------------------------------------

static void settle_limit(struct listing *listing) {
    struct filter *filter = &listing->filter;
    bool terminal = isatty(STDOUT_FILENO) && !listing->session.cli.json;
    if (!filter->has_limit) {
        filter->limit = terminal ? TERMINAL_LIMIT : UINT64_MAX;
    } else if (filter->limit == 0) {
        filter->limit = UINT64_MAX;
    }
}

static int list_heap(struct listing *listing) {
    struct snapshot *snapshot = listing->session.snapshot;
    if (!check_class(&listing->filter, &snapshot->reader)) {
        return EXIT_USAGE;
    }
    if (!tally_heap(&listing->tally, snapshot)) {
        snapshot_say_fault(snapshot);
        return EXIT_UNREADABLE;
    }
    if (listing->session.cli.json) {
        print_json(listing);
    } else {
        print_text(listing);
    }
    return EXIT_FINE;
}

static int list_glibc(struct listing *listing) {
    const struct filter *filter = &listing->filter;
    if (filter->size != 0) {
        say("--class is for lucid's size classes, and %s runs on glibc's malloc; use --min",
            listing->session.target.label);
        return EXIT_USAGE;
    }
    struct glibc_filter chosen = {filter->state, filter->least, filter->limit};
    return glibc_heap(&listing->session, &chosen);
}

int cmd_heap(int argc, char **argv) {
    static const struct option options[] = {
        {"class", required_argument, NULL, 'c'},
        {"state", required_argument, NULL, 's'},
        {"min", required_argument, NULL, 'm'},
        {"limit", required_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    struct listing listing = {.filter.state = -1};
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Lists the blocks of a heap in address order, after a summary, before the top.",
        .details = "\n  --class BYTES     only blocks of the class of this size\n"
                   "  --state STATE     only used, cached or free ones\n"
                   "  --min BYTES       only blocks at least this large (K, M, G may follow)\n"
                   "  --limit N         at most N rows; on a terminal 1000, 0 for all\n"
                   "\nexample: lucid heap --state used --min 1M $(pidof redis-server)\n",
        .options = options,
        .take = take_option,
        .context = &listing.filter,
    };
    int code = session_begin(&listing.session, &command, argc, argv, true);
    if (code >= 0) {
        return code;
    }
    settle_limit(&listing);
    code = listing.session.snapshot != NULL ? list_heap(&listing) : list_glibc(&listing);
    return session_end(&listing.session, code);
}
