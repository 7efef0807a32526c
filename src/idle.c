#include "idle.h"

#include "meta.h"
#include "os/os.h"
#include "root.h"
#include "span.h"
#include "trim.h"

#define STEP_MS (LUCID_STRESS ? 8u : 20u) // between two steps; the clock is good to 4 or 10 ms
#define WORTH_PAGES 16u
#define HELD_IS_WORTH 4u // pages: a held span keeps its free ones
#define BATCH 64u
#define FAT_PAGES 1000u // threads that have so many together are waited for while they are active
#define FAT_LOOK_MS 250u
#define ROUNDS_AT_ONCE 6u // of steps, when all is wanted at once: two do, the clock may be late

static uint32_t now_ms(void) {
    return (uint32_t)os_now_ms();
}

static enum idle_stage stage_of(const struct heap *heap) {
    return (enum idle_stage)atomic_load_explicit(&heap->idle, memory_order_acquire);
}

// The slot that the next freed block goes to: above the topmost block. The thread may be moving it.
READS_RACILY static uint32_t top_slot(const struct heap *heap, unsigned class) {
    uintptr_t top = (uintptr_t) * (void **const volatile *)&heap->bins[class].top;
    return (uint32_t)((top - (uintptr_t)heap->slots[class]) / sizeof(void *));
}

// After all that was stored before, so that the child of a fork in between finds things in order.
static void set_slot(struct heap *heap, unsigned class, uint32_t slot, void *block) {
    __atomic_store_n(&heap->slots[class][slot], block, __ATOMIC_RELEASE);
}

// ---- the thread comes back ----------------------------------------------------------------------

// What it has popped meanwhile is its own.
static void take_fence_down(struct heap *heap, unsigned class) {
    struct fence *fence = &heap->fences[class];
    if (fence->slot != 0 && top_slot(heap, class) > fence->slot) {
        set_slot(heap, class, fence->slot, fence->block);
    }
    fence->slot = 0;
}

// Blocks that were taken have left holes. The child of a fork in between may lose a block, but must
// not have it twice.
static void close_holes(struct heap *heap, unsigned class) {
    void **slots = heap->slots[class];
    uint32_t top = top_slot(heap, class);
    uint32_t kept = 1;
    for (uint32_t slot = 1; slot < top; slot++) {
        void *block = slots[slot];
        if (block != NULL && kept != slot) {
            set_slot(heap, class, slot, NULL);
            set_slot(heap, class, kept, block);
        }
        kept += block != NULL;
    }
    heap->bins[class].top = slots + kept;
}

static void settle(struct heap *heap) {
    uint32_t stage = atomic_load_explicit(&heap->idle, memory_order_relaxed);
    for (unsigned class = 1; stage != IDLE_NO && class < CLASS_COUNT; class ++) {
        void **slots = heap->slots[class];
        if (slots == NULL) {
            continue;
        }
        if (stage != IDLE_ASKED) {
            take_fence_down(heap, class);
            close_holes(heap, class);
        }
        heap->bins[class].end = slots + 1 + heap->capacity[class];
    }
    heap->unnoted = stage == IDLE_TAKEN ? heap->room : heap->unnoted;
    atomic_store_explicit(&heap->idle, IDLE_NO, memory_order_release);
}

COLD void idle_end(struct heap *heap) {
    os_lock(&heap->idle_lock);
    settle(heap);
    os_unlock(&heap->idle_lock);
}

// Some of what the helper was giving back may be somebody's by now: the child does without it.
static void forget_leaving(struct heap *heap) {
    struct fence *fence = &heap->fences[heap->flush_class];
    for (uint32_t slot = 1; slot <= heap->flush_count; slot++) {
        set_slot(heap, heap->flush_class, slot, NULL);
    }
    if (heap->flush_count == fence->slot) {
        fence->slot = 0;
    }
    heap->flush_count = 0;
}

void idle_after_fork(struct heap *heap) {
    atomic_store(&heap->idle_lock, 0);
    if (stage_of(heap) == IDLE_FENCED && heap->flush_count != 0) {
        forget_leaving(heap);
    }
    settle(heap);
}

// ---- the helper, or who needs memory at once ----------------------------------------------------

// The bin's owner may be changing it, or be about to use it: it only ever compares `end` with the
// top, so that a bin with this end is one more that looks full. An owner that overwrites it at the
// same moment is on its slow path and will see `asked` the next time.
READS_RACILY void idle_ask(struct heap *heap) {
    atomic_store_explicit(&heap->asked, 1, memory_order_release);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (*(void **const volatile *)&heap->slots[class] != NULL && top_slot(heap, class) > 1) {
            *(void **volatile *)&heap->bins[class].end = NULL;
        }
    }
}

