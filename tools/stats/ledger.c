#include "ledger.h"

#include "place.h"
#include "util/human.h"
#include "util/memory.h"
#include "util/typed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A busy target is read again until its sum closes, but not for longer than this. On a busy machine
// a reading alone may take that long, so there are a few in any case.
#define ATTEMPTS 128
#define ATTEMPTS_LEAST 6
#define ATTEMPTS_NS ((uint64_t)400 * 1000 * 1000)

const char *const part_names[PART_COUNT] = {"live",     "slack", "partial", "cached", "dirty",
                                            "metadata", "files", "stacks",  "other"};

const char *const part_titles[PART_COUNT] = {"live blocks",
                                             "slack inside blocks",
                                             "free in used pages",
                                             "thread caches",
                                             "dirty",
                                             "metadata",
                                             "files",
                                             "stacks",
                                             "other mappings"};

// ---- spans --------------------------------------------------------------------------------------

// Adds a block to the pages it lies in.
static void spread(struct page_use *pages, uint64_t page, uint64_t from, uint64_t to, bool cached) {
    while (from < to) {
        size_t i = (size_t)(from / page);
        uint64_t end = (i + 1) * page < to ? (i + 1) * page : to;
        uint32_t *field = cached ? &pages[i].cached : &pages[i].used;
        *field += (uint32_t)(end - from);
        from = end;
    }
}

size_t ledger_span_use(const struct snapshot *snapshot, const struct reader_run *span,
                       struct page_use **pages, size_t *room) {
    uint64_t page = snapshot->target->page_size;
    size_t count = (size_t)((span->end - span->start) / page);
    uint64_t cached[SPAN_WORDS];
    size_t first = 0;
    if (count > *room) {
        free(*pages);
        *pages = memory_take(count * sizeof(**pages));
        *room = count;
    }
    memset(*pages, 0, count * sizeof(**pages));
    snapshot_cached_bits(snapshot, span, cached, &first);
    for (uint32_t index = 0; index < span->carved; index++) {
        enum block_state state = span_block_state(span, cached, index);
        uint64_t from = (uint64_t)index * span->block_size;
        if (state != BLOCK_IS_FREE && from + span->block_size <= span->end - span->start) {
            spread(*pages, page, from, from + span->block_size, state == BLOCK_IS_CACHED);
        }
    }
    return count;
}

struct taking {
    struct ledger *ledger;
    struct snapshot *snapshot;
    struct residency *residency;
    struct page_use *pages;
    size_t room;
};

static void count_blocks(struct taking *taking, const struct reader_run *span) {
    struct ledger *ledger = taking->ledger;
    struct ledger_class *class = &ledger->classes[span->class];
    const struct sizeclass *sizes = taking->snapshot->reader.fixed.classes;
    uint64_t bits[SPAN_WORDS];
    size_t first = 0;
    uint64_t cached = snapshot_cached_bits(taking->snapshot, span, bits, &first);
    uint64_t free_blocks = 0;
    for (unsigned word = 0; word < SPAN_WORDS; word++) {
        free_blocks += bit_count(span->free[word]);
    }
    uint64_t gone = cached + free_blocks;
    uint64_t used = span->carved > gone ? span->carved - gone : 0;
    uint32_t least = sizes[span->class - 1].size + 1; // of the requests that get this class
    class->spans++;
    class->blocks += used;
    class->cached_blocks += cached;
    ledger->quarantined += taking->snapshot->live != NULL ? cached * span->block_size : 0;
    ledger->small_blocks += used;
    ledger->small_bytes += used * span->block_size;
    ledger->small_slack_most += used * (span->block_size - least);
}

static void add_span(struct taking *taking, const struct reader_run *span) {
    struct ledger *ledger = taking->ledger;
    struct ledger_class *class = &ledger->classes[span->class];
    uint64_t page = taking->snapshot->target->page_size;
    size_t count = ledger_span_use(taking->snapshot, span, &taking->pages, &taking->room);
    count_blocks(taking, span);
    for (size_t i = 0; i < count; i++) {
        const struct page_use *use = &taking->pages[i];
        if (!residency_has(taking->residency, span->start + i * page)) {
            ledger->untouched += use->used;
        } else if (use->used == 0 && use->cached == 0) {
            ledger->dirty_spans += page;
            class->dirty += page;
        } else {
            class->live += use->used;
            class->cached += use->cached;
            class->partial += page - use->used - use->cached;
        }
    }
}

