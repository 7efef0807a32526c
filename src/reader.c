#include "reader.h"

#include "rootcheck.h"

#include <string.h>

_Static_assert(offsetof(struct heap, counters) - offsetof(struct heap, flush_class) == 8,
               "where a flush under way is written down");

#define HEAPS_MAX 1000000u // longer registries are loops
#define REGIONS_MAX 10000000u

static bool fetch(struct reader *reader, uint64_t address, void *to, size_t length) {
    if (view_read(reader->view, address, to, length)) {
        return true;
    }
    reader->fault = READER_UNREADABLE;
    reader->where = address;
    return false;
}

// ---- the root -----------------------------------------------------------------------------------

// The first lane is there from the start, the others begin with a heap each; until then they are
// all zero, and may be missing in a core. Of each, as much as this reader knows.
static bool read_lanes(struct reader *reader) {
    uint64_t first = (uint64_t)(uintptr_t)reader->live.lanes;
    size_t size = reader->fixed.layout.size_lane;
    for (unsigned i = 0; i < LANES && (i == 0 || i < reader->live.heap_count); i++) {
        if (!fetch(reader, first + i * size, &reader->lanes[i], sizeof(reader->lanes[i]))) {
            return false;
        }
    }
    return true;
}

bool reader_refresh(struct reader *reader) {
    uint64_t address = reader->root + reader->fixed.layout.offset_live;
    uint16_t size = reader->fixed.layout.size_live;
    size_t length = size < sizeof(reader->live) ? size : sizeof(reader->live);
    memset(&reader->live, 0, sizeof(reader->live));
    if (!fetch(reader, address, &reader->live, length)) {
        return false;
    }
    if (!read_lanes(reader)) {
        return false;
    }
    reader->window_count = 0;
    struct root_live *live = &reader->live;
    if (live->limit == 0 || live->limit > reader->fixed.capacity) {
        return reader_damaged(reader, "limit", live->limit);
    }
    // A step over a hole moves the top first, with the pool locked and the records there (grow.c).
    if (reader_top(reader) > live->limit && live->pool.lock != 0 &&
        reader_top(reader) <= min_size(live->committed, reader->fixed.capacity)) {
        live->limit = reader_top(reader);
    }
    if (reader_top(reader) == 0 || reader_top(reader) > live->limit) {
        return reader_damaged(reader, "top", reader_top(reader));
    }
    if (live->mappings.capacity != 0 && (!is_power_of_two(live->mappings.capacity) ||
                                         live->mappings.count > live->mappings.capacity)) {
        return reader_damaged(reader, "capacity of the mapping table", live->mappings.capacity);
    }
    return true;
}

bool reader_open(struct reader *reader, const struct view *view, uint64_t root, void *window,
                 size_t window_size) {
    memset(reader, 0, sizeof(*reader));
    reader->view = view;
    reader->root = root;
    reader->window = window;
    reader->window_size = window_size;
    struct root_fixed *fixed = &reader->fixed;
    if (!fetch(reader, root, fixed, sizeof(*fixed))) {
        return false;
    }
    if (memcmp(fixed->magic, LUCID_LAYOUT_MAGIC, sizeof(LUCID_LAYOUT_MAGIC)) != 0) {
        reader->fault = READER_NO_ROOT;
        return false;
    }
    if (fixed->self != root) {
        reader->fault = READER_COPY;
        reader->value = fixed->self;
        return false;
    }
    fixed->library_version[sizeof(fixed->library_version) - 1] = 0;
    if (fixed->version != LUCID_LAYOUT_VERSION) {
        reader->fault = READER_VERSION;
        reader->value = fixed->version;
        return false;
    }
    if (fixed->base == 0) {
        reader->fault = READER_UNUSED;
        return false;
    }
    return rootcheck(reader) && reader_refresh(reader);
}

// ---- runs ---------------------------------------------------------------------------------------

