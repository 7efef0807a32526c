#include "rootcheck.h"

#include <string.h>

#define UNITS_MAX ((uint64_t)1 << 33)

// What a root of this layout version has at the least.
#define FIXED_LEAST \
    (offsetof(struct root_fixed, classes) + sizeof(((struct root_fixed *)0)->classes))
#define LIVE_LEAST (offsetof(struct root_live, ready) + sizeof(uint32_t))

// A root that describes another layout under the same version: built from other sources.
static bool differs(struct reader *reader, const char *what, uint64_t value) {
    reader->fault = READER_LAYOUT;
    reader->what = what;
    reader->value = value;
    return false;
}

// The root's halves grow at their ends only: what a larger one has more is not looked at, and what
// a smaller one lacks reads as zero. What lies inside them must have its known size.
static bool check_root(struct reader *reader) {
    const struct layout_description *d = &reader->fixed.layout;
    if (d->size_fixed < FIXED_LEAST || d->size_live < LIVE_LEAST) {
        return differs(reader, "size of the root", d->size_live);
    }
    if (d->size_pool != sizeof(struct pool) || d->size_class_list != sizeof(struct class_list) ||
        d->size_mapping_table != sizeof(struct mapping_table) ||
        d->size_lane < sizeof(struct lane)) {
        return differs(reader, "size of a part of the root", d->size_pool);
    }
    if (d->size_fixed < sizeof(reader->fixed)) {
        memset((char *)&reader->fixed + d->size_fixed, 0, sizeof(reader->fixed) - d->size_fixed);
    }
    return true;
}

// Sizes and offsets as the root describes them: each field must lie inside its structure.
static bool check_fields(struct reader *reader) {
    const struct layout_description *d = &reader->fixed.layout;
    const struct {
        const char *name;
        uint32_t offset, length, size;
    } fields[] = {
        {"run_shape", d->run_shape, 8, d->size_run},
        {"run_state", d->run_state, 4, d->size_run},
        {"run_class", d->run_class, 1, d->size_run},
        {"run_carved", d->run_carved, 2, d->size_run},
        {"run_size", d->run_size, 8, d->size_run},
        {"run_birth", d->run_birth, 4, d->size_run},
        {"run_dirty", d->run_dirty, 4, d->size_run},
        {"run_free", d->run_free, SPAN_WORDS * 8, d->size_run},
        {"run_region", d->run_region, 8, d->size_run},
        {"region_state", d->region_state, 4, d->size_region},
        {"region_name", d->region_name, REGION_NAME_ROOM, d->size_region},
        {"region_next", d->region_next, 8, d->size_region},
        {"heap_slots", d->heap_slots, CLASS_COUNT * 8, d->size_heap},
        {"heap_capacity", d->heap_capacity, CLASS_COUNT * 2, d->size_heap},
        {"heap_held", d->heap_held, CLASS_COUNT * 4, d->size_heap},
        {"heap_state", d->heap_state, 4, d->size_heap},
        {"heap_tid", d->heap_tid, 4, d->size_heap},
        {"heap_next", d->heap_next, 8, d->size_heap},
        {"heap_counters", d->heap_counters, sizeof(struct heap_counters), d->size_heap},
        {"heap_fences", d->heap_fences, 8, d->size_heap},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].offset + fields[i].length > fields[i].size) {
            return differs(reader, fields[i].name, fields[i].offset);
        }
    }
    return true;
}

static bool check_sizes(struct reader *reader) {
    const struct layout_description *d = &reader->fixed.layout;
    if (d->size_run > READER_RECORD_MAX || d->size_run > reader->window_size) {
        return reader_damaged(reader, "size_run", d->size_run);
    }
    if (d->size_bin != sizeof(struct bin) || d->size_mapping != sizeof(struct mapping) ||
        d->size_unit != sizeof(struct unit) || d->size_sizeclass != sizeof(struct sizeclass) ||
        d->size_fence != sizeof(struct fence)) {
        return differs(reader, "size of a table's entry", d->size_mapping);
    }
    if (d->class_count != CLASS_COUNT || d->pointer_size != 8) {
        return differs(reader, "class_count", d->class_count);
    }
    return true;
}

static bool check_classes(struct reader *reader) {
    uint64_t unit = reader_unit_size(reader);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        const struct sizeclass *row = &reader->fixed.classes[class];
        if (row->size == 0 || row->size % BLOCK_ALIGN != 0 || row->units == 0 || row->blocks == 0 ||
            row->blocks > SPAN_BLOCKS_MAX ||
            (uint64_t)row->blocks * row->size > row->units * unit) {
            return reader_damaged(reader, "size class", class);
        }
    }
    return true;
}

static bool check_fixed(struct reader *reader) {
    const struct root_fixed *fixed = &reader->fixed;
    unsigned shift = fixed->layout.unit_shift;
    if (!is_power_of_two(fixed->page_size) || fixed->page_size < 4096 || fixed->page_size > 65536) {
        return reader_damaged(reader, "page_size", fixed->page_size);
    }
    if (shift < 12 || shift > 20) {
        return reader_damaged(reader, "unit_shift", shift);
    }
    if (!is_aligned(fixed->base, reader_unit_size(reader))) {
        return reader_damaged(reader, "base", fixed->base);
    }
    if (fixed->capacity == 0 || fixed->capacity > UNITS_MAX ||
        fixed->capacity << shift > UINT64_MAX - fixed->base) {
        return reader_damaged(reader, "capacity", fixed->capacity);
    }
    if (fixed->meta_end < fixed->meta_start) {
        return reader_damaged(reader, "meta_end", fixed->meta_end);
    }
    return true;
}

bool rootcheck(struct reader *reader) {
    return check_fields(reader) && check_sizes(reader) && check_root(reader) &&
           check_fixed(reader) && check_classes(reader);
}
