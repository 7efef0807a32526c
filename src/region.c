#include "region.h"

#include "arena.h"
#include "event.h"
#include "large.h"
#include "mapping.h"
#include "meta.h"
#include "os/os.h"
#include "panic.h"
#include "purge.h"
#include "span.h"
#include "spanstate.h"

#include <string.h>

// So many ended regions wait before the first of them is used again: until then its old address is
// known to be no region's.
#define FREE_KEPT (LUCID_STRESS ? 2u : 64u)

static struct region_table *table(void) {
    return &root.live.regions;
}

// ---- the lists of a region; pre: it is locked ---------------------------------------------------

static void runs_link(struct lucid_region *region, uint32_t head) {
    run_at(head)->left = 0;
    run_at(head)->right = region->runs;
    if (region->runs != 0) {
        run_at(region->runs)->left = head;
    }
    region->runs = head;
}

static void runs_unlink(struct lucid_region *region, uint32_t head) {
    struct run *run = run_at(head);
    if (run->left != 0) {
        run_at(run->left)->right = run->right;
    } else {
        region->runs = run->right;
    }
    if (run->right != 0) {
        run_at(run->right)->left = run->left;
    }
}

// The pool may look at `prev` at any time (pool_run_before).
static void set_prev(uint32_t head, uint32_t prev) {
    __atomic_store_n(&run_at(head)->prev, prev, __ATOMIC_RELAXED);
}

static void usable_link(struct lucid_region *region, uint32_t head) {
    uint32_t *first = &region->usable[run_at(head)->class];
    set_prev(head, 0);
    run_at(head)->next = *first;
    if (*first != 0) {
        set_prev(*first, head);
    }
    *first = head;
}

static void usable_unlink(struct lucid_region *region, uint32_t head) {
    struct run *span = run_at(head);
    if (span->prev != 0) {
        run_at(span->prev)->next = span->next;
    } else {
        region->usable[span->class] = span->next;
    }
    if (span->next != 0) {
        set_prev(span->next, span->prev);
    }
}

static uint32_t count_of(const struct run *span) {
    return (uint32_t)span_count(atomic_load_explicit(&span->state, memory_order_relaxed));
}

static void set_count(struct run *span, uint32_t count) {
    atomic_store_explicit(&span->state, span_state(SPAN_HELD, count), memory_order_relaxed);
}

// ---- taking -------------------------------------------------------------------------------------

// The first free block, which exists. The bits are stored in one piece for readers outside.
static unsigned take_bit(struct run *span) {
    unsigned word = 0;
    uint64_t bits = 0;
    while ((bits = atomic_load_explicit(&span->free[word], memory_order_relaxed)) == 0) {
        word++;
    }
    atomic_store_explicit(&span->free[word], bits & (bits - 1), memory_order_relaxed);
    return word * 64 + bit_lowest(bits);
}

// Blocks that were freed come first: their pages are there. NULL: the span is full.
static void *take_from(uint32_t head) {
    struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    uint32_t count = count_of(span);
    unsigned index = atomic_load_explicit(&span->carved, memory_order_relaxed);
    if (count == 0) {
        return NULL;
    }
    if (count == row->blocks - index) {
        atomic_store_explicit(&span->carved, (uint16_t)(index + 1), memory_order_relaxed);
    } else {
        index = take_bit(span);
    }
    set_count(span, count - 1);
    return (void *)(unit_address(head) + (size_t)index * row->size);
}

static void *take_known(struct lucid_region *region, unsigned class) {
    uint32_t head = region->current[class];
    void *block = NULL;
    while (head != 0 && (block = take_from(head)) == NULL) {
        head = region->usable[class];
        if (head != 0) {
            usable_unlink(region, head);
        }
        region->current[class] = head;
    }
    return block;
}

void *region_take(struct lucid_region *region, unsigned class) {
    os_lock(&region->lock);
    void *block = take_known(region, class);
    os_unlock(&region->lock);
    if (likely(block != NULL)) {
        return block;
    }
    uint32_t head = span_new_for(class, region); // may ask the system, so without the lock
    if (head == 0) {
        return NULL;
    }
    os_lock(&region->lock);
    runs_link(region, head);
    block = take_from(head);
    if (region->current[class] == 0) {
        region->current[class] = head;
    } else if (count_of(run_at(head)) > 0) { // another thread was here meanwhile
        usable_link(region, head);
    }
    os_unlock(&region->lock);
    return block;
}

// Not in_arena alone: a mapping lies in the arena's range where the arena went on behind it.
static bool is_run(uintptr_t block) {
    return in_arena(block) && run_kind_of(run_load(unit_of(block))) == RUN_LARGE;
}

