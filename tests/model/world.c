#include "world.h"

#include "arena.h"
#include "event.h"
#include "orders.h"
#include "os/os.h"
#include "panic.h"
#include "root.h"
#include "span.h"
#include "spanstate.h"
#include "steps.h"

#include <string.h>

// steps.h is for span.c and lane.c; what follows looks at the same memory without making steps.
#undef atomic_load
#define atomic_load(object) (*(object))

#define SIZE 16u
#define BLOCKS_MAX 8u

// The table that they see instead of the real one; they are compiled with another name for it.
struct sizeclass model_classes[CLASS_COUNT];
#define CLASSES 2u
#define BLOCKS (model_classes[1].blocks)

struct lucid_root root;
static struct lane lanes[WORLD_LANES];

static struct world {
    struct unit units[WORLD_UNITS];
    uint32_t live[WORLD_UNITS];            // the unit is the head of a span
    uint32_t out[WORLD_UNITS][BLOCKS_MAX]; // the block is with a thread
    uint32_t kept[WORLD_UNITS];            // held beyond the end, on purpose
    uint32_t looking[EXPLORE_THREADS];     // the thread does not know whether its unit is a span
} world __attribute__((aligned(16)));

static struct run runs[WORLD_UNITS] __attribute__((aligned(64)));

static bool orders_matter;

const struct memory *world_memory(void) {
    static struct memory memory[WORLD_LANES + 4] = {{&world, sizeof(world)}, {runs, sizeof(runs)}};
    for (unsigned lane = 0; lane < WORLD_LANES; lane++) {
        memory[2 + lane] =
            (struct memory){&lanes[lane].lists[1], sizeof(struct class_list) * CLASSES};
    }
    memory[2 + WORLD_LANES] = orders_matter ? orders_memory() : memory[3 + WORLD_LANES];
    return memory;
}

void world_look_at_orders(void) {
    orders_matter = true;
}

void world_reset(unsigned blocks) {
    memset(&root, 0, sizeof(root));
    memset(lanes, 0, sizeof(lanes));
    root.live.lanes = lanes;
    memset(&world, 0, sizeof(world));
    memset(runs, 0, sizeof(runs));
    orders_reset();
    root.fixed.base = (uintptr_t)1 << 32; // no memory is there: nobody touches blocks here
    root.fixed.units = world.units;
    root.fixed.runs = runs;
    root.fixed.page_size = SIZE; // one block is carved at a time
    root.live.limit = WORLD_UNITS;
    root.live.reach = WORLD_UNITS * (UNIT_SIZE / BLOCK_ALIGN);
    root.live.top = WORLD_UNITS;
    root.live.heap_count = WORLD_LANES;
    for (unsigned class = 1; class <= CLASSES; class ++) {
        model_classes[class] = (struct sizeclass){
            .size = SIZE,
            .units = 1,
            .blocks = (uint16_t)blocks,
            .reciprocal = (((uint64_t)1 << RECIPROCAL_SHIFT) + SIZE - 1) / SIZE,
        };
    }
}

// ---- what they ask of others --------------------------------------------------------------------

void model_step(const volatile void *object, const char *where) {
    explore_step(where);
    uintptr_t offset = (uintptr_t)object - (uintptr_t)runs;
    if (explore_in_thread() && offset < sizeof(runs) && !world.live[offset / sizeof(runs[0])] &&
        !world.looking[explore_thread()]) {
        explore_broken("a span that is gone is still used");
    }
    if (orders_matter && explore_in_thread() && offset < sizeof(runs) &&
        !world.looking[explore_thread()]) {
        orders_use_span((unsigned)(offset / sizeof(runs[0])));
    }
}

void model_order(const volatile void *object, int kind, int order) {
    if (orders_matter) {
        orders_operate(object, (enum orders_kind)kind, order);
    }
}