// The record of a unit, from the window, which is filled from there on if need be.
static const unsigned char *record_at(struct reader *reader, uint64_t unit) {
    size_t size = reader->fixed.layout.size_run;
    if (unit - reader->window_first >= reader->window_count) {
        uint64_t room = reader->window_size / size;
        uint64_t rest = reader_top(reader) - unit;
        uint64_t count = rest < room ? rest : room;
        reader->window_count = 0;
        if (!fetch(reader, (uint64_t)(uintptr_t)reader->fixed.runs + unit * size, reader->window,
                   (size_t)count * size)) {
            return NULL;
        }
        reader->window_first = unit;
        reader->window_count = count;
    }
    return reader->window + (unit - reader->window_first) * size;
}

static uint64_t field64(const unsigned char *record, size_t offset) {
    uint64_t value;
    memcpy(&value, record + offset, sizeof(value));
    return value;
}

static uint32_t field32(const unsigned char *record, size_t offset) {
    uint32_t value;
    memcpy(&value, record + offset, sizeof(value));
    return value;
}

static uint16_t field16(const unsigned char *record, size_t offset) {
    uint16_t value;
    memcpy(&value, record + offset, sizeof(value));
    return value;
}

bool reader_shape(struct reader *reader, uint64_t unit, uint64_t *shape) {
    const unsigned char *record = record_at(reader, unit);
    if (record != NULL) {
        *shape = field64(record, reader->fixed.layout.run_shape);
    }
    return record != NULL;
}

// A span's fields; false when they do not go together, as in one that is being made right now.
static bool read_span(const struct reader *reader, const unsigned char *record,
                      struct reader_run *run) {
    const struct layout_description *d = &reader->fixed.layout;
    run->class = record[d->run_class];
    if (run->class == 0 || run->class >= CLASS_COUNT) {
        return false;
    }
    const struct sizeclass *row = &reader->fixed.classes[run->class];
    run->state = field32(record, d->run_state);
    run->carved = field16(record, d->run_carved);
    run->block_size = row->size;
    run->blocks = row->blocks;
    // Words that the class does not need may still hold the bits of an earlier span.
    size_t words = (run->blocks + 63) / 64;
    memset(run->free, 0, sizeof(run->free));
    memcpy(run->free, record + d->run_free, words * sizeof(run->free[0]));
    return run->carved <= run->blocks && run->units == row->units;
}

static bool sound_kind(enum run_kind kind) {
    return kind >= RUN_FREE && kind <= RUN_LOOSE;
}

// Units up to the next one that begins a run.
static bool read_gap(struct reader *reader, struct reader_run *run) {
    uint64_t top = reader_top(reader);
    uint64_t unit = run->head + 1;
    for (; unit < top; unit++) {
        uint64_t shape = 0;
        if (!reader_shape(reader, unit, &shape)) {
            return false;
        }
        if (sound_kind(run_kind_of(shape)) && run_length_of(shape) > 0 &&
            run_length_of(shape) <= top - unit) {
            break;
        }
    }
    run->kind = RUN_NONE;
    run->units = unit - run->head;
    return true;
}

bool reader_run_at(struct reader *reader, uint64_t head, struct reader_run *run) {
    const struct layout_description *d = &reader->fixed.layout;
    const unsigned char *record = record_at(reader, head);
    if (record == NULL) {
        return false;
    }
    uint64_t shape = field64(record, d->run_shape);
    memset(run, 0, offsetof(struct reader_run, free));
    run->head = head;
    run->units = run_length_of(shape);
    run->kind = run_kind_of(shape);
    run->birth = field32(record, d->run_birth);
    run->dirty = field32(record, d->run_dirty);
    run->asked = run->kind == RUN_LARGE ? field64(record, d->run_size) : 0;
    bool may_have_one = run->kind == RUN_LARGE || run->kind == RUN_SPAN;
    run->region = may_have_one ? field64(record, d->run_region) : 0;
    bool sound = sound_kind(run->kind) && run->units > 0 &&
                 run->units <= reader_top(reader) - head &&
                 (run->kind != RUN_SPAN || read_span(reader, record, run));
    if (!sound && !read_gap(reader, run)) {
        return false;
    }
    run->start = reader_address(reader, head);
    run->end = reader_address(reader, head + run->units);
    return true;
}