// ---- all else -----------------------------------------------------------------------------------

static uint64_t resident_plain(struct taking *taking, uint64_t start, uint64_t end) {
    uint64_t none = 0;
    return residency_count(taking->residency, start, end, 0, 0, &none);
}

static void add_block(struct taking *taking, uint64_t start, uint64_t end, uint64_t address,
                      uint64_t asked) {
    struct ledger *ledger = taking->ledger;
    uint64_t live = 0;
    uint64_t resident =
        residency_count(taking->residency, start, end, address, address + asked, &live);
    ledger->part[PART_LIVE] += live;
    ledger->part[PART_SLACK] += resident - live;
    ledger->untouched += asked > live ? asked - live : 0;
}

static void add_run(struct taking *taking, const struct reader_run *run) {
    struct ledger *ledger = taking->ledger;
    uint64_t asked = run->end - run->start;
    switch (run->kind) {
    case RUN_SPAN:
        add_span(taking, run);
        break;
    case RUN_LARGE:
        asked = run->asked < asked ? run->asked : asked;
        ledger->large_blocks++;
        ledger->large_asked += asked;
        add_block(taking, run->start, run->end, run->start, asked);
        break;
    case RUN_FOREIGN:
        ledger->part[PART_OTHER] += resident_plain(taking, run->start, run->end);
        break;
    default:
        ledger->dirty_pool += resident_plain(taking, run->start, run->end);
        break;
    }
}

static bool add_arena(struct taking *taking) {
    struct reader *reader = &taking->snapshot->reader;
    struct reader_run run;
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        add_run(taking, &run);
    }
    taking->ledger->dirty_top = resident_plain(taking, reader_address(reader, reader_top(reader)),
                                               reader_address(reader, reader->live.limit));
    return reader->fault == READER_FINE;
}

static void add_mappings(struct taking *taking) {
    for (size_t i = 0; i < taking->snapshot->mapping_count; i++) {
        const struct mapping *mapping = &taking->snapshot->mappings[i];
        uint64_t asked = mapping->asked < mapping->size ? mapping->asked : mapping->size;
        bool guarded = snapshot_is_guarded(taking->snapshot, mapping->address);
        taking->ledger->guarded_blocks += guarded;
        taking->ledger->guarded_asked += guarded ? asked : 0;
        taking->ledger->mapping_blocks += !guarded;
        taking->ledger->mapping_asked += guarded ? 0 : asked;
        add_block(taking, mapping->start, mapping->start + mapping->length, mapping->address,
                  asked);
    }
}

// Hardened mode knows what was asked for of each small block, and fills the rest.
static void add_hardened(struct taking *taking) {
    struct ledger *ledger = taking->ledger;
    struct hardened hardened;
    uint64_t live = 0;
    ledger->hardened = places_hardened(taking->snapshot, &hardened);
    if (!ledger->hardened) {
        return;
    }
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        live += ledger->classes[i].live;
    }
    ledger->small_slack_most = min_size(atomic_load(&hardened.padding), live);
}

static void add_classes(struct ledger *ledger) {
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        ledger->part[PART_LIVE] += ledger->classes[i].live;
        ledger->part[PART_CACHED] += ledger->classes[i].cached;
        ledger->part[PART_PARTIAL] += ledger->classes[i].partial;
    }
    uint64_t slack = ledger->hardened ? ledger->small_slack_most : 0;
    ledger->part[PART_LIVE] -= slack;
    ledger->part[PART_SLACK] += slack;
    ledger->part[PART_DIRTY] = ledger->dirty_pool + ledger->dirty_spans + ledger->dirty_top;
}

