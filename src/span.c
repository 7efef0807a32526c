#include "span.h"

#include "arena.h"
#include "event.h"
#include "lane.h"
#include "loose.h"
#include "os/os.h"
#include "panic.h"
#include "root.h"
#include "spanstate.h"

static uint32_t blocks_of(const struct run *span) {
    return sizeclass_table[span->class].blocks;
}

// ---- life ---------------------------------------------------------------------------------------

static void free_words_clear(struct run *span, unsigned blocks) {
    for (unsigned word = 0; word < (blocks + 63) / 64; word++) {
        atomic_store_explicit(&span->free[word], 0, memory_order_relaxed);
    }
}

// Is it better to have the memory of a new span put there at once than page by page?
static bool is_worth_populating(uint32_t spans, uint32_t head, uint32_t units) {
    if (units > 1) {
        return false; // few large blocks: the last span would be a large part of the class
    }
    if (spans < POPULATE_SPANS) {
        return false; // few blocks of the class are wanted: the rest of the span may never be
    }
    return run_at(head)->dirty == 0; // else it is there already, or some of it
}

// pre: the run is BUSY and as long as the class's spans.
static uint32_t busy_to_span(uint32_t head, unsigned class, unsigned lane,
                             struct lucid_region *region) {
    const struct sizeclass *row = &sizeclass_table[class];
    struct run *span = run_at(head);
    if (is_worth_populating(lane_spans(lane, class), head, row->units)) {
        arena_populate(head, UNIT_SIZE);
    }
    free_words_clear(span, row->blocks);
    atomic_store_explicit(&span->carved, 0, memory_order_relaxed);
    span->class = (uint8_t) class;
    span->size = 0;
    span->birth = 0; // nobody asks for a span's age, and the clock costs
    span->region = region;
    lane_add_span(lane, head);
    atomic_store_explicit(&span->state, span_state(SPAN_HELD, row->blocks), memory_order_relaxed);
    run_store(head, RUN_SPAN, row->units);
    for (uint32_t i = 0; region == NULL && i < row->units; i++) {
        root.fixed.units[head + i].bin = (uint16_t)(class * sizeof(struct bin));
    }
    event_raise(EVENT_SPAN_MADE, (void *)unit_address(head), row->units * UNIT_SIZE, class, 1);
    return head;
}

// What the region has is nobody else's, so its lane only serves to count it.
uint32_t span_new_for(unsigned class, struct lucid_region *region) {
    uint32_t head = arena_take(sizeclass_table[class].units, UNIT_SIZE, RUN_BUSY, false);
    return head != 0 ? busy_to_span(head, class, 0, region) : 0;
}

// pre: held, not listed; nothing of it is out, or nobody will ever look at it again.
void span_end(uint32_t head) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    span_check(head);
    bool keeps = span->region == NULL && row->units <= LOOSE_UNITS_MAX;
    if (span->region != NULL) {
        run_store(head, RUN_BUSY, row->units); // whose it is, the child of a fork need not ask
        span->region = NULL;
    }
    lane_remove_span(head);
    size_t touched = (size_t)atomic_load_explicit(&span->carved, memory_order_relaxed) * row->size;
    uint32_t dirty = (uint32_t)((touched + UNIT_SIZE - 1) >> UNIT_SHIFT);
    event_raise(EVENT_SPAN_GONE, (void *)unit_address(head), row->units * UNIT_SIZE, span->class,
                1);
    if (unlikely(root.live.watch & WATCH_HARDEN) &&
        os_purge((void *)unit_address(head), row->units * UNIT_SIZE)) {
        dirty = 0; // another class may have these addresses only after the kernel had them
        span->dirty = 0;
    }
    // What was dirty when the span was made may still be so beyond what it carved.
    dirty = span->dirty > 0 ? row->units : dirty;
    if (keeps && dirty == row->units) {
        loose_give(span->lane, head);
    } else {
        arena_give(head, dirty);
    }
}

// In the order of what it costs in memory, but for other lanes' spans: blocks out of those lie
// between blocks of other threads, and what is in their records moves from
// one processor to the other.
uint32_t span_acquire(unsigned class, unsigned lane, bool shares) {
    uint32_t units = sizeclass_table[class].units;
    uint32_t listed = lane_listed_to_held(lane, class);
    uint32_t run = listed == 0 && !shares ? loose_take(lane, units, UNIT_SIZE) : 0;
    if (listed == 0 && run == 0) {
        listed = lane_others_listed_to_held(lane, class);
    }
    if (listed != 0) {
        return listed;
    }
    if (run == 0) {
        run = arena_take_used(units, lane);
    }
    if (run == 0) {
        run = arena_take(units, UNIT_SIZE, RUN_BUSY, false);
    }
    return run != 0 ? busy_to_span(run, class, lane, NULL) : 0;
}

