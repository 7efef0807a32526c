// The public functions of the program's own heaps, which are regions inside (region.h).
#include "alloc.h"
#include "event.h"
#include "export.h"
#include "fork.h"
#include "init.h"
#include "panic.h"
#include "region.h"
#include "relief.h"

#include <errno.h>
#include <lucid.h>

// The region behind a handle; panics when it is none.
static struct lucid_region *region_of(lucid_heap *heap, const char *function) {
    struct lucid_region *region = (struct lucid_region *)heap;
    if (!init_ready()) {
        panic_misuse(function, "pointer that is no heap", heap);
    }
    fork_check();
    region_require(region, function);
    return region;
}

static struct block block_in(const struct lucid_region *region, const void *pointer,
                             const char *function) {
    struct block block = block_of(pointer, function);
    if (block.region != region) {
        block_panic(function, "block that is not of this heap", pointer);
    }
    return block;
}

EXPORT lucid_heap *lucid_heap_new(const char *name) {
    struct lucid_region *region = NULL;
    struct relief relief = {0};
    if (init_ready()) {
        fork_check();
        region = region_new(name);
    }
    while (region == NULL && alloc_again(&relief, sizeof(*region), BLOCK_ALIGN)) {
        region = region_new(name);
    }
    if (region == NULL) {
        errno = ENOMEM;
    }
    return (lucid_heap *)region;
}

EXPORT void lucid_heap_set_name(lucid_heap *heap, const char *name) {
    region_name(region_of(heap, "lucid_heap_set_name"), name);
}

EXPORT void *lucid_heap_alloc(lucid_heap *heap, size_t size) {
    return alloc_in(region_of(heap, "lucid_heap_alloc"), BLOCK_ALIGN, size, false);
}

EXPORT void *lucid_heap_calloc(lucid_heap *heap, size_t count, size_t size) {
    struct lucid_region *region = region_of(heap, "lucid_heap_calloc");
    size_t bytes;
    if (unlikely(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc_in(region, BLOCK_ALIGN, bytes, true);
}

EXPORT void *lucid_heap_aligned_alloc(lucid_heap *heap, size_t alignment, size_t size) {
    struct lucid_region *region = region_of(heap, "lucid_heap_aligned_alloc");
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_in(region, alignment, size, false);
}

EXPORT void *lucid_heap_realloc(lucid_heap *heap, void *block, size_t size) {
    struct lucid_region *region = region_of(heap, "lucid_heap_realloc");
    if (block == NULL) {
        return alloc_in(region, BLOCK_ALIGN, size, false);
    }
    (void)block_in(region, block, "lucid_heap_realloc");
    return lucid_realloc(block, size); // a block stays with its heap
}

EXPORT void lucid_heap_free(lucid_heap *heap, void *block) {
    struct lucid_region *region = region_of(heap, "lucid_heap_free");
    if (block != NULL) {
        struct block known = block_in(region, block, "lucid_heap_free");
        event_raise(EVENT_FREE, block, known.size, known.class, 1);
        region_free(block, &known, "lucid_heap_free");
    }
}

EXPORT void lucid_heap_free_all(lucid_heap *heap) {
    region_free_all(region_of(heap, "lucid_heap_free_all"));
}

EXPORT void lucid_heap_destroy(lucid_heap *heap) {
    region_destroy(region_of(heap, "lucid_heap_destroy"));
}
