// Rules about lists, counters, threads and mappings.
#include "check.h"
#include "ownheaps.h"
#include "spanstate.h"
#include "util/memory.h"

#include "util/out.h"

#include <stdlib.h>
#include <string.h>

static uint32_t next_of(struct snapshot *snapshot, uint32_t head) {
    uint32_t next = 0;
    uint64_t at = (uint64_t)(uintptr_t)snapshot->reader.fixed.runs +
                  (uint64_t)head * snapshot->reader.fixed.layout.size_run;
    view_read(&snapshot->view, at + offsetof(struct run, next), &next, sizeof(next));
    return next;
}

// Walks the list of one class in one lane. Returns how many spans are on it; a list that is damaged
// or longer than there are units is told of and counts as empty.
static uint64_t check_list(struct findings *findings, struct snapshot *snapshot, unsigned lane,
                           unsigned class) {
    uint32_t size = snapshot->reader.fixed.classes[class].size;
    uint64_t top = reader_top(&snapshot->reader);
    uint32_t head = snapshot->reader.lanes[lane].lists[class].head;
    uint64_t count = 0;
    for (; head != 0 && count < top; count++) {
        struct reader_run run;
        bool sound = head < top && reader_run_at(&snapshot->reader, head, &run) &&
                     run.kind == RUN_SPAN && run.class == class;
        if (!sound) {
            findings_add(findings, "list-member", reader_address(&snapshot->reader, head), head,
                         "the list of spans with free blocks of %u bytes has unit %u on it, which "
                         "is no such span",
                         size, head);
            return 0;
        }
        // LISTED is set behind the list's lock; a claimer takes it away last.
        if (!(run.state & (SPAN_LISTED | SPAN_HELD))) {
            findings_add(findings, "list-flag", run.start, run.state,
                         "span 0x%llx is on the list of %u bytes but does not say so",
                         ull(run.start), size);
        }
        head = next_of(snapshot, head);
    }
    if (head != 0) {
        findings_add(findings, "list-loop", reader_address(&snapshot->reader, head), head,
                     "the list of spans with free blocks of %u bytes is a loop with unit %u on it",
                     size, head);
        return 0;
    }
    return count;
}

struct counted {
    uint64_t spans[CLASS_COUNT];
    uint64_t listed[CLASS_COUNT];
    uint64_t free_units;
    uint64_t dirty_units;
    uint64_t loose_units;
    uint64_t busy_units;
    bool moved;
};

static void count_runs(struct counted *counted, struct snapshot *snapshot) {
    struct reader_run run;
    struct reader *reader = &snapshot->reader;
    memset(counted, 0, sizeof(*counted));
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        counted->moved |= snapshot_moved(snapshot, &run);
        if (run.kind == RUN_SPAN) {
            counted->busy_units += span_in_transit(snapshot, &run) ? run.units : 0;
            counted->spans[run.class]++;
            counted->listed[run.class] += (run.state & SPAN_LISTED) != 0;
        } else if (run.kind == RUN_FREE) {
            counted->free_units += run.units;
            counted->dirty_units += run.dirty;
        } else if (run.kind == RUN_LOOSE) {
            counted->loose_units += run.units;
        } else if (run.kind == RUN_BUSY) {
            counted->busy_units += run.units;
        }
    }
}

struct listed {
    uint64_t spans; // by the lists' own account
    uint64_t on_lists;
};

// The lists of a class in all lanes. False: somebody is at one of them.
static bool check_class(struct findings *findings, struct snapshot *snapshot, unsigned class,
                        struct listed *sums) {
    bool still = true;
    *sums = (struct listed){.spans = 0};
    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct class_list *list = &snapshot->reader.lanes[lane].lists[class];
        if (lock_is_free(&list->lock)) {
            sums->on_lists += check_list(findings, snapshot, lane, class);
            sums->spans += list->spans;
        } else {
            still = false;
        }
    }
    return still;
}

void check_lists(struct findings *findings, struct snapshot *snapshot) {
    struct counted counted;
    count_runs(&counted, snapshot);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        struct listed sums;
        uint32_t size = snapshot->reader.fixed.classes[class].size;
        if (!check_class(findings, snapshot, class, &sums) || counted.busy_units != 0) {
            continue;
        }
        if (counted.listed[class] != sums.on_lists) {
            findings_add(findings, "listed-spans", class, counted.listed[class],
                         "%llu spans of %u bytes say they are on a list, %llu are",
                         ull(counted.listed[class]), size, ull(sums.on_lists));
        }
        if (counted.spans[class] != sums.spans) {
            findings_add(findings, "class-spans", class, counted.spans[class],
                         "there are %llu spans of %u bytes, the class counts %llu",
                         ull(counted.spans[class]), size, ull(sums.spans));
        }
    }
}

static void check_loose(struct findings *findings, const struct snapshot *snapshot,
                        const struct counted *counted) {
    uint64_t units = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct loose *loose = &snapshot->reader.lanes[lane].loose;
        if (!lock_is_free(&loose->lock)) {
            return;
        }
        units += loose->units;
    }
    if (counted->loose_units != units) {
        findings_add(findings, "loose-units", 0, counted->loose_units,
                     "the loose runs have %llu units, their lanes count %llu",
                     ull(counted->loose_units), ull(units));
    }
}