static inline void release(uint32_t head, bool last) {
    struct run *span = run_at(head);
    for (;;) {
        uint32_t state = atomic_load_explicit(&span->state, memory_order_acquire);
        check((state & SPAN_HELD) != 0, "span released that nobody holds, unit", head);
        if (state & SPAN_LISTED) { // a giver found a listed span empty
            lane_claimed_to_held(head);
        } else if (span_count(state) == (int32_t)blocks_of(span)) {
            span_end(head);
            return;
        } else if (span_count(state) <= 0) {
            if (span_held_to_full(&span->state)) {
                return;
            }
        } else if (lane_held_to_listed(head, last)) {
            return;
        }
    }
}

// A call: within the loops that give blocks back it would take the registers that they need.
NOINLINE void span_release(uint32_t head) {
    release(head, false);
}

void span_release_last(uint32_t head) {
    release(head, true);
}

// Until it is claimed the span may end, and another of another class begin in its place, at any
// time, so nothing is looked at before that.
bool span_hold_listed(uint32_t head) {
    if (!span_listed_to_claimed(&run_at(head)->state)) {
        return false;
    }
    lane_claimed_to_held(head);
    return true;
}

// ---- taking -------------------------------------------------------------------------------------

// Stores that many blocks from `first` on, the highest address first, so that the lowest is popped
// first.
static void emit_row(uintptr_t first, size_t size, unsigned count, void **out) {
    for (void **slot = out + count; slot != out; first += size) {
        *--slot = (void *)first;
    }
}

// The same for the blocks of a word's set bits, of which there is one at least. Returns how many.
static unsigned emit_word(uintptr_t first, size_t size, uint64_t mask, void **out) {
    unsigned count = bit_count(mask);
    unsigned lowest = bit_lowest(mask);
    if (mask >> lowest == bit_low_mask(count)) {
        emit_row(first + lowest * size, size, count, out);
        return count;
    }
    for (void **slot = out + count; mask != 0; mask &= mask - 1) {
        *--slot = (void *)(first + bit_lowest(mask) * size);
    }
    return count;
}

// The lowest `want` set bits of a word; all of them if there are fewer.
static uint64_t lowest_bits(uint64_t word, unsigned want) {
    uint64_t rest = word;
    for (; want > 0 && rest != 0; want--) {
        rest &= rest - 1;
    }
    return word & ~rest;
}

static uint64_t take_word(_Atomic uint64_t *word, unsigned want, bool alone) {
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    if (seen == 0) {
        return 0;
    }
    uint64_t mine = bit_count(seen) <= want ? seen : lowest_bits(seen, want);
    if (alone) {
        atomic_store_explicit(word, seen & ~mine, memory_order_relaxed);
    } else {
        // Only the holder clears bits, so what we saw set is still set.
        (void)atomic_fetch_and_explicit(word, ~mine, memory_order_acq_rel);
    }
    return mine;
}

// Blocks that were never handed out: as many as end on the page the first one begins on, or as are
// wanted when the span's memory is there already.
static unsigned carve(struct run *span, uint32_t head, unsigned want, void **out) {
    const struct sizeclass *row = &sizeclass_table[span->class];
    unsigned carved = atomic_load_explicit(&span->carved, memory_order_relaxed);
    size_t page = root.fixed.page_size;
    size_t end = align_up((size_t)carved * row->size + 1, page);
    unsigned until = (unsigned)min_size(max_size(end / row->size, carved + 1), row->blocks);
    until = span->dirty == row->units ? row->blocks : until;
    unsigned count = (unsigned)min_size(until - carved, want);
    emit_row(unit_address(head) + (size_t)carved * row->size, row->size, count, out);
    atomic_store_explicit(&span->carved, (uint16_t)(carved + count), memory_order_relaxed);
    return count;
}

unsigned span_take(uint32_t head, unsigned want, void **out) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    bool alone = alone_now();
    unsigned carved = atomic_load_explicit(&span->carved, memory_order_relaxed);
    uintptr_t start = unit_address(head);
    unsigned taken = 0;
    for (unsigned word = 0; word * 64 < carved && taken < want; word++) {
        uint64_t mask = take_word(&span->free[word], want - taken, alone);
        if (mask != 0) {
            taken += emit_word(start + (size_t)word * 64 * row->size, row->size, mask, out + taken);
        }
    }
    if (taken == 0 && carved < row->blocks) {
        taken = carve(span, head, want, out);
    }
    if (taken > 0) {
        span_held_take(&span->state, taken, alone);
    }
    return taken;
}

void *span_take_one(unsigned class) {
    void *block = NULL;
    uint32_t head = 0;
    while (block == NULL) {
        head = span_acquire(class, 0, true);
        if (head == 0) {
            return NULL;
        }
        if (span_take(head, 1, &block) == 0) {
            block = NULL; // a late giver has set the count but somebody took the bits
        }
        span_release(head);
    }
    return block;
}

