#include "residency.h"

#include "target/touched.h"
#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

#define GUESSED_AT_ONCE ((size_t)16) // pages of a core that are read with one call

static size_t pages_of(const struct residency *residency, const struct residency_piece *piece) {
    return (size_t)((piece->end - piece->start) / residency->target->page_size);
}

static size_t stretches_of(const struct residency *residency, const struct residency_piece *piece) {
    return (pages_of(residency, piece) + RESIDENCY_STRETCH - 1) / RESIDENCY_STRETCH;
}

// Pages of a stretch: the last one may be shorter.
static size_t pages_in(const struct residency *residency, const struct residency_piece *piece,
                       size_t stretch) {
    size_t rest = pages_of(residency, piece) - stretch * RESIDENCY_STRETCH;
    return rest < RESIDENCY_STRETCH ? rest : RESIDENCY_STRETCH;
}

static uint64_t stretch_start(const struct residency *residency,
                              const struct residency_piece *piece, size_t stretch) {
    return piece->start + stretch * RESIDENCY_STRETCH * residency->target->page_size;
}

// Bytes of the pages that are in such a state.
static uint64_t count_pages(const struct residency *residency, const struct residency_piece *piece,
                            uint8_t mask, uint8_t state) {
    uint64_t pages = 0;
    for (size_t s = 0; s < stretches_of(residency, piece); s++) {
        const uint8_t *states = piece->stretches[s];
        size_t count = states != NULL ? pages_in(residency, piece, s) : 0;
        for (size_t i = 0; i < count; i++) {
            pages += (states[i] & mask) == state;
        }
    }
    return pages * residency->target->page_size;
}

uint64_t residency_of_piece(const struct residency *residency,
                            const struct residency_piece *piece) {
    return count_pages(residency, piece, TARGET_PAGE_PRESENT, TARGET_PAGE_PRESENT);
}

// ---- cores --------------------------------------------------------------------------------------

static bool is_zero(const unsigned char *bytes, size_t length) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

// Whether any page is in memory. A core does not tell what was, but memory that was never written,
// or was given back, is all zeros.
static bool guess_states(const struct residency *residency, uint64_t start, uint8_t *states,
                         size_t pages, unsigned char *bytes) {
    const struct view *view = &residency->target->view;
    size_t page = (size_t)residency->target->page_size;
    bool any = false;
    for (size_t i = 0; i < pages;) {
        size_t want = pages - i < GUESSED_AT_ONCE ? pages - i : GUESSED_AT_ONCE;
        size_t got = view->read(view->context, start + i * page, bytes, want * page) / page;
        for (size_t j = 0; j < got; j++) {
            states[i + j] = is_zero(bytes + j * page, page) ? 0 : TARGET_PAGE_PRESENT;
            any |= states[i + j] != 0;
        }
        i += got == want ? got : got + 1; // the page that cannot be read stays as it was: absent
    }
    return any;
}

static void guess_piece(const struct residency *residency, const struct residency_piece *piece) {
    unsigned char *bytes = memory_take(GUESSED_AT_ONCE * residency->target->page_size);
    uint8_t *states = NULL;
    for (size_t s = 0; s < stretches_of(residency, piece); s++) {
        states = states != NULL ? states : memory_take(RESIDENCY_STRETCH);
        if (guess_states(residency, stretch_start(residency, piece, s), states,
                         pages_in(residency, piece, s), bytes)) {
            piece->stretches[s] = states;
            states = NULL;
        }
    }
    free(states);
    free(bytes);
}

// ---- living targets -----------------------------------------------------------------------------

static void make_zeros(const struct residency *residency, const struct residency_piece *piece,
                       uint8_t mask, uint8_t state) {
    for (size_t s = 0; s < stretches_of(residency, piece); s++) {
        uint8_t *states = piece->stretches[s];
        size_t count = states != NULL ? pages_in(residency, piece, s) : 0;
        for (size_t i = 0; i < count; i++) {
            states[i] = (states[i] & mask) == state ? TARGET_PAGE_ZERO : states[i];
        }
    }
}

