#include "recycle.h"

#include "allowance.h"
#include "harden.h"
#include "options.h"
#include "os/os.h"
#include "root.h"

size_t recycle_wished_threshold(void) {
    return root.live.options.value[OPTION_MMAP_THRESHOLD];
}

// Does what the arena keeps of a freed block go back soon, and does the program want it there?
static bool may_recycle(void) {
    const struct option_values *options = &root.live.options;
    if (options->source[OPTION_MMAP_THRESHOLD] != SOURCE_DEFAULT) {
        return false; // the program knows better
    }
    if (!options->value[OPTION_PURGE] || !options->value[OPTION_HELPER]) {
        return false; // it would stay for good
    }
    if (__atomic_load_n(&root.live.giving.refused, __ATOMIC_RELAXED) != 0) {
        return false; // it might stay: the system has refused a helper, or to take memory back
    }
    if (allowance_is_limited()) {
        return false; // a mapping goes at once, and needs no copy to grow
    }
    return !harden_on(); // a mapping has fences
}

bool recycle_is_locked(void) {
    void *probe = (void *)os_map(root.fixed.page_size);
    bool unlocked = probe != NULL && os_purge(probe, root.fixed.page_size);
    if (probe != NULL) {
        (void)os_unmap(probe, root.fixed.page_size);
    }
    return !unlocked;
}

// The arena gives memory back, but not its addresses, and nothing at all of what is locked.
static bool may_keep_addresses(void) {
    return !recycle_is_locked() && os_address_space_limit() == SIZE_MAX;
}

size_t recycle_threshold(void) {
    size_t recycled = atomic_load_explicit(&root.live.recycled, memory_order_relaxed);
    size_t wished = recycle_wished_threshold();
    return recycled > wished && may_recycle() ? recycled : wished;
}

void recycle_note_freed(size_t size) {
    bool fits = size > recycle_threshold() && size <= RECYCLED_MAX;
    if (fits && may_recycle() && may_keep_addresses()) {
        atomic_store_explicit(&root.live.recycled, size, memory_order_relaxed);
    }
}
