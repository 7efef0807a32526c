// lucid block: the block that owns an address, its neighbours, its contents, who points to it.
#include "commands.h"
#include "glibc/glibc.h"
#include "ownheaps.h"
#include "rows.h"
#include "scan.h"
#include "session.h"
#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define AROUND_MAX 1000u
#define CONTENTS_MAX 256u // bytes shown unless --bytes says otherwise
#define REFERENCES_MAX 1000u

struct inquiry {
    struct session session;
    uint64_t address;
    uint64_t around;
    uint64_t bytes;
    bool references;
    struct row row;
    struct row *rows; // the neighbours before, the block, those behind
    size_t row_count;
    uint64_t *found; // words that point into the block
    size_t found_count;
    size_t found_capacity;
    uint64_t found_hidden;
    char own_heap[REGION_NAME_ROOM]; // name of the one the block belongs to
};

static bool take_option(int option, const char *value, void *context) {
    struct inquiry *inquiry = context;
    if (option == 'r') {
        inquiry->references = true;
        return true;
    }
    uint64_t *number = option == 'C' ? &inquiry->around : &inquiry->bytes;
    bool fine = human_to_size(value, number);
    if (option == 'C' && (!fine || *number > AROUND_MAX)) {
        say("--context %s: give a number of neighbours from 0 to %u", value, AROUND_MAX);
        return false;
    }
    if (!fine) {
        say("--bytes %s: give a number of bytes (K, M, G may follow)", value);
    }
    return fine;
}

// ---- finding ------------------------------------------------------------------------------------

// Rows before the block are kept in a ring; the walk begins where enough of them come first.
static void collect_rows(struct inquiry *inquiry) {
    struct snapshot *snapshot = inquiry->session.snapshot;
    size_t room = (size_t)inquiry->around + 1;
    struct row *ring = memory_take(room * sizeof(struct row));
    struct row *rows = memory_take((2 * room) * sizeof(struct row));
    struct rows cursor;
    struct row row;
    size_t seen = 0;
    rows_begin(&cursor, snapshot);
    while (rows_next(&cursor, &row) && row.address != inquiry->row.address) {
        ring[seen++ % room] = row;
    }
    size_t before = seen < inquiry->around ? seen : (size_t)inquiry->around;
    for (size_t i = 0; i < before; i++) {
        rows[i] = ring[(seen - before + i) % room];
    }
    inquiry->row_count = before;
    rows[inquiry->row_count++] = inquiry->row;
    while (inquiry->row_count < before + room && rows_next(&cursor, &row)) {
        rows[inquiry->row_count++] = row;
    }
    inquiry->rows = rows;
    free(ring);
}

static void note_reference(uint64_t address, void *context) {
    struct inquiry *inquiry = context;
    if (inquiry->found_count == REFERENCES_MAX) {
        inquiry->found_hidden++;
        return;
    }
    inquiry->found = memory_grow(inquiry->found, inquiry->found_count, &inquiry->found_capacity,
                                 sizeof(uint64_t));
    inquiry->found[inquiry->found_count++] = address;
}

static void find_references(struct inquiry *inquiry) {
    struct scan scan = {
        .target = &inquiry->session.target,
        .length = 8,
        .step = 8,
        .low = inquiry->row.address,
        .high = inquiry->row.address + inquiry->row.size,
        .found = note_reference,
        .context = inquiry,
    };
    scan_rest(&scan, inquiry->session.snapshot);
    scan_heap(&scan, inquiry->session.snapshot);
}

static const char *page_text(const struct target *target, uint64_t address) {
    uint8_t state = 0;
    if (!target_pages(target, address / target->page_size * target->page_size, 1, &state)) {
        return "unknown";
    }
    return state & TARGET_PAGE_PRESENT   ? "resident"
           : state & TARGET_PAGE_SWAPPED ? "swapped"
                                         : "not resident";
}

static void name_own_heap(struct inquiry *inquiry) {
    struct own_heaps heaps;
    if (inquiry->row.own_heap != 0 && own_heaps_take(&heaps, inquiry->session.snapshot)) {
        const struct own_heap *heap = own_heaps_at(&heaps, inquiry->row.own_heap);
        if (heap != NULL) {
            memcpy(inquiry->own_heap, heap->name, sizeof(inquiry->own_heap));
        }
        own_heaps_free(&heaps);
    }
}

static size_t read_contents(const struct inquiry *inquiry, uint64_t start, unsigned char *to,
                            size_t length) {
    const struct view *view = &inquiry->session.target.view;
    return view->read(view->context, start, to, length);
}

// ---- text ---------------------------------------------------------------------------------------