static void check_pool(struct findings *findings, struct snapshot *snapshot) {
    struct counted counted;
    const struct pool *pool = &snapshot->reader.live.pool;
    count_runs(&counted, snapshot);
    if (!lock_is_free(&pool->lock) || counted.busy_units != 0) {
        return;
    }
    check_loose(findings, snapshot, &counted);
    if (counted.free_units != pool->free_units) {
        findings_add(findings, "pool-free", 0, counted.free_units,
                     "the free runs have %llu units, the pool counts %u", ull(counted.free_units),
                     pool->free_units);
    }
    if (counted.dirty_units != pool->dirty_units) {
        findings_add(findings, "pool-dirty", 0, counted.dirty_units,
                     "the free runs have %llu dirty units, the pool counts %u",
                     ull(counted.dirty_units), pool->dirty_units);
    }
}

static void check_limits(struct findings *findings, struct snapshot *snapshot) {
    const struct reader *reader = &snapshot->reader;
    const struct root_live *live = &reader->live;
    const struct target *target = snapshot->target;
    uint64_t start = 0;
    uint64_t end = 0;
    if (live->limit > live->committed || live->committed > reader->fixed.capacity) {
        findings_add(findings, "limits", live->limit, live->committed,
                     "the arena ends at unit %llu, records are open up to %llu of %llu",
                     ull(live->limit), ull(live->committed), ull(reader->fixed.capacity));
    }
    if (live->break_end != 0 && regions_extent(&target->regions, "[heap]", &start, &end) &&
        live->break_end > end) {
        findings_add(findings, "break-lowered", live->break_end, end,
                     "the break was left at 0x%llx, but memory ends at 0x%llx: somebody lowered it "
                     "into the heap",
                     ull(live->break_end), ull(end));
    }
}

static void check_heaps(struct findings *findings, struct snapshot *snapshot) {
    uint32_t live = 0;
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        uint64_t cached = 0;
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            struct reader_run run;
            uint32_t head = heap->held[class];
            cached += heap->count[class];
            bool sound = head == 0 || (head < reader_top(&snapshot->reader) &&
                                       reader_run_at(&snapshot->reader, head, &run) &&
                                       (run.kind != RUN_SPAN || snapshot_moved(snapshot, &run) ||
                                        (run.class == class && run.state & SPAN_HELD)));
            if (!sound) {
                findings_add(findings, "held-span", heap->record.address, head,
                             "thread %d holds unit %u for %u bytes, which is no held span of that "
                             "class",
                             (int)heap->tid, head, snapshot->reader.fixed.classes[class].size);
            }
        }
        live += heap->record.state == HEAP_LIVE;
        if (heap->record.state == HEAP_FREE && cached > 0 && !heap->moved) {
            findings_add(findings, "idle-heap", heap->record.address, cached,
                         "the heap 0x%llx belongs to no thread but has %llu blocks in its bins",
                         ull(heap->record.address), ull(cached));
        }
    }
    if (lock_is_free(&snapshot->reader.live.heap_lock) && live != snapshot->reader.live.threads) {
        findings_add(findings, "threads", live, snapshot->reader.live.threads,
                     "%u heaps belong to threads, %u are counted", live,
                     snapshot->reader.live.threads);
    }
}

void check_totals(struct findings *findings, struct snapshot *snapshot) {
    check_pool(findings, snapshot);
    check_limits(findings, snapshot);
    check_heaps(findings, snapshot);
}

void check_mappings(struct findings *findings, struct snapshot *snapshot) {
    const struct mapping_table *table = &snapshot->reader.live.mappings;
    uint64_t bytes = 0;
    size_t count = 0;
    if (!lock_is_free(&table->lock)) {
        return;
    }
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        bool guarded = snapshot_is_guarded(snapshot, mapping->address);
        bytes += guarded ? 0 : mapping->length;
        count += !guarded;
        if (mapping->address < mapping->start ||
            mapping->address + mapping->size > mapping->start + mapping->length) {
            findings_add(findings, "mapping-bounds", mapping->address, mapping->size,
                         "the block 0x%llx of %llu bytes is not inside its mapping 0x%llx of %llu",
                         ull(mapping->address), ull(mapping->size), ull(mapping->start),
                         ull(mapping->length));
        }
        if (i > 0 && mapping->start < mapping[-1].start + mapping[-1].length) {
            findings_add(findings, "mapping-overlap", mapping->address, mapping[-1].address,
                         "the mappings of 0x%llx and 0x%llx overlap", ull(mapping[-1].address),
                         ull(mapping->address));
        }
        // A core may have been made without what blocks contain.
        if (snapshot->target->kind != TARGET_CORE &&
            !regions_cover(&snapshot->target->regions, mapping->address, mapping->size)) {
            findings_add(findings, "mapping-gone", mapping->address, mapping->size,
                         "the block 0x%llx of %llu bytes is not in memory: somebody unmapped it",
                         ull(mapping->address), ull(mapping->size));
        }
    }
    if (count != table->count || bytes != table->bytes) {
        findings_add(findings, "mapping-count", table->count, count,
                     "the mapping table has %zu entries of %llu bytes, and counts %u of %llu",
                     count, ull(bytes), table->count, ull(table->bytes));
    }
}

void check_snapshot(struct findings *findings, struct snapshot *snapshot) {
    memset(findings, 0, sizeof(*findings));
    check_runs(findings, snapshot);
    check_bins(findings, snapshot);
    check_lists(findings, snapshot);
    check_totals(findings, snapshot);
    check_mappings(findings, snapshot);
    check_own_heaps(findings, snapshot);
}