bool reader_first(struct reader *reader, struct reader_run *run) {
    reader->fault = READER_FINE;
    return reader_top(reader) > 1 && reader_run_at(reader, 1, run);
}

bool reader_next(struct reader *reader, struct reader_run *run) {
    uint64_t head = run->head + run->units;
    reader->fault = READER_FINE;
    return head < reader_top(reader) && reader_run_at(reader, head, run);
}

// ---- heaps --------------------------------------------------------------------------------------

// Do `length` bytes at `address` lie in the metadata?
static bool is_meta(const struct reader *reader, uint64_t address, uint64_t length) {
    return address >= reader->fixed.meta_start && address <= reader->fixed.meta_end - length;
}

// Has the metadata room for this record? A chain that is longer is a loop, whatever is said to be
// its length.
static bool has_room(const struct reader *reader, uint32_t index, uint16_t size) {
    return index < (reader->fixed.meta_end - reader->live.meta_next) / size;
}

static bool heap_at(struct reader *reader, uint64_t address, struct reader_heap *heap) {
    const struct layout_description *d = &reader->fixed.layout;
    reader->fault = READER_FINE;
    if (address == 0) {
        return false;
    }
    if (!is_meta(reader, address, d->size_heap)) {
        return reader_damaged(reader, "address of a thread's heap", address);
    }
    // The registry only grows at its front, so the chain behind what was read does not change.
    if (heap->index > reader->live.heap_count || heap->index > HEAPS_MAX ||
        !has_room(reader, heap->index, d->size_heap)) {
        return reader_damaged(reader, "registry of heaps: the number of a record", heap->index);
    }
    // The two words in front of the counters.
    uint32_t flush[2];
    uint64_t flush_at = address + d->heap_counters - sizeof(flush);
    heap->address = address;
    if (!fetch(reader, flush_at, flush, sizeof(flush))) {
        return false;
    }
    heap->flush_class = flush[0];
    heap->flush_count = flush[1];
    return fetch(reader, address + d->heap_state, &heap->state, sizeof(heap->state)) &&
           fetch(reader, address + d->heap_tid, &heap->tid, sizeof(heap->tid)) &&
           fetch(reader, address + d->heap_fences, &heap->fences, sizeof(heap->fences)) &&
           fetch(reader, address + d->heap_next, &heap->next, sizeof(heap->next));
}

bool reader_first_heap(struct reader *reader, struct reader_heap *heap) {
    heap->index = 0;
    return heap_at(reader, (uint64_t)(uintptr_t)reader->live.heaps, heap);
}

bool reader_next_heap(struct reader *reader, struct reader_heap *heap) {
    heap->index++;
    return heap_at(reader, heap->next, heap);
}

// ---- regions ------------------------------------------------------------------------------------

static bool region_at(struct reader *reader, uint64_t address, struct reader_region *region) {
    const struct layout_description *d = &reader->fixed.layout;
    reader->fault = READER_FINE;
    if (address == 0) {
        return false;
    }
    if (!is_meta(reader, address, d->size_region)) {
        return reader_damaged(reader, "address of a region", address);
    }
    if (region->index > reader->live.regions.count || region->index > REGIONS_MAX ||
        !has_room(reader, region->index, d->size_region)) {
        return reader_damaged(reader, "registry of regions: the number of a record", region->index);
    }
    region->address = address;
    bool read = fetch(reader, address + d->region_state, &region->state, sizeof(region->state)) &&
                fetch(reader, address + d->region_name, region->name, sizeof(region->name)) &&
                fetch(reader, address + d->region_next, &region->next, sizeof(region->next));
    region->name[sizeof(region->name) - 1] = 0;
    return read;
}

