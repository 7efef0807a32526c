// The one object from which all state of the allocator is reached. Exported as `lucid_root` for
// readers; inside the library it is `root`, so that no access goes through the symbol table.
#ifndef LUCID_ROOT_H
#define LUCID_ROOT_H

#include "layout.h"
#include "os/os.h"

// Hidden in the declarations too: the compiler then needs no detour through the symbol table.
#define HIDDEN __attribute__((visibility("hidden")))

extern struct lucid_root root HIDDEN __attribute__((aligned(PAGE_SIZE_MAX)));

// The calling thread's heap, never NULL: before the first call and after the thread's exit it is
// the heap of nobody, of which only the bins exist. They are both empty and full, so that the
// fast paths need no test for it.
extern _Thread_local struct heap *heap_self HIDDEN __attribute__((tls_model("initial-exec")));

static inline struct heap *heap_of_nobody(void) {
    return (struct heap *)root.live.nobody;
}

// What each of them is while no malloc is under way, and what a heap's bins are at first.
static inline struct bin bin_of_nobody(void) {
    return (struct bin){.top = root.fixed.empty_slots + EMPTY_SLOTS, .end = NULL};
}

// The calling thread's heap while every call is watched: heap_self has bins then that are as empty
// and full as those of nobody, so that every call leaves the fast path by the tests it makes
// anyway. NULL otherwise.
extern _Thread_local struct heap *heap_hidden HIDDEN __attribute__((tls_model("initial-exec")));

// The calling thread's heap, watched or not; the heap of nobody if it has none.
static inline struct heap *heap_mine(void) {
    return unlikely(heap_hidden != NULL) ? heap_hidden : heap_self;
}

// Does this thread alone change the heap? The helper does too, and the C library does not know it.
// Where a signal can start the helper, it may come in between any two instructions.
static inline bool alone_now(void) {
    return os_single_threaded() &&
           atomic_load_explicit(&root.live.giving.tid, memory_order_acquire) == 0 &&
           atomic_load_explicit(&root.live.request.state, memory_order_relaxed) == REQUEST_CLOSED;
}

// Locks of the slow paths. Who is alone stays so until it lets go, because only it could start
// another thread, and needs no atomic exchange.
static inline void lock_take(_Atomic uint32_t *lock) {
    if (alone_now()) {
        atomic_store_explicit(lock, 1, memory_order_relaxed);
    } else {
        os_lock(lock);
    }
}

static inline void lock_drop(_Atomic uint32_t *lock) {
    if (alone_now()) {
        atomic_store_explicit(lock, 0, memory_order_relaxed);
    } else {
        os_unlock(lock);
    }
}

// Units below the top that a run uses, loose ones among them, about:
// others may change it meanwhile.
static inline uint64_t root_used_units(void) {
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_relaxed);
    return top - __atomic_load_n(&root.live.pool.free_units, __ATOMIC_RELAXED);
}

// Lanes that threads have had so far; at least one.
static inline unsigned root_lanes(void) {
    uint32_t heaps = __atomic_load_n(&root.live.heap_count, __ATOMIC_RELAXED);
    return heaps < LANES ? (heaps > 1 ? heaps : 1) : LANES;
}

#define LIVE_BYTES (UNIT_SIZE / BLOCK_ALIGN / 8) // of live bits, for each unit

// Bytes of the tables that hardened mode has for itself.
static inline uint64_t root_hardened_bytes(void) {
    const struct hardened *hardened = root.live.hardened;
    uint64_t opened = hardened != NULL ? __atomic_load_n(&hardened->opened, __ATOMIC_RELAXED) : 0;
    return hardened != NULL ? opened * LIVE_BYTES + hardened->ring : 0;
}

static inline struct run *run_at(uint32_t unit) {
    return &root.fixed.runs[unit];
}

static inline uintptr_t unit_address(uint32_t unit) {
    return root.fixed.base + ((uintptr_t)unit << UNIT_SHIFT);
}

// The unit an address lies in; pre: the address is inside the arena.
static inline uint32_t unit_of(uintptr_t address) {
    return (uint32_t)((address - root.fixed.base) >> UNIT_SHIFT);
}

// Granules from the base to the end of the arena. A plain load, so that it can be an operand of
// the compare; the value only ever grows, and an old one only leads to the slow path.
static inline uint64_t root_reach(void) {
    if (UNDER_TSAN) {
        return atomic_load_explicit(&root.live.reach, memory_order_relaxed);
    }
    return *(const uint64_t *)&root.live.reach;
}

static inline bool in_arena(uintptr_t address) {
    uint64_t granule = (address - root.fixed.base) / BLOCK_ALIGN;
    return granule < atomic_load_explicit(&root.live.reach, memory_order_relaxed);
}

static inline uint64_t run_load(uint32_t unit) {
    return atomic_load_explicit(&run_at(unit)->shape, memory_order_acquire);
}

static inline void run_store(uint32_t unit, enum run_kind kind, uint32_t length) {
    atomic_store_explicit(&run_at(unit)->shape, run_shape(kind, length), memory_order_release);
}

// Random bits that depend on the secret, for decisions only. Async-signal-safe.
uint64_t root_random(void);

#endif
