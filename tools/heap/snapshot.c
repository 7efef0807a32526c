#include "snapshot.h"

#include "util/human.h"
#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const block_state_names[3] = {"used", "cached", "free"};

// ---- copies -------------------------------------------------------------------------------------

static size_t read_copies(void *context, uint64_t address, void *to, size_t length) {
    const struct snapshot *snapshot = context;
    for (size_t i = 0; i < snapshot->copy_count; i++) {
        const struct snapshot_copy *copy = &snapshot->copies[i];
        if (address - copy->start < copy->length) {
            size_t rest = copy->length - (address - copy->start);
            size_t count = length < rest ? length : rest;
            memcpy(to, copy->bytes + (address - copy->start), count);
            return count;
        }
    }
    return 0;
}

static unsigned char *copy_bytes(struct snapshot *snapshot, uint64_t start, uint64_t length) {
    uint64_t failed_at = start;
    unsigned char *bytes = target_take(snapshot->target, start, length, &failed_at);
    if (bytes == NULL) {
        snapshot->reader.fault = READER_UNREADABLE;
        snapshot->reader.where = failed_at;
    }
    return bytes;
}

static bool add_copy(struct snapshot *snapshot, uint64_t start, uint64_t length) {
    if (length == 0) {
        return true;
    }
    if (start + length < start || snapshot->copy_count == SNAPSHOT_COPIES) {
        snapshot->reader.fault = READER_DAMAGED;
        snapshot->reader.what = "length of a table";
        snapshot->reader.value = length;
        return false;
    }
    struct snapshot_copy *copy = &snapshot->copies[snapshot->copy_count];
    *copy = (struct snapshot_copy){start, (size_t)length, copy_bytes(snapshot, start, length)};
    snapshot->copy_count += copy->bytes != NULL;
    return copy->bytes != NULL;
}

static void drop_copies(struct snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->copy_count; i++) {
        free(snapshot->copies[i].bytes);
    }
    snapshot->copy_count = 0;
    free(snapshot->runs);
    free(snapshot->units);
    free(snapshot->heaps);
    free(snapshot->cached);
    free(snapshot->live);
    free(snapshot->mappings);
    snapshot->runs = NULL;
    snapshot->units = NULL;
    snapshot->heaps = NULL;
    snapshot->cached = NULL;
    snapshot->live = NULL;
    snapshot->live_words = 0;
    snapshot->mappings = NULL;
    snapshot->heap_count = snapshot->heap_capacity = 0;
    snapshot->cached_count = snapshot->cached_capacity = 0;
    snapshot->mapping_count = snapshot->mapping_capacity = 0;
    snapshot->guard_start = snapshot->guard_length = 0;
}

void snapshot_free(struct snapshot *snapshot) {
    drop_copies(snapshot);
}

// Which blocks are in use in hardened mode: what is freed stays out of the spans' bitmaps while it
// is in quarantine. Between the two copies of the records, so that what changes counts as moved.
static bool copy_live(struct snapshot *snapshot, uint64_t units) {
    const struct reader *reader = &snapshot->reader;
    struct hardened *hardened = NULL;
    if (reader->live.hardened == NULL) {
        return true;
    }
    hardened =
        (void *)copy_bytes(snapshot, (uint64_t)(uintptr_t)reader->live.hardened, sizeof(*hardened));
    if (hardened != NULL && hardened->opened > 0) {
        units = hardened->opened < units ? hardened->opened : units;
        snapshot->live_words = units * (reader_unit_size(reader) / BLOCK_ALIGN / 64);
        snapshot->live = (void *)copy_bytes(snapshot, (uint64_t)(uintptr_t)hardened->live,
                                            snapshot->live_words * sizeof(uint64_t));
    }
    bool copied = hardened != NULL && (hardened->opened == 0 || snapshot->live != NULL);
    free(hardened);
    return copied;
}

