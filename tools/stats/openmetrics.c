#include "openmetrics.h"

// Label values are quoted; the format has three escapes.
static void write_label(struct out *out, const char *name, const char *value) {
    out_text(out, name);
    out_text(out, "=\"");
    for (; *value != 0; value++) {
        if (*value == '\n') {
            out_text(out, "\\n");
        } else {
            if (*value == '"' || *value == '\\') {
                out_char(out, '\\');
            }
            // Names of threads are bytes; the format is UTF-8.
            out_char(out, (unsigned char)*value < 0x80 ? *value : '?');
        }
    }
    out_char(out, '"');
}

// The unit is the last word of the name, or NULL.
static void begin(struct out *out, const char *name, const char *type, const char *unit,
                  const char *help) {
    out_format(out, "# TYPE %s %s\n", name, type);
    if (unit != NULL) {
        out_format(out, "# UNIT %s %s\n", name, unit);
    }
    out_format(out, "# HELP %s %s\n", name, help);
}

static void gauge_bytes(struct out *out, const char *name, uint64_t bytes, const char *help) {
    begin(out, name, "gauge", "bytes", help);
    out_format(out, "%s %llu\n", name, ull(bytes));
}

static void write_process(struct out *out, const struct session *session) {
    begin(out, "lucid_process", "info", NULL, "The process that was read.");
    out_format(out, "lucid_process_info{pid=\"%d\",", (int)session->target.pid);
    write_label(out, "name", session->target.name);
    out_char(out, ',');
    write_label(out, "version", session->snapshot->reader.fixed.library_version);
    out_char(out, ',');
    write_label(out, "mode", session_mode(&session->target));
    out_text(out, "} 1\n");
}

static void write_parts(struct out *out, const struct ledger *ledger) {
    begin(out, "lucid_resident_bytes", "gauge", "bytes",
          "Resident memory by what it is there for; the parts add up.");
    for (unsigned i = 0; i < PART_COUNT; i++) {
        out_format(out, "lucid_resident_bytes{part=\"%s\"} %llu\n", part_names[i],
                   ull(ledger->part[i]));
    }
    gauge_bytes(out, "lucid_swapped_bytes", ledger->swapped, "Memory that is swapped out.");
    gauge_bytes(out, "lucid_huge_bytes", ledger->huge, "Resident memory in huge pages.");
    if (ledger->counted) {
        gauge_bytes(out, "lucid_process_resident_bytes", ledger->total,
                    "Resident memory as the kernel counts it.");
        begin(out, "lucid_residue_bytes", "gauge", "bytes",
              "The sum of the parts less what the kernel counts.");
        out_format(out, "lucid_residue_bytes %lld\n", (long long)ledger_residue(ledger));
    }
}

static void write_classes(struct out *out, const struct session *session,
                          const struct ledger *ledger) {
    const struct sizeclass *sizes = session->snapshot->reader.fixed.classes;
    begin(out, "lucid_class_blocks", "gauge", NULL, "Blocks of a size class.");
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        if (ledger->classes[i].spans > 0) {
            out_format(out, "lucid_class_blocks{size=\"%u\",state=\"used\"} %llu\n", sizes[i].size,
                       ull(ledger->classes[i].blocks));
            out_format(out, "lucid_class_blocks{size=\"%u\",state=\"cached\"} %llu\n",
                       sizes[i].size, ull(ledger->classes[i].cached_blocks));
        }
    }
    begin(out, "lucid_class_resident_bytes", "gauge", "bytes",
          "Resident memory of a size class by part.");
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        const struct ledger_class *class = &ledger->classes[i];
        const uint64_t bytes[] = {class->live, class->partial, class->cached, class->dirty};
        static const char *const parts[] = {"live", "partial", "cached", "dirty"};
        for (unsigned k = 0; k < 4 && class->spans > 0; k++) {
            out_format(out, "lucid_class_resident_bytes{size=\"%u\",part=\"%s\"} %llu\n",
                       sizes[i].size, parts[k], ull(bytes[k]));
        }
    }
    begin(out, "lucid_large_blocks", "gauge", NULL, "Blocks without a class, by kind.");
    out_format(out,
               "lucid_large_blocks{kind=\"large\"} %llu\n"
               "lucid_large_blocks{kind=\"mapping\"} %llu\n",
               ull(ledger->large_blocks), ull(ledger->mapping_blocks));
}

static void write_threads(struct out *out, const struct session *session) {
    const struct snapshot *snapshot = session->snapshot;
    begin(out, "lucid_thread_cached_bytes", "gauge", "bytes",
          "Free blocks that a thread keeps for itself.");
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        if (heap->record.state == HEAP_LIVE) {
            out_format(out, "lucid_thread_cached_bytes{tid=\"%d\",heap=\"%llx\",", (int)heap->tid,
                       ull(heap->record.address));
            write_label(out, "name", heap->name);
            out_format(out, "} %llu\n", ull(ledger_heap_cached(snapshot, heap)));
        }
    }
}

static void write_returned(struct out *out, const struct session *session) {
    const struct reader *reader = &session->snapshot->reader;
    uint64_t trimmed = __atomic_load_n(
        (const uint64_t *)(const void *)&reader->live.giving.trimmed_bytes, __ATOMIC_RELAXED);
    begin(out, "lucid_returned_bytes", "counter", "bytes",
          "Memory given back to the kernel since the start.");
    out_format(out, "lucid_returned_bytes_total{from=\"pool\"} %llu\n",
               ull(reader->live.pool.purged_units * reader_unit_size(reader)));
    out_format(out, "lucid_returned_bytes_total{from=\"spans\"} %llu\n", ull(trimmed));
}

void openmetrics_write(struct out *out, const struct session *session,
                       const struct ledger *ledger) {
    write_process(out, session);
    write_parts(out, ledger);
    write_classes(out, session, ledger);
    write_threads(out, session);
    write_returned(out, session);
    out_text(out, "# EOF\n");
}
