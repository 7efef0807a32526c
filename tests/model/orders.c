#include "orders.h"

#include "root.h"
#include "world.h"

#include <string.h>

#define BLOCKS 3u
#define ACCESSES (2u + BLOCKS) // to a unit: the span used, made, a block used
#define OBJECTS (WORLD_UNITS * 4u + WORLD_LANES * 2u)

// A set of last accesses: of a thread to one of a unit's things.
struct known {
    uint64_t bits[2];
};

static struct {
    struct known happened;
    struct known thread[EXPLORE_THREADS];
    struct known object[OBJECTS]; // to whoever acquires what was released there
    struct known arena;
} orders;

_Static_assert((WORLD_UNITS - 1) * ACCESSES * EXPLORE_THREADS <= 128, "they fit into the set");

void orders_reset(void) {
    memset(&orders, 0, sizeof(orders));
}

struct memory orders_memory(void) {
    return (struct memory){&orders, sizeof(orders)};
}

static void join(struct known *to, const struct known *from) {
    to->bits[0] |= from->bits[0];
    to->bits[1] |= from->bits[1];
}

static struct known one(unsigned unit, unsigned access, unsigned thread) {
    unsigned bit = ((unit - 1) * ACCESSES + access) * EXPLORE_THREADS + thread;
    struct known set = {{0, 0}};
    set.bits[bit / 64] = (uint64_t)1 << bit % 64;
    return set;
}

// All threads' accesses of this kind.
static struct known all(unsigned unit, unsigned access) {
    struct known set = {{0, 0}};
    for (unsigned thread = 0; thread < EXPLORE_THREADS; thread++) {
        struct known more = one(unit, access, thread);
        join(&set, &more);
    }
    return set;
}

static struct known *here(void) {
    return &orders.thread[explore_thread()];
}

// Forgets accesses that others came after.
static void forget(struct known set) {
    struct known *all_sets = (struct known *)&orders;
    for (size_t i = 0; i < sizeof(orders) / sizeof(*all_sets); i++) {
        all_sets[i].bits[0] &= ~set.bits[0];
        all_sets[i].bits[1] &= ~set.bits[1];
    }
}

static void require(struct known set, const char *otherwise) {
    for (unsigned i = 0; i < 2; i++) {
        if (orders.happened.bits[i] & set.bits[i] & ~here()->bits[i]) {
            explore_broken(otherwise);
        }
    }
}

static void happens(unsigned unit, unsigned access) {
    struct known set = one(unit, access, explore_thread());
    forget(set);
    join(&orders.happened, &set);
    join(here(), &set);
}

// ---- what carries knowledge ---------------------------------------------------------------------

static struct known *object_of(const volatile void *object) {
    for (unsigned i = 0; i < WORLD_LANES * 2; i++) {
        if (object == &root.live.lanes[i / 2].lists[1 + i % 2].lock) {
            return &orders.object[WORLD_UNITS * 4 + i];
        }
    }
    for (uint32_t unit = 1; unit < WORLD_UNITS; unit++) {
        const struct run *run = run_at(unit);
        const volatile void *objects[] = {&run->state, &run->carved, &run->shape, &run->free[0]};
        for (unsigned i = 0; i < 4; i++) {
            if (object == objects[i]) {
                return &orders.object[unit * 4 + i];
            }
        }
    }
    return NULL;
}

void orders_operate(const volatile void *object, enum orders_kind kind, int order) {
    if (!explore_in_thread()) {
        return;
    }
    bool both = order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
    bool acquires = kind != ORDERS_STORE && (order == __ATOMIC_ACQUIRE || both);
    bool releases = kind != ORDERS_LOAD && (order == __ATOMIC_RELEASE || both);
    struct known *known = object_of(object);
    if (known == NULL) {
        if (acquires || releases) {
            explore_broken("an order on an object that the model does not follow");
        }
        return;
    }
    if (acquires) {
        join(here(), known);
    }
    if (kind == ORDERS_STORE) {
        *known = (struct known){{0, 0}}; // an exchange goes on with what was released before
    }
    if (releases) {
        join(known, here());
    }
}

void orders_in_arena(void) {
    if (explore_in_thread()) {
        join(here(), &orders.arena);
        orders.arena = *here();
    }
}

// ---- what must be known -------------------------------------------------------------------------

void orders_use_span(unsigned unit) {
    if (explore_in_thread()) {
        require(all(unit, 1), "a span is used by who does not know how it was made");
        happens(unit, 0);
    }
}

void orders_make_span(unsigned unit) {
    if (explore_in_thread()) {
        happens(unit, 1);
    }
}

void orders_end_span(unsigned unit) {
    for (unsigned access = 0; explore_in_thread() && access < ACCESSES; access++) {
        require(all(unit, access), access < 2
                                       ? "a span ends before all uses of it are known to be over"
                                       : "a block goes back before its last use is known to be "
                                         "over");
    }
    for (unsigned access = 0; access < ACCESSES; access++) {
        forget(all(unit, access));
    }
}

void orders_use_block(unsigned unit, unsigned block) {
    if (explore_in_thread()) {
        require(all(unit, 2 + block),
                "a block is used by who does not know that its last use is over");
        forget(all(unit, 2 + block));
        happens(unit, 2 + block);
    }
}