// Root, records, bins, records again: in this order.
static bool copy_tables(struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    uint64_t top = reader_top(reader);
    uint64_t runs = (uint64_t)(uintptr_t)reader->fixed.runs;
    uint64_t units = (uint64_t)(uintptr_t)reader->fixed.units;
    snapshot->runs_length = top * reader->fixed.layout.size_run;
    uint64_t meta = reader->fixed.meta_end - reader->live.meta_next;
    if (reader->live.meta_next < reader->fixed.meta_start ||
        reader->live.meta_next > reader->fixed.meta_end) {
        reader->fault = READER_DAMAGED;
        reader->what = "meta_next";
        reader->value = reader->live.meta_next;
        return false;
    }
    snapshot->runs = copy_bytes(snapshot, runs, snapshot->runs_length);
    if (snapshot->runs == NULL || !add_copy(snapshot, reader->live.meta_next, meta) ||
        !copy_live(snapshot, top) || !add_copy(snapshot, runs, snapshot->runs_length)) {
        return false;
    }
    snapshot->units = (void *)copy_bytes(snapshot, units, top * sizeof(struct unit));
    uint64_t mappings = reader->live.mappings.capacity * sizeof(struct mapping);
    return snapshot->units != NULL &&
           add_copy(snapshot, (uint64_t)(uintptr_t)reader->live.mappings.entries, mappings);
}

// ---- heaps, bins, mappings ----------------------------------------------------------------------

static int by_address(const void *left, const void *right) {
    const struct snapshot_cached *a = left;
    const struct snapshot_cached *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

static int by_mapping(const void *left, const void *right) {
    const struct mapping *a = left;
    const struct mapping *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

// Returns how many blocks there are.
static uint32_t add_bin(struct snapshot *snapshot, unsigned class, const struct reader_bin *bin,
                        bool moving) {
    uint32_t place = 0;
    for (uint32_t slot = 0; slot < bin->count; slot++) {
        uint64_t address = 0;
        if (!reader_block(&snapshot->reader, bin, slot, &address)) {
            break;
        }
        if (address == 0) {
            continue; // the helper took it while the thread was idle
        }
        snapshot->cached = memory_grow(snapshot->cached, snapshot->cached_count,
                                       &snapshot->cached_capacity, sizeof(struct snapshot_cached));
        snapshot->cached[snapshot->cached_count++] = (struct snapshot_cached){
            .address = address,
            .heap = (uint32_t)snapshot->heap_count,
            .class = (uint16_t) class,
            .place = (uint16_t)place++,
            .moving = moving,
        };
    }
    return place;
}

static void name_heap(const struct snapshot *snapshot, const struct root_places *all,
                      struct snapshot_heap *heap) {
    const struct target *target = snapshot->target;
    const struct target_thread *thread = target_thread_named_by(target, heap->record.tid);
    if (thread == NULL) {
        heap->tid = heap->record.tid != 0 ? (pid_t)heap->record.tid : target->pid;
        return;
    }
    heap->tid = thread->tid;
    snprintf(heap->name, sizeof(heap->name), "%s", thread->name);
    if (!thread->has_registers) {
        return; // it runs
    }
    heap->outside = true;
    for (size_t k = 0; k < all->count; k++) {
        // A static program is one file with its allocator: nothing can be told from there.
        if (thread->pc >= all->code[k].start && thread->pc < all->code[k].end) {
            heap->inside = true;
            heap->outside = false;
        }
    }
}

static bool read_heaps(struct snapshot *snapshot, const struct root_places *all) {
    struct reader *reader = &snapshot->reader;
    struct snapshot_heap heap = {0};
    bool more = reader_first_heap(reader, &heap.record);
    while (more) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            struct reader_bin bin;
            if (!reader_bin(reader, &heap.record, class, &bin)) {
                heap.moved = true; // its array is being replaced
                continue;
            }
            bool moving = heap.record.flush_count != 0 && heap.record.flush_class == class;
            heap.moved |= moving;
            heap.count[class] = add_bin(snapshot, class, &bin, moving);
            reader_held(reader, &heap.record, class, &heap.held[class]);
        }
        name_heap(snapshot, all, &heap);
        snapshot->heaps = memory_grow(snapshot->heaps, snapshot->heap_count,
                                      &snapshot->heap_capacity, sizeof(heap));
        snapshot->heaps[snapshot->heap_count++] = heap;
        struct reader_heap record = heap.record;
        memset(&heap, 0, sizeof(heap));
        heap.record = record;
        more = reader_next_heap(reader, &heap.record);
    }
    if (snapshot->cached_count > 0) {
        qsort(snapshot->cached, snapshot->cached_count, sizeof(struct snapshot_cached), by_address);
    }
    return reader->fault == READER_FINE;
}

