// Rules about runs, spans and the threads' bins.
#include "check.h"
#include "rows.h"
#include "spanstate.h"
#include "util/memory.h"

#include "util/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void findings_add(struct findings *findings, const char *rule, uint64_t address, uint64_t value,
                  const char *format, ...) {
    if (findings->count == FINDINGS_MAX) {
        findings->more++;
        return;
    }
    findings->list =
        memory_grow(findings->list, findings->count, &findings->capacity, sizeof(struct finding));
    struct finding *finding = &findings->list[findings->count++];
    finding->rule = rule;
    finding->address = address;
    finding->value = value;
    finding->open = false;
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
}

void findings_leave_open(struct findings *findings) {
    if (findings->count > 0) {
        findings->list[findings->count - 1].open = true;
    }
}

void findings_free(struct findings *findings) {
    free(findings->list);
    memset(findings, 0, sizeof(*findings));
}

// ---- who may be in the middle of a step ---------------------------------------------------------

// Is some thread giving blocks of this class back right now?
static bool flush_under_way(const struct snapshot *snapshot, unsigned class) {
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct reader_heap *heap = &snapshot->heaps[i].record;
        if (heap->flush_count != 0 && heap->flush_class == class) {
            return true;
        }
    }
    return false;
}

// May the thread that holds the span be taking blocks out of it right now?
static bool take_under_way(const struct snapshot *snapshot, const struct reader_run *span) {
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        if (heap->held[span->class] == span->head) {
            return !heap->outside;
        }
    }
    return true; // held by nobody's heap: claimed by a giver for a moment
}

// ---- spans --------------------------------------------------------------------------------------

static void check_bits(struct findings *findings, const struct reader_run *span) {
    for (uint32_t index = span->carved; index < SPAN_WORDS * 64; index++) {
        if (span->free[index / 64] >> index % 64 & 1) {
            findings_add(findings, "free-beyond-carved", span->start, index,
                         "span 0x%llx (blocks of %u): block %u is marked free, but only %u were "
                         "ever handed out",
                         ull(span->start), span->block_size, index, span->carved);
            return;
        }
    }
}

static void check_count(struct findings *findings, const struct snapshot *snapshot,
                        const struct reader_run *span) {
    int64_t bits = span->blocks - span->carved;
    for (unsigned word = 0; word < SPAN_WORDS; word++) {
        bits += bit_count(span->free[word]);
    }
    int64_t count = span_count(span->state);
    if (count == bits) {
        return;
    }
    findings_add(findings, "span-count", span->start, span->state,
                 "span 0x%llx (blocks of %u): %lld blocks are free by its bitmap, %lld by its "
                 "count",
                 ull(span->start), span->block_size, (long long)bits, (long long)count);
    bool held = span->state & SPAN_HELD;
    if ((count < bits && flush_under_way(snapshot, span->class)) ||
        (held && take_under_way(snapshot, span))) {
        findings_leave_open(findings);
    }
}

// No heap holds it, yet it is held and no block of it is out.
bool span_in_transit(const struct snapshot *snapshot, const struct reader_run *run) {
    uint32_t blocks = snapshot->reader.fixed.classes[run->class].blocks;
    if (run->kind != RUN_SPAN || run->region != 0 || run->state != span_state(SPAN_HELD, blocks)) {
        return false;
    }
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        if (snapshot->heaps[i].held[run->class] == run->head) {
            return false;
        }
    }
    return true;
}

static void check_units(struct findings *findings, const struct snapshot *snapshot,
                        const struct reader_run *run) {
    bool has_bin = run->kind == RUN_SPAN && run->region == 0;
    uint16_t bin = has_bin ? (uint16_t)(run->class * sizeof(struct bin)) : 0;
    for (uint64_t i = 0; i < run->units; i++) {
        const struct unit *unit = &snapshot->units[run->head + i];
        if (unit->bin != bin || unit->back != i) {
            findings_add(findings, "unit-entry", run->start, run->head + i,
                         "unit 0x%llx of the %s at 0x%llx: its entry says bin %u, %u units behind "
                         "its head",
                         ull(run->start + i * reader_unit_size(&snapshot->reader)),
                         run->kind == RUN_SPAN ? "span" : "large block", ull(run->start), unit->bin,
                         unit->back);
            if (span_in_transit(snapshot, run)) {
                findings_leave_open(findings);
            }
            return;
        }
    }
}

static void check_free_run(struct findings *findings, const struct snapshot *snapshot,
                           const struct reader_run *run) {
    uint32_t dirty = 0;
    for (uint64_t i = 0; i < run->units; i++) {
        const struct unit *unit = &snapshot->units[run->head + i];
        dirty += unit->back == UNIT_DIRTY;
        if (unit->bin != 0 || unit->back > UNIT_DIRTY) {
            findings_add(findings, "unit-entry", run->start, run->head + i,
                         "unit 0x%llx of the free run at 0x%llx: its entry says bin %u, back %u",
                         ull(run->start + i * reader_unit_size(&snapshot->reader)), ull(run->start),
                         unit->bin, unit->back);
            return;
        }
    }
    if (dirty != run->dirty) {
        findings_add(findings, "dirty-count", run->start, run->dirty,
                     "free run 0x%llx: %u of its units are marked dirty, and %u counted",
                     ull(run->start), dirty, run->dirty);
        if (!lock_is_free(&snapshot->reader.live.pool.lock)) {
            findings_leave_open(findings);
        }
    }
}

