#include "tally.h"

#include <string.h>

static void add_span(struct tally *tally, const struct snapshot *snapshot,
                     const struct reader_run *span) {
    uint64_t cached[SPAN_WORDS];
    size_t first = 0;
    struct class_tally *class = &tally->classes[span->class];
    uint64_t in_bins = snapshot_cached_bits(snapshot, span, cached, &first);
    uint64_t free = 0;
    for (unsigned word = 0; word < SPAN_WORDS; word++) {
        free += bit_count(span->free[word]);
    }
    class->spans++;
    class->blocks += span->blocks;
    class->carved += span->carved;
    class->cached += in_bins;
    class->free += free;
    // While it is being moved a block can be seen in two places.
    class->used += span->carved > free + in_bins ? span->carved - free - in_bins : 0;
    tally->span_bytes += span->end - span->start;
    tally->tail_bytes += span->end - span->start - (uint64_t)span->blocks * span->block_size;
}

static void add_run(struct tally *tally, const struct snapshot *snapshot,
                    const struct reader_run *run) {
    uint64_t bytes = run->end - run->start;
    switch (run->kind) {
    case RUN_SPAN:
        add_span(tally, snapshot, run);
        break;
    case RUN_LARGE:
        tally->large_count++;
        tally->large_bytes += bytes;
        tally->large_asked += run->asked;
        break;
    case RUN_FREE:
    case RUN_LOOSE:
        tally->pool_runs++;
        tally->pool_bytes += bytes;
        tally->dirty_bytes += (uint64_t)run->dirty * reader_unit_size(&snapshot->reader);
        break;
    case RUN_FOREIGN:
        tally->foreign_bytes += bytes;
        break;
    default:
        tally->busy_bytes += bytes;
        break;
    }
}

static void add_up(struct tally *tally, const struct reader *reader) {
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        const struct class_tally *class = &tally->classes[i];
        uint64_t size = reader->fixed.classes[i].size;
        tally->small.spans += class->spans;
        tally->small.blocks += class->blocks;
        tally->small.carved += class->carved;
        tally->small.used += class->used;
        tally->small.cached += class->cached;
        tally->small.free += class->free;
        tally->used_bytes += class->used * size;
        tally->cached_bytes += class->cached * size;
        tally->free_bytes += class->free * size;
        tally->uncarved_bytes += (class->blocks - class->carved) * size;
    }
}

bool tally_heap(struct tally *tally, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    memset(tally, 0, sizeof(*tally));
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        add_run(tally, snapshot, &run);
        tally->moved_runs += snapshot_moved(snapshot, &run);
    }
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        bool guarded = snapshot_is_guarded(snapshot, mapping->address);
        tally->guarded_count += guarded;
        tally->guarded_bytes += guarded ? mapping->size : 0;
        tally->mapping_count += !guarded;
        tally->mapping_bytes += guarded ? 0 : mapping->length;
        tally->mapping_asked += guarded ? 0 : mapping->asked;
    }
    tally->top_bytes = (reader->live.limit - reader_top(reader)) * reader_unit_size(reader);
    tally->arena_bytes = reader->live.limit * reader_unit_size(reader);
    add_up(tally, reader);
    return reader->fault == READER_FINE;
}
