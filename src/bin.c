#include "bin.h"

#include "binsize.h"
#include "event.h"
#include "idle.h"
#include "meta.h"
#include "os/os.h"
#include "purge.h"
#include "root.h"
#include "span.h"

#include <string.h>

static size_t array_bytes(unsigned capacity) {
    return ((size_t)capacity + 1) * sizeof(void *);
}

// The slot below the first block is NULL: popping from an empty bin yields NULL by itself.
static void set_array(struct heap *heap, unsigned class, void **slots, unsigned capacity,
                      unsigned count) {
    slots[0] = NULL;
    // The child of a fork believes the capacity, which therefore is never more than the array has.
    if (capacity < heap->capacity[class]) {
        heap->capacity[class] = (uint16_t)capacity;
    }
    atomic_signal_fence(memory_order_release);
    heap->slots[class] = slots;
    atomic_signal_fence(memory_order_release);
    heap->capacity[class] = (uint16_t)capacity;
    // Array before top: an old top is outside a new array, which bin_count_now sees.
    atomic_signal_fence(memory_order_release);
    heap->bins[class].top = slots + 1 + count;
    heap->bins[class].end = slots + 1 + capacity;
}

// Replaces a bin's array by one of another capacity. pre: its blocks fit. False: it stays as it is.
static bool bin_resize(struct heap *heap, unsigned class, unsigned wanted) {
    unsigned old = heap->capacity[class];
    void **slots = meta_take(array_bytes(wanted));
    if (slots == NULL) {
        return false;
    }
    unsigned count = bin_count(heap, class);
    void **old_slots = heap->slots[class];
    if (old_slots != NULL) {
        memcpy(slots + 1, old_slots + 1, count * sizeof(void *));
    }
    set_array(heap, class, slots, wanted, count);
    if (old_slots != NULL) {
        meta_give(old_slots, array_bytes(old));
    }
    return true;
}

static void note_room(struct heap *heap, size_t bytes, bool worth_a_visit) {
    heap->room += (uint32_t)bytes;
    if (worth_a_visit) {
        purge_note_growth(bytes);
    }
}

static bool bin_begin(struct heap *heap, unsigned class) {
    heap->last_event[class] = heap->events++ - BIN_BUSY_EVENTS - 1;
    if (!bin_resize(heap, class, binsize_first(class))) {
        return false;
    }
    // The first bins of one thread are little, those of many are not.
    note_room(heap, heap->capacity[class] * sizeclass_size(class), !os_single_threaded());
    return true;
}

// A bin that ran empty or full is worth enlarging only if it did so a moment ago too. The clock
// is the number of times any bin of the heap did.
static bool is_busy(struct heap *heap, unsigned class) {
    uint32_t now = heap->events++;
    uint32_t pause = now - heap->last_event[class];
    unsigned streak = heap->streak[class];
    bool busy = pause <= BIN_BUSY_EVENTS;
    heap->last_event[class] = now;
    heap->streak[class] = (uint8_t)(busy ? min_size(streak + 1, BIN_STREAK) : streak / 2);
    return busy;
}

// Doubles a bin. False: it stays as it is.
static bool bin_grow(struct heap *heap, unsigned class) {
    unsigned old = heap->capacity[class];
    unsigned wanted = (unsigned)min_size(old * 2 + 1, binsize_most(heap, class));
    if (wanted <= old || !bin_resize(heap, class, wanted)) {
        return false;
    }
    heap->streak[class] = 0; // to have still more it must prove too small again
    note_room(heap, (wanted - old) * sizeclass_size(class), true);
    return true;
}

static bool is_young(const struct heap *heap) {
    return (int32_t)(heap->young_until - heap->events) >= 0;
}

// Fills from spans until a quarter of the bin is there, or fresh blocks had to be carved: more
// would touch memory ahead of need.
static unsigned fill(struct heap *heap, unsigned class, void **out, unsigned want) {
    unsigned taken = 0;
    while (taken < (want + 1) / 2) {
        uint32_t head = heap->held[class];
        if (head == 0) {
            head = span_acquire(class, heap->lane, is_young(heap));
            if (head == 0) {
                break;
            }
            heap->held[class] = head;
        }
        unsigned count = span_take(head, want - taken, out + taken);
        if (count == 0) {
            span_let_go(&heap->held[class]);
        }
        taken += count;
    }
    return taken;
}