// Pages that would go, if each block keeps those it lies on, and an equivalent for the spans it
// holds.
READS_RACILY static uint32_t worth(const struct heap *heap) {
    uint32_t pages = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (*(void **const volatile *)&heap->slots[class] != NULL) {
            uint32_t top = top_slot(heap, class);
            uint32_t blocks = top > 1 && top <= heap->capacity[class] + 1u ? top - 1 : 0;
            pages += blocks * (uint32_t)max_size(sizeclass_size(class) / root.fixed.page_size, 1);
            pages += *(const volatile uint32_t *)&heap->held[class] != 0 ? HELD_IS_WORTH : 0;
        }
    }
    return pages;
}

READS_RACILY static uint32_t events_of(const struct heap *heap) {
    return *(const volatile uint32_t *)&heap->events;
}

static void set_since(struct heap *heap) {
    __atomic_store_n(&heap->idle_since, now_ms(), __ATOMIC_RELAXED);
}

static uint32_t since(const struct heap *heap) {
    return now_ms() - __atomic_load_n(&heap->idle_since, __ATOMIC_RELAXED);
}

// Begins, unless somebody has. The lock is against another who takes such steps.
static void begin(struct heap *heap) {
    os_lock(&heap->idle_lock);
    if (stage_of(heap) != IDLE_NO) {
        os_unlock(&heap->idle_lock);
        return;
    }
    atomic_store_explicit(&heap->idle, IDLE_ASKED, memory_order_seq_cst);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (*(void **volatile *)&heap->slots[class] != NULL) {
            *(void **volatile *)&heap->bins[class].end = NULL;
        }
    }
    set_since(heap);
    os_unlock(&heap->idle_lock);
}

static bool make_fences(struct heap *heap) {
    if (heap->fences == NULL) {
        heap->fences = meta_take_for_return(CLASS_COUNT * sizeof(struct fence));
    }
    return heap->fences != NULL;
}

static void fence_bin(struct heap *heap, unsigned class) {
    struct fence *fence = &heap->fences[class];
    uint32_t top = heap->slots[class] != NULL ? top_slot(heap, class) : 0;
    // A bin whose thread was about to write its end at the same moment is left alone.
    if (top < 2 || *(void **volatile *)&heap->bins[class].end != NULL) {
        return;
    }
    fence->block = heap->slots[class][top - 1];
    __atomic_store_n(&fence->slot, top - 1, __ATOMIC_RELEASE);
    set_slot(heap, class, top - 1, NULL);
}

// pre: ASKED for long enough, the lock is held, the thread is on no slow path.
// The child of a fork in between must know of every block that is kept aside: the stage comes
// before the fences, and each fence before the slots that it empties.
static void fence_off(struct heap *heap) {
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        heap->fences[class].slot = 0;
    }
    atomic_store_explicit(&heap->idle, IDLE_FENCED, memory_order_release);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        fence_bin(heap, class);
    }
    set_since(heap);
}

// Gives back some blocks, the last of which is number `leaving` of its bin. Until they have left it
// for good, whoever reads the bins must not count on them;
// the child of a fork in between loses them.
static void give_batch(struct heap *heap, unsigned class, void **blocks, uint32_t count,
                       uint32_t leaving) {
    heap->flush_class = class;
    __atomic_store_n(&heap->flush_count, leaving, __ATOMIC_RELEASE);
    (void)span_give_all(class, blocks, count, "free");
    for (uint32_t i = 0; i < count; i++) {
        trim_soon(class, blocks[i]);
        __atomic_store_n(&blocks[i], NULL, __ATOMIC_RELEASE);
    }
}

// Everything up to the fence and the block that was kept aside for it, the oldest first. pre: no
// fast path can reach them.
static uint32_t take_bin(struct heap *heap, unsigned class, struct fence *fence) {
    uint32_t last = fence->slot;
    for (uint32_t given = 0, count; given < last - 1; given += count) {
        count = (uint32_t)min_size(BATCH, last - 1 - given);
        give_batch(heap, class, heap->slots[class] + 1 + given, count, given + count);
    }
    give_batch(heap, class, &fence->block, 1, last);
    __atomic_store_n(&heap->flush_count, 0, __ATOMIC_RELEASE);
    fence->slot = 0;
    return last;
}