// Bytes in memory of what the heap has in a region. `place`: the first that ends behind its start.
static uint64_t resident_ours(struct taking *taking, const struct places *places, size_t place,
                              const struct region *region) {
    uint64_t resident = 0;
    for (; place < places->count && places->list[place].start < region->end; place++) {
        const struct residency_range *range = &places->list[place];
        uint64_t from = range->start > region->start ? range->start : region->start;
        uint64_t to = range->end < region->end ? range->end : region->end;
        resident += resident_plain(taking, from, to);
    }
    return resident;
}

// What the regions hold beyond the heap. Where the heap is in a region, its pages are counted one
// by one, elsewhere the kernel's own count is taken.
static void add_rest(struct taking *taking, const struct places *places) {
    struct ledger *ledger = taking->ledger;
    const struct target *target = taking->snapshot->target;
    size_t place = 0;
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        const struct residency_piece *piece = residency_piece_of(taking->residency, i);
        uint64_t resident = region->resident;
        while (place < places->count && places->list[place].end <= region->start) {
            place++;
        }
        if (piece != NULL) {
            // Of what lies outside a piece only the kernel's count is known.
            uint64_t counted = residency_of_piece(taking->residency, piece);
            bool whole = piece->end - piece->start == region->end - region->start;
            resident = whole || counted > resident ? counted : resident;
            uint64_t ours = resident_ours(taking, places, place, region);
            resident -= ours < resident ? ours : resident;
        }
        ledger->part[places_part(taking->snapshot, region)] += resident;
    }
}

static void add_metadata(struct taking *taking, const struct places *places) {
    for (size_t i = 0; i < places->count; i++) {
        if (places->metadata[i]) {
            taking->ledger->part[PART_METADATA] +=
                resident_plain(taking, places->list[i].start, places->list[i].end);
        }
    }
}

static void finish(struct ledger *ledger, const struct residency *residency) {
    ledger->sum = 0;
    for (unsigned i = 0; i < PART_COUNT; i++) {
        ledger->sum += ledger->part[i];
    }
    ledger->counted = residency->counted;
    ledger->estimated = residency->estimated;
    ledger->total = residency->counted ? residency->total : ledger->sum;
    ledger->swapped = residency->swapped;
    ledger->huge = residency->huge;
    ledger->zeros = residency->zeros;
}

// ---- the whole ----------------------------------------------------------------------------------

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

// Bytes that the tables and the pages may disagree about: runs that changed while their records
// were copied, and by how much the heap has grown or shrunk since.
static void add_moved(struct ledger *ledger, struct session *session) {
    struct snapshot *snapshot = session->snapshot;
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    if (snapshot->still || session->target.pause != PAUSE_NONE) {
        return;
    }
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        ledger->moved += snapshot_moved(snapshot, &run) ? run.end - run.start : 0;
    }
    struct reader *now = memory_take_aligned(_Alignof(struct reader), sizeof(*now));
    unsigned char *window = memory_take(READER_RECORD_MAX);
    if (reader_open(now, &session->target.view, snapshot->place.address, window,
                    READER_RECORD_MAX)) {
        ledger->grown = distance(now->live.limit, reader->live.limit) * reader_unit_size(reader) +
                        distance(now->live.mappings.bytes, reader->live.mappings.bytes);
    }
    free(window);
    free(now);
}

static bool take_once(struct ledger *ledger, struct session *session, struct residency *residency,
                      bool quiet) {
    struct snapshot *snapshot = session->snapshot;
    struct taking taking = {.ledger = ledger, .snapshot = snapshot, .residency = residency};
    struct places places;
    memset(ledger, 0, sizeof(*ledger));
    places_find(&places, snapshot);
    bool known = residency_take(residency, &session->target, places.list, places.count);
    if (!known && !quiet) {
        say("which pages of %s are in memory cannot be read (%s); it may have ended, or its page "
            "map is not for you: %s",
            session->target.label, strerror(errno), typed_with_sudo());
    }
    bool whole = known && add_arena(&taking);
    if (known && !whole && !quiet) {
        snapshot_say_fault(snapshot);
    }
    if (whole) {
        add_mappings(&taking);
        add_hardened(&taking);
        add_classes(ledger);
        add_metadata(&taking, &places);
        add_rest(&taking, &places);
        add_moved(ledger, session);
        finish(ledger, residency);
    }
    free(taking.pages);
    places_free(&places);
    if (!whole) {
        residency_free(residency);
    }
    return whole;
}

