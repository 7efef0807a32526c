// lucid arena: the arena's numbers and the threads' heaps.
#include "commands.h"
#include "glibc/glibc.h"
#include "ownheaps.h"
#include "session.h"
#include "tally.h"
#include "util/human.h"
#include "util/name.h"

#include <string.h>

static const char *const heap_states[] = {"idle", "live"};

static const char *heap_state(const struct snapshot_heap *heap) {
    return heap->record.state < sizeof(heap_states) / sizeof(heap_states[0])
               ? heap_states[heap->record.state]
               : "?";
}

static void count_cached(const struct snapshot *snapshot, const struct snapshot_heap *heap,
                         uint64_t *blocks, uint64_t *bytes) {
    *blocks = 0;
    *bytes = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        *blocks += heap->count[class];
        *bytes += (uint64_t)heap->count[class] * snapshot->reader.fixed.classes[class].size;
    }
}

static struct heap_counters read_counters(const struct snapshot *snapshot,
                                          const struct snapshot_heap *heap) {
    struct heap_counters counters = {0};
    const struct layout_description *d = &snapshot->reader.fixed.layout;
    if (d->heap_counters + sizeof(counters) <= d->size_heap) {
        view_read(&snapshot->view, heap->record.address + d->heap_counters, &counters,
                  sizeof(counters));
    }
    return counters;
}

static uint64_t meta_bytes(const struct reader *reader) {
    return reader->live.committed * (sizeof(struct unit) + reader->fixed.layout.size_run) +
           (reader->fixed.meta_end - reader->live.meta_next) +
           reader->live.mappings.capacity * sizeof(struct mapping);
}

static uint64_t taken_bytes(const struct reader *reader) {
    return __atomic_load_n((const uint64_t *)(const void *)&reader->live.allowance.taken,
                           __ATOMIC_RELAXED);
}

static void print_line(const char *name, uint64_t bytes, const char *note) {
    char size[SIZE_TEXT];
    char count[COUNT_TEXT];
    out_format(&out_standard, "  %-16s %8s  %16s bytes%s%s\n", name, human_size(size, bytes),
               human_count(count, bytes), note[0] != 0 ? "  " : "", note);
}

static void print_numbers(const struct snapshot *snapshot, const struct tally *tally) {
    const struct reader *reader = &snapshot->reader;
    struct out *out = &out_standard;
    out_format(out, "\narena 0x%llx to 0x%llx, top at 0x%llx, break started at 0x%llx\n",
               ull(reader_address(reader, 1)), ull(reader_address(reader, reader->live.limit)),
               ull(reader_address(reader, reader_top(reader))), ull(reader->fixed.break_start));
    out_format(out, "  grows %s; %u foreign moves of the break were stepped over\n\n",
               reader->live.break_end != 0 ? "with the program break"
                                           : "in mappings, the break is not usable",
               reader->live.break_moves);
    print_line("spans", tally->span_bytes, "small blocks");
    print_line("  used", tally->used_bytes, "");
    print_line("  cached", tally->cached_bytes,
               snapshot->live != NULL ? "in the quarantine of hardened mode"
                                      : "in the bins of threads");
    print_line("  free", tally->free_bytes, "");
    print_line("  untouched", tally->uncarved_bytes, "never handed out");
    print_line("  tails", tally->tail_bytes, "behind the last block of a span");
    print_line("large", tally->large_bytes, "blocks of whole units");
    print_line("pool", tally->pool_bytes, "units free again");
    print_line("  dirty", tally->dirty_bytes, "of them, not given back to the kernel");
    print_line("foreign", tally->foreign_bytes, "moved over by another sbrk");
    print_line("top", tally->top_bytes, "never used yet");
    print_line("mappings", tally->mapping_bytes, "blocks with an mmap of their own");
    if (snapshot->guard_length > 0) {
        print_line("guarded", tally->guarded_bytes, "sampled blocks between guard pages");
    }
    print_line("tables", meta_bytes(reader), "lucid's own records, elsewhere");
    if (reader->live.allowance.most != 0) {
        print_line("taken", taken_bytes(reader), "of what the limit allows");
        print_line("limit", reader->live.allowance.most, "no more than this is ever taken");
    }
}