// pre: FENCED for long enough, the lock is held, the thread is on no slow path.
static uint32_t take(struct heap *heap) {
    uint32_t taken = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        struct fence *fence = &heap->fences[class];
        if (fence->slot != 0 && top_slot(heap, class) > fence->slot) {
            taken += take_bin(heap, class, fence);
        }
        span_let_go(&heap->held[class]);
    }
    atomic_store_explicit(&heap->asked, 0, memory_order_relaxed); // what was asked for is done
    atomic_store_explicit(&heap->idle, IDLE_TAKEN, memory_order_release);
    return taken;
}

// The next step, if its time has come. Returns how many blocks were taken.
static uint32_t step(struct heap *heap) {
    uint32_t taken = 0;
    os_lock(&heap->idle_lock);
    enum idle_stage stage = stage_of(heap);
    // What the thread's processor has not written out yet may still come.
    bool early = since(heap) < STEP_MS;
    // The thread is back, or was on its way when it was asked.
    bool back = atomic_load_explicit(&heap->busy, memory_order_acquire) != 0;
    if (!early && !back && stage == IDLE_ASKED && make_fences(heap)) {
        fence_off(heap);
    } else if (!early && !back && stage == IDLE_FENCED) {
        taken = take(heap);
    }
    os_unlock(&heap->idle_lock);
    return taken;
}

// A thread is quiet while it comes to no slow path. What it does on the fast ones does no harm.
// `active` grows by what those have that are not.
static uint32_t look_at(struct heap *heap, uint32_t age, uint32_t *active) {
    uint32_t events = events_of(heap);
    uint32_t pages = worth(heap);
    if (events != heap->idle_events) {
        heap->idle_events = events;
        set_since(heap);
        *active += pages;
        return 0;
    }
    if (pages < WORTH_PAGES) {
        return 0;
    }
    uint32_t quiet = since(heap);
    if (quiet < age) {
        return age - quiet;
    }
    begin(heap);
    return STEP_MS;
}

static struct heap *first_heap(void) {
    return __atomic_load_n(&root.live.heaps, __ATOMIC_ACQUIRE);
}

static bool is_living(const struct heap *heap) {
    return __atomic_load_n(&heap->state, __ATOMIC_RELAXED) == HEAP_LIVE;
}

static uint32_t sooner(uint32_t wait, uint32_t wanted) {
    return wanted != 0 && (wait == 0 || wanted < wait) ? wanted : wait;
}

uint32_t idle_look(uint32_t age, bool *taken) {
    uint32_t wait = 0;
    uint32_t active = 0;
    for (struct heap *heap = first_heap(); heap != NULL; heap = heap->next) {
        enum idle_stage stage = stage_of(heap);
        if (stage == IDLE_NO) {
            wait = sooner(wait, is_living(heap) ? look_at(heap, age, &active) : 0);
        } else if (stage != IDLE_TAKEN) {
            uint32_t blocks = step(heap);
            (void)__atomic_fetch_add(&root.live.giving.idle_blocks, blocks, __ATOMIC_RELAXED);
            *taken = *taken || blocks != 0;
            wait = sooner(wait, STEP_MS);
        }
    }
    return active >= FAT_PAGES && !os_single_threaded() ? sooner(wait, FAT_LOOK_MS) : wait;
}

static bool is_under_way(const struct heap *heap) {
    enum idle_stage stage = stage_of(heap);
    return stage == IDLE_ASKED || stage == IDLE_FENCED;
}

// A thread that goes on is asked, too: it comes to a slow path soon, and gives what it has there.
static bool begin_at_once(const struct heap *mine) {
    bool any = false;
    for (struct heap *heap = first_heap(); heap != NULL; heap = heap->next) {
        if (heap != mine && is_living(heap) && stage_of(heap) == IDLE_NO && worth(heap) > 0) {
            idle_ask(heap);
            begin(heap);
        }
        any = any || (heap != mine && is_under_way(heap));
    }
    return any;
}

bool idle_take_all(const struct heap *mine) {
    _Atomic uint32_t never = 0;
    if (UNDER_TSAN || !begin_at_once(mine)) {
        return false; // what a thread sees after a time is no order that the sanitizer knows
    }
    uint32_t taken = 0;
    bool more = true;
    for (unsigned round = 0; more && round < ROUNDS_AT_ONCE; round++) {
        os_wait_while(&never, 0, STEP_MS);
        more = false;
        for (struct heap *heap = first_heap(); heap != NULL; heap = heap->next) {
            if (heap != mine && is_under_way(heap)) {
                taken += step(heap);
                more = more || is_under_way(heap);
            }
        }
    }
    (void)__atomic_fetch_add(&root.live.giving.idle_blocks, taken, __ATOMIC_RELAXED);
    return true;
}
