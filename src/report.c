// The account of the heap as text, for a file descriptor: JSON and OpenMetrics. Neither stdio nor
// the heap takes part, so that it may be written from anywhere and shows what was there before.
#include "export.h"
#include "figures.h"
#include "os/os.h"
#include "text.h"

#include <errno.h>
#include <lucid.h>
#include <string.h>

#define PIECE_MAX 400u // nothing that is added at once is longer

// Text on its way to a file descriptor. Small: a thread's stack may have no more than 16 KiB.
struct report {
    struct lucid_stats stats;
    struct account account;
    struct text text;
    int fd;
    int error; // the first one; nothing is written after it
    char buffer[1024];
};

static void send(struct report *report) {
    if (report->error == 0) {
        report->error = os_write(report->fd, report->buffer, report->text.length);
    }
    report->text = text_begin(report->buffer, sizeof(report->buffer));
}

// Where the next piece goes.
static struct text *piece(struct report *report) {
    if (report->text.length + PIECE_MAX > sizeof(report->buffer)) {
        send(report);
    }
    return &report->text;
}

static bool begin(struct report *report, int fd) {
    if (!figures_take(&report->stats, &report->account)) {
        return false;
    }
    report->text = text_begin(report->buffer, sizeof(report->buffer));
    report->fd = fd;
    report->error = 0;
    return true;
}

static int finish(struct report *report) {
    send(report);
    if (report->error != 0) {
        errno = report->error;
        return -1;
    }
    return 0;
}

// Names of programs are bytes; both formats are UTF-8, and know these escapes.
static void add_quoted(struct text *text, const char *words) {
    text_add_char(text, '"');
    for (unsigned i = 0; words[i] != '\0' && i < 64; i++) {
        unsigned char letter = (unsigned char)words[i];
        if (letter == '"' || letter == '\\') {
            text_add_char(text, '\\');
        }
        text_add_char(text, letter < ' ' || letter > '~' ? '?' : words[i]);
    }
    text_add_char(text, '"');
}

// Blocks of a class by what they are.
struct class_blocks {
    uint64_t used, cached, free, fresh;
};

static struct class_blocks blocks_of(const struct class_account *sums) {
    uint64_t idle = sums->free + sums->uncarved + sums->cached;
    return (struct class_blocks){
        .used = sums->blocks > idle ? sums->blocks - idle : 0,
        .cached = sums->cached,
        .free = sums->free,
        .fresh = sums->uncarved,
    };
}

// ---- JSON ---------------------------------------------------------------------------------------

#define ROW(field) \
    { #field, offsetof(struct lucid_stats, field) }

static const struct json_row {
    const char *name;
    size_t offset;
} json_rows[] = {
    ROW(live_blocks),    ROW(live_bytes),     ROW(small_blocks),        ROW(small_bytes),
    ROW(large_blocks),   ROW(large_bytes),    ROW(mapping_blocks),      ROW(mapping_bytes),
    ROW(guarded_blocks), ROW(guarded_bytes),  ROW(slack_bytes),         ROW(cached_blocks),
    ROW(cached_bytes),   ROW(free_blocks),    ROW(free_bytes),          ROW(fresh_bytes),
    ROW(pool_bytes),     ROW(dirty_bytes),    ROW(top_bytes),           ROW(arena_bytes),
    ROW(mapped_bytes),   ROW(metadata_bytes), ROW(returned_bytes),      ROW(spans),
    ROW(threads),        ROW(resident_bytes), ROW(peak_resident_bytes),
};

#define JSON_ROWS (sizeof(json_rows) / sizeof(json_rows[0]))

_Static_assert(sizeof(struct lucid_stats) == (JSON_ROWS + 1) * sizeof(uint64_t),
               "every member but the size has a row");

static void json_member(struct text *text, const char *name, uint64_t number) {
    text_add(text, ",\"");
    text_add(text, name);
    text_add(text, "\":");
    text_add_number(text, number);
}

static void json_class(struct text *text, unsigned class, const struct class_account *sums) {
    struct class_blocks blocks = blocks_of(sums);
    text_add(text, "{\"size\":");
    text_add_number(text, sizeclass_size(class));
    json_member(text, "spans", sums->spans);
    json_member(text, "used", blocks.used);
    json_member(text, "cached", blocks.cached);
    json_member(text, "free", blocks.free);
    json_member(text, "fresh", blocks.fresh);
    text_add_char(text, '}');
}

EXPORT int lucid_stats_print_json(int fd) {
    struct report report;
    if (!begin(&report, fd)) {
        return -1;
    }
    struct text *text = piece(&report);
    text_add(text,
             "{\"schema\":\"lucid.stats/1\",\"version\":\"" LUCID_VERSION_TEXT "\",\"name\":");
    add_quoted(text, os_program_name());
    json_member(text, "pid", os_process_id());
    for (unsigned i = 0; i < JSON_ROWS; i++) {
        uint64_t number;
        memcpy(&number, (const char *)&report.stats + json_rows[i].offset, sizeof(number));
        json_member(piece(&report), json_rows[i].name, number);
    }
    text_add(piece(&report), ",\"classes\":[");
    const char *separator = "";
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (report.account.classes[class].spans > 0) {
            text_add(piece(&report), separator);
            json_class(piece(&report), class, &report.account.classes[class]);
            separator = ",";
        }
    }
    text_add(piece(&report), "]}\n");
    return finish(&report);
}

// ---- OpenMetrics --------------------------------------------------------------------------------

static void add_words(struct text *text, const char *a, const char *b, const char *c) {
    text_add(text, a);
    text_add(text, b);
    text_add(text, c);
}

