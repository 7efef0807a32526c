#include "meta.h"

#include "allowance.h"
#include "os/os.h"
#include "root.h"
#include "tables.h"

#include <string.h>

#define META_SHIFT_MIN 6u

static unsigned size_shift(size_t size) {
    return size <= ((size_t)1 << META_SHIFT_MIN) ? META_SHIFT_MIN : bit_highest(size - 1) + 1;
}

// pre: the lock is held. What is to be `counted_anyway` the limit does not refuse.
static void *bump(size_t size, bool counted_anyway) {
    struct root_live *live = &root.live;
    if (size > live->meta_next - root.fixed.meta_start) {
        return NULL;
    }
    if (counted_anyway) {
        allowance_add(size);
    } else if (!allowance_take(size)) {
        return NULL;
    }
    uintptr_t start = live->meta_next - size;
    if (!tables_cover_meta(start)) {
        allowance_give(size);
        return NULL;
    }
    __atomic_store_n(&live->meta_next, start, __ATOMIC_RELAXED); // looked at without the lock too
    return (void *)start;
}

void *meta_take(size_t size) {
    unsigned shift = size_shift(size);
    unsigned slot = shift - META_SHIFT_MIN;
    os_lock(&root.live.meta_lock);
    void *memory = root.live.meta_free[slot];
    if (memory != NULL) {
        memcpy(&root.live.meta_free[slot], memory, sizeof(void *));
    } else {
        memory = bump((size_t)1 << shift, false);
        size = memory != NULL ? 0 : size; // fresh memory is zero already
    }
    os_unlock(&root.live.meta_lock);
    if (memory != NULL && size != 0) {
        memset(memory, 0, size);
    }
    return memory;
}

static void *take_for_good(size_t size, bool counted_anyway) {
    os_lock(&root.live.meta_lock);
    void *memory = bump(align_up(size, (size_t)1 << META_SHIFT_MIN), counted_anyway);
    os_unlock(&root.live.meta_lock);
    return memory;
}

void *meta_take_for_good(size_t size) {
    return take_for_good(size, false);
}

void *meta_take_for_return(size_t size) {
    return take_for_good(size, true);
}

void meta_give(void *memory, size_t size) {
    unsigned slot = size_shift(size) - META_SHIFT_MIN;
    os_lock(&root.live.meta_lock);
    memcpy(memory, &root.live.meta_free[slot], sizeof(void *));
    root.live.meta_free[slot] = memory;
    os_unlock(&root.live.meta_lock);
}

void meta_after_fork(void) {
    atomic_store(&root.live.meta_lock, 0);
}
