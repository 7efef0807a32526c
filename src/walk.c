#include "walk.h"

#include "bin.h"
#include "root.h"

#include <string.h>

READS_RACILY static void add_span(struct account *account, const struct run *span, uint32_t units) {
    unsigned class = span->class;
    if (class == 0 || class >= CLASS_COUNT) {
        return; // being made at this moment
    }
    const struct sizeclass *row = &sizeclass_table[class];
    struct class_account *sums = &account->classes[class];
    unsigned carved = atomic_load_explicit(&span->carved, memory_order_relaxed);
    sums->spans++;
    sums->blocks += row->blocks;
    sums->uncarved += row->blocks - carved;
    for (unsigned word = 0; word * 64 < carved; word++) {
        sums->free += bit_count(atomic_load_explicit(&span->free[word], memory_order_relaxed));
    }
    account->span_bytes += (uint64_t)units << UNIT_SHIFT;
}

READS_RACILY static void add_run(struct account *account, uint32_t head, uint64_t shape) {
    uint64_t bytes = (uint64_t)run_length_of(shape) << UNIT_SHIFT;
    uint64_t asked = run_at(head)->size;
    asked = asked < bytes ? asked : bytes; // the record may be another run's by now
    switch (run_kind_of(shape)) {
    case RUN_SPAN:
        add_span(account, run_at(head), run_length_of(shape));
        break;
    case RUN_LARGE:
        account->large_count++;
        account->large_bytes += bytes;
        account->large_asked += asked;
        account->large_usable += align_up(asked, root.fixed.page_size);
        break;
    case RUN_FOREIGN:
        account->foreign_bytes += bytes;
        break;
    default:
        account->pool_runs++;
        account->pool_bytes += bytes;
        account->pool_dirty_bytes += (uint64_t)run_at(head)->dirty << UNIT_SHIFT;
        break;
    }
}

READS_RACILY static void add_heaps(struct account *account) {
    for (const struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            account->classes[class].cached += bin_cached_now(heap, class);
        }
        account->heaps++;
    }
    account->threads = root.live.threads;
    const struct hardened *hardened = root.live.hardened;
    for (unsigned class = 1; hardened != NULL && class < CLASS_COUNT; class ++) {
        account->classes[class].cached += hardened->quarantined[class];
    }
    account->padding = hardened != NULL ? atomic_load(&hardened->padding) : 0;
}

READS_RACILY static void add_beside_arena(struct account *account) {
    account->mapping_count = root.live.mappings.count;
    account->mapping_bytes = root.live.mappings.bytes;
    account->mapping_asked = root.live.mappings.asked;
    const struct guard *guard = root.live.guard;
    for (uint32_t i = 0; guard != NULL && guard->length != 0 && i < guard->slot_count; i++) {
        bool used = atomic_load(&guard->slots[i].state) == SLOT_USED;
        account->guarded_count += used;
        account->guarded_bytes += used ? guard->slots[i].size : 0;
    }
}

static void add_up_classes(struct account *account) {
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        struct class_account *sums = &account->classes[class];
        uint64_t idle = sums->free + sums->uncarved + sums->cached;
        uint64_t used = sums->blocks > idle ? sums->blocks - idle : 0;
        uint64_t size = sizeclass_size(class);
        account->used_blocks += used;
        account->used_bytes += used * size;
        account->cached_blocks += sums->cached;
        account->cached_bytes += sums->cached * size;
        account->free_blocks += sums->free;
        account->free_bytes += (sums->free + sums->uncarved) * size;
    }
    account->padding = min_size(account->padding, account->used_bytes);
}

READS_RACILY void walk_account(struct account *account) {
    memset(account, 0, sizeof(*account));
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_acquire);
    for (uint64_t head = 1; head < top;) {
        uint64_t shape = run_load((uint32_t)head);
        if (run_length_of(shape) == 0) {
            break; // cannot be: the runs tile the arena at every instant
        }
        add_run(account, (uint32_t)head, shape);
        head += run_length_of(shape);
    }
    uint64_t limit = max_size(root.live.limit, top); // a step over a hole moves the top first
    if (limit > 0) {
        account->arena_bytes = ((limit - 1) << UNIT_SHIFT) - account->foreign_bytes;
        account->top_bytes = (limit - top) << UNIT_SHIFT;
    }
    add_beside_arena(account);
    account->meta_bytes = root.live.committed * (sizeof(struct run) + sizeof(struct unit)) +
                          (root.fixed.meta_end - root.live.meta_next) +
                          root.live.mappings.capacity * sizeof(struct mapping) +
                          sizeof(struct lucid_root) + LANES * sizeof(struct lane) +
                          root_hardened_bytes();
    add_heaps(account);
    add_up_classes(account);
}