static void print_what(const struct inquiry *inquiry) {
    struct out *out = &out_standard;
    const struct row *row = &inquiry->row;
    uint64_t offset = inquiry->address - row->address;
    char name[REGION_NAME_ROOM];
    out_format(out, "0x%llx is byte %llu of ", ull(inquiry->address), ull(offset));
    if (row_is_block(row)) {
        out_format(out, "a %s block of %llu bytes, 0x%llx to 0x%llx%s\n", row_name(row),
                   ull(row->size), ull(row->address), ull(row->address + row->size),
                   row->moved ? ", ~ changing while it was read" : "");
    } else {
        out_format(out, "no block but of the %s, 0x%llx to 0x%llx\n",
                   row->kind == ROW_UNCARVED ? "part of a span that was never handed out"
                                             : row_kind_names[row->kind],
                   ull(row->address), ull(row->address + row->size));
    }
    if (row->kind == ROW_SMALL) {
        out_format(out, "  class     %u, block %u of its span\n", row->class, row->index);
    } else if (row_has_asked(row)) {
        out_format(out, "  kind      %s, the program asked for %llu bytes\n",
                   row_kind_names[row->kind], ull(row->asked));
    }
    if (row->heap != NULL) {
        out_format(out, "  bin       of thread %d %s\n", (int)row->heap->tid,
                   name_shown(name, sizeof(name), row->heap->name));
    } else if (row_is_block(row) && row->state == BLOCK_IS_CACHED) {
        out_text(out, "  freed     in the quarantine of hardened mode\n");
    }
    if (row->own_heap != 0) {
        out_format(out, "  own heap  0x%llx %s\n", ull(row->own_heap),
                   name_shown(name, sizeof(name), inquiry->own_heap));
    }
    out_format(out, "  page      0x%llx %s\n",
               ull(inquiry->address / inquiry->session.target.page_size *
                   inquiry->session.target.page_size),
               page_text(&inquiry->session.target, inquiry->address));
}

static void print_rows(const struct inquiry *inquiry) {
    struct out *out = &out_standard;
    for (size_t i = 0; i < inquiry->row_count; i++) {
        const struct row *row = &inquiry->rows[i];
        bool here = row->address == inquiry->row.address;
        out_format(out, "%s%c 0x%-16llx %12llu  %s\n", here ? ">" : " ", row->moved ? '~' : ' ',
                   ull(row->address), ull(row->size), row_name(row));
    }
}

static void print_contents(const struct inquiry *inquiry) {
    struct out *out = &out_standard;
    const struct row *row = &inquiry->row;
    uint64_t want = row->size < inquiry->bytes ? row->size : inquiry->bytes;
    unsigned char *bytes = memory_take((size_t)want + 8);
    if (!row_is_block(row) || want == 0) {
        free(bytes);
        return;
    }
    if (read_contents(inquiry, row->address - 8, bytes, 8) == 8) {
        out_text(out, "\nin front of it (no header: size and state are kept elsewhere)\n");
        human_words(out, row->address - 8, bytes, 8);
    }
    size_t got = read_contents(inquiry, row->address, bytes, (size_t)want);
    out_format(out, "\n%s%zu bytes of it\n", got < row->size ? "the first " : "", got);
    human_words(out, row->address, bytes, got);
    free(bytes);
}

static void print_references(struct inquiry *inquiry) {
    struct out *out = &out_standard;
    struct row row;
    out_format(out, "\n%zu %s to it%s\n", inquiry->found_count,
               human_plural(inquiry->found_count, "word points", "words point"),
               inquiry->found_hidden > 0 ? " at least; more are not shown" : "");
    for (size_t i = 0; i < inquiry->found_count; i++) {
        uint64_t at = inquiry->found[i];
        const struct region *region = regions_find(&inquiry->session.target.regions, at);
        out_format(out, "  0x%-16llx ", ull(at));
        if (rows_find(inquiry->session.snapshot, at, &row) && row_is_block(&row)) {
            out_format(out, "byte %llu of the %s block 0x%llx of %llu bytes\n",
                       ull(at - row.address), row_name(&row), ull(row.address), ull(row.size));
        } else {
            char name[PATH_MAX];
            name_shown(name, sizeof(name), region != NULL ? region->name : "");
            out_format(out, "in %s\n", name[0] != 0 ? name : "memory without a name");
        }
    }
}

// ---- JSON ---------------------------------------------------------------------------------------

static void json_row(struct json *json, const char *key, const struct row *row) {
    json_open_object(json, key);
    json_address(json, "address", row->address);
    json_number(json, "size", row->size);
    json_string(json, "kind", row_kind_names[row->kind]);
    if (row_is_block(row)) {
        json_string(json, "state", block_state_names[row->state]);
    }
    if (row->kind == ROW_SMALL) {
        json_number(json, "class", row->class);
        json_number(json, "index", row->index);
    } else if (row_has_asked(row)) {
        json_number(json, "asked", row->asked);
    }
    if (row->heap != NULL) {
        json_number(json, "thread", (uint64_t)row->heap->tid);
    }
    if (row->own_heap != 0) {
        json_address(json, "own_heap", row->own_heap);
    }
    if (row->moved) {
        json_bool(json, "moved", true);
    }
    json_close_object(json);
}

