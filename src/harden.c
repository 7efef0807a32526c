#include "harden.h"

#include "allowance.h"
#include "options.h"
#include "os/os.h"
#include "panic.h"
#include "root.h"
#include "span.h"
#include "spanstate.h"
#include "tables.h"

#include <string.h>

#define BYTES_PER_ENTRY 32u // a quarantine of n bytes holds at most n / 32 blocks
#define ENTRIES_MIN 64u
#define RING_SHARE 16u // the ring takes no more of a limit

// Blocks in the order they were freed, as a ring; NULL where a fork cut a move off.
static struct {
    _Atomic uint32_t lock;
    uint32_t room; // entries, a power of two
    uint32_t first;
    uint32_t count;
    uint64_t bytes;
    uint64_t limit;
    void **blocks;
} quarantine;

static struct hardened hardened;
static _Atomic uint32_t open_lock; // guards the opening of the table of live bits

// A random number below `end`. A product instead of a division: it is on the way of every call.
static uint32_t random_below(uint64_t random, uint32_t end) {
    return (uint32_t)((random >> 32) * end >> 32);
}

// Bytes of the ring with room for so many entries.
static size_t ring_bytes(uint32_t room) {
    return align_up(room * sizeof(void *), root.fixed.page_size);
}

bool harden_begin(void) {
    uint64_t most = root.live.allowance.most;
    quarantine.limit = root.live.options.value[OPTION_QUARANTINE];
    quarantine.room = ENTRIES_MIN;
    while (quarantine.room < quarantine.limit / BYTES_PER_ENTRY &&
           (most == 0 || ring_bytes(quarantine.room * 2) <= most / RING_SHARE)) {
        quarantine.room *= 2;
    }
    hardened.live = tables_place_bits();
    quarantine.blocks = os_map_fenced(ring_bytes(quarantine.room));
    if (hardened.live == NULL || quarantine.blocks == NULL) {
        return false;
    }
    hardened.ring = ring_bytes(quarantine.room);
    hardened.ring_start = (uintptr_t)quarantine.blocks;
    allowance_add(hardened.ring);
    root.live.hardened = &hardened;
    root.live.watch |= WATCH_HARDEN | WATCH_CALLS;
    return true;
}

// ---- live bits ----------------------------------------------------------------------------------

// Live bits of all units below `units` become accessible. False: no memory.
static bool open_bits(uint64_t units) {
    if (__atomic_load_n(&hardened.opened, __ATOMIC_ACQUIRE) >= units) {
        return true;
    }
    os_lock(&open_lock);
    bool done = tables_cover_bits(units);
    os_unlock(&open_lock);
    return done;
}

static _Atomic uint64_t *live_word(const void *block, uint64_t *bit) {
    uint64_t granule = ((uintptr_t)block - root.fixed.base) / BLOCK_ALIGN;
    *bit = (uint64_t)1 << granule % 64;
    return &hardened.live[granule / 64];
}

static bool is_live(const void *block) {
    uint64_t bit;
    return (atomic_load_explicit(live_word(block, &bit), memory_order_relaxed) & bit) != 0;
}

// ---- canaries and the pattern of freed blocks ---------------------------------------------------

// Puts the canary behind the block and counts its padding, until unseal() takes that back.
static void seal(void *block, unsigned class, size_t asked) {
    (void)atomic_fetch_add_explicit(&hardened.padding, sizeclass_size(class) - asked,
                                    memory_order_relaxed);
    size_t room = sizeclass_size(class) - CANARY_BYTES;
    uint64_t key = canary_key(root.fixed.mark, (uintptr_t)block);
    uint64_t word = canary_word(key, room - asked);
    memset((char *)block + asked, canary_fill(key), room - asked);
    memcpy((char *)block + room, &word, sizeof(word));
}

static void unseal(unsigned class, size_t asked) {
    (void)atomic_fetch_sub_explicit(&hardened.padding, sizeclass_size(class) - asked,
                                    memory_order_relaxed);
}