static void add_mapping(struct snapshot *snapshot, const struct mapping *mapping) {
    snapshot->mappings = memory_grow(snapshot->mappings, snapshot->mapping_count,
                                     &snapshot->mapping_capacity, sizeof(*mapping));
    snapshot->mappings[snapshot->mapping_count++] = *mapping;
}

// A slot that is being given out has no size yet.
static void add_guarded(struct snapshot *snapshot, const struct guard_slot *slot, uint64_t page) {
    uint64_t length = snapshot->target->page_size;
    uint64_t offset = slot->address - page;
    if (atomic_load(&slot->state) == SLOT_USED && slot->size > 0 && offset < length &&
        slot->size <= length - offset) {
        add_mapping(snapshot, &(struct mapping){.address = slot->address,
                                                .size = slot->size,
                                                .start = page,
                                                .length = length,
                                                .asked = slot->size});
    }
}

static bool read_guarded(struct snapshot *snapshot) {
    uint64_t address = (uint64_t)(uintptr_t)snapshot->reader.live.guard;
    struct guard *guard = NULL;
    if (address == 0) {
        return true;
    }
    guard = (void *)copy_bytes(snapshot, address, sizeof(*guard));
    size_t count = guard != NULL && guard->length > 0 ? guard->slot_count : 0;
    count = count < GUARD_SLOTS ? count : GUARD_SLOTS;
    struct guard_slot *slots = NULL;
    if (count > 0) {
        snapshot->guard_start = guard->start;
        snapshot->guard_length = guard->length;
        slots =
            (void *)copy_bytes(snapshot, (uint64_t)(uintptr_t)guard->slots, count * sizeof(*slots));
    }
    for (size_t i = 0; slots != NULL && i < count; i++) {
        uint64_t page = snapshot->guard_start + (2 * i + 1) * snapshot->target->page_size;
        add_guarded(snapshot, &slots[i], page);
    }
    bool read = guard != NULL && (count == 0 || slots != NULL);
    free(slots);
    free(guard);
    return read;
}

static bool read_mappings(struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    for (uint32_t i = 0; i < reader->live.mappings.capacity; i++) {
        struct mapping mapping;
        bool found = false;
        if (!reader_mapping(reader, i, &mapping, &found)) {
            return false;
        }
        if (found) {
            add_mapping(snapshot, &mapping);
        }
    }
    bool read = read_guarded(snapshot);
    if (snapshot->mapping_count > 0) {
        qsort(snapshot->mappings, snapshot->mapping_count, sizeof(struct mapping), by_mapping);
    }
    return read;
}

static uint64_t clock_ms(const struct snapshot *snapshot) {
    struct timespec now;
    if (snapshot->target->kind == TARGET_CORE) {
        return 0;
    }
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return (uint32_t)ms; // births are the low half of the same clock
}

static bool take_once(struct snapshot *snapshot, const struct root_places *all) {
    struct target *target = snapshot->target;
    struct reader *reader = &snapshot->reader;
    drop_copies(snapshot);
    if (!reader_open(reader, &target->view, snapshot->place.address, snapshot->window,
                     sizeof(snapshot->window)) ||
        !copy_tables(snapshot)) {
        return false;
    }
    // From here on the copies are read, not the target.
    reader->view = &snapshot->view;
    reader->window_count = 0;
    snapshot->now_ms = clock_ms(snapshot);
    return read_heaps(snapshot, all) && read_mappings(snapshot);
}

bool snapshot_take(struct snapshot *snapshot, struct target *target, const struct root_places *all,
                   const struct root_place *place) {
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->target = target;
    snapshot->place = *place;
    snapshot->view = (struct view){.read = read_copies, .context = snapshot};
    snapshot->still = target->pause != PAUSE_NONE || target->kind != TARGET_LIVE;
    uint64_t start = target_clock();
    // The mapping table can be replaced, and the arena can grow, between two reads.
    bool done = take_once(snapshot, all);
    for (int again = 0; !done && !snapshot->still && again < 5; again++) {
        done = take_once(snapshot, all);
    }
    snapshot->nanoseconds = target_clock() - start;
    // Read last, the regions are those of the copied tables or later ones.
    target_regions(target, false);
    return done;
}

// ---- questions ----------------------------------------------------------------------------------

