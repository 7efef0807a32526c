#include "sparse.h"

#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

// The pages of one span.
struct look {
    struct session *session;
    struct residency *residency;
    unsigned below;
    const struct reader_run *span;
    struct page_use *pages;
    size_t room;
    size_t count;
    uint64_t page; // bytes
};

static bool is_resident(const struct look *look, size_t i) {
    return residency_has(look->residency, look->span->start + i * look->page);
}

static bool is_sparse(const struct look *look, size_t i) {
    uint64_t used = look->pages[i].used;
    return used > 0 && used * 100 <= look->below * look->page && is_resident(look, i);
}

static void look_at(struct look *look, const struct reader_run *span) {
    look->span = span;
    look->count = ledger_span_use(look->session->snapshot, span, &look->pages, &look->room);
}

// Does the block of this number have a byte on a sparse page?
static bool pins(const struct look *look, uint32_t index) {
    uint64_t from = (uint64_t)index * look->span->block_size;
    uint64_t to = from + look->span->block_size;
    for (size_t i = (size_t)(from / look->page); i < look->count && i * look->page < to; i++) {
        if (is_sparse(look, i)) {
            return true;
        }
    }
    return false;
}

// The next block in use at or behind `index` that pins a sparse page; span->carved: none.
static uint32_t next_pinning(const struct look *look, const uint64_t cached[SPAN_WORDS],
                             uint32_t index) {
    const struct reader_run *span = look->span;
    while (index < span->carved &&
           (span_block_state(span, cached, index) != BLOCK_IS_USED || !pins(look, index))) {
        index++;
    }
    return index;
}

static void add_pages(const struct look *look, struct sparse_sum *sum) {
    for (size_t i = 0; i < look->count; i++) {
        const struct page_use *use = &look->pages[i];
        if (!is_resident(look, i)) {
            continue;
        }
        sum->resident += look->page;
        sum->used += use->used;
        sum->cached += use->cached;
        sum->empty += use->used == 0 && use->cached == 0 ? look->page : 0;
        sum->kept += use->used == 0 && use->cached == 0 && look->span->region != 0 ? look->page : 0;
        sum->bins_only += use->used == 0 && use->cached > 0 ? look->page : 0;
        sum->used_pages += use->used > 0;
        sum->sparse_pages += is_sparse(look, i);
    }
}

// A large block can keep more pages than its sparse one: the pages that return are those on which
// nothing is left in use without these blocks.
static void add_blocks(const struct look *look, struct sparse_sum *sum) {
    const struct reader_run *span = look->span;
    uint64_t cached[SPAN_WORDS];
    size_t first = 0;
    uint32_t *gone = memory_take(look->count * sizeof(*gone));
    snapshot_cached_bits(look->session->snapshot, span, cached, &first);
    for (uint32_t index = next_pinning(look, cached, 0); index < span->carved;
         index = next_pinning(look, cached, index + 1)) {
        uint64_t from = (uint64_t)index * span->block_size;
        uint64_t end = from + span->block_size;
        sum->blocks++;
        sum->block_bytes += span->block_size;
        while (from < end && from / look->page < look->count) {
            size_t i = (size_t)(from / look->page);
            uint64_t next = (i + 1) * look->page < end ? (i + 1) * look->page : end;
            gone[i] += (uint32_t)(next - from);
            from = next;
        }
    }
    for (size_t i = 0; i < look->count; i++) {
        bool freed = gone[i] > 0 && gone[i] >= look->pages[i].used;
        sum->returns += freed && is_resident(look, i) ? look->page : 0;
    }
    free(gone);
}

static void add_sum(struct sparse_sum *to, const struct sparse_sum *from) {
    to->spans += from->spans;
    to->resident += from->resident;
    to->used += from->used;
    to->cached += from->cached;
    to->empty += from->empty;
    to->kept += from->kept;
    to->bins_only += from->bins_only;
    to->used_pages += from->used_pages;
    to->sparse_pages += from->sparse_pages;
    to->blocks += from->blocks;
    to->block_bytes += from->block_bytes;
    to->returns += from->returns;
}

static void add_span(struct sparse *sparse, struct look *look, const struct reader_run *run) {
    struct sparse_span span = {.head = run->head, .start = run->start, .class = run->class};
    look_at(look, run);
    span.sum.spans = 1;
    add_pages(look, &span.sum);
    if (span.sum.sparse_pages > 0) {
        add_blocks(look, &span.sum);
        sparse->spans = memory_grow(sparse->spans, sparse->count, &sparse->capacity, sizeof(span));
        sparse->spans[sparse->count++] = span;
    }
    add_sum(&sparse->classes[run->class], &span.sum);
    add_sum(&sparse->total, &span.sum);
}

static int by_returns(const void *left, const void *right) {
    const struct sparse_span *a = left;
    const struct sparse_span *b = right;
    if (a->sum.returns != b->sum.returns) {
        return a->sum.returns < b->sum.returns ? 1 : -1;
    }
    if (a->sum.blocks != b->sum.blocks) {
        return a->sum.blocks > b->sum.blocks ? 1 : -1; // fewer blocks for the same bytes
    }
    return (a->start > b->start) - (a->start < b->start);
}

static struct look begin(struct session *session, struct residency *residency, unsigned below) {
    return (struct look){
        .session = session,
        .residency = residency,
        .below = below,
        .page = session->target.page_size,
    };
}

void sparse_find(struct sparse *sparse, struct session *session, struct residency *residency,
                 unsigned below) {
    struct reader *reader = &session->snapshot->reader;
    struct look look = begin(session, residency, below);
    struct reader_run run;
    *sparse = (struct sparse){.below = below};
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        if (run.kind == RUN_SPAN) {
            add_span(sparse, &look, &run);
        }
    }
    free(look.pages);
    if (sparse->count > 0) {
        qsort(sparse->spans, sparse->count, sizeof(struct sparse_span), by_returns);
    }
}

void sparse_free(struct sparse *sparse) {
    free(sparse->spans);
    memset(sparse, 0, sizeof(*sparse));
}

size_t sparse_blocks(const struct sparse *sparse, struct session *session,
                     struct residency *residency, const struct sparse_span *span,
                     uint64_t *addresses, size_t room) {
    struct look look = begin(session, residency, sparse->below);
    struct reader_run run;
    uint64_t cached[SPAN_WORDS];
    size_t first = 0;
    size_t count = 0;
    if (!reader_run_at(&session->snapshot->reader, span->head, &run) || run.kind != RUN_SPAN) {
        return 0;
    }
    look_at(&look, &run);
    snapshot_cached_bits(session->snapshot, &run, cached, &first);
    for (uint32_t index = next_pinning(&look, cached, 0); index < run.carved && count < room;
         index = next_pinning(&look, cached, index + 1)) {
        addresses[count++] = run.start + (uint64_t)index * run.block_size;
    }
    free(look.pages);
    return count;
}