// Tables and pages of one instant, for --freeze and for another attempt.
static bool take_again(struct ledger *ledger, struct session *session, struct residency *residency,
                       bool quiet) {
    if (session->cli.freeze && !target_freeze(&session->target)) {
        return false;
    }
    bool taken = session_copy_again(session);
    if (!taken && !quiet) {
        snapshot_say_fault(session->snapshot);
    }
    taken = taken && take_once(ledger, session, residency, quiet);
    target_thaw(&session->target);
    return taken;
}

// Did the heap stand still enough for its pages to belong to its tables?
static bool is_settled(const struct ledger *ledger) {
    return ledger_closes(ledger) && ledger->grown * 100 <= ledger->total;
}

// Reads what has been taken once more, while that may help.
static bool settle(struct ledger *ledger, struct session *session, struct residency *residency,
                   bool quiet) {
    const struct target *target = &session->target;
    bool running = target->kind == TARGET_LIVE && target->pause == PAUSE_NONE;
    uint64_t start = target_clock();
    for (int i = 1; i < ATTEMPTS && running && !is_settled(ledger); i++) {
        if (i >= ATTEMPTS_LEAST && target_clock() - start > ATTEMPTS_NS) {
            break;
        }
        residency_free(residency);
        if (!take_again(ledger, session, residency, quiet)) {
            return false;
        }
    }
    return true;
}

bool ledger_take_pages(struct ledger *ledger, struct session *session, struct residency *residency,
                       bool quiet) {
    bool taken = session->cli.freeze && session->target.kind == TARGET_LIVE
                     ? take_again(ledger, session, residency, quiet)
                     : take_once(ledger, session, residency, quiet);
    return taken && settle(ledger, session, residency, quiet);
}

bool ledger_take_again(struct ledger *ledger, struct session *session) {
    struct residency residency;
    bool taken =
        take_again(ledger, session, &residency, true) && settle(ledger, session, &residency, true);
    if (taken) {
        residency_free(&residency);
    }
    return taken;
}

bool ledger_take(struct ledger *ledger, struct session *session, bool quiet) {
    struct residency residency;
    bool taken = ledger_take_pages(ledger, session, &residency, quiet);
    if (taken) {
        residency_free(&residency);
    }
    return taken;
}

int64_t ledger_residue(const struct ledger *ledger) {
    return (int64_t)ledger->sum - (int64_t)ledger->total;
}

bool ledger_closes(const struct ledger *ledger) {
    int64_t residue = ledger_residue(ledger);
    return (uint64_t)(residue < 0 ? -residue : residue) * 100 <= ledger->total;
}

uint64_t ledger_heap_cached(const struct snapshot *snapshot, const struct snapshot_heap *heap) {
    uint64_t bytes = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        bytes += (uint64_t)heap->count[class] * snapshot->reader.fixed.classes[class].size;
    }
    return bytes;
}

void ledger_json_parts(struct json *json, const struct ledger *ledger) {
    json_open_object(json, "resident");
    for (unsigned i = 0; i < PART_COUNT; i++) {
        json_number(json, part_names[i], ledger->part[i]);
    }
    json_close_object(json);
    json_number(json, "sum", ledger->sum);
    json_bool(json, "estimated", ledger->estimated);
    if (ledger->counted) {
        json_number(json, "smaps", ledger->total);
        json_signed(json, "residue", ledger_residue(ledger));
    } else {
        json_null(json, "smaps");
        json_null(json, "residue");
    }
    json_bool(json, "closes", ledger_closes(ledger));
    json_number(json, "swapped", ledger->swapped);
    json_number(json, "huge", ledger->huge);
    json_number(json, "zeros", ledger->zeros);
    json_number(json, "untouched", ledger->untouched);
    json_number(json, "quarantined", ledger->quarantined);
    json_number(json, "moved", ledger->moved + ledger->grown);
}