// Pages of zeros as kernels before 6.7 show them: in the page map, but not counted as resident. In
// memory without a file only a huge one can look like a page of a file. A small one looks like any
// page that this process shares with another: where the two counts differ by just these pages,
// they are pages of zeros.
static void find_zeros(const struct residency *residency, const struct residency_piece *piece) {
    const struct region *region = &residency->target->regions.list[piece->region];
    const uint8_t huge = TARGET_PAGE_PRESENT | TARGET_PAGE_FILE;
    const uint8_t small = TARGET_PAGE_PRESENT | TARGET_PAGE_SHARED;
    const uint8_t mask = small | TARGET_PAGE_FILE;
    if (region->inode == 0) {
        make_zeros(residency, piece, huge, huge);
    }
    uint64_t shared = count_pages(residency, piece, mask, small);
    if (shared > 0 && residency_of_piece(residency, piece) >= region->resident + shared) {
        make_zeros(residency, piece, mask, small);
    }
}

static bool read_stretches(const struct residency *residency, const struct residency_piece *piece,
                           uint64_t from, uint64_t to) {
    uint64_t bytes = RESIDENCY_STRETCH * residency->target->page_size;
    bool known = true;
    for (size_t s = (size_t)((from - piece->start) / bytes);
         known && stretch_start(residency, piece, s) < to; s++) {
        if (piece->stretches[s] == NULL) {
            piece->stretches[s] = memory_take(RESIDENCY_STRETCH);
            known = target_pages(residency->target, stretch_start(residency, piece, s),
                                 pages_in(residency, piece, s), piece->stretches[s]);
        }
    }
    return known;
}

static bool read_touched(const struct residency *residency, const struct residency_piece *piece) {
    struct touched walk;
    uint64_t from;
    uint64_t to;
    bool known = touched_begin(&walk, residency->target, piece->start, piece->end);
    while (known && touched_next(&walk, &from, &to)) {
        known = read_stretches(residency, piece, from, to);
    }
    known = known && !walk.failed;
    touched_end(&walk);
    return known;
}

static bool read_states(struct residency *residency, const struct residency_piece *piece) {
    const struct region *region = &residency->target->regions.list[piece->region];
    if (residency->estimated) {
        guess_piece(residency, piece);
        return true;
    }
    if (region->counted && region->resident == 0 && region->swapped == 0) {
        return true;
    }
    if (!read_touched(residency, piece)) {
        return false;
    }
    if (region->counted) {
        find_zeros(residency, piece);
    }
    residency->zeros += count_pages(residency, piece, TARGET_PAGE_ZERO, TARGET_PAGE_ZERO);
    return true;
}

// ---- all ----------------------------------------------------------------------------------------

static bool add_piece(struct residency *residency, size_t region, struct residency_range part) {
    const struct region *r = &residency->target->regions.list[region];
    residency->pieces = memory_grow(residency->pieces, residency->count, &residency->capacity,
                                    sizeof(struct residency_piece));
    struct residency_piece *piece = &residency->pieces[residency->count++];
    *piece = (struct residency_piece){.start = part.start, .end = part.end, .region = region};
    if (residency->estimated) {
        // What a core does not contain may be as large as its header likes.
        uint64_t page = residency->target->page_size;
        uint64_t stored = (r->stored + page - 1) / page * page;
        uint64_t end = stored < r->end - r->start ? r->start + stored : r->end;
        end = end > part.start ? end : part.start;
        piece->end = end < part.end ? end : part.end;
    }
    // One more: the last page of a core may be cut off.
    size_t stretches = stretches_of(residency, piece) + 1;
    piece->stretches = memory_take(stretches * sizeof(*piece->stretches));
    return read_states(residency, piece);
}

// What is to be looked at of a region in which these ranges lie.
static struct residency_range part_of(const struct region *region,
                                      const struct residency_range *ranges, size_t count) {
    struct residency_range part = {region->start, region->end};
    if (region->rights[0] == 'r') {
        return part;
    }
    // The kernel joins it with the reserved address space beside it, which can be large.
    for (size_t i = 0; i < count && ranges[i].start < region->end; i++) {
        part.end = ranges[i].end < region->end ? ranges[i].end : region->end;
    }
    part.start = ranges[0].start > region->start ? ranges[0].start : region->start;
    return part;
}

// Reserved address space has no memory. A page that was written does, also when the program has
// taken its rights away since.
static bool holds_memory(const struct residency *residency, const struct region *region) {
    return region->rights[0] == 'r' ||
           (residency->estimated ? region->stored > 0 : region->resident > 0);
}