// ---- giving -------------------------------------------------------------------------------------

// Blocks of one class on their way back.
struct batch {
    unsigned class;
    const struct sizeclass *row;
    const char *function;
    void *const *end; // of all
};

static COLD _Noreturn void misuse_found(unsigned class, const void *block, const char *function) {
    uint32_t unit = unit_of((uintptr_t)block);
    if (root.fixed.units[unit].bin != class * sizeof(struct bin)) {
        panic_misuse(function, "double free (its span is gone) of", block);
    }
    uint32_t head = unit - root.fixed.units[unit].back;
    size_t offset = (uintptr_t)block - unit_address(head);
    if (offset % sizeclass_size(class) != 0) {
        panic_misuse(function, "pointer into the middle of a block", block);
    }
    if (sizeclass_index(class, offset) >= atomic_load(&run_at(head)->carved)) {
        panic_misuse(function, "pointer to a block never handed out", block);
    }
    panic_misuse(function, "double free of", block);
}

// Returns those of the mask that were set already: blocks that are free.
static inline uint64_t set_bits(_Atomic uint64_t *word, uint64_t mask, bool alone) {
    if (alone) {
        uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
        atomic_store_explicit(word, old | mask, memory_order_relaxed);
        return old & mask;
    }
    return atomic_fetch_or_explicit(word, mask, memory_order_acq_rel) & mask;
}

// The end of the row of blocks from `next` on that are each `stride` bytes behind the one before,
// after `most` at the latest.
static inline void *const *row_end(void *const *next, size_t stride, size_t most) {
    uintptr_t expected = (uintptr_t)next[-1] + stride;
    void *const *end = next + most;
    while (next != end && (uintptr_t)*next == expected) {
        expected += stride;
        next++;
    }
    return next;
}

// Where a block is, of which it is known that it was handed out.
struct place {
    uint32_t head;
    uint32_t carved; // blocks of the span that were handed out
    size_t index;
};

ALWAYS_INLINE struct place place_of(const struct batch *batch, const void *block) {
    const struct sizeclass *row = batch->row;
    uint32_t head = unit_of((uintptr_t)block);
    struct unit entry = root.fixed.units[head];
    if (unlikely(entry.bin != batch->class * sizeof(struct bin))) {
        misuse_found(batch->class, block, batch->function);
    }
    head -= entry.back;
    size_t offset = (uintptr_t)block - unit_address(head);
    size_t index = (offset * row->reciprocal) >> RECIPROCAL_SHIFT;
    uint32_t carved = atomic_load_explicit(&run_at(head)->carved, memory_order_relaxed);
    if (unlikely(index >= carved) || unlikely(index * row->size != offset)) {
        misuse_found(batch->class, block, batch->function);
    }
    return (struct place){.head = head, .carved = carved, .index = index};
}

// Sets the bits of `count` blocks, which are in the word of the place.
ALWAYS_INLINE void give_mask(const struct batch *batch, const struct place *place, uint64_t mask,
                             uint32_t count, bool alone) {
    struct run *span = run_at(place->head);
    uint64_t twice = set_bits(&span->free[place->index / 64], mask, alone);
    if (unlikely(twice != 0)) {
        size_t index = place->index / 64 * 64 + bit_lowest(twice);
        misuse_found(batch->class, (void *)(unit_address(place->head) + index * batch->row->size),
                     batch->function);
    }
    if (unlikely(span_give(&span->state, count, batch->row->blocks, alone))) {
        span_release(place->head);
    }
}

// The bits of the first block and of those after it that lie in the same word. Moves `next` to the
// first block that is left.
static inline uint64_t gather(const struct batch *batch, const struct place *place,
                              void *const **next) {
    const struct sizeclass row = *batch->row;
    void *const *first = *next;
    void *const *block = first + 1;
    size_t bit = place->index % 64;
    size_t known = min_size(place->carved - (place->index - bit), 64); // handed out, of the word
    size_t left = (size_t)(batch->end - block);
    uint64_t mask = (uint64_t)1 << bit;
    if ((uintptr_t)block[0] - (uintptr_t)first[0] == row.size) { // freed in the order of allocation
        block = row_end(block, row.size, min_size(left, known - 1 - bit));
        mask = bit_low_mask((unsigned)(block - first)) << bit;
    } else if ((uintptr_t)first[0] - (uintptr_t)block[0] == row.size) { // in the opposite order
        block = row_end(block, -(size_t)row.size, min_size(left, bit));
        mask = bit_low_mask((unsigned)(block - first)) << (bit + 1 - (size_t)(block - first));
    }
    uintptr_t begin = unit_address(place->head) + (place->index - bit) * row.size;
    while (block != batch->end && (uintptr_t)*block - begin < known * row.size) {
        size_t offset = (uintptr_t)*block - begin;
        size_t index = (offset * row.reciprocal) >> RECIPROCAL_SHIFT;
        uint64_t one = (uint64_t)1 << index;
        if (unlikely(index * row.size != offset) || unlikely(mask & one)) {
            misuse_found(batch->class, *block, batch->function);
        }
        mask |= one;
        block++;
    }
    *next = block;
    return mask;
}

