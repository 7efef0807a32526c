// lucid frag: pages that a few blocks keep in memory, and which blocks these are.
#include "commands.h"
#include "sparse.h"
#include "target_text.h"
#include "util/human.h"
#include "util/memory.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 10u

struct frag {
    struct session session;
    struct ledger ledger;
    struct sparse sparse;
    struct residency residency;
    uint64_t below;
    uint64_t limit; // classes and spans shown
};

static bool take_option(int option, const char *value, void *context) {
    struct frag *frag = context;
    if (option == 'b') {
        if (!human_to_number(value, &frag->below) || frag->below < 1 || frag->below > 99) {
            say("--below %s: give a number of percent from 1 to 99", value);
            return false;
        }
    } else if (!human_to_number(value, &frag->limit)) {
        say("--limit %s: give a number of rows", value);
        return false;
    }
    return true;
}

static double percent(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_summary(const struct frag *frag) {
    const struct sparse_sum *total = &frag->sparse.total;
    struct out *out = &out_standard;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    char d[SIZE_TEXT];
    out_format(out, "\n%s of spans are %s: %s in use, %s in %s, %s in whole free pages;\n",
               human_size(a, total->resident),
               frag->ledger.estimated ? "not all zeros in the core" : "resident",
               human_size(b, total->used), human_size(c, total->cached),
               frag->ledger.hardened ? "quarantine" : "the bins of threads",
               human_size(d, total->empty));
    out_format(out, "the other %s are free blocks, and ends of pages, beside these.\n",
               human_size(a, total->resident - total->used - total->cached - total->empty));
    if (total->sparse_pages == 0) {
        out_format(out,
                   "None of the %llu pages with a block in use is sparse (at most %u%% in "
                   "use).\n",
                   ull(total->used_pages), frag->sparse.below);
        return;
    }
    out_format(out,
               "%llu of the %llu pages with a block in use are sparse (at most %u%% in use):\n"
               "%llu %s (%s) %s them, and %s would return if %s died.\n",
               ull(total->sparse_pages), ull(total->used_pages), frag->sparse.below,
               ull(total->blocks), human_plural(total->blocks, "block", "blocks"),
               human_size(a, total->block_bytes), human_plural(total->blocks, "pins", "pin"),
               human_size(b, total->returns), human_plural(total->blocks, "it", "these"));
}

// Numbers of the classes with sparse pages, those with most to return first.
static size_t order_classes(const struct sparse *sparse, unsigned order[CLASS_COUNT]) {
    size_t count = 0;
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        size_t at = count;
        if (sparse->classes[i].sparse_pages == 0) {
            continue;
        }
        while (at > 0 && sparse->classes[order[at - 1]].returns < sparse->classes[i].returns) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
        count++;
    }
    return count;
}

static void print_more(const struct frag *frag, size_t count) {
    if (count > frag->limit) {
        out_format(&out_standard, "  %llu more; --limit shows them\n", ull(count - frag->limit));
    }
}

static void print_classes(const struct frag *frag) {
    const struct sizeclass *sizes = frag->session.snapshot->reader.fixed.classes;
    struct out *out = &out_standard;
    unsigned order[CLASS_COUNT];
    size_t count = order_classes(&frag->sparse, order);
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    out_text(out,
             "\n  BLOCK SIZE     SPANS  RESIDENT  IN USE  SPARSE PAGES  PINNED BY   RETURNS\n");
    for (size_t i = 0; i < count && i < frag->limit; i++) {
        const struct sparse_sum *sum = &frag->sparse.classes[order[i]];
        out_format(out, "  %10u %9llu %9s  %5.1f%%  %12llu  %9llu %9s\n", sizes[order[i]].size,
                   ull(sum->spans), human_size(a, sum->resident), percent(sum->used, sum->resident),
                   ull(sum->sparse_pages), ull(sum->blocks), human_size(b, sum->returns));
    }
    print_more(frag, count);
}

static void print_span(struct frag *frag, const struct sparse_span *span) {
    const struct sizeclass *sizes = frag->session.snapshot->reader.fixed.classes;
    uint64_t blocks[2];
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    size_t count = sparse_blocks(&frag->sparse, &frag->session, &frag->residency, span, blocks, 2);
    out_format(&out_standard, "  0x%-14llx %10u %9s %13llu %7llu %9s ", ull(span->start),
               sizes[span->class].size, human_size(a, span->sum.resident),
               ull(span->sum.sparse_pages), ull(span->sum.blocks),
               human_size(b, span->sum.returns));
    for (size_t i = 0; i < count; i++) {
        out_format(&out_standard, " 0x%llx", ull(blocks[i]));
    }
    out_text(&out_standard, span->sum.blocks > count ? " ...\n" : "\n");
}