static void count_region(struct residency *residency, const struct region *region) {
    residency->counted &= region->counted || region->rights[0] != 'r';
    residency->total += region->resident;
    residency->swapped += region->swapped;
    residency->huge += region->huge;
}

bool residency_take(struct residency *residency, struct target *target,
                    const struct residency_range *ranges, size_t count) {
    *residency = (struct residency){
        .target = target,
        .estimated = target->kind == TARGET_CORE,
        .counted = true,
    };
    if (!target_regions(target, true)) {
        return false;
    }
    size_t range = 0;
    bool known = true;
    for (size_t i = 0; i < target->regions.count && known; i++) {
        const struct region *region = &target->regions.list[i];
        count_region(residency, region);
        while (range < count && ranges[range].end <= region->start) {
            range++;
        }
        bool ours = range < count && ranges[range].start < region->end;
        bool guessed = residency->estimated && strncmp(region->rights, "rw", 2) == 0;
        if (guessed || (ours && holds_memory(residency, region))) {
            known = add_piece(residency, i, part_of(region, &ranges[range], count - range));
        }
    }
    if (!residency->counted || residency->estimated) {
        residency->counted = false;
        residency->total = 0;
        for (size_t i = 0; i < residency->count; i++) {
            residency->total += residency_of_piece(residency, &residency->pieces[i]);
        }
    }
    return known;
}

void residency_free(struct residency *residency) {
    for (size_t i = 0; i < residency->count; i++) {
        const struct residency_piece *piece = &residency->pieces[i];
        for (size_t s = 0; s < stretches_of(residency, piece); s++) {
            free(piece->stretches[s]);
        }
        free(piece->stretches);
    }
    free(residency->pieces);
    memset(residency, 0, sizeof(*residency));
}

// The first piece that ends behind an address; `count`: there is none.
static size_t first_behind(const struct residency *residency, uint64_t address) {
    size_t low = 0;
    size_t high = residency->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (residency->pieces[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct residency_piece *piece_at(struct residency *residency, uint64_t address) {
    const struct residency_piece *piece = &residency->pieces[residency->last];
    if (residency->last < residency->count && address >= piece->start && address < piece->end) {
        return piece;
    }
    size_t found = first_behind(residency, address);
    if (found == residency->count || residency->pieces[found].start > address) {
        return NULL;
    }
    residency->last = found;
    return &residency->pieces[found];
}

// State of the page of an address; `behind`: where the pages end that are as it for want of any.
static uint8_t state_at(const struct residency *residency, const struct residency_piece *piece,
                        uint64_t address, uint64_t *behind) {
    size_t page = (size_t)((address - piece->start) / residency->target->page_size);
    size_t stretch = page / RESIDENCY_STRETCH;
    const uint8_t *states = piece->stretches[stretch];
    *behind = states != NULL ? address + residency->target->page_size
                             : stretch_start(residency, piece, stretch + 1);
    return states != NULL ? states[page % RESIDENCY_STRETCH] : 0;
}

uint64_t residency_count(const struct residency *residency, uint64_t start, uint64_t end,
                         uint64_t from, uint64_t to, uint64_t *inside) {
    uint64_t page = residency->target->page_size;
    uint64_t resident = 0;
    start = start / page * page;
    for (size_t i = first_behind(residency, start); i < residency->count; i++) {
        const struct residency_piece *piece = &residency->pieces[i];
        uint64_t at = start > piece->start ? start : piece->start;
        for (uint64_t next = 0; at < piece->end && at < end; at = next) {
            if (state_at(residency, piece, at, &next) & TARGET_PAGE_PRESENT) {
                uint64_t low = at > from ? at : from;
                uint64_t high = next < to ? next : to;
                resident += page;
                *inside += high > low ? high - low : 0;
            }
        }
        if (piece->end >= end) {
            break;
        }
    }
    return resident;
}

bool residency_has(struct residency *residency, uint64_t address) {
    const struct residency_piece *piece =
        residency->count > 0 ? piece_at(residency, address) : NULL;
    uint64_t behind;
    return piece != NULL && (state_at(residency, piece, address, &behind) & TARGET_PAGE_PRESENT);
}

const struct residency_piece *residency_piece_of(const struct residency *residency, size_t region) {
    size_t low = 0;
    size_t high = residency->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (residency->pieces[middle].region < region) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool there = low < residency->count && residency->pieces[low].region == region;
    return there ? &residency->pieces[low] : NULL;
}
