#include "filled.h"

#include "os/os.h"
#include "sizeclass.h"

// So many large blocks in a row are no accident.
#define UNFILLED_MAX 4u
#define BLOCK_PAGES 8u

// A look at the arena: at so many huge pages in which the program has something, from the top down;
// the last one counts twice.
#define LOOK_AREAS 2u
#define LOOK_PAGES 32u                    // of the first; of the next, every other one
#define LOOK_FURTHEST ((size_t)128 << 20) // below the top, for any
#define KNOWN_MIN 8u                      // fewer pages tell nothing
#define LONG_SHARE 4u // one page in so many in blocks longer than a page: these decide

// A page, and the block it belongs to.
struct place {
    uintptr_t page;
    uintptr_t start;
    size_t size; // 0: the page belongs to none that tells
};

struct look {
    struct place places[LOOK_PAGES + LOOK_PAGES / 2];
    unsigned count;
    unsigned in_long_blocks;
};

static struct giving *giving(void) {
    return &root.live.giving;
}

// Negative: nobody tells. Once the program has restricted itself,
// it may be ended for opening a file.
static int open_pagemap(void) {
    bool restricted = __atomic_load_n(&giving()->restricted, __ATOMIC_RELAXED) != RESTRICTED_NOT;
    return restricted ? -1 : os_pagemap_open();
}

// The last witness below a huge page; none: one below the arena.
static uintptr_t witness_below(uintptr_t huge_page) {
    uint64_t number = filled_number(huge_page) - 1;
    return huge_page - (1 + number % filled_spacing(number)) * HUGE_PAGE_SIZE;
}

// The head of the used run a unit belongs to, 0: none. From the table of units alone: who reads the
// record of a run that is none makes a page of records resident. The first two units of a large run
// look like free ones, the third does not; one that is shorter is passed over.
static READS_RACILY uint32_t used_head(uint32_t unit) {
    const struct unit *units = root.fixed.units;
    uint32_t head = unit - units[unit].back;
    if (units[unit].bin != 0 || units[unit].back > UNIT_DIRTY) {
        return head;
    }
    return head + 2 < root.live.top && units[head + 2].back == 2 ? head : 0;
}

// Very large blocks do not tell, nor do spans of which free pages were given back; of others, only
// what was handed out. Others may change all of this meanwhile.
static READS_RACILY struct place place_at(uintptr_t page) {
    struct place none = {.size = 0};
    uint32_t head = used_head(unit_of(page));
    if (head == 0) {
        return none;
    }
    const struct run *run = run_at(head);
    size_t offset = page - unit_address(head);
    if (run_kind_of(run_load(head)) == RUN_LARGE) {
        bool tells = offset < run->size && run->size < HUGE_BLOCK_MIN;
        return tells ? (struct place){page, unit_address(head), run->size} : none;
    }
    if (run_kind_of(run_load(head)) != RUN_SPAN || run->size != 0) {
        return none;
    }
    size_t size = sizeclass_size(run->class);
    unsigned index = sizeclass_index(run->class, offset);
    return index < run->carved ? (struct place){page, unit_address(head) + index * size, size}
                               : none;
}

// In each of `count` steps another page, in no order that blocks could have, too.
static void look_at(struct look *look, uintptr_t area, unsigned count) {
    size_t page_size = root.fixed.page_size;
    size_t step = HUGE_PAGE_SIZE / count;
    for (unsigned i = 0; i < count; i++) {
        struct place place = place_at(area + step * i + page_size * (i * 7 + 3) % step);
        look->in_long_blocks += place.size > page_size;
        look->places[look->count] = place;
        look->count += place.size != 0;
    }
}

static void look_down(struct look *look, bool at_witnesses) {
    *look = (struct look){.count = 0};
    uintptr_t first = align_up(unit_address(1), HUGE_PAGE_SIZE);
    uintptr_t area = align_down(unit_address((uint32_t)root.live.top), HUGE_PAGE_SIZE);
    if (!at_witnesses && area > first + LOOK_FURTHEST) {
        first = area - LOOK_FURTHEST;
    }
    for (unsigned areas = 0; areas < LOOK_AREAS && area > first;) {
        area = at_witnesses ? witness_below(area) : area - HUGE_PAGE_SIZE;
        if (area >= first) {
            unsigned before = look->count;
            look_at(look, area, LOOK_PAGES >> areas);
            areas += look->count != before;
        }
    }
}