void *region_take_large(struct lucid_region *region, size_t size, size_t alignment, bool zero) {
    void *block = large_new(size, alignment, zero, region);
    if (block == NULL) {
        return NULL;
    }
    os_lock(&region->lock);
    if (is_run((uintptr_t)block)) {
        runs_link(region, unit_of((uintptr_t)block));
    } else {
        region->mappings++;
    }
    os_unlock(&region->lock);
    return block;
}

// ---- giving -------------------------------------------------------------------------------------

// Under the lock everything is looked at once more: two threads may free a block at once.
static void give_small(struct lucid_region *region, void *pointer, uint32_t head,
                       const char *function) {
    struct run *span = run_at(head);
    if (run_kind_of(run_load(head)) != RUN_SPAN || span->region != region) {
        panic_misuse(function, "double free of", pointer);
    }
    const struct sizeclass *row = &sizeclass_table[span->class];
    unsigned index = sizeclass_index(span->class, (uintptr_t)pointer - unit_address(head));
    uint64_t bit = (uint64_t)1 << index % 64;
    uint64_t bits = atomic_load_explicit(&span->free[index / 64], memory_order_relaxed);
    if ((bits & bit) != 0) {
        panic_misuse(function, "double free of", pointer);
    }
    uint32_t count = count_of(span);
    atomic_store_explicit(&span->free[index / 64], bits | bit, memory_order_relaxed);
    set_count(span, count + 1);
    if (region->current[span->class] == head) {
        return; // it stays even when it is empty, for a program that takes and frees one block
    }
    if (count == 0) {
        usable_link(region, head);
    }
    if (count + 1 == row->blocks) {
        usable_unlink(region, head);
        runs_unlink(region, head);
        span_end(head);
    }
}

static void give_large(struct lucid_region *region, void *pointer, uint32_t head,
                       const char *function) {
    if (run_kind_of(run_load(head)) != RUN_LARGE || run_at(head)->region != region) {
        panic_misuse(function, "double free of", pointer);
    }
    runs_unlink(region, head);
    event_raise(EVENT_LARGE_GONE, pointer, run_at(head)->size, 0, 1);
    (void)arena_free_large(head);
}

void region_free(void *pointer, const struct block *block, const char *function) {
    struct lucid_region *region = block->region;
    if (block->kind == BLOCK_MAPPING) {
        if (!mapping_free(pointer)) {
            panic_misuse(function, "double free of", pointer);
        }
        region->mappings--;
        return;
    }
    os_lock(&region->lock);
    if (block->kind == BLOCK_SMALL) {
        give_small(region, pointer, block->head, function);
    } else {
        give_large(region, pointer, block->head, function);
    }
    os_unlock(&region->lock);
    purge_after_free();
}

// ---- giving all ---------------------------------------------------------------------------------

// For those who count blocks. Costs nothing when nobody does.
static COLD void tell_frees(uint32_t head) {
    const struct run *span = run_at(head);
    if (run_kind_of(run_load(head)) == RUN_LARGE) {
        size_t usable = align_up(span->size, root.fixed.page_size);
        event_raise(EVENT_FREE, (void *)unit_address(head), usable, 0, 1);
        return;
    }
    size_t size = sizeclass_size(span->class);
    for (unsigned index = 0; index < atomic_load(&span->carved); index++) {
        if (!span_is_free(span, index)) {
            event_raise(EVENT_FREE, (void *)(unit_address(head) + index * size), size, span->class,
                        1);
        }
    }
}

static void end_run(uint32_t head) {
    if (root.live.watch & (uint32_t)1 << EVENT_FREE) {
        tell_frees(head);
    }
    if (run_kind_of(run_load(head)) == RUN_SPAN) {
        span_end(head);
    } else {
        event_raise(EVENT_LARGE_GONE, (void *)unit_address(head), run_at(head)->size, 0, 1);
        (void)arena_free_large(head);
    }
}

void region_free_all(struct lucid_region *region) {
    os_lock(&region->lock);
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        region->current[class] = region->usable[class] = 0;
    }
    while (region->runs != 0) {
        uint32_t head = region->runs;
        runs_unlink(region, head);
        end_run(head);
    }
    os_unlock(&region->lock);
    if (region->mappings != 0) {
        mapping_free_all(region);
        region->mappings = 0;
    }
    purge_after_free();
}

// ---- life ---------------------------------------------------------------------------------------

// A region that ended, if enough of them wait. pre: the registry is locked.
static struct lucid_region *free_take(void) {
    struct lucid_region *region = table()->free;
    if (region == NULL || table()->free_count <= FREE_KEPT) {
        return NULL;
    }
    table()->free = region->next_free;
    table()->free_last = table()->free != NULL ? table()->free_last : NULL;
    table()->free_count--;
    return region;
}

