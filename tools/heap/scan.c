#include "scan.h"

#include "target/touched.h"
#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)4 << 20)
#define WORTH_ASKING ((uint64_t)256 << 10) // what is smaller is read as fast as it is asked about

static bool matches(const struct scan *scan, const unsigned char *at) {
    if (scan->bytes != NULL) {
        return memcmp(at, scan->bytes, scan->length) == 0;
    }
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word >= scan->low && word < scan->high;
}

static void scan_piece(const struct scan *scan, uint64_t address, const unsigned char *bytes,
                       size_t length) {
    if (scan->bytes != NULL && scan->step == 1) {
        const unsigned char *at = bytes;
        size_t rest = length;
        while ((at = memmem(at, rest, scan->bytes, scan->length)) != NULL) {
            scan->found(address + (size_t)(at - bytes), scan->context);
            at++;
            rest = length - (size_t)(at - bytes);
        }
        return;
    }
    size_t first = (size_t)(-address % scan->step);
    for (size_t at = first; at + scan->length <= length; at += scan->step) {
        if (matches(scan, bytes + at)) {
            scan->found(address + at, scan->context);
        }
    }
}

// Where memory goes on behind an address that cannot be read; `end`: nowhere before that.
static uint64_t next_region(const struct scan *scan, uint64_t address, uint64_t end) {
    const struct regions *regions = &scan->target->regions;
    for (size_t i = 0; i < regions->count; i++) {
        if (regions->list[i].start > address && regions->list[i].start < end) {
            return regions->list[i].start;
        }
    }
    return end;
}

// A piece may be there only in part: the program has unmapped some of it, or has kept it out of its
// core.
static void scan_all(const struct scan *scan, uint64_t start, uint64_t end, unsigned char *bytes) {
    const struct view *view = &scan->target->view;
    size_t overlap = scan->length - 1; // what begins in one piece may end in the next
    for (uint64_t at = start; at < end && end - at > overlap;) {
        size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
        bool whole = target_copy(scan->target, at, bytes, want);
        size_t got = whole ? want : view->read(view->context, at, bytes, want);
        scan_piece(scan, at, bytes, got);
        if (got == 0) {
            at = next_region(scan, at, end); // a forged length costs nothing
        } else if (got < want) {
            at += got;
        } else if (want <= overlap || end - at <= want) {
            break;
        } else {
            at += want - overlap;
        }
    }
}

static bool looks_for_zeros(const struct scan *scan) {
    const unsigned char *bytes = scan->bytes;
    size_t i = 0;
    while (bytes != NULL && i < scan->length && bytes[i] == 0) {
        i++;
    }
    return bytes != NULL ? i == scan->length : scan->low == 0;
}

// Nothing but zeros that is looked for reaches into an untouched page: a text has none, and a value
// does not cross the end of a page.
static bool may_skip_untouched(const struct scan *scan, uint64_t start, uint64_t end) {
    return end > start && end - start >= WORTH_ASKING && !looks_for_zeros(scan) &&
           regions_without_file(&scan->target->regions, start, end);
}

void scan_range(const struct scan *scan, uint64_t start, uint64_t end) {
    uint64_t most = end > start ? end - start : 0;
    unsigned char *bytes = memory_take(most < PIECE ? (size_t)most : PIECE);
    struct touched walk;
    uint64_t from = start;
    uint64_t to = end;
    if (!may_skip_untouched(scan, start, end) || !touched_begin(&walk, scan->target, start, end)) {
        scan_all(scan, start, end, bytes);
        free(bytes);
        return;
    }
    while (touched_next(&walk, &from, &to)) {
        scan_all(scan, from > start ? from : start, to < end ? to : end, bytes);
    }
    touched_end(&walk);
    free(bytes);
}

void scan_heap(const struct scan *scan, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        if (run.kind == RUN_SPAN) {
            scan_range(scan, run.start, run.start + (uint64_t)run.carved * run.block_size);
        } else if (run.kind == RUN_LARGE) {
            scan_range(scan, run.start, run.end);
        }
    }
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        scan_range(scan, mapping->address, mapping->address + mapping->size);
    }
}

static bool is_mapping(const struct snapshot *snapshot, const struct region *region) {
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        if (region->start < snapshot->mappings[i].start + snapshot->mappings[i].length &&
            region->end > snapshot->mappings[i].start) {
            return true;
        }
    }
    return false;
}

void scan_rest(const struct scan *scan, const struct snapshot *snapshot) {
    const struct root_fixed *fixed = &snapshot->reader.fixed;
    uint64_t tables_end = reader_tables_end(&snapshot->reader);
    for (size_t i = 0; i < scan->target->regions.count; i++) {
        const struct region *region = &scan->target->regions.list[i];
        bool heap = reader_in_arena(&snapshot->reader, region->start) ||
                    reader_in_arena(&snapshot->reader, region->end - 1) ||
                    (region->start >= fixed->meta_start && region->end <= tables_end) ||
                    is_mapping(snapshot, region);
        if (!heap && region->rights[0] == 'r' && region->rights[1] == 'w') {
            scan_range(scan, region->start, region->end);
        }
    }
}
