#include "pool.h"

#include "panic.h"
#include "root.h"

#include <string.h>

static struct pool *pool(void) {
    return &root.live.pool;
}

static uint32_t length_at(uint32_t head) {
    return run_length_of(run_load(head));
}

// Heads often lie a fixed distance apart, and a product alone would keep that order: a tree of them
// would be a list. This is the finalizer of MurmurHash3 (Austin Appleby, public domain), which no
// two heads share a value of.
static uint32_t priority(uint32_t head) {
    head = (head ^ head >> 16) * 0x85ebca6bu;
    head = (head ^ head >> 13) * 0xc2b2ae35u;
    return head ^ head >> 16;
}

// What a tree, and the shelves together, are in the order of: the length, then the address.
static inline uint64_t rank(uint32_t head) {
    return (uint64_t)length_at(head) << 32 | head;
}

static void tree_insert(uint32_t *link, uint32_t head) {
    uint64_t mine = rank(head);
    while (*link != 0 && priority(*link) >= priority(head)) {
        link = mine < rank(*link) ? &run_at(*link)->left : &run_at(*link)->right;
    }
    // Split what hangs here around the new node.
    uint32_t current = *link;
    uint32_t *left = &run_at(head)->left;
    uint32_t *right = &run_at(head)->right;
    *link = head;
    while (current != 0) {
        if (rank(current) < mine) {
            *left = current;
            left = &run_at(current)->right;
            current = *left;
        } else {
            *right = current;
            right = &run_at(current)->left;
            current = *right;
        }
    }
    *left = 0;
    *right = 0;
}

static void tree_remove(uint32_t *link, uint32_t head) {
    uint64_t mine = rank(head);
    while (*link != head) {
        check(*link != 0, "free run is not in its tree", head);
        link = mine < rank(*link) ? &run_at(*link)->left : &run_at(*link)->right;
    }
    uint32_t a = run_at(head)->left;
    uint32_t b = run_at(head)->right;
    while (a != 0 && b != 0) {
        if (priority(a) >= priority(b)) {
            *link = a;
            link = &run_at(a)->right;
            a = *link;
        } else {
            *link = b;
            link = &run_at(b)->left;
            b = *link;
        }
    }
    *link = a != 0 ? a : b;
}

// The shortest run of at least `units`, the lowest address among equals.
static uint32_t tree_best_fit(uint32_t node, uint32_t units) {
    uint32_t best = 0;
    while (node != 0) {
        if (length_at(node) >= units) {
            best = node;
            node = run_at(node)->left;
        } else {
            node = run_at(node)->right;
        }
    }
    return best;
}

// The counts are looked at without the lock too (purge.c).
static void count(uint32_t head, int sign) {
    uint32_t length = (uint32_t)sign * length_at(head);
    uint32_t dirty = (uint32_t)sign * run_at(head)->dirty;
    __atomic_store_n(&pool()->free_units, pool()->free_units + length, __ATOMIC_RELAXED);
    __atomic_store_n(&pool()->dirty_units, pool()->dirty_units + dirty, __ATOMIC_RELAXED);
}

static enum pool_side side_of(uint32_t head) {
    return run_at(head)->dirty != 0 ? POOL_DIRTY : POOL_CLEAN;
}

void pool_insert(uint32_t head) {
    uint32_t length = length_at(head);
    run_at(head + length - 1)->prev = head;
    count(head, 1);
    enum pool_side side = side_of(head);
    unsigned shelf = pool_shelf_of(length);
    tree_insert(&root.fixed.shelves[side][shelf], head);
    pool()->filled[side] |= (uint64_t)1 << shelf;
}

static void take_out(enum pool_side side, unsigned shelf, uint32_t head) {
    count(head, -1);
    tree_remove(&root.fixed.shelves[side][shelf], head);
    if (root.fixed.shelves[side][shelf] == 0) {
        pool()->filled[side] &= ~((uint64_t)1 << shelf);
    }
}

void pool_remove(uint32_t head) {
    take_out(side_of(head), pool_shelf_of(length_at(head)), head);
}

uint32_t pool_take(enum pool_side side, uint32_t units) {
    unsigned first = pool_shelf_of(units);
    // On a shelf of its own length some may be too short; if all are, those of the next one fit.
    for (uint64_t left = pool()->filled[side] >> first << first; left != 0; left &= left - 1) {
        unsigned shelf = bit_lowest(left);
        uint32_t head = tree_best_fit(root.fixed.shelves[side][shelf], units);
        if (head != 0) {
            take_out(side, shelf, head);
            return head;
        }
    }
    return 0;
}

uint32_t pool_run_before(uint32_t unit) {
    if (unit <= 1) {
        return 0;
    }
    uint32_t head = __atomic_load_n(&run_at(unit - 1)->prev, __ATOMIC_RELAXED);
    if (head == 0 || head >= unit) {
        return 0;
    }
    uint64_t shape = run_load(head);
    return run_kind_of(shape) == RUN_FREE && head + run_length_of(shape) == unit ? head : 0;
}

static uint64_t without_highest(uint64_t shelves) {
    return shelves & ~((uint64_t)1 << bit_highest(shelves));
}

static uint32_t tree_highest_below(uint32_t node, uint64_t bound) {
    uint32_t highest = 0;
    while (node != 0) {
        if (rank(node) < bound) {
            highest = node;
            node = run_at(node)->right;
        } else {
            node = run_at(node)->left;
        }
    }
    return highest;
}

uint32_t pool_next(enum pool_side side, uint32_t head) {
    const uint32_t *shelves = root.fixed.shelves[side];
    uint64_t bound = head == 0 ? UINT64_MAX : rank(head);
    unsigned last = head == 0 ? POOL_SHELVES - 1 : pool_shelf_of(length_at(head));
    uint32_t next = 0;
    for (uint64_t left = pool()->filled[side] & bit_low_mask(last + 1); left != 0 && next == 0;
         left = without_highest(left)) {
        next = tree_highest_below(shelves[bit_highest(left)], bound);
    }
    return next;
}

uint32_t pool_aged_dirty(uint32_t limit, unsigned visits) {
    uint32_t head = pool_next(POOL_DIRTY, 0);
    for (; head != 0 && visits > 0; head = pool_next(POOL_DIRTY, head), visits--) {
        if ((int32_t)(run_at(head)->birth - limit) <= 0) {
            return head;
        }
    }
    return 0;
}

void pool_reset(void) {
    for (unsigned side = 0; side < POOL_SIDES; side++) {
        pool()->filled[side] = 0;
        memset(root.fixed.shelves[side], 0, sizeof(root.fixed.shelves[side]));
    }
    pool()->free_units = pool()->dirty_units = 0;
}

uint32_t pool_count_dirty(uint32_t first, uint32_t count) {
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < count; i++) {
        dirty += root.fixed.units[first + i].back;
    }
    return dirty;
}
