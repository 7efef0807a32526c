#include "ownheaps.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"

#include <stdlib.h>
#include <string.h>

static int by_address(const void *left, const void *right) {
    const struct own_heap *a = left;
    const struct own_heap *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

static void take_registry(struct own_heaps *heaps, struct reader *reader) {
    struct reader_region region;
    size_t capacity = 0;
    for (bool more = reader_first_region(reader, &region); more;
         more = reader_next_region(reader, &region)) {
        heaps->list = memory_grow(heaps->list, heaps->count, &capacity, sizeof(struct own_heap));
        struct own_heap *heap = &heaps->list[heaps->count++];
        memset(heap, 0, sizeof(*heap));
        heap->address = region.address;
        heap->live = region.state != REGION_FREE;
        heaps->live += heap->live;
        memcpy(heap->name, region.name, sizeof(heap->name));
    }
    if (heaps->count > 0) {
        qsort(heaps->list, heaps->count, sizeof(struct own_heap), by_address);
    }
}

struct own_heap *own_heaps_at(const struct own_heaps *heaps, uint64_t address) {
    const struct own_heap key = {.address = address};
    return heaps->count == 0 ? NULL
                             : bsearch(&key, heaps->list, heaps->count, sizeof(key), by_address);
}

static void add_run(struct own_heap *heap, const struct reader_run *run) {
    heap->bytes += run->end - run->start;
    if (run->kind == RUN_LARGE) {
        heap->larges++;
        heap->blocks++;
        heap->used += run->end - run->start;
        return;
    }
    uint64_t used = run->carved;
    for (unsigned word = 0; word < SPAN_WORDS; word++) {
        used -= bit_count(run->free[word]);
    }
    heap->spans++;
    heap->blocks += used;
    heap->used += used * run->block_size;
}

bool own_heaps_take(struct own_heaps *heaps, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    memset(heaps, 0, sizeof(*heaps));
    take_registry(heaps, reader);
    if (reader->fault != READER_FINE || heaps->count == 0) {
        return reader->fault == READER_FINE;
    }
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        struct own_heap *heap = run.region != 0 ? own_heaps_at(heaps, run.region) : NULL;
        if (heap != NULL) {
            add_run(heap, &run);
        }
    }
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        struct own_heap *heap = own_heaps_at(heaps, (uint64_t)(uintptr_t)mapping->region);
        if (heap != NULL) {
            heap->mappings++;
            heap->blocks++;
            heap->used += mapping->size;
            heap->bytes += mapping->length;
        }
    }
    return reader->fault == READER_FINE;
}

void own_heaps_free(struct own_heaps *heaps) {
    free(heaps->list);
    memset(heaps, 0, sizeof(*heaps));
}

void own_heaps_print(const struct own_heaps *heaps, struct out *out) {
    if (heaps->live == 0) {
        return;
    }
    out_text(out, "\n  OWN HEAP                                   BLOCKS     USED   MEMORY\n");
    for (size_t i = 0; i < heaps->count; i++) {
        const struct own_heap *heap = &heaps->list[i];
        char used[SIZE_TEXT];
        char bytes[SIZE_TEXT];
        char name[sizeof(heap->name)];
        name_shown(name, sizeof(name), heap->name[0] != 0 ? heap->name : "-");
        if (heap->live) {
            out_format(out, "  %-*s  %15llu %8s %8s\n", name_width(name, 31), name,
                       ull(heap->blocks), human_size(used, heap->used),
                       human_size(bytes, heap->bytes));
        }
    }
}

void own_heaps_json(const struct own_heaps *heaps, struct json *json) {
    json_open_array(json, "own_heaps");
    for (size_t i = 0; i < heaps->count; i++) {
        const struct own_heap *heap = &heaps->list[i];
        if (!heap->live) {
            continue;
        }
        json_open_object(json, NULL);
        json_string(json, "name", heap->name);
        json_address(json, "heap", heap->address);
        json_number(json, "blocks", heap->blocks);
        json_number(json, "used_bytes", heap->used);
        json_number(json, "bytes", heap->bytes);
        json_number(json, "spans", heap->spans);
        json_number(json, "larges", heap->larges);
        json_number(json, "mappings", heap->mappings);
        json_close_object(json);
    }
    json_close_array(json);
}

static void require_heap(struct findings *findings, const struct own_heaps *heaps, uint64_t start,
                         uint64_t address) {
    const struct own_heap *heap = own_heaps_at(heaps, address);
    if (address != 0 && (heap == NULL || !heap->live)) {
        findings_add(findings, "own-heap", start, address,
                     "what is at 0x%llx belongs to the heap 0x%llx, which %s", ull(start),
                     ull(address), heap == NULL ? "there is not" : "has ended");
    }
}

void check_own_heaps(struct findings *findings, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct own_heaps heaps;
    struct reader_run run;
    if (!own_heaps_take(&heaps, snapshot)) {
        findings_add(findings, "own-heap", reader->value, 0,
                     "the registry of the program's own heaps is damaged: %s is 0x%llx",
                     reader->what != NULL ? reader->what : "an address in it", ull(reader->value));
    } else {
        for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
            if (!snapshot_moved(snapshot, &run)) {
                require_heap(findings, &heaps, run.start, run.region);
            }
        }
        for (size_t i = 0; i < snapshot->mapping_count; i++) {
            const struct mapping *mapping = &snapshot->mappings[i];
            require_heap(findings, &heaps, mapping->address, (uint64_t)(uintptr_t)mapping->region);
        }
    }
    own_heaps_free(&heaps);
}
