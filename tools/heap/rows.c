#include "rows.h"

#include <string.h>

const char *const row_kind_names[9] = {"small",   "large",  "mapping", "uncarved", "pool",
                                       "foreign", "moving", "top",     "guarded"};

const char *row_name(const struct row *row) {
    return row_is_block(row)           ? block_state_names[row->state]
           : row->kind == ROW_UNCARVED ? "untouched"
                                       : row_kind_names[row->kind];
}

static void enter_run(struct rows *rows) {
    rows->in_run = true;
    rows->index = 0;
    rows->moved = snapshot_moved(rows->snapshot, &rows->run);
    if (rows->run.kind == RUN_SPAN) {
        snapshot_cached_bits(rows->snapshot, &rows->run, rows->cached, &rows->cached_at);
    }
}

void rows_begin(struct rows *rows, struct snapshot *snapshot) {
    memset(rows, 0, sizeof(*rows));
    rows->snapshot = snapshot;
    if (reader_first(&snapshot->reader, &rows->run)) {
        enter_run(rows);
    }
}

void rows_begin_at(struct rows *rows, struct snapshot *snapshot, const struct reader_run *run) {
    memset(rows, 0, sizeof(*rows));
    rows->snapshot = snapshot;
    rows->run = *run;
    enter_run(rows);
    while (rows->mapping_at < snapshot->mapping_count &&
           snapshot->mappings[rows->mapping_at].address < run->start) {
        rows->mapping_at++;
    }
}

const struct snapshot_heap *rows_heap_of(const struct snapshot *snapshot, uint64_t address,
                                         size_t *at) {
    while (*at < snapshot->cached_count && snapshot->cached[*at].address < address) {
        (*at)++;
    }
    bool found = *at < snapshot->cached_count && snapshot->cached[*at].address == address;
    return found ? &snapshot->heaps[snapshot->cached[*at].heap] : NULL;
}

static void leave_run(struct rows *rows) {
    rows->in_run = false;
    if (reader_next(&rows->snapshot->reader, &rows->run)) {
        enter_run(rows);
    }
}

static void span_row(struct rows *rows, struct row *row) {
    const struct reader_run *span = &rows->run;
    row->class = span->class;
    row->index = rows->index;
    row->birth = span->birth;
    row->own_heap = span->region;
    if (rows->index < span->carved) {
        row->kind = ROW_SMALL;
        row->address = span->start + (uint64_t)rows->index * span->block_size;
        row->size = span->block_size;
        row->state = span_block_state(span, rows->cached, rows->index);
        if (row->state == BLOCK_IS_CACHED) {
            row->heap = rows_heap_of(rows->snapshot, row->address, &rows->cached_at);
        }
        rows->index++;
    } else {
        row->kind = ROW_UNCARVED;
        row->state = BLOCK_IS_FREE;
        row->address = span->start + (uint64_t)span->carved * span->block_size;
        row->blocks = span->blocks - span->carved;
        row->size = (uint64_t)row->blocks * span->block_size;
        rows->index = span->blocks;
    }
    if (rows->index >= span->blocks) {
        leave_run(rows);
    }
}

static void run_row(struct rows *rows, struct row *row) {
    static const enum row_kind kinds[] = {
        [RUN_NONE] = ROW_MOVING, [RUN_FREE] = ROW_POOL,       [RUN_SPAN] = ROW_SMALL,
        [RUN_LARGE] = ROW_LARGE, [RUN_FOREIGN] = ROW_FOREIGN, [RUN_BUSY] = ROW_MOVING,
        [RUN_LOOSE] = ROW_POOL,
    };
    row->kind = kinds[rows->run.kind];
    row->address = rows->run.start;
    row->size = rows->run.end - rows->run.start;
    row->asked = rows->run.asked;
    row->birth = rows->run.birth;
    row->own_heap = rows->run.region;
    row->state = row->kind == ROW_LARGE ? BLOCK_IS_USED : BLOCK_IS_FREE;
    leave_run(rows);
}