// Is there a block behind this one that may be in the same word?
static inline bool has_neighbour(const struct batch *batch, void *const *block) {
    size_t near = (size_t)batch->row->size * 64;
    return batch->end - block > 1 && (uintptr_t)block[1] - (uintptr_t)block[0] + near < 2 * near;
}

// Gives blocks back word by word, since one exchange of a word serves all its blocks, up to the
// first that has no neighbour. Returns how many words. pre: the first has one.
static NOINLINE unsigned give_neighbours(const struct batch *batch, void *const **next,
                                         bool alone) {
    unsigned words = 0;
    do {
        void *const *first = *next;
        const struct place place = place_of(batch, *first);
        uint64_t mask = gather(batch, &place, next);
        give_mask(batch, &place, mask, (uint32_t)(*next - first), alone);
        words++;
    } while (has_neighbour(batch, *next));
    return words;
}

// Blocks in no order cost about 90 instructions each, neighbours about 15, blocks in a row 5. The
// loop has only what the first need, so that it works in registers.
ALWAYS_INLINE unsigned give_each(const struct batch *batch, void *const *next, bool alone) {
    unsigned words = 0;
    while (next != batch->end) {
        if (has_neighbour(batch, next)) {
            words += give_neighbours(batch, &next, alone);
        } else {
            const struct place place = place_of(batch, *next);
            give_mask(batch, &place, (uint64_t)1 << place.index % 64, 1, alone);
            words++;
            next++;
        }
    }
    return words;
}

unsigned span_give_all(unsigned class, void *const *blocks, unsigned count, const char *function) {
    const struct batch batch = {
        .class = class,
        .row = &sizeclass_table[class],
        .function = function,
        .end = blocks + count,
    };
    return alone_now() ? give_each(&batch, blocks, true) : give_each(&batch, blocks, false);
}

// ---- fork and checks ----------------------------------------------------------------------------

static uint32_t count_free(const struct run *span) {
    uint32_t blocks = blocks_of(span);
    uint32_t count = blocks - atomic_load_explicit(&span->carved, memory_order_relaxed);
    for (unsigned word = 0; word < (blocks + 63) / 64; word++) {
        count += bit_count(atomic_load_explicit(&span->free[word], memory_order_relaxed));
    }
    return count;
}

void span_mark_free(unsigned class, const void *block) {
    if (!in_arena((uintptr_t)block)) {
        return;
    }
    uint32_t unit = unit_of((uintptr_t)block);
    if (root.fixed.units[unit].bin != class * sizeof(struct bin)) {
        return;
    }
    uint32_t head = unit - root.fixed.units[unit].back;
    size_t offset = (uintptr_t)block - unit_address(head);
    unsigned index = sizeclass_index(class, offset);
    struct run *span = run_at(head);
    if (index * sizeclass_size(class) == offset && index < atomic_load(&span->carved)) {
        (void)atomic_fetch_or(&span->free[index / 64], (uint64_t)1 << index % 64);
    }
}

void span_after_fork(void) {
    lane_reset();
    uint32_t top = (uint32_t)atomic_load(&root.live.top);
    for (uint32_t head = 1; head < top;) {
        uint64_t shape = run_load(head);
        uint32_t next = head + run_length_of(shape);
        if (run_kind_of(shape) == RUN_SPAN) {
            struct run *span = run_at(head);
            atomic_store(&span->state, span_state(SPAN_HELD, count_free(span)));
            lane_add_span(span->lane, head);
            if (span->region != NULL) {
                head = next;
                continue;
            }
            span_release(head);
            // An empty span has become part of a free run, perhaps with what followed it.
            while (next < top && run_load(next) == 0) {
                next++;
            }
        }
        head = next;
    }
}

void span_check(uint32_t head) {
    if (!LUCID_CHECKED) {
        return;
    }
    const struct run *span = run_at(head);
    check(run_kind_of(run_load(head)) == RUN_SPAN, "not a span at unit", head);
    check(span->class != 0 && span->class < CLASS_COUNT, "span without a class at unit", head);
    // No order here: the checks must not make up for one that is missing.
    uint32_t state = atomic_load_explicit(&span->state, memory_order_relaxed);
    check(count_free(span) == (uint32_t)span_count(state),
          "span's count differs from its bits at unit", head);
}