// A thread that takes blocks of a class only now and then lets the span go in between, so that
// all such threads share one.
static void let_go_unless(bool busy, struct heap *heap, unsigned class) {
    if (!busy && !os_single_threaded()) {
        span_let_go(&heap->held[class]);
    }
}

static void set_room(struct heap *heap, unsigned class, unsigned room) {
    unsigned capacity = heap->capacity[class];
    heap->bins[class].end = heap->slots[class] + 1 + (room < capacity ? room : capacity);
}

// Gives back what all bins hold because somebody asked for it.
static COLD void give_what_was_asked(struct heap *heap, const char *function) {
    atomic_store_explicit(&heap->asked, 0, memory_order_relaxed);
    bin_empty_all(heap, function);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (heap->slots[class] != NULL) {
            set_room(heap, class, BIN_SLOTS_MAX);
        }
    }
    purge_asked();
}

static inline bool is_asked(const struct heap *heap) {
    return unlikely(atomic_load_explicit(&heap->asked, memory_order_relaxed) != 0);
}

static void *refill(struct heap *heap, unsigned class) {
    if (heap->capacity[class] == 0 && !bin_begin(heap, class)) {
        return span_take_one(class);
    }
    bool busy = is_busy(heap, class);
    if (busy) {
        (void)bin_grow(heap, class);
    }
    unsigned want = (heap->capacity[class] + 1u) / 2;
    unsigned taken = fill(heap, class, heap->slots[class] + 1, want);
    let_go_unless(busy, heap, class);
    heap->counters.refills++;
    heap->counters.refill_blocks += taken;
    heap->flushes_only[class] = 0;
    set_room(heap, class, BIN_SLOTS_MAX);
    purge_note_refill(heap, taken * sizeclass_size(class));
    if (taken == 0) {
        return NULL;
    }
    event_raise(EVENT_REFILL, heap->slots[class], taken * sizeclass_size(class), class, taken);
    atomic_signal_fence(memory_order_release);          // slots before top, as in bin_push
    heap->bins[class].top = heap->slots[class] + taken; // one of them is the caller's
    void *block = heap->slots[class][taken];
    purge_after_growth();
    return block;
}

void *bin_refill(struct heap *heap, unsigned class) {
    bool resumed = idle_enter(heap);
    if (is_asked(heap)) {
        give_what_was_asked(heap, "malloc");
        resumed = true; // calling the helper may have led here and back
    }
    void *block =
        resumed && bin_count(heap, class) > 0 ? *--heap->bins[class].top : refill(heap, class);
    idle_leave(heap);
    return block;
}

// Returns whether the blocks came from all over the heap.
static bool flush_oldest(struct heap *heap, unsigned class, unsigned count, const char *function) {
    void **slots = heap->slots[class] + 1;
    unsigned rest = bin_count(heap, class) - count;
    // What is given may be used by another thread before it has left the array: a child forked
    // in between must not believe that it is still here.
    heap->flush_class = class;
    heap->flush_count = count;
    atomic_signal_fence(memory_order_seq_cst);
    unsigned words = span_give_all(class, slots, count, function);
    memmove(slots, slots + count, rest * sizeof(void *));
    heap->bins[class].top = slots + rest;
    atomic_signal_fence(memory_order_seq_cst);
    heap->flush_count = 0;
    heap->counters.flushes++;
    heap->counters.flush_blocks += count;
    event_raise(EVENT_FLUSH, slots, count * sizeclass_size(class), class, count);
    purge_after_flush(heap, count * sizeclass_size(class));
    return words > count / 4;
}

static unsigned idle_slots(void) {
    return (unsigned)max_size(root_used_units() / BIN_IDLE_UNITS, BIN_SLOTS_IDLE);
}