uint32_t arena_take(uint32_t units, size_t alignment, enum run_kind kind, bool zero) {
    (void)units, (void)alignment, (void)zero;
    explore_step(__func__);
    for (uint32_t head = 1; head < WORLD_UNITS; head++) {
        if (!world.live[head]) {
            world.live[head] = 1;
            world.units[head] = (struct unit){.bin = 0, .back = 0};
            runs[head].shape = run_shape(kind, 1);
            if (orders_matter) {
                orders_in_arena();
                orders_make_span(head);
            }
            return head;
        }
    }
    return 0;
}

void arena_give(uint32_t head, uint32_t dirty) {
    (void)dirty;
    explore_step(__func__);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (world.out[head][i]) {
            explore_broken("a span is destroyed while a block of it is out");
        }
    }
    if (!world.live[head] || world.kept[head]) {
        explore_broken("a span is destroyed twice, or while it is held by another");
    }
    if (orders_matter) {
        orders_end_span(head);
        orders_in_arena();
    }
    memset(&runs[head], 0, sizeof(runs[head]));
    world.units[head] = (struct unit){.bin = 0, .back = 0};
    world.live[head] = 0;
}

// There is nothing that was used before but in lists.
uint32_t arena_take_used(uint32_t units, unsigned lane) {
    (void)units, (void)lane;
    return 0;
}

uint32_t loose_take(unsigned lane, uint32_t units) {
    return arena_take_used(units, lane);
}

void loose_give(unsigned lane, uint32_t head) {
    (void)lane;
    arena_give(head, 1);
}

// How often the run is on the list of the class in a lane.
static unsigned on_list(unsigned lane, unsigned class, uint32_t head) {
    unsigned length = 0;
    unsigned found = 0;
    for (uint32_t at = root.live.lanes[lane].lists[class].head; at != 0; at = runs[at].next) {
        found += at == head;
        if (++length > WORLD_UNITS) {
            explore_broken("the list is a loop");
            return 0;
        }
    }
    return found;
}

// Whenever nobody is inside the list's lock: LISTED says who is on the list.
static void judge_list(unsigned lane, unsigned class) {
    for (uint32_t head = 1; head < WORLD_UNITS; head++) {
        bool listed = world.live[head] && runs[head].class == class && runs[head].lane == lane &&
                      (runs[head].state & SPAN_LISTED) != 0;
        if (listed != on_list(lane, class, head)) {
            explore_broken("LISTED and the list differ outside of the lock");
        }
    }
}

void os_lock(_Atomic uint32_t *lock) {
    explore_wait((const volatile uint32_t *)lock, __func__);
    model_order(lock, ORDERS_EXCHANGE, memory_order_acquire);
    *lock = 1;
}

void os_unlock(_Atomic uint32_t *lock) {
    explore_step(__func__);
    for (unsigned i = 0; i < WORLD_LANES * CLASSES; i++) {
        if (lock == &root.live.lanes[i / CLASSES].lists[1 + i % CLASSES].lock) {
            judge_list(i / CLASSES, 1 + i % CLASSES);
        }
    }
    model_order(lock, ORDERS_EXCHANGE, memory_order_release);
    *lock = 0;
}

uint64_t os_now_ms(void) {
    return 0;
}

bool os_purge(void *start, size_t length) {
    (void)start, (void)length;
    return false;
}

void arena_populate(uint32_t head, size_t bytes) {
    (void)head, (void)bytes;
}

void event_tell(enum event_kind kind, const void *address, uint64_t bytes, uint32_t class,
                uint32_t count) {
    (void)kind, (void)address, (void)bytes, (void)class, (void)count;
}

_Noreturn void panic_misuse(const char *function, const char *kind, const void *pointer) {
    (void)function, (void)pointer;
    explore_broken(kind);
    __builtin_trap(); // reached outside of a thread only
}

_Noreturn void panic_broken(const char *what, uint64_t number) {
    (void)number;
    explore_broken(what);
    __builtin_trap();
}

// ---- the record ---------------------------------------------------------------------------------

static unsigned index_of(const void *block) {
    return (unsigned)(((uintptr_t)block - unit_address(unit_of((uintptr_t)block))) / SIZE);
}

static uint32_t *owner_of(const void *block) {
    return &world.out[unit_of((uintptr_t)block)][index_of(block)];
}