// The unit is the last word of the name, or NULL.
static void metric(struct report *report, const char *name, const char *type, const char *unit,
                   const char *help) {
    struct text *text = piece(report);
    add_words(text, "# TYPE ", name, " ");
    add_words(text, type, "\n", "");
    if (unit != NULL) {
        add_words(text, "# UNIT ", name, " ");
        add_words(text, unit, "\n", "");
    }
    add_words(text, "# HELP ", name, " ");
    add_words(text, help, "\n", "");
}

static void sample(struct report *report, const char *name, const char *label, const char *value,
                   uint64_t number) {
    struct text *text = piece(report);
    text_add(text, name);
    if (label != NULL) {
        add_words(text, "{", label, "=\"");
        add_words(text, value, "\"}", "");
    }
    text_add_char(text, ' ');
    text_add_number(text, number);
    text_add_char(text, '\n');
}

static void gauge(struct report *report, const char *name, const char *unit, uint64_t number,
                  const char *help) {
    metric(report, name, "gauge", unit, help);
    sample(report, name, NULL, NULL, number);
}

static void write_process(struct report *report) {
    metric(report, "lucid_process", "info", NULL, "The process that tells about itself.");
    struct text *text = piece(report);
    text_add(text, "lucid_process_info{pid=\"");
    text_add_number(text, os_process_id());
    text_add(text, "\",name=");
    add_quoted(text, os_program_name());
    text_add(text, ",version=\"" LUCID_VERSION_TEXT "\",mode=\"self\"} 1\n");
}

static void write_live(struct report *report) {
    const struct lucid_stats *stats = &report->stats;
    static const char *const kinds[] = {"small", "large", "mapping", "guarded"};
    const uint64_t blocks[] = {stats->small_blocks, stats->large_blocks, stats->mapping_blocks,
                               stats->guarded_blocks};
    const uint64_t bytes[] = {stats->small_bytes, stats->large_bytes, stats->mapping_bytes,
                              stats->guarded_bytes};
    metric(report, "lucid_live_blocks", "gauge", NULL, "Blocks in use.");
    for (unsigned i = 0; i < 4; i++) {
        sample(report, "lucid_live_blocks", "kind", kinds[i], blocks[i]);
    }
    metric(report, "lucid_live_bytes", "gauge", "bytes",
           "Bytes of blocks in use: small ones as large as their class, others as asked for.");
    for (unsigned i = 0; i < 4; i++) {
        sample(report, "lucid_live_bytes", "kind", kinds[i], bytes[i]);
    }
}

static void write_idle(struct report *report) {
    const struct lucid_stats *stats = &report->stats;
    static const char *const parts[] = {"slack", "cached", "free", "fresh", "pool", "top"};
    const uint64_t bytes[] = {stats->slack_bytes, stats->cached_bytes, stats->free_bytes,
                              stats->fresh_bytes, stats->pool_bytes,   stats->top_bytes};
    metric(report, "lucid_idle_bytes", "gauge", "bytes",
           "Address space of the heap that no block uses, resident or not.");
    for (unsigned i = 0; i < 6; i++) {
        sample(report, "lucid_idle_bytes", "part", parts[i], bytes[i]);
    }
}

static void write_totals(struct report *report) {
    const struct lucid_stats *stats = &report->stats;
    gauge(report, "lucid_dirty_bytes", "bytes", stats->dirty_bytes,
          "Of the pool: written to since the kernel gave it.");
    gauge(report, "lucid_arena_bytes", "bytes", stats->arena_bytes, "Address space of the arena.");
    gauge(report, "lucid_mapped_bytes", "bytes", stats->mapped_bytes,
          "Address space of blocks with a mapping of their own.");
    gauge(report, "lucid_metadata_bytes", "bytes", stats->metadata_bytes,
          "Tables of the allocator opened so far.");
    gauge(report, "lucid_threads", NULL, stats->threads, "Threads that have a heap.");
    gauge(report, "lucid_process_resident_bytes", "bytes", stats->resident_bytes,
          "Resident memory of the process as the kernel counts it.");
    gauge(report, "lucid_process_peak_resident_bytes", "bytes", stats->peak_resident_bytes,
          "The most that was ever resident.");
    metric(report, "lucid_returned_bytes", "counter", "bytes",
           "Memory given back to the kernel since the start.");
    sample(report, "lucid_returned_bytes_total", NULL, NULL, stats->returned_bytes);
}

static void write_class(struct report *report, unsigned class, const char *state, uint64_t blocks) {
    struct text *text = piece(report);
    text_add(text, "lucid_class_blocks{size=\"");
    text_add_number(text, sizeclass_size(class));
    add_words(text, "\",state=\"", state, "\"} ");
    text_add_number(text, blocks);
    text_add_char(text, '\n');
}

static void write_classes(struct report *report) {
    metric(report, "lucid_class_blocks", "gauge", NULL, "Blocks of a size class.");
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (report->account.classes[class].spans > 0) {
            struct class_blocks blocks = blocks_of(&report->account.classes[class]);
            write_class(report, class, "used", blocks.used);
            write_class(report, class, "cached", blocks.cached);
            write_class(report, class, "free", blocks.free);
            write_class(report, class, "fresh", blocks.fresh);
        }
    }
}

EXPORT int lucid_stats_print_openmetrics(int fd) {
    struct report report;
    if (!begin(&report, fd)) {
        return -1;
    }
    write_process(&report);
    write_live(&report);
    write_idle(&report);
    write_totals(&report);
    write_classes(&report);
    text_add(piece(&report), "# EOF\n");
    return finish(&report);
}