bool snapshot_moved(const struct snapshot *snapshot, const struct reader_run *run) {
    size_t size = snapshot->reader.fixed.layout.size_run;
    uint64_t at = run->head * size;
    for (size_t i = 0; i < snapshot->copy_count; i++) {
        const struct snapshot_copy *copy = &snapshot->copies[i];
        if (copy->start == (uint64_t)(uintptr_t)snapshot->reader.fixed.runs) {
            return run->kind == RUN_NONE || at + size > copy->length ||
                   memcmp(snapshot->runs + at, copy->bytes + at, size) != 0;
        }
    }
    return true;
}

static size_t first_cached_at(const struct snapshot *snapshot, uint64_t address) {
    size_t low = 0;
    size_t high = snapshot->cached_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (snapshot->cached[middle].address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t snapshot_cached_in(const struct snapshot *snapshot, uint64_t start, uint64_t end,
                          size_t *first) {
    *first = first_cached_at(snapshot, start);
    return first_cached_at(snapshot, end) - *first;
}

static bool is_owned(const struct snapshot *snapshot, uint64_t address) {
    uint64_t granule = (address - snapshot->reader.fixed.base) / BLOCK_ALIGN;
    return granule / 64 >= snapshot->live_words ||
           (snapshot->live[granule / 64] >> granule % 64 & 1) != 0;
}

// Hardened mode does not extend to the program's own heaps.
static unsigned add_quarantined(const struct snapshot *snapshot, const struct reader_run *span,
                                uint64_t bits[SPAN_WORDS]) {
    unsigned set = 0;
    for (uint32_t index = 0; span->region == 0 && index < span->carved; index++) {
        uint64_t bit = (uint64_t)1 << index % 64;
        if (!((bits[index / 64] | span->free[index / 64]) & bit) &&
            !is_owned(snapshot, span->start + (uint64_t)index * span->block_size)) {
            bits[index / 64] |= bit;
            set++;
        }
    }
    return set;
}

unsigned snapshot_cached_bits(const struct snapshot *snapshot, const struct reader_run *span,
                              uint64_t bits[SPAN_WORDS], size_t *first) {
    size_t count = snapshot_cached_in(snapshot, span->start, span->end, first);
    unsigned set = 0;
    memset(bits, 0, SPAN_WORDS * sizeof(bits[0]));
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = snapshot->cached[*first + i].address - span->start;
        uint64_t index = offset / span->block_size;
        uint64_t bit = (uint64_t)1 << index % 64;
        if (offset % span->block_size == 0 && index < span->blocks && !(bits[index / 64] & bit) &&
            !(span->free[index / 64] & bit)) {
            bits[index / 64] |= bit;
            set++;
        }
    }
    return snapshot->live == NULL ? set : set + add_quarantined(snapshot, span, bits);
}

void snapshot_say_fault(const struct snapshot *snapshot) {
    const struct reader *reader = &snapshot->reader;
    const char *label = snapshot->target->label;
    unsigned long long root = snapshot->place.address;
    if (target_say_fate(snapshot->target)) {
        return;
    }
    switch (reader->fault) {
    case READER_UNREADABLE:
        if (snapshot->target->truncated) {
            target_say_cut_off(snapshot->target, "a part of its lucid heap");
            break;
        }
        say("the lucid heap of %s cannot be read at 0x%llx%s", label, ull(reader->where),
            snapshot->target->kind == TARGET_CORE
                ? ": the core left that memory out; let it be dumped in full (core(5) tells how "
                  "coredump_filter is set, or use gdb's gcore)"
                : ": the process may have ended; run the command again");
        break;
    case READER_VERSION:
        say("%s runs lucid %s with heap layout %llu, and this tool reads layout %u; use the lucid "
            "command of that version",
            label, reader->fixed.library_version, ull(reader->value), LUCID_LAYOUT_VERSION);
        break;
    case READER_LAYOUT:
        say("%s runs lucid %s, whose heap is laid out in another way than this tool knows (%s is "
            "%llu); use the lucid command that was built together with it",
            label, reader->fixed.library_version, reader->what, ull(reader->value));
        break;
    case READER_UNUSED:
        say("%s has loaded lucid %s but not allocated anything with it yet", label,
            reader->fixed.library_version);
        break;
    case READER_DAMAGED:
        say("the heap of %s is damaged: at its root 0x%llx, %s is 0x%llx, which cannot be", label,
            root, reader->what, ull(reader->value));
        break;
    default:
        say("what was found at 0x%llx in %s is not the root of a lucid heap", root, label);
        break;
    }
}