size_t harden_size(const void *block, unsigned class, const char *function) {
    if (!is_live(block)) {
        bool looks = function[0] == 'r' || function[0] == 'm'; // as in block.c
        panic_misuse(function, looks ? "use of the free block" : "double free of", block);
    }
    size_t room = sizeclass_size(class) - CANARY_BYTES;
    uint64_t key = canary_key(root.fixed.mark, (uintptr_t)block);
    const unsigned char *bytes = block;
    uint64_t word;
    memcpy(&word, bytes + room, sizeof(word));
    uint64_t slack = canary_slack(key, word, room);
    bool sound = slack <= room;
    for (size_t i = room - (sound ? slack : 0); sound && i < room; i++) {
        sound = bytes[i] == canary_fill(key);
    }
    if (!sound) {
        panic_misuse(function, "buffer overflow of", block);
    }
    return room - slack;
}

// pre: the block is free, nobody else has it.
static void check_wiped(const void *block, unsigned class, const char *function) {
    uint64_t pattern = 0x0101010101010101u * CANARY_FREED;
    const uint64_t *words = block;
    for (size_t i = 0; i < sizeclass_size(class) / sizeof(*words); i++) {
        if (unlikely(words[i] != pattern)) {
            panic_misuse(function, "write after free to", &words[i]);
        }
    }
}

// ---- placement ----------------------------------------------------------------------------------

// All blocks of a new span become free ones, wiped as if they had been used. pre: held by the
// caller. The bits come last: a fork that cuts this off loses blocks, but issues none twice.
static bool open_span(uint32_t head) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    if (!open_bits(head + row->units)) {
        return false;
    }
    memset((void *)unit_address(head), CANARY_FREED, (size_t)row->blocks * row->size);
    atomic_store_explicit(&span->carved, row->blocks, memory_order_relaxed);
    for (unsigned first = 0; first < row->blocks; first += 64) {
        (void)atomic_fetch_or_explicit(&span->free[first / 64], bit_low_mask(row->blocks - first),
                                       memory_order_release);
    }
    return true;
}

// A free block of a held span: of a random word that has one, the first behind a random bit.
static void *take_random(uint32_t head) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    unsigned words = (row->blocks + 63u) / 64;
    uint64_t random = root_random();
    unsigned turn = random & 63;
    unsigned word = random_below(random, words);
    for (unsigned i = 0; i < words; i++, word = word + 1 < words ? word + 1 : 0) {
        uint64_t bits = atomic_load_explicit(&span->free[word], memory_order_relaxed);
        if (bits == 0) {
            continue;
        }
        uint64_t turned = turn == 0 ? bits : bits >> turn | bits << (64 - turn);
        unsigned bit = (bit_lowest(turned) + turn) & 63;
        (void)atomic_fetch_and_explicit(&span->free[word], ~((uint64_t)1 << bit),
                                        memory_order_acq_rel);
        span_held_take(&span->state, 1, false);
        return (void *)(unit_address(head) + (word * 64 + bit) * (size_t)row->size);
    }
    return NULL;
}

// Takes from the span the heap holds, or from one that is held just for this.
static void *take_block(struct heap *heap, unsigned class) {
    uint32_t head = heap != NULL ? heap->held[class] : 0;
    void *block = NULL;
    for (;;) {
        head = head != 0 ? head : span_acquire(class, 0, false);
        if (head == 0) {
            return NULL;
        }
        bool open = atomic_load_explicit(&run_at(head)->carved, memory_order_relaxed) != 0 ||
                    open_span(head);
        block = open ? take_random(head) : NULL;
        if (block != NULL && heap != NULL) {
            heap->held[class] = head;
            return block;
        }
        if (heap != NULL) {
            heap->held[class] = 0;
        }
        span_release(head);
        if (block != NULL || !open) {
            return block;
        }
        head = 0;
    }
}