// A thread that frees blocks from all over the heap and takes none is at the end of something. If
// it falls idle then, what it has in its bin stays there, and each block keeps a page of its own:
// so the bin keeps few, until it runs empty again.
static void flush_scattered(struct heap *heap, unsigned class, const char *function) {
    bool scattered = flush_oldest(heap, class, bin_count(heap, class), function);
    set_room(heap, class, scattered ? idle_slots() : BIN_SLOTS_MAX);
    heap->flushes_only[class] = scattered ? BIN_FLUSHES_ONLY : 0;
    span_let_go(&heap->held[class]);
}

// Makes a bin as small as it began, to have its room for others.
static void bin_shrink(struct heap *heap, unsigned class, const char *function) {
    unsigned first = binsize_first(class);
    unsigned count = bin_count(heap, class);
    if (count > first) {
        (void)flush_oldest(heap, class, count - first, function);
    }
    unsigned old = heap->capacity[class]; // after the flush, which may have called back into malloc
    if (bin_count(heap, class) <= first && first < old && bin_resize(heap, class, first)) {
        heap->room -= (uint32_t)((old - first) * sizeclass_size(class));
        heap->unnoted = (uint32_t)min_size(heap->unnoted, heap->room);
    }
}

static void shrink_another(struct heap *heap, const char *function) {
    heap->searched = heap->events;
    unsigned class = binsize_stillest(heap);
    if (class != 0) {
        bin_shrink(heap, class, function);
    }
}

static bool bin_enlarge(struct heap *heap, unsigned class, const char *function) {
    if (heap->capacity[class] == 0) {
        return bin_begin(heap, class);
    }
    if (!is_busy(heap, class)) {
        return false;
    }
    if (binsize_lacks_room(heap, class)) {
        shrink_another(heap, function);
    }
    return bin_grow(heap, class);
}

static bool make_room(struct heap *heap, unsigned class, const char *function) {
    if (heap->flushes_only[class] == BIN_FLUSHES_ONLY) {
        flush_scattered(heap, class, function);
        return true;
    }
    if (bin_enlarge(heap, class, function)) {
        purge_after_growth();
        return true;
    }
    unsigned count = bin_count(heap, class);
    if (count == 0) {
        return false;
    }
    bool scattered = flush_oldest(heap, class, (count + 1) / 2, function);
    heap->flushes_only[class] = scattered ? (uint8_t)(heap->flushes_only[class] + 1) : 0;
    return true;
}

bool bin_make_room(struct heap *heap, unsigned class, const char *function) {
    (void)idle_enter(heap);
    if (is_asked(heap)) {
        give_what_was_asked(heap, function);
    }
    if (heap->capacity[class] != 0 && heap->bins[class].end == NULL) {
        set_room(heap, class, BIN_SLOTS_MAX); // asked for once more than it could be given
    }
    bool room = heap->bins[class].top < heap->bins[class].end || make_room(heap, class, function);
    idle_leave(heap);
    return room;
}

void bin_check_all(struct heap *heap, const char *function) {
    (void)idle_enter(heap);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        unsigned count = bin_count(heap, class);
        if (count > 0) {
            (void)flush_oldest(heap, class, count, function);
        }
    }
    idle_leave(heap);
}

void bin_empty_all(struct heap *heap, const char *function) {
    (void)idle_enter(heap);
    bin_check_all(heap, function);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        span_let_go(&heap->held[class]);
    }
    heap->unnoted = heap->room;
    idle_leave(heap);
}

// The thread may have been cut off while it made a new array or gave blocks back. What cannot be
// told is left alone: its blocks stay used, which costs memory but harms nobody.
void bin_forget_all(struct heap *heap) {
    heap->room = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        void **slots = heap->slots[class];
        if (slots == NULL) {
            heap->capacity[class] = 0;
            heap->bins[class] = bin_of_nobody();
            continue;
        }
        unsigned first = heap->flush_class == class ? heap->flush_count : 0;
        unsigned count = bin_count_now(heap, class);
        for (unsigned i = first; i < count; i++) {
            span_mark_free(class, slots[1 + i]);
        }
        heap->bins[class].top = slots + 1;
        heap->bins[class].end = slots + 1 + heap->capacity[class];
        heap->room += (uint32_t)(heap->capacity[class] * sizeclass_size(class));
    }
    heap->unnoted = (uint32_t)min_size(heap->unnoted, heap->room);
    heap->flush_count = 0;
}
