#include "story.h"

#include "util/human.h"
#include "util/name.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const topic_names[TOPIC_COUNT] = {"resident", "holds", "returns"};
const char *const topic_titles[TOPIC_COUNT] = {"What is in memory", "What holds most",
                                               "What would return memory"};

// What all the tellers need.
struct teller {
    struct story *story;
    const struct reasons *reasons;
    const struct session *session;
    enum topic topic;
};

static void tell(struct teller *teller, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell(struct teller *teller, const char *format, ...) {
    struct story *story = teller->story;
    va_list arguments;
    if (story->count == STORY_SENTENCES) {
        return;
    }
    struct sentence *sentence = &story->list[story->count++];
    sentence->topic = teller->topic;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    vsnprintf(sentence->text, sizeof(sentence->text), format, arguments);
    va_end(arguments);
    name_shown(sentence->text, sizeof(sentence->text), sentence->text); // of threads, for example
}

static double percent(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static uint64_t in_use(const struct ledger *ledger) {
    return ledger->part[PART_LIVE] + ledger->part[PART_SLACK];
}

static uint64_t is_free(const struct ledger *ledger) {
    return ledger->part[PART_PARTIAL] + ledger->part[PART_CACHED] + ledger->part[PART_DIRTY];
}

static uint64_t not_ours(const struct ledger *ledger) {
    return ledger->part[PART_FILES] + ledger->part[PART_STACKS] + ledger->part[PART_OTHER];
}

// ---- what is in memory --------------------------------------------------------------------------

static void tell_parts(struct teller *teller) {
    const struct ledger *ledger = &teller->reasons->ledger;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    char d[SIZE_TEXT];
    char e[SIZE_TEXT];
    tell(teller,
         "%s are %s: %s (%.0f%%) are blocks that the program uses, %s (%.0f%%) are free but still "
         "held, %s (%.0f%%) are lucid's own tables, and %s (%.0f%%) are not lucid's.",
         human_size(a, ledger->sum), ledger->estimated ? "in use in this core" : "resident",
         human_size(b, in_use(ledger)), percent(in_use(ledger), ledger->sum),
         human_size(c, is_free(ledger)), percent(is_free(ledger), ledger->sum),
         human_size(d, ledger->part[PART_METADATA]),
         percent(ledger->part[PART_METADATA], ledger->sum), human_size(e, not_ours(ledger)),
         percent(not_ours(ledger), ledger->sum));
    tell(teller,
         "Of what is not lucid's, %s are programs, libraries and other files, %s stacks, "
         "and %s other mappings.",
         human_size(a, ledger->part[PART_FILES]), human_size(b, ledger->part[PART_STACKS]),
         human_size(c, ledger->part[PART_OTHER]));
}

static void tell_count(struct teller *teller) {
    const struct ledger *ledger = &teller->reasons->ledger;
    int64_t residue = ledger_residue(ledger);
    uint64_t size = (uint64_t)(residue < 0 ? -residue : residue);
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    if (ledger->estimated) {
        tell(teller,
             "A core does not tell what was resident: pages that are all zeros are taken for not "
             "resident, and the %s of files are only what the core contains.",
             human_size(a, ledger->part[PART_FILES]));
    } else if (ledger->counted) {
        tell(teller, "The kernel counts %s; the parts add up to that within %s (%.2f%%)%s.",
             human_size(a, ledger->total), human_size(b, size), percent(size, ledger->total),
             ledger_closes(ledger) ? "" : ", because it changed too fast: try --freeze");
    }
    if (ledger->moved + ledger->grown > 0) {
        tell(teller, "%s of the heap changed while it was read.",
             human_size(a, ledger->moved + ledger->grown));
    }
    if (ledger->swapped > 0 || ledger->huge > 0) {
        tell(teller, "%s are in huge pages, and %s are swapped out.", human_size(a, ledger->huge),
             human_size(b, ledger->swapped));
    }
}

// ---- what holds most ----------------------------------------------------------------------------

static void tell_classes(struct teller *teller) {
    const struct reasons *reasons = teller->reasons;
    const struct sizeclass *sizes = teller->session->snapshot->reader.fixed.classes;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    for (size_t i = 0; i < reasons->class_count; i++) {
        const struct ledger_class *class = &reasons->ledger.classes[reasons->classes[i]];
        uint64_t held = reasons_held(class);
        tell(teller, "%llu %s of %u bytes: %s (%.0f%%), with %s in use and %s free.",
             ull(class->blocks), human_plural(class->blocks, "block", "blocks"),
             sizes[reasons->classes[i]].size, human_size(a, held),
             percent(held, reasons->ledger.sum), human_size(b, class->live),
             human_size(c, held - class->live));
    }
    if (reasons->ledger.small_blocks > 0) {
        tell(teller, "%s%s (%.0f%%) of the %s in the %llu small blocks in use is rounding%s.",
             reasons->ledger.hardened ? "" : "At most ",
             human_size(a, reasons->ledger.small_slack_most),
             percent(reasons->ledger.small_slack_most, reasons->ledger.small_bytes),
             human_size(b, reasons->ledger.small_bytes), ull(reasons->ledger.small_blocks),
             reasons->ledger.hardened ? " and canaries" : "");
    }
}

static void tell_large(struct teller *teller) {
    const struct reasons *reasons = teller->reasons;
    const struct ledger *ledger = &reasons->ledger;
    uint64_t count = ledger->large_blocks + ledger->mapping_blocks;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    if (count == 0) {
        return;
    }
    tell(teller, "%llu large %s: %s asked for, the largest of %s at 0x%llx%s.", ull(count),
         human_plural(count, "block", "blocks"),
         human_size(a, ledger->large_asked + ledger->mapping_asked),
         human_size(b, reasons->large[0].asked), ull(reasons->large[0].address),
         reasons->large[0].mapping ? " (a mapping of its own)" : "");
    if (ledger->untouched > 0) {
        tell(teller, "%s of the blocks in use are not in memory: never touched, or swapped out.",
             human_size(a, ledger->untouched));
    }
}

static bool large_is_first(const struct reasons *reasons) {
    const struct ledger *ledger = &reasons->ledger;
    return reasons->class_count > 0 && ledger->large_asked + ledger->mapping_asked >
                                           reasons_held(&ledger->classes[reasons->classes[0]]);
}

static void tell_threads(struct teller *teller) {
    const struct reasons *reasons = teller->reasons;
    char a[SIZE_TEXT];
    for (size_t i = 0; i < reasons->thread_count; i++) {
        const struct reason_thread *thread = &reasons->threads[i];
        tell(teller, "Thread %d (%s)%s keeps %s of free blocks in its bins.", (int)thread->tid,
             thread->name[0] != 0 ? thread->name : "without a name",
             thread->asleep ? ", asleep," : "", human_size(a, thread->cached));
    }
}

// ---- what would return memory -------------------------------------------------------------------

// Does the target listen to `lucid ctl`?
static bool can_be_told(const struct teller *teller) {
    const struct target *target = &teller->session->target;
    return teller->reasons->settings.ctl && target->kind == TARGET_LIVE && target->launch == NULL;
}

static void tell_trim(struct teller *teller) {
    const struct reasons *reasons = teller->reasons;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    char how[TARGET_TEXT + 32] = "malloc_trim in the program";
    if (can_be_told(teller)) {
        char target[TARGET_TEXT];
        snprintf(how, sizeof(how), "lucid ctl %s trim", target_text(target, teller->session));
    }
    tell(teller,
         "Trimming (%s) returns %s now: %s of the pool and %s of whole free pages between used "
         "ones.",
         how, human_size(a, reasons->trim_pool + reasons->trim_spans),
         human_size(b, reasons->trim_pool), human_size(c, reasons->trim_spans));
    if (reasons->settings.purges) {
        tell(teller,
             "By itself lucid gives back most of what stays free for %llu ms; %s have gone since "
             "the start.",
             ull(reasons->settings.age), human_size(a, reasons->settings.returned));
    } else {
        tell(teller, "Nothing goes by itself, because the option purge is 0; %s have gone so far.",
             human_size(a, reasons->settings.returned));
    }
}

static void tell_bins(struct teller *teller) {
    const struct reasons *reasons = teller->reasons;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    if (reasons->states_known) {
        tell(teller, "The bins of %llu %s hold %s, of which %s are those of %llu that %s asleep.",
             ull(reasons->thread_total), human_plural(reasons->thread_total, "thread", "threads"),
             human_size(a, reasons->cached - reasons->ended_cached),
             human_size(b, reasons->asleep_cached), ull(reasons->asleep),
             human_plural(reasons->asleep, "was", "were"));
    } else {
        tell(teller, "The bins of %llu %s hold %s.", ull(reasons->thread_total),
             human_plural(reasons->thread_total, "thread", "threads"),
             human_size(a, reasons->cached - reasons->ended_cached));
    }
    if (reasons->ended_cached > 0) {
        tell(teller, "The bins of threads that have ended hold %s.",
             human_size(a, reasons->ended_cached));
    }
    if (reasons->ledger.quarantined > 0) {
        tell(teller,
             "The quarantine of hardened mode holds %s of freed blocks; the option quarantine says "
             "how much it may hold.",
             human_size(a, reasons->ledger.quarantined));
    } else {
        tell(teller, "Emptying all bins leaves %s of pages without any block.",
             human_size(a, reasons->sparse.total.bins_only));
    }
}

static void tell_sparse(struct teller *teller) {
    const struct sparse_sum *sum = &teller->reasons->sparse.total;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    tell(teller,
         "%s of free memory lie beside blocks in use and stay as long as these: %llu of %llu pages "
         "are at most %u%% in use.",
         human_size(a, teller->reasons->ledger.part[PART_PARTIAL]), ull(sum->sparse_pages),
         ull(sum->used_pages), teller->reasons->sparse.below);
    if (sum->blocks > 0) {
        tell(teller, "If the %llu %s (%s) on these pages died, %s would return.", ull(sum->blocks),
             human_plural(sum->blocks, "block", "blocks"), human_size(b, sum->block_bytes),
             human_size(c, sum->returns));
    }
}

// ---- what next ----------------------------------------------------------------------------------

static void set_next(struct teller *teller, const char *command, const char *target,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

static void set_next(struct teller *teller, const char *command, const char *target,
                     const char *format, ...) {
    struct story *story = teller->story;
    va_list arguments;
    snprintf(story->next, sizeof(story->next), "lucid %s %s", command, target);
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    vsnprintf(story->because, sizeof(story->because), format, arguments);
    va_end(arguments);
}

static void set_next_of_dirty(struct teller *teller, const char *target) {
    char size[SIZE_TEXT];
    if (can_be_told(teller)) {
        snprintf(teller->story->next, sizeof(teller->story->next), "lucid ctl %s trim", target);
        snprintf(teller->story->because, sizeof(teller->story->because), "give %s back",
                 human_size(size, teller->reasons->trim_pool + teller->reasons->trim_spans));
    } else {
        set_next(teller, "map", target, "see where the %s of free memory lie",
                 human_size(size, teller->reasons->ledger.part[PART_DIRTY]));
    }
}

// Free memory first, if it is a tenth of all; else what is largest.
static void choose_next(struct teller *teller) {
    const struct ledger *ledger = &teller->reasons->ledger;
    const uint64_t *part = ledger->part;
    uint64_t tenth = ledger->sum / 10;
    char target[TARGET_TEXT];
    char a[SIZE_TEXT];
    target_text(target, teller->session);
    if (part[PART_DIRTY] > tenth && part[PART_DIRTY] >= part[PART_PARTIAL]) {
        set_next_of_dirty(teller, target);
    } else if (part[PART_PARTIAL] > tenth) {
        set_next(teller, "frag", target, "see which blocks keep the %s of free memory beside them",
                 human_size(a, part[PART_PARTIAL]));
    } else if (part[PART_CACHED] > tenth) {
        set_next(teller, "arena", target, "see which threads keep the %s in their bins",
                 human_size(a, part[PART_CACHED]));
    } else if (not_ours(ledger) > in_use(ledger)) {
        set_next(teller, "layout", target, "see the %s that are not lucid's, by mapping",
                 human_size(a, not_ours(ledger)));
    } else if (ledger->small_bytes > ledger->large_asked + ledger->mapping_asked) {
        set_next(teller, "bins", target, "see the %s of small blocks in use, by size",
                 human_size(a, ledger->small_bytes));
    } else {
        set_next(teller, "heap", target, "see the blocks, with the %s in large ones",
                 human_size(a, ledger->large_asked + ledger->mapping_asked));
    }
}

void story_tell(struct story *story, const struct reasons *reasons, const struct session *session) {
    struct teller teller = {.story = story, .reasons = reasons, .session = session};
    memset(story, 0, sizeof(*story));
    teller.topic = TOPIC_RESIDENT;
    tell_parts(&teller);
    tell_count(&teller);
    teller.topic = TOPIC_HOLDS;
    if (large_is_first(reasons)) {
        tell_large(&teller);
        tell_classes(&teller);
    } else {
        tell_classes(&teller);
        tell_large(&teller);
    }
    tell_threads(&teller);
    teller.topic = TOPIC_RETURNS;
    tell_trim(&teller);
    tell_bins(&teller);
    tell_sparse(&teller);
    choose_next(&teller);
}