static void print_spans(struct frag *frag) {
    struct out *out = &out_standard;
    char text[TARGET_TEXT];
    uint64_t block = 0;
    out_text(out, "\n  SPAN             BLOCK SIZE  RESIDENT  SPARSE PAGES  BLOCKS   RETURNS  "
                  "PINNED BY\n");
    for (size_t i = 0; i < frag->sparse.count && i < frag->limit; i++) {
        print_span(frag, &frag->sparse.spans[i]);
    }
    print_more(frag, frag->sparse.count);
    if (target_stays(&frag->session) &&
        sparse_blocks(&frag->sparse, &frag->session, &frag->residency, &frag->sparse.spans[0],
                      &block, 1) == 1) {
        out_format(out,
                   "\nWhat such a block is, and who points to it:\n"
                   "  lucid block --refs %s 0x%llx\n",
                   target_text(text, &frag->session), ull(block));
    }
}

static void print_text(struct frag *frag) {
    char slack[SIZE_TEXT];
    session_print_head(&frag->session, &out_standard);
    print_summary(frag);
    if (frag->ledger.part[PART_SLACK] > 0) {
        out_format(&out_standard,
                   "Large blocks have their pages for themselves; %s of these are "
                   "beyond what was asked for.\n",
                   human_size(slack, frag->ledger.part[PART_SLACK]));
    }
    if (frag->sparse.count > 0) {
        print_classes(frag);
        print_spans(frag);
    }
}

static void json_sum(struct json *json, const struct sparse_sum *sum) {
    json_number(json, "resident", sum->resident);
    json_number(json, "used", sum->used);
    json_number(json, "cached", sum->cached);
    json_number(json, "empty", sum->empty);
    json_number(json, "bins_only", sum->bins_only);
    json_number(json, "used_pages", sum->used_pages);
    json_number(json, "sparse_pages", sum->sparse_pages);
    json_number(json, "blocks", sum->blocks);
    json_number(json, "block_bytes", sum->block_bytes);
    json_number(json, "returns", sum->returns);
}

static void json_spans(struct json *json, struct frag *frag) {
    const struct sizeclass *sizes = frag->session.snapshot->reader.fixed.classes;
    json_open_array(json, "spans");
    for (size_t i = 0; i < frag->sparse.count && i < frag->limit; i++) {
        const struct sparse_span *span = &frag->sparse.spans[i];
        uint64_t *blocks = memory_take((size_t)(span->sum.blocks + 1) * sizeof(*blocks));
        size_t count = sparse_blocks(&frag->sparse, &frag->session, &frag->residency, span, blocks,
                                     (size_t)span->sum.blocks);
        json_open_object(json, NULL);
        json_address(json, "address", span->start);
        json_number(json, "size", sizes[span->class].size);
        json_sum(json, &span->sum);
        json_open_array(json, "pinned_by");
        for (size_t k = 0; k < count; k++) {
            json_address(json, NULL, blocks[k]);
        }
        json_close_array(json);
        json_close_object(json);
        free(blocks);
    }
    json_close_array(json);
    json_number(json, "spans_not_shown",
                frag->sparse.count > frag->limit ? frag->sparse.count - frag->limit : 0);
}

static void print_json(struct frag *frag) {
    const struct sizeclass *sizes = frag->session.snapshot->reader.fixed.classes;
    unsigned order[CLASS_COUNT];
    size_t count = order_classes(&frag->sparse, order);
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&frag->session, &json, "frag");
    json_number(&json, "below", frag->sparse.below);
    json_number(&json, "page", frag->session.target.page_size);
    json_bool(&json, "estimated", frag->ledger.estimated);
    json_open_object(&json, "total");
    json_number(&json, "spans", frag->sparse.total.spans);
    json_sum(&json, &frag->sparse.total);
    json_close_object(&json);
    json_open_array(&json, "classes");
    for (size_t i = 0; i < count; i++) {
        json_open_object(&json, NULL);
        json_number(&json, "size", sizes[order[i]].size);
        json_number(&json, "spans", frag->sparse.classes[order[i]].spans);
        json_sum(&json, &frag->sparse.classes[order[i]]);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_spans(&json, frag);
    json_close_object(&json);
}

static int show(struct frag *frag) {
    if (!ledger_take_pages(&frag->ledger, &frag->session, &frag->residency, false)) {
        return EXIT_UNREADABLE;
    }
    sparse_find(&frag->sparse, &frag->session, &frag->residency, (unsigned)frag->below);
    if (frag->session.cli.json) {
        print_json(frag);
    } else {
        print_text(frag);
    }
    sparse_free(&frag->sparse);
    residency_free(&frag->residency);
    return EXIT_FINE;
}

int cmd_frag(int argc, char **argv) {
    static const struct option options[] = {
        {"limit", required_argument, NULL, 'l'},
        {"below", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    static struct frag frag = {.below = SPARSE_BELOW, .limit = LIMIT};
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Finds sparse pages, the blocks that pin them, and what would return without.",
        .details =
            "\n  --limit N         show the N worst classes and spans (10)\n"
            "  --below PERCENT   a page is sparse when at most so much of it is in use (25)\n"
            "\nexample: lucid frag --limit 3 $(pidof redis-server)\n",
        .options = options,
        .take = take_option,
        .context = &frag,
    };
    int code = session_begin(&frag.session, &command, argc, argv, false);
    return code >= 0 ? code : session_end(&frag.session, show(&frag));
}