// The program's last access before it gives the block back, or the first after it got it.
static void use_block(const void *block) {
    if (orders_matter) {
        orders_use_block(unit_of((uintptr_t)block), index_of(block));
    }
}

static void handed_out(const void *block) {
    uint32_t unit = unit_of((uintptr_t)block);
    if (unit >= WORLD_UNITS || !world.live[unit] || index_of(block) >= BLOCKS) {
        explore_broken("a block is handed out that is none");
    }
    if (*owner_of(block)) {
        explore_broken("a block is handed out twice");
    }
    *owner_of(block) = 1;
    use_block(block);
}

uint32_t world_acquire(unsigned class, unsigned lane) {
    return span_acquire(class, lane, true);
}

void world_release(uint32_t head) {
    span_release(head);
}

void *world_take(uint32_t head) {
    void *block = NULL;
    if (span_take(head, 1, &block) == 0) {
        return NULL;
    }
    handed_out(block);
    return block;
}

void *world_take_one(unsigned class) {
    void *block = span_take_one(class);
    if (block != NULL) {
        handed_out(block);
    }
    return block;
}

void world_give(unsigned class, void *const *blocks, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        use_block(blocks[i]);
        *owner_of(blocks[i]) = 0;
    }
    (void)span_give_all(class, blocks, count, "free");
}

void world_look_after(uint32_t head) {
    world.looking[explore_thread()] = 1;
    bool held = span_hold_listed(head);
    world.looking[explore_thread()] = 0;
    if (held && !world.live[head]) {
        explore_broken("a span is held that is none");
    }
    if (held) {
        span_release_last(head);
    }
}

void world_keep_held(uint32_t head) {
    world.kept[head] = 1;
}

static void judge_span(uint32_t head) {
    const struct run *span = &runs[head];
    uint32_t state = span->state;
    unsigned used = 0;
    unsigned is_free = BLOCKS - span->carved;
    for (unsigned i = 0; i < BLOCKS; i++) {
        bool bit = (span->free[0] >> i & 1) != 0;
        if (bit && world.out[head][i]) {
            explore_broken("a block that is out is marked free");
        }
        used += world.out[head][i];
        is_free += bit;
    }
    if (used + is_free != BLOCKS) {
        explore_broken("a block is lost");
    }
    if (span_count(state) != (int32_t)is_free) {
        explore_broken("at rest, the count differs from the free blocks");
    }
    if (((state & SPAN_HELD) != 0) != (world.kept[head] != 0)) {
        explore_broken("at rest, a span is held by nobody, or not by its holder");
    }
    if ((state & SPAN_HELD) == 0 &&
        (is_free == BLOCKS || (is_free > 0) != on_list(span->lane, span->class, head))) {
        explore_broken("at rest, a span with free blocks is neither listed nor given back");
    }
}

// pre: it is no loop.
static uint32_t list_length(const struct class_list *list) {
    uint32_t length = 0;
    for (uint32_t at = list->head; at != 0; at = runs[at].next) {
        length++;
    }
    return length;
}

static void judge_class(unsigned lane, unsigned class) {
    const struct class_list *list = &root.live.lanes[lane].lists[class];
    uint32_t spans = 0;
    uint32_t listed = 0;
    judge_list(lane, class);
    for (uint32_t head = 1; head < WORLD_UNITS; head++) {
        if (world.live[head] && runs[head].class == class && runs[head].lane == lane) {
            judge_span(head);
            spans++;
            listed += on_list(lane, class, head);
        }
    }
    if (list->lock != 0 || list_length(list) != listed || list->spans != spans) {
        explore_broken("at rest, the list's counts are wrong");
    }
    for (uint32_t at = list->head; at != 0; at = runs[at].next) {
        if (runs[at].next == 0 && list->tail != at) {
            explore_broken("at rest, the list's tail is not its last span");
        }
    }
}

void world_judge_end(void) {
    for (unsigned i = 0; i < WORLD_LANES * CLASSES; i++) {
        judge_class(i / CLASSES, 1 + i % CLASSES);
    }
}
