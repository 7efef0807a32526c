#include "cells.h"

#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

#define PAGES_AT_ONCE ((size_t)1 << 16)

// Adds the bytes [start, end) to one of the sums of every cell they touch.
static void spread(struct cells *cells, uint64_t start, uint64_t end, size_t sum) {
    start = start > cells->start ? start : cells->start;
    end = end < cells->end ? end : cells->end;
    while (start < end) {
        struct cell *cell = &cells->list[(start - cells->start) / cells->size];
        uint64_t next = cells->start + ((start - cells->start) / cells->size + 1) * cells->size;
        uint64_t until = end < next ? end : next;
        *(uint64_t *)(void *)((char *)cell + sum) += until - start;
        start = until;
    }
}

static void spread_span(struct cells *cells, const struct snapshot *snapshot,
                        const struct reader_run *span) {
    uint64_t cached[SPAN_WORDS];
    size_t first = 0;
    snapshot_cached_bits(snapshot, span, cached, &first);
    for (uint32_t index = 0; index < span->carved; index++) {
        enum block_state state = span_block_state(span, cached, index);
        uint64_t start = span->start + (uint64_t)index * span->block_size;
        if (state != BLOCK_IS_FREE) {
            spread(cells, start, start + span->block_size,
                   state == BLOCK_IS_USED ? offsetof(struct cell, live)
                                          : offsetof(struct cell, cached));
        }
    }
}

static void mark_kind(struct cells *cells, uint64_t start, uint64_t end, enum cell_kind kind) {
    for (size_t i = 0; i < cells->count; i++) {
        uint64_t middle = cells->start + i * cells->size + cells->size / 2;
        if (middle >= start && middle < end) {
            cells->list[i].kind = kind;
        }
    }
}

static void mark_moved(struct cells *cells, uint64_t start, uint64_t end) {
    for (uint64_t at = start > cells->start ? start : cells->start; at < end && at < cells->end;
         at += cells->size) {
        cells->list[(at - cells->start) / cells->size].moved = true;
    }
}

// The part of one region that the cells show. False: its pages are not known.
static bool spread_region(struct cells *cells, const struct target *target,
                          const struct region *region) {
    uint64_t page = target->page_size;
    uint64_t end = region->end < cells->end ? region->end : cells->end;
    uint64_t at = region->start > cells->start ? region->start : cells->start / page * page;
    uint8_t *states = memory_take(PAGES_AT_ONCE);
    bool known = true;
    while (at < end && known) {
        uint64_t rest = (end - at + page - 1) / page;
        size_t pages = rest < PAGES_AT_ONCE ? (size_t)rest : PAGES_AT_ONCE;
        known = target_pages(target, at, pages, states);
        for (size_t i = 0; i < pages && known; i++) {
            if (states[i] & TARGET_PAGE_PRESENT) {
                spread(cells, at + i * page, at + (i + 1) * page, offsetof(struct cell, resident));
            }
        }
        at += pages * page;
    }
    free(states);
    return known;
}

// Region by region: of a damaged heap's claims the kernel's word is the bound.
static void spread_residency(struct cells *cells, const struct target *target) {
    uint8_t state;
    cells->residency =
        target_pages(target, cells->start / target->page_size * target->page_size, 1, &state);
    for (size_t i = 0; i < target->regions.count && cells->residency; i++) {
        const struct region *region = &target->regions.list[i];
        if (region->start < cells->end && region->end > cells->start) {
            cells->residency = spread_region(cells, target, region);
        }
    }
}

void cells_cut(struct cells *cells, struct snapshot *snapshot, uint64_t start, uint64_t end,
               uint64_t size) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    *cells = (struct cells){.start = start, .end = end, .size = size};
    cells->count = (size_t)((end - start + size - 1) / size);
    cells->list = memory_take(cells->count * sizeof(struct cell));
    mark_kind(cells, reader_address(reader, reader_top(reader)), UINT64_MAX, CELL_TOP);
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        if (run.end <= start || run.start >= end) {
            continue;
        }
        if (run.kind == RUN_SPAN) {
            spread_span(cells, snapshot, &run);
        } else if (run.kind == RUN_LARGE) {
            spread(cells, run.start, run.end, offsetof(struct cell, live));
        } else if (run.kind == RUN_FOREIGN) {
            mark_kind(cells, run.start, run.end, CELL_FOREIGN);
        }
        if (snapshot_moved(snapshot, &run)) {
            mark_moved(cells, run.start, run.end);
        }
    }
    spread_residency(cells, snapshot->target);
}

const char *cell_glyph(const struct cells *cells, const struct cell *cell, bool ascii) {
    static const char *const shades[2][5] = {{"", "░", "▒", "▓", "█"}, {"", "-", "+", "x", "#"}};
    bool resident = !cells->residency || cell->resident > 0;
    if (cell->moved && cell->live == 0) {
        return "~";
    }
    if (cell->live > 0) {
        return shades[ascii][cell_shade(cells, cell)];
    }
    if (cell->kind != CELL_HEAP) {
        return cell->kind == CELL_TOP ? "T" : "F";
    }
    return !resident ? " " : ascii ? "." : "·";
}

enum cell_tone cell_tone(const struct cells *cells, const struct cell *cell) {
    if (cell->kind == CELL_TOP && cell->live == 0) {
        return TONE_TOP;
    }
    if (cell->kind == CELL_FOREIGN) {
        return TONE_FOREIGN;
    }
    return !cells->residency || cell->resident * 2 >= cells->size ? TONE_RESIDENT : TONE_AWAY;
}

void cells_free(struct cells *cells) {
    free(cells->list);
    memset(cells, 0, sizeof(*cells));
}
