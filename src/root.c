#include "root.h"

// Not inside the root, which is in the file: when one page of a file is read the kernel adds those
// around it, so that a program with one thread would keep all lanes resident.
// One object, so that the first lane comes first, on the root's last page.
static struct {
    struct lane lanes[LANES];
    uint32_t shelves[POOL_SIDES][POOL_SHELVES];
} apart;

// The version text can be found in a stripped binary with strings(1).
struct lucid_root root = {
    .fixed =
        {
            .magic = LUCID_LAYOUT_MAGIC,
            .version = LUCID_LAYOUT_VERSION,
            .self = (uintptr_t)&root,
            .library_version = LUCID_VERSION_TEXT,
            .layout =
                {
                    .size_unit = sizeof(struct unit),
                    .size_run = sizeof(struct run),
                    .size_mapping = sizeof(struct mapping),
                    .size_bin = sizeof(struct bin),
                    .size_heap = sizeof(struct heap),
                    .size_sizeclass = sizeof(struct sizeclass),
                    .size_class_list = sizeof(struct class_list),
                    .size_lane = sizeof(struct lane),
                    .size_pool = sizeof(struct pool),
                    .size_mapping_table = sizeof(struct mapping_table),
                    .size_fixed = sizeof(struct root_fixed),
                    .size_live = sizeof(struct root_live),
                    .offset_live = offsetof(struct lucid_root, live),
                    .run_shape = offsetof(struct run, shape),
                    .run_state = offsetof(struct run, state),
                    .run_class = offsetof(struct run, class),
                    .run_carved = offsetof(struct run, carved),
                    .run_size = offsetof(struct run, size),
                    .run_birth = offsetof(struct run, birth),
                    .run_dirty = offsetof(struct run, dirty),
                    .run_free = offsetof(struct run, free),
                    .heap_slots = offsetof(struct heap, slots),
                    .heap_capacity = offsetof(struct heap, capacity),
                    .heap_held = offsetof(struct heap, held),
                    .heap_state = offsetof(struct heap, state),
                    .heap_tid = offsetof(struct heap, tid),
                    .heap_next = offsetof(struct heap, next),
                    .heap_counters = offsetof(struct heap, counters),
                    .class_count = CLASS_COUNT,
                    .class_linear_count = CLASS_LINEAR_COUNT,
                    .unit_shift = UNIT_SHIFT,
                    .pointer_size = sizeof(void *),
                    .size_region = sizeof(struct lucid_region),
                    .run_region = offsetof(struct run, region),
                    .region_state = offsetof(struct lucid_region, state),
                    .region_name = offsetof(struct lucid_region, name),
                    .region_next = offsetof(struct lucid_region, next),
                    .heap_fences = offsetof(struct heap, fences),
                    .size_fence = sizeof(struct fence),
                },
            .shelves = apart.shelves,
        },
    .live =
        {
            .lanes = apart.lanes,
            .nobody = {[0 ... CLASS_COUNT - 1] = {.top = root.fixed.empty_slots + EMPTY_SLOTS}},
        },
};

extern struct lucid_root lucid_root __attribute__((alias("root"), visibility("default")));

_Thread_local struct heap *heap_self = (struct heap *)root.live.nobody;
_Thread_local struct heap *heap_hidden;

// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014) on a
// counter, with the secret mixed in.
uint64_t root_random(void) {
    static _Atomic uint64_t calls;
    uint64_t x = atomic_fetch_add_explicit(&calls, 0x9e3779b97f4a7c15u, memory_order_relaxed);
    x ^= root.fixed.mark;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
