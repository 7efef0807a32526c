#include "place.h"

#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

struct found {
    struct residency_range range;
    bool metadata;
};

struct search {
    struct found *list;
    size_t count;
    size_t capacity;
    uint64_t page;
};

static void add(struct search *search, uint64_t start, uint64_t length, bool metadata) {
    uint64_t from = start / search->page * search->page;
    uint64_t to = (start + length + search->page - 1) / search->page * search->page;
    if (length == 0 || to <= from) {
        return; // nothing, or a forged length
    }
    search->list =
        memory_grow(search->list, search->count, &search->capacity, sizeof(struct found));
    search->list[search->count++] = (struct found){{from, to}, metadata};
}

bool places_hardened(const struct snapshot *snapshot, struct hardened *hardened) {
    uint64_t address = (uint64_t)(uintptr_t)snapshot->reader.live.hardened;
    return address != 0 && view_read(&snapshot->target->view, address, hardened, sizeof(*hardened));
}

static void add_tables(struct search *search, const struct snapshot *snapshot) {
    const struct reader *reader = &snapshot->reader;
    const struct layout_description *layout = &reader->fixed.layout;
    const struct mapping_table *table = &reader->live.mappings;
    struct hardened hardened;
    add(search, snapshot->place.address, (uint64_t)layout->offset_live + layout->size_live, true);
    add(search, (uint64_t)(uintptr_t)reader->live.lanes, (uint64_t)LANES * layout->size_lane, true);
    add(search, (uint64_t)(uintptr_t)reader->fixed.units,
        reader->live.committed * layout->size_unit, true);
    add(search, (uint64_t)(uintptr_t)reader->fixed.runs, reader->live.committed * layout->size_run,
        true);
    add(search, reader->live.meta_next, reader->fixed.meta_end - reader->live.meta_next, true);
    add(search, (uint64_t)(uintptr_t)table->entries,
        (uint64_t)table->capacity * layout->size_mapping, true);
    if (places_hardened(snapshot, &hardened)) {
        add(search, (uint64_t)(uintptr_t)hardened.live,
            hardened.opened * (reader_unit_size(reader) / BLOCK_ALIGN / 8), true);
        add(search, hardened.ring_start, hardened.ring, true);
    }
}

static int by_start(const void *left, const void *right) {
    const struct found *a = left;
    const struct found *b = right;
    return (a->range.start > b->range.start) - (a->range.start < b->range.start);
}

void places_find(struct places *places, const struct snapshot *snapshot) {
    const struct reader *reader = &snapshot->reader;
    struct search search = {.page = snapshot->target->page_size};
    uint64_t first = reader_address(reader, 1);
    add(&search, first, reader_address(reader, reader->live.limit) - first, false);
    add_tables(&search, snapshot);
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        add(&search, snapshot->mappings[i].start, snapshot->mappings[i].length, false);
    }
    qsort(search.list, search.count, sizeof(struct found), by_start);
    *places = (struct places){.count = 0};
    places->list = memory_take((search.count + 1) * sizeof(*places->list));
    places->metadata = memory_take((search.count + 1) * sizeof(*places->metadata));
    uint64_t end = 0;
    for (size_t i = 0; i < search.count; i++) {
        struct residency_range range = search.list[i].range;
        range.start = range.start > end ? range.start : end; // two tables may share a page
        if (range.start < range.end) {
            places->list[places->count] = range;
            places->metadata[places->count++] = search.list[i].metadata;
            end = range.end;
        }
    }
    free(search.list);
}

void places_free(struct places *places) {
    free(places->list);
    free(places->metadata);
    memset(places, 0, sizeof(*places));
}

// The C library keeps what it knows of a thread at the upper end of the thread's stack.
static bool holds_thread(const struct snapshot *snapshot, const struct region *region) {
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        uint64_t self = 0;
        if (heap->record.state == HEAP_LIVE && heap->record.tid != 0 &&
            heap->tid != snapshot->target->pid &&
            view_read(&snapshot->view, heap->record.address + offsetof(struct heap, thread), &self,
                      sizeof(self)) &&
            self >= region->start && self < region->end) {
            return true;
        }
    }
    const struct target *target = snapshot->target;
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];
        if (thread->has_registers && thread->sp >= region->start && thread->sp < region->end) {
            return true;
        }
    }
    return false;
}

enum ledger_part places_part(const struct snapshot *snapshot, const struct region *region) {
    if (region->inode != 0 || region->name[0] == '/') {
        return PART_FILES;
    }
    if (strcmp(region->name, "[stack]") == 0 || holds_thread(snapshot, region)) {
        return PART_STACKS;
    }
    return PART_OTHER;
}