bool reader_first_region(struct reader *reader, struct reader_region *region) {
    region->index = 0;
    return region_at(reader, (uint64_t)(uintptr_t)reader->live.regions.first, region);
}

bool reader_next_region(struct reader *reader, struct reader_region *region) {
    region->index++;
    return region_at(reader, region->next, region);
}

// ---- bins ---------------------------------------------------------------------------------------

// The fence of a bin. Its thread may be taking it down at this moment, so that it is of use only
// for slots that are empty.
static bool read_fence(struct reader *reader, const struct reader_heap *heap, unsigned class,
                       struct fence *fence) {
    if (heap->fences == 0) {
        return true; // never fenced
    }
    if (!is_meta(reader, heap->fences, CLASS_COUNT * sizeof(*fence))) {
        return reader_damaged(reader, "address of a thread's fences", heap->fences);
    }
    return fetch(reader, heap->fences + class * sizeof(*fence), fence, sizeof(*fence));
}

bool reader_bin(struct reader *reader, const struct reader_heap *heap, unsigned class,
                struct reader_bin *bin) {
    const struct layout_description *d = &reader->fixed.layout;
    struct {
        uint64_t top, end;
    } ends;
    uint64_t slots = 0;
    uint16_t capacity = 0;
    reader->fault = READER_FINE;
    memset(bin, 0, sizeof(*bin));
    // Bins come first in a heap; unit.bin depends on it.
    if (!fetch(reader, heap->address + class * sizeof(ends), &ends, sizeof(ends)) ||
        !fetch(reader, heap->address + d->heap_slots + class * sizeof(slots), &slots,
               sizeof(slots)) ||
        !fetch(reader, heap->address + d->heap_capacity + class * sizeof(capacity), &capacity,
               sizeof(capacity))) {
        return false;
    }
    if (slots == 0) {
        return true; // never used
    }
    // No end: the thread was asked to give back what is in the bin (heap.asked).
    uint64_t end = ends.end != 0 ? ends.end : slots + ((uint64_t)capacity + 1) * 8;
    bool inside = slots >= reader->fixed.meta_start && slots < reader->fixed.meta_end &&
                  ends.top >= slots && ends.top <= end && (ends.top - slots) % 8 == 0 &&
                  end - slots <= ((uint64_t)capacity + 1) * 8 && end <= reader->fixed.meta_end;
    if (!inside) {
        return reader_damaged(reader, "bin", heap->address + class * sizeof(ends));
    }
    bin->first = slots + 8;
    bin->top = ends.top > slots ? ends.top : bin->first; // a malloc has just found it empty
    bin->end = end;
    bin->count = (uint32_t)((bin->top - bin->first) / 8);
    bin->capacity = capacity;
    return read_fence(reader, heap, class, &bin->fence);
}

bool reader_block(struct reader *reader, const struct reader_bin *bin, uint32_t index,
                  uint64_t *block) {
    if (!fetch(reader, bin->first + (uint64_t)index * 8, block, sizeof(*block))) {
        return false;
    }
    if (*block == 0 && bin->fence.slot == index + 1) {
        *block = (uint64_t)(uintptr_t)bin->fence.block;
    }
    return true;
}

bool reader_held(struct reader *reader, const struct reader_heap *heap, unsigned class,
                 uint32_t *head) {
    const struct layout_description *d = &reader->fixed.layout;
    return fetch(reader, heap->address + d->heap_held + class * sizeof(*head), head, sizeof(*head));
}

bool reader_mapping(struct reader *reader, uint32_t index, struct mapping *mapping, bool *found) {
    uint64_t entries = (uint64_t)(uintptr_t)reader->live.mappings.entries;
    if (!fetch(reader, entries + (uint64_t)index * sizeof(*mapping), mapping, sizeof(*mapping))) {
        return false;
    }
    *found = mapping->address != 0;
    return true;
}