static void print_json(const struct inquiry *inquiry) {
    struct json json;
    const struct row *row = &inquiry->row;
    json_start(&json, &out_standard);
    session_json_head(&inquiry->session, &json, "block");
    json_address(&json, "asked_about", inquiry->address);
    json_number(&json, "offset", inquiry->address - row->address);
    json_row(&json, "block", row);
    json_string(&json, "page", page_text(&inquiry->session.target, inquiry->address));
    json_open_array(&json, "around");
    for (size_t i = 0; i < inquiry->row_count; i++) {
        json_row(&json, NULL, &inquiry->rows[i]);
    }
    json_close_array(&json);
    if (row_is_block(row)) {
        uint64_t want = row->size < inquiry->bytes ? row->size : inquiry->bytes;
        unsigned char *bytes = memory_take((size_t)want + 1);
        json_bytes(&json, "contents", bytes,
                   read_contents(inquiry, row->address, bytes, (size_t)want));
        free(bytes);
    }
    if (inquiry->references) {
        json_open_array(&json, "references");
        for (size_t i = 0; i < inquiry->found_count; i++) {
            json_address(&json, NULL, inquiry->found[i]);
        }
        json_close_array(&json);
        json_number(&json, "references_not_shown", inquiry->found_hidden);
    }
    json_close_object(&json);
}

// ---- the command --------------------------------------------------------------------------------

static void tell_none(const struct inquiry *inquiry) {
    const struct session *session = &inquiry->session;
    const struct region *region = regions_find(&session->target.regions, inquiry->address);
    if (session->cli.json) {
        struct json json;
        json_start(&json, &out_standard);
        session_json_head(session, &json, "block");
        session_json_no_block(session, &json, inquiry->address);
        json_close_object(&json);
        return;
    }
    say("0x%llx is in no block of %s: it is in %s; `lucid layout` shows all of its memory",
        ull(inquiry->address), session->target.label,
        snapshot_is_guarded(session->snapshot, inquiry->address)
            ? "lucid's guard pages, where no block in use has it"
        : region == NULL       ? "no memory at all"
        : region->name[0] != 0 ? region->name
                               : "memory that is not lucid's");
}

static int show_block(struct inquiry *inquiry) {
    struct session *session = &inquiry->session;
    if (!rows_find(session->snapshot, inquiry->address, &inquiry->row)) {
        tell_none(inquiry);
        return EXIT_FINDING;
    }
    name_own_heap(inquiry);
    collect_rows(inquiry);
    if (inquiry->references) {
        find_references(inquiry);
    }
    if (session->cli.json) {
        print_json(inquiry);
    } else {
        session_print_head(session, &out_standard);
        out_char(&out_standard, '\n');
        print_what(inquiry);
        out_char(&out_standard, '\n');
        print_rows(inquiry);
        print_contents(inquiry);
        if (inquiry->references) {
            print_references(inquiry);
        }
    }
    return EXIT_FINE;
}

int cmd_block(int argc, char **argv) {
    static const struct option options[] = {
        {"context", required_argument, NULL, 'C'},
        {"refs", no_argument, NULL, 'r'},
        {"bytes", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    struct inquiry inquiry = {.around = 1, .bytes = CONTENTS_MAX};
    const struct cli_command command = {
        .usage = "TARGET ADDRESS",
        .purpose = "Shows the block that owns an address, an address inside it included.",
        .details = "\n  -C, --context N   N neighbours on both sides (1)\n"
                   "  --refs            every word in memory that points into the block\n"
                   "  --bytes N         show at most N bytes of its contents (256)\n"
                   "\nexample: lucid block 4711 0x55d0c0de4010 -C 3 --refs\n",
        .options = options,
        .take = take_option,
        .context = &inquiry,
        .arguments_least = 1,
        .arguments_most = 1,
    };
    int code = session_begin(&inquiry.session, &command, argc, argv, true);
    if (code >= 0) {
        return code;
    }
    const char *text = inquiry.session.cli.arguments[0];
    if (!human_to_number(text, &inquiry.address)) {
        say("%s is not an address; write it as 0x55d0c0de4010", text);
        return session_end(&inquiry.session, EXIT_USAGE);
    }
    code = inquiry.session.snapshot != NULL
               ? show_block(&inquiry)
               : glibc_block(&inquiry.session, inquiry.address, inquiry.around);
    free(inquiry.rows);
    free(inquiry.found);
    return session_end(&inquiry.session, code);
}