// pre: as above.
static void free_give(struct lucid_region *region) {
    region->next_free = NULL;
    if (table()->free == NULL) {
        table()->free = region;
    } else {
        table()->free_last->next_free = region;
    }
    table()->free_last = region;
    table()->free_count++;
}

struct lucid_region *region_new(const char *name) {
    os_lock(&table()->lock);
    struct lucid_region *region = free_take();
    os_unlock(&table()->lock);
    if (region == NULL) {
        region = meta_take_for_good(sizeof(*region));
        if (region == NULL) {
            return NULL;
        }
        region->self = (uintptr_t)region;
        os_lock(&table()->lock);
        region->next = table()->first;
        table()->count++; // first: readers take it for the most there can be
        __atomic_store_n(&table()->first, region, __ATOMIC_RELEASE);
        os_unlock(&table()->lock);
    }
    region_name(region, name);
    atomic_store(&region->state, REGION_LIVE);
    return region;
}

// Printed by others as it is, so nothing in it may move a terminal's cursor.
void region_name(struct lucid_region *region, const char *name) {
    char text[REGION_NAME_ROOM] = {0};
    for (unsigned i = 0; name != NULL && i < REGION_NAME_ROOM - 1 && name[i] != 0; i++) {
        bool plain = (unsigned char)name[i] >= ' ' && (unsigned char)name[i] != 0x7f;
        text[i] = name[i];
        if (!plain) {
            text[i] = '?';
        }
    }
    os_lock(&region->lock);
    memcpy(region->name, text, sizeof(text));
    os_unlock(&region->lock);
}

void region_require(const struct lucid_region *region, const char *function) {
    uintptr_t address = (uintptr_t)region;
    bool inside = address >= __atomic_load_n(&root.live.meta_next, __ATOMIC_RELAXED) &&
                  is_aligned(address, 64) && address <= root.fixed.meta_end - sizeof(*region);
    if (!inside || region->self != address) {
        block_panic(function, "pointer that is no heap", region);
    }
    if (atomic_load_explicit(&region->state, memory_order_relaxed) != REGION_LIVE) {
        panic_misuse(function, "use of the destroyed heap", region);
    }
}

void region_destroy(struct lucid_region *region) {
    uint32_t state = REGION_LIVE;
    if (!atomic_compare_exchange_strong(&region->state, &state, REGION_ENDING)) {
        panic_misuse("lucid_heap_destroy", "use of the destroyed heap", region);
    }
    region_free_all(region);
    os_lock(&table()->lock);
    atomic_store(&region->state, REGION_FREE);
    free_give(region);
    os_unlock(&table()->lock);
}

// ---- fork ---------------------------------------------------------------------------------------

// One empty span of a class may stay, as the current one.
static void relink_span(uint32_t head) {
    struct run *span = run_at(head);
    uint32_t *current = &span->region->current[span->class];
    bool empty = count_of(span) == sizeclass_table[span->class].blocks;
    if (empty && *current != 0) {
        span_end(head);
        return;
    }
    runs_link(span->region, head);
    if (empty) {
        *current = head;
    } else if (count_of(span) > 0) {
        usable_link(span->region, head);
    }
}

static void relink_runs(void) {
    uint32_t top = (uint32_t)atomic_load(&root.live.top);
    for (uint32_t head = 1; head < top;) {
        uint64_t shape = run_load(head);
        bool owned = run_kind_of(shape) == RUN_SPAN || run_kind_of(shape) == RUN_LARGE;
        owned = owned && run_at(head)->region != NULL;
        if (owned && run_kind_of(shape) == RUN_SPAN) {
            relink_span(head);
        } else if (owned) {
            runs_link(run_at(head)->region, head);
        }
        head += run_length_of(shape);
        while (head < top && run_load(head) == 0) { // joined with a span that ended just now
            head++;
        }
    }
}

// Another thread may have been cut off anywhere above. Runs and mappings name their region at every
// instant; all else is made anew. A region that was being ended is ended here.
void region_after_fork(void) {
    atomic_store(&table()->lock, 0);
    table()->free = table()->free_last = NULL;
    table()->free_count = 0;
    table()->count = 0;
    for (struct lucid_region *region = table()->first; region != NULL; region = region->next) {
        table()->count++;
        atomic_store(&region->lock, 0);
        region->runs = 0;
        memset(region->current, 0, sizeof(region->current));
        memset(region->usable, 0, sizeof(region->usable));
        region->mappings = 0;
        region->first_mapping = 0;
    }
    mapping_relink();
    relink_runs();
    for (struct lucid_region *region = table()->first; region != NULL; region = region->next) {
        if (atomic_load(&region->state) == REGION_ENDING) {
            region_free_all(region);
            atomic_store(&region->state, REGION_FREE);
        }
        if (atomic_load(&region->state) == REGION_FREE) {
            free_give(region);
        }
    }
}