void *harden_new(struct heap *heap, unsigned class, size_t asked) {
    void *block = take_block(heap, class);
    if (block == NULL) {
        return NULL;
    }
    check_wiped(block, class, "malloc");
    uint64_t bit;
    _Atomic uint64_t *word = live_word(block, &bit);
    (void)atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    seal(block, class, asked);
    return block;
}

bool harden_resize(void *block, unsigned class, size_t old, size_t asked) {
    if (asked + CANARY_BYTES > SMALL_MAX || sizeclass_of(asked + CANARY_BYTES) != class) {
        return false;
    }
    harden_reseal(block, class, old, asked);
    return true;
}

void harden_reseal(void *block, unsigned class, size_t old, size_t asked) {
    unseal(class, old);
    seal(block, class, asked);
}

// ---- quarantine ---------------------------------------------------------------------------------

static unsigned class_of(const void *block) {
    return root.fixed.units[unit_of((uintptr_t)block)].bin / sizeof(struct bin);
}

static void **entry(uint32_t index) {
    return &quarantine.blocks[(quarantine.first + index) & (quarantine.room - 1)];
}

// Takes a random one of the older half out; the oldest moves into its place.
// pre: locked, count > 0.
static void *evict(void) {
    uint32_t half = (quarantine.count + 1) / 2;
    uint32_t chosen = random_below(root_random(), half);
    void *block = *entry(chosen);
    *entry(chosen) = *entry(0);
    quarantine.first++;
    quarantine.count--;
    quarantine.bytes -= sizeclass_size(class_of(block));
    hardened.quarantined[class_of(block)]--;
    return block;
}

// Puts a block in if there is room. Returns NULL, or a block to make room with, which may be the
// given one itself if the quarantine is too small for it.
static void *put(void *block, size_t size) {
    void *victim = NULL;
    os_lock(&quarantine.lock);
    if (quarantine.bytes + size <= quarantine.limit && quarantine.count < quarantine.room) {
        *entry(quarantine.count) = block;
        quarantine.count++;
        quarantine.bytes += size;
        hardened.quarantined[class_of(block)]++;
    } else {
        victim = quarantine.count > 0 ? evict() : block;
    }
    os_unlock(&quarantine.lock);
    return victim;
}

// What was in quarantine becomes a free block.
static void let_go(void *block, const char *function) {
    unsigned class = class_of(block);
    check_wiped(block, class, function);
    span_give_all(class, &block, 1, function);
}

void harden_free(void *block, unsigned class, size_t asked, const char *function) {
    uint64_t bit;
    _Atomic uint64_t *word = live_word(block, &bit);
    if ((atomic_fetch_and(word, ~bit) & bit) == 0) {
        panic_misuse(function, "double free of", block); // by another thread at this moment
    }
    unseal(class, asked);
    size_t size = sizeclass_size(class);
    memset(block, CANARY_FREED, size);
    void *victim = block;
    while ((victim = put(block, size)) != NULL) {
        let_go(victim, function);
        if (victim == block) {
            break;
        }
    }
}

COLD void harden_empty_quarantine(const char *function) {
    for (uint32_t i = 0; i < quarantine.room; i++) { // others may go on filling it
        os_lock(&quarantine.lock);
        void *block = quarantine.count > 0 ? evict() : NULL;
        os_unlock(&quarantine.lock);
        if (block == NULL) {
            return;
        }
        let_go(block, function);
    }
}

// A thread that was cut off in the middle of a change leaves the ring in doubt: what is in it then
// stays out of use in the child, which costs it the size of the quarantine at most.
void harden_after_fork(void) {
    if (atomic_load(&quarantine.lock) != 0) {
        quarantine.first = 0;
        quarantine.count = 0;
        quarantine.bytes = 0;
        atomic_store(&quarantine.lock, 0);
    }
    atomic_store(&open_lock, 0);
}
