#include "purge.h"

#include "helper.h"
#include "options.h"
#include "os/os.h"
#include "release.h"
#include "root.h"
#include "trim.h"

#define DIRTY_ALWAYS_KEPT (((size_t)4 << 20) >> UNIT_SHIFT)
#define DIRTY_SHARE 8u      // of what is in use, kept on top
#define PURGE_PAUSE_MS 100u // between two purges without a helper

static uint64_t dirty_allowed(void) {
    return DIRTY_ALWAYS_KEPT + root_used_units() / DIRTY_SHARE;
}

// Without a helper: the program's own time is all there is.
static COLD void purge_here(void) {
    if (release_possible() <= dirty_allowed() * 2) {
        return; // not enough to be worth a system call
    }
    uint32_t now = (uint32_t)os_now_ms();
    uint64_t pause = root.live.options.value[OPTION_PURGE_AGE];
    pause = pause > PURGE_PAUSE_MS ? pause : PURGE_PAUSE_MS;
    uint32_t last = __atomic_load_n(&root.live.pool.last_purge, __ATOMIC_RELAXED);
    if (now - last >= pause) { // else what is free now may be reused soon
        (void)release_dirty(dirty_allowed(), 0);
    }
}

static COLD void ask_for_helper(void) {
    if (root.live.options.value[OPTION_PURGE] && !helper_call()) {
        purge_here();
    }
}

void purge_after_free(void) {
    if (release_possible() > helper_start_units() + helper_keep_units()) {
        ask_for_helper();
    }
}

void purge_after_flush(struct heap *heap, size_t bytes) {
    purge_note_again(heap, bytes);
    heap->given += bytes;
    if (unlikely(heap->given > TRIM_AFTER_BYTES + (helper_keep_units() << UNIT_SHIFT))) {
        heap->given = 0;
        atomic_store_explicit(&root.live.giving.trim, 1, memory_order_relaxed);
        ask_for_helper();
    } else {
        purge_after_free();
    }
}

void purge_asked(void) {
    (void)release_dirty(0, 0);
    atomic_store_explicit(&root.live.giving.trim, 1, memory_order_relaxed);
    if (!root.live.options.value[OPTION_PURGE] || !helper_call()) {
        (void)trim_all();
    }
}

// A helper that rests does so for as long as the options were before.
COLD void purge_reconsider(void) {
    const struct giving *giving = &root.live.giving;
    bool wanted = atomic_load(&giving->tid) != 0 || atomic_load(&giving->trim) != 0 ||
                  release_possible() > helper_start_units() + helper_keep_units();
    if (wanted && root.live.options.value[OPTION_PURGE] && !helper_call_now()) {
        purge_here();
    }
}

void purge_sleepers(void) {
    atomic_store(&root.live.giving.empty, 1);
    (void)helper_call_now();
}

COLD void purge_grown(uint64_t bytes) {
    if (bytes > HELPER_START_BYTES + (helper_keep_units() << UNIT_SHIFT)) {
        atomic_store_explicit(&root.live.giving.growth, 0, memory_order_relaxed);
        atomic_store_explicit(&root.live.giving.trim, 1, memory_order_relaxed);
        ask_for_helper();
    }
}