// Of the pages in blocks that were touched at all, is at least half there? One that was not is to
// be filled still, for all that can be known.
static bool are_filled(const struct look *look) {
    int pagemap = open_pagemap();
    if (pagemap < 0) {
        return true;
    }
    unsigned touched = 0;
    unsigned missing = 0;
    for (unsigned i = 0; i < look->count; i++) {
        const struct place *place = &look->places[i];
        if (os_pagemap_has(pagemap, place->page)) {
            touched++;
        } else if (os_pagemap_has(pagemap, place->start) ||
                   os_pagemap_has(pagemap, place->start + place->size - 1)) {
            missing++;
        }
    }
    os_pagemap_close(pagemap);
    return touched + missing < KNOWN_MIN || touched >= missing;
}

enum filled filled_lately(void) {
    struct look look;
    look_down(&look, false);
    if (look.in_long_blocks * LONG_SHARE < look.count || look.count < KNOWN_MIN) {
        return FILLED_SURELY;
    }
    look_down(&look, true);
    return look.count < KNOWN_MIN || are_filled(&look) ? FILLED_SO_FAR : FILLED_NOT;
}

// Of some places in a block, how many are there; all of them if nobody tells.
static unsigned places_touched(uintptr_t start, size_t size) {
    int pagemap = open_pagemap();
    if (pagemap < 0) {
        return BLOCK_PAGES + 1;
    }
    unsigned touched = os_pagemap_has(pagemap, start + size - 1);
    for (unsigned i = 0; i < BLOCK_PAGES; i++) {
        touched += os_pagemap_has(pagemap, start + size / BLOCK_PAGES * i);
    }
    os_pagemap_close(pagemap);
    return touched;
}

// A block of which nothing was touched may be filled later.
static bool is_filled(unsigned touched) {
    return touched == 0 || touched > BLOCK_PAGES / 2;
}

static uint32_t counted(uint32_t unfilled, bool filled) {
    return filled ? 0 : unfilled + (unfilled < UNFILLED_MAX);
}

// Others may have freed the block.
READS_RACILY void filled_judge(struct heap *heap) {
    uint32_t head = heap->fresh_block;
    heap->fresh_block = 0;
    if (head != 0 && run_kind_of(run_load(head)) == RUN_LARGE &&
        run_at(head)->size >= HUGE_BLOCK_MIN) {
        unsigned touched = places_touched(unit_address(head), run_at(head)->size);
        heap->unfilled = counted(heap->unfilled, is_filled(touched));
        if (heap->fresh_is_zeroed && touched != 0) {
            heap->zeroed_filled = is_filled(touched);
        }
    }
}

enum filled filled_blocks(uint32_t head, bool zeroed) {
    struct heap *heap = heap_mine();
    if (heap == heap_of_nobody()) {
        return FILLED_SO_FAR;
    }
    filled_judge(heap);
    heap->fresh_block = head;
    heap->fresh_is_zeroed = zeroed;
    if (heap->unfilled >= UNFILLED_MAX) {
        return FILLED_NOT;
    }
    return zeroed && !heap->zeroed_filled ? FILLED_MAYBE : FILLED_SO_FAR;
}

// ---- mappings -----------------------------------------------------------------------------------

static uint32_t unfilled_mappings(void) {
    return __atomic_load_n(&root.live.mappings.unfilled, __ATOMIC_RELAXED);
}

// Where two threads do so at once, one of the two may not count.
static void judge_mapping(uintptr_t start) {
    uint32_t unfilled =
        counted(unfilled_mappings(), is_filled(places_touched(start, HUGE_BLOCK_MIN)));
    __atomic_store_n(&root.live.mappings.unfilled, unfilled, __ATOMIC_RELAXED);
}

bool filled_mappings(uintptr_t start) {
    uintptr_t last = __atomic_exchange_n(&root.live.mappings.fresh, start, __ATOMIC_RELAXED);
    if (last != 0) {
        judge_mapping(last);
    }
    return unfilled_mappings() < UNFILLED_MAX;
}

void filled_mapping_ends(uintptr_t start) {
    uintptr_t fresh = start;
    if (__atomic_compare_exchange_n(&root.live.mappings.fresh, &fresh, 0, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        judge_mapping(start);
    }
}
