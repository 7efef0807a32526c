#include "purge.h"

#include "arena.h"
#include "options.h"
#include "os/os.h"
#include "root.h"

#define DIRTY_ALWAYS_KEPT (((size_t)4 << 20) >> UNIT_SHIFT)
#define DIRTY_SHARE 8u        // of what is in use, kept on top
#define PURGE_PAUSE_MS 100u   // between two purges

static uint64_t dirty_allowed(void) {
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_relaxed);
    uint64_t used = top - __atomic_load_n(&root.live.pool.free_units, __ATOMIC_RELAXED);
    return DIRTY_ALWAYS_KEPT + used / DIRTY_SHARE;
}

static bool purge_is_due(void) {
    if (!root.live.options.value[OPTION_PURGE]) {
        return false; // switched off
    }
    if (__atomic_load_n(&root.live.pool.dirty_units, __ATOMIC_RELAXED) <= dirty_allowed() * 2) {
        return false; // not enough to be worth a system call
    }
    uint32_t now = (uint32_t)os_now_ms();
    uint64_t pause = root.live.options.value[OPTION_PURGE_AGE];
    pause = pause > PURGE_PAUSE_MS ? pause : PURGE_PAUSE_MS;
    return now - root.live.pool.last_purge >= pause; // else what is free now may be reused soon
}

void purge_after_free(void) {
    if (purge_is_due()) {
        (void)arena_purge(dirty_allowed());
    }
}