static void check_run(struct findings *findings, const struct snapshot *snapshot,
                      const struct reader_run *run) {
    switch (run->kind) {
    case RUN_NONE:
        findings_add(findings, "tiling", run->start, run->units,
                     "no run begins at 0x%llx, where the one before it ends; the next one begins "
                     "at 0x%llx",
                     ull(run->start), ull(run->end));
        break;
    case RUN_SPAN:
        findings->blocks += run->carved;
        check_bits(findings, run);
        check_count(findings, snapshot, run);
        check_units(findings, snapshot, run);
        break;
    case RUN_LARGE:
        findings->blocks++;
        check_units(findings, snapshot, run);
        if (run->asked > run->end - run->start) {
            findings_add(findings, "large-size", run->start, run->asked,
                         "large block 0x%llx has %llu bytes, but %llu were asked for",
                         ull(run->start), ull(run->end - run->start), ull(run->asked));
        }
        break;
    case RUN_FREE:
        check_free_run(findings, snapshot, run);
        break;
    default:
        break;
    }
}

void check_runs(struct findings *findings, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        findings->runs++;
        // A gap that is only a run on the move is gone at the next look.
        if (snapshot_moved(snapshot, &run) && run.kind != RUN_NONE) {
            findings->moved++;
        } else {
            check_run(findings, snapshot, &run);
        }
    }
}

// ---- bins ---------------------------------------------------------------------------------------

static void neighbours_text(struct snapshot *snapshot, const struct reader_run *span,
                            uint64_t index, char *to, size_t length) {
    uint64_t bits[SPAN_WORDS];
    size_t first = 0;
    snapshot_cached_bits(snapshot, span, bits, &first);
    const char *left = index == 0
                           ? "no block"
                           : block_state_names[span_block_state(span, bits, (uint32_t)index - 1)];
    const char *right = index + 1 >= span->carved
                            ? "no block handed out"
                            : block_state_names[span_block_state(span, bits, (uint32_t)index + 1)];
    snprintf(to, length, "; left of it %s, right of it %s", left, right);
}

static void bad_cached(struct findings *findings, struct snapshot *snapshot,
                       const struct snapshot_cached *cached, const struct reader_run *span,
                       const char *rule, const char *what) {
    const struct snapshot_heap *heap = &snapshot->heaps[cached->heap];
    char neighbours[96] = "";
    if (span != NULL) {
        uint64_t index = (cached->address - span->start) / span->block_size;
        neighbours_text(snapshot, span, index, neighbours, sizeof(neighbours));
    }
    findings_add(findings, rule, cached->address, cached->heap,
                 "0x%llx is in the bin of %u bytes of thread %d, but %s%s", ull(cached->address),
                 snapshot->reader.fixed.classes[cached->class].size, (int)heap->tid, what,
                 neighbours);
}

static void check_cached(struct findings *findings, struct snapshot *snapshot,
                         const struct snapshot_cached *cached, const struct reader_run *run) {
    if (run->kind != RUN_SPAN || run->class != cached->class) {
        bad_cached(findings, snapshot, cached, NULL, "cached-elsewhere",
                   "there is no span of that class");
        return;
    }
    uint64_t offset = cached->address - run->start;
    uint64_t index = offset / run->block_size;
    if (offset % run->block_size != 0) {
        bad_cached(findings, snapshot, cached, run, "cached-interior", "no block begins there");
    } else if (index >= run->carved) {
        bad_cached(findings, snapshot, cached, run, "cached-uncarved",
                   "no block was ever handed out there");
    } else if (run->free[index / 64] >> index % 64 & 1) {
        bad_cached(findings, snapshot, cached, run, "cached-and-free",
                   "its span has it as free too: it was freed twice");
    }
}

// Cached blocks and runs are both in address order, so one goes along with the other.
void check_bins(struct findings *findings, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    bool more = reader_first(reader, &run);
    findings->cached = snapshot->cached_count;
    for (size_t i = 0; i < snapshot->cached_count; i++) {
        const struct snapshot_cached *cached = &snapshot->cached[i];
        while (more && cached->address >= run.end) {
            more = reader_next(reader, &run);
        }
        if (cached->moving) {
            continue;
        }
        if (i > 0 && cached[-1].address == cached->address && !cached[-1].moving) {
            bad_cached(findings, snapshot, cached, NULL, "cached-twice",
                       "it is in another place of a bin too: it was freed twice");
        }
        if (!more || cached->address < run.start) {
            bad_cached(findings, snapshot, cached, NULL, "cached-outside",
                       "that is outside the arena's runs");
        } else if (!snapshot_moved(snapshot, &run)) {
            check_cached(findings, snapshot, cached, &run);
        }
    }
}