static void print_threads(const struct snapshot *snapshot) {
    struct out *out = &out_standard;
    char size[SIZE_TEXT];
    out_text(out,
             "\n     TID  NAME              STATE     CACHED    BYTES    REFILLS    FLUSHES\n");
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        struct heap_counters counters = read_counters(snapshot, heap);
        uint64_t blocks = 0;
        uint64_t bytes = 0;
        char name[sizeof(heap->name)];
        count_cached(snapshot, heap, &blocks, &bytes);
        name_shown(name, sizeof(name), heap->name[0] != 0 ? heap->name : "-");
        out_format(out, "%c%7d  %-*s  %-5s  %9llu %8s %10llu %10llu%s\n", heap->moved ? '~' : ' ',
                   (int)heap->tid, name_width(name, 16), name, heap_state(heap), ull(blocks),
                   human_size(size, bytes), ull(counters.refills), ull(counters.flushes),
                   heap->inside ? "  inside lucid" : "");
    }
}

static void json_threads(struct json *json, const struct snapshot *snapshot) {
    json_open_array(json, "threads");
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        struct heap_counters counters = read_counters(snapshot, heap);
        uint64_t blocks = 0;
        uint64_t bytes = 0;
        count_cached(snapshot, heap, &blocks, &bytes);
        json_open_object(json, NULL);
        json_number(json, "tid", (uint64_t)heap->tid);
        json_string(json, "name", heap->name);
        json_string(json, "state", heap_state(heap));
        json_address(json, "heap", heap->record.address);
        json_number(json, "cached_blocks", blocks);
        json_number(json, "cached_bytes", bytes);
        json_number(json, "refills", counters.refills);
        json_number(json, "flushes", counters.flushes);
        json_number(json, "larges", counters.larges);
        json_bool(json, "inside", heap->inside);
        json_bool(json, "moved", heap->moved);
        json_close_object(json);
    }
    json_close_array(json);
}

static void print_json(const struct session *session, const struct tally *tally,
                       const struct own_heaps *heaps) {
    const struct snapshot *snapshot = session->snapshot;
    const struct reader *reader = &snapshot->reader;
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(session, &json, "arena");
    json_open_object(&json, "arena");
    json_address(&json, "start", reader_address(reader, 1));
    json_address(&json, "top", reader_address(reader, reader_top(reader)));
    json_address(&json, "end", reader_address(reader, reader->live.limit));
    json_address(&json, "break_start", reader->fixed.break_start);
    json_address(&json, "break_end", reader->live.break_end);
    json_number(&json, "break_moves", reader->live.break_moves);
    json_number(&json, "continued", reader->live.continued);
    json_number(&json, "unit", reader_unit_size(reader));
    json_number(&json, "span_bytes", tally->span_bytes);
    json_number(&json, "used_bytes", tally->used_bytes);
    json_number(&json, "cached_bytes", tally->cached_bytes);
    json_number(&json, "free_bytes", tally->free_bytes);
    json_number(&json, "uncarved_bytes", tally->uncarved_bytes);
    json_number(&json, "tail_bytes", tally->tail_bytes);
    json_number(&json, "large_bytes", tally->large_bytes);
    json_number(&json, "pool_bytes", tally->pool_bytes);
    json_number(&json, "dirty_bytes", tally->dirty_bytes);
    json_number(&json, "foreign_bytes", tally->foreign_bytes);
    json_number(&json, "moving_bytes", tally->busy_bytes);
    json_number(&json, "top_bytes", tally->top_bytes);
    json_number(&json, "mapping_bytes", tally->mapping_bytes);
    json_number(&json, "guarded_bytes", tally->guarded_bytes);
    json_number(&json, "table_bytes", meta_bytes(reader));
    json_number(&json, "taken_bytes", taken_bytes(reader));
    json_number(&json, "limit_bytes", reader->live.allowance.most);
    json_close_object(&json);
    json_threads(&json, snapshot);
    own_heaps_json(heaps, &json);
    json_close_object(&json);
}

static int show_arena(struct session *session) {
    struct tally tally;
    struct own_heaps heaps = {.count = 0};
    if (!tally_heap(&tally, session->snapshot) || !own_heaps_take(&heaps, session->snapshot)) {
        snapshot_say_fault(session->snapshot);
        own_heaps_free(&heaps);
        return EXIT_UNREADABLE;
    }
    if (session->cli.json) {
        print_json(session, &tally, &heaps);
    } else {
        session_print_head(session, &out_standard);
        print_numbers(session->snapshot, &tally);
        print_threads(session->snapshot);
        own_heaps_print(&heaps, &out_standard);
    }
    own_heaps_free(&heaps);
    return EXIT_FINE;
}

int cmd_arena(int argc, char **argv) {
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Shows what the arena is used for, and the threads with their bins.",
        .details = "\nexample: lucid arena $(pidof redis-server)\n",
    };
    struct session session;
    int code = session_begin(&session, &command, argc, argv, true);
    if (code >= 0) {
        return code;
    }
    code = session.snapshot != NULL ? show_arena(&session) : glibc_arena(&session);
    return session_end(&session, code);
}