static void mapping_row(struct rows *rows, struct row *row) {
    const struct mapping *mapping = &rows->snapshot->mappings[rows->mapping_at++];
    row->kind = snapshot_is_guarded(rows->snapshot, mapping->address) ? ROW_GUARDED : ROW_MAPPING;
    row->address = mapping->address;
    row->size = mapping->size;
    row->asked = mapping->asked;
    row->own_heap = (uint64_t)(uintptr_t)mapping->region;
}

static void top_row(struct rows *rows, struct row *row) {
    const struct reader *reader = &rows->snapshot->reader;
    row->kind = ROW_TOP;
    row->state = BLOCK_IS_FREE;
    row->address = reader_address(reader, reader_top(reader));
    row->size = (reader->live.limit - reader_top(reader)) * reader_unit_size(reader);
    rows->top_done = true;
}

// Mappings are merged in by address; the arena's rows come from its runs.
bool rows_next(struct rows *rows, struct row *row) {
    const struct snapshot *snapshot = rows->snapshot;
    uint64_t next = rows->in_run ? rows->run.start
                                 : reader_address(&snapshot->reader, reader_top(&snapshot->reader));
    bool has_mapping = rows->mapping_at < snapshot->mapping_count;
    memset(row, 0, sizeof(*row));
    if (has_mapping && (rows->top_done || snapshot->mappings[rows->mapping_at].address < next)) {
        mapping_row(rows, row);
        return true;
    }
    row->moved = rows->moved;
    if (rows->in_run && rows->run.kind == RUN_SPAN) {
        span_row(rows, row);
        return true;
    }
    if (rows->in_run) {
        run_row(rows, row);
        return true;
    }
    if (!rows->top_done) {
        row->moved = false;
        top_row(rows, row);
        return true;
    }
    return false;
}

// The run an address lies in: through the unit table, which knows the way to the head, or, when
// that leads nowhere (free runs have no such entries), by walking.
static bool find_run(struct snapshot *snapshot, uint64_t address, struct reader_run *run) {
    struct reader *reader = &snapshot->reader;
    uint64_t unit = (address - reader->fixed.base) >> reader->fixed.layout.unit_shift;
    if (unit >= 1 && unit < reader_top(reader) && snapshot->units[unit].back < unit) {
        uint64_t head = unit - snapshot->units[unit].back;
        if (reader_run_at(reader, head, run) && (run->kind == RUN_SPAN || run->kind == RUN_LARGE) &&
            address < run->end) {
            return true;
        }
    }
    for (bool more = reader_first(reader, run); more; more = reader_next(reader, run)) {
        if (address < run->end) {
            return address >= run->start;
        }
    }
    return false;
}

static bool find_mapping(struct snapshot *snapshot, uint64_t address, struct row *row) {
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        if (address - mapping->address < mapping->size) {
            struct rows rows = {.snapshot = snapshot, .mapping_at = i};
            memset(row, 0, sizeof(*row));
            mapping_row(&rows, row);
            return true;
        }
    }
    return false;
}

bool rows_find(struct snapshot *snapshot, uint64_t address, struct row *row) {
    struct reader_run run;
    struct rows rows;
    uint64_t top = reader_address(&snapshot->reader, reader_top(&snapshot->reader));
    if (find_mapping(snapshot, address, row)) {
        return true;
    }
    if (!reader_in_arena(&snapshot->reader, address)) {
        return false;
    }
    if (address >= top) {
        rows = (struct rows){.snapshot = snapshot};
        memset(row, 0, sizeof(*row));
        top_row(&rows, row);
        return true;
    }
    if (!find_run(snapshot, address, &run)) {
        return false;
    }
    rows_begin_at(&rows, snapshot, &run);
    rows.mapping_at = snapshot->mapping_count;
    if (run.kind == RUN_SPAN) {
        uint64_t index = (address - run.start) / run.block_size;
        rows.index = (uint32_t)(index < run.carved ? index : run.carved);
        if (index >= run.blocks && run.carved == run.blocks) {
            return false; // behind the last block of the span
        }
    }
    return rows_next(&rows, row);
}
