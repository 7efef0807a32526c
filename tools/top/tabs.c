#include "tabs.h"

#include "tabmap.h"
#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tab_names[TAB_COUNT] = {"summary", "classes", "threads", "map"};

static const char *const sort_names[TAB_COUNT][3] = {
    [TAB_CLASSES] = {"held", "size", "change"},
    [TAB_THREADS] = {"in bins", "refills", "tid"},
};

unsigned tab_sorts(enum tab tab) {
    return sort_names[tab][0] != NULL ? 3 : 0;
}

const char *tab_sort_name(enum tab tab, unsigned sort) {
    return sort_names[tab][sort];
}

// "+1.2M" and the like; "" for nothing.
#define CHANGE_TEXT (SIZE_TEXT + 2)
static const char *change_text(char to[CHANGE_TEXT], const struct sample *sample, uint64_t now,
                               uint64_t before) {
    char size[SIZE_TEXT];
    uint64_t change = now > before ? now - before : before - now;
    double rate = sample_rate(sample, change);
    snprintf(to, CHANGE_TEXT, "%s%s", now > before ? "+" : "-", human_size(size, (uint64_t)rate));
    return sample->seconds > 0 && rate >= 1 ? to : "";
}

static double percent(uint64_t part, uint64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

// ---- summary ------------------------------------------------------------------------------------

static enum style part_style(unsigned part) {
    switch (part) {
    case PART_LIVE:
    case PART_SLACK:
        return STYLE_GOOD;
    case PART_PARTIAL:
    case PART_CACHED:
    case PART_DIRTY:
        return STYLE_FREE;
    case PART_METADATA:
        return STYLE_OTHER;
    default:
        return STYLE_DIM;
    }
}

#define SUMMARY_COLUMNS 52u // without the bar

static void put_bar(struct page *page, enum style style, uint64_t part, uint64_t whole,
                    const struct look *look) {
    unsigned room = look->width > SUMMARY_COLUMNS + 2 ? look->width - SUMMARY_COLUMNS - 2 : 0;
    room = room < 50 ? room : 50;
    uint64_t length = whole > 0 ? (part * room + whole / 2) / whole : 0;
    page_put(page, STYLE_PLAIN, "  ");
    for (uint64_t i = 0; i < length; i++) {
        page_put(page, style, "%s", look->ascii ? "#" : "█");
    }
}

static void put_parts(struct page *page, const struct sample *sample, const struct look *look) {
    const struct ledger *now = &sample->ledger;
    char size[SIZE_TEXT];
    char change[CHANGE_TEXT];
    page_put(page, STYLE_HEAD, "%-24s %8s %7s %9s", "RESIDENT", "BYTES", "SHARE", "PER SEC");
    page_end(page);
    for (unsigned i = 0; i < PART_COUNT; i++) {
        page_put(page, STYLE_PLAIN, "%-24s %8s %6.1f%% %9s", part_titles[i],
                 human_size(size, now->part[i]), percent(now->part[i], now->sum),
                 change_text(change, sample, now->part[i], sample->before.part[i]));
        put_bar(page, part_style(i), now->part[i], now->sum, look);
        page_end(page);
    }
    page_put(page, STYLE_STRONG, "%-24s %8s %6.1f%% %9s", "sum", human_size(size, now->sum),
             percent(now->sum, now->sum),
             change_text(change, sample, now->sum, sample->before.sum));
    page_end(page);
}

static void put_count(struct page *page, const struct sample *sample) {
    const struct ledger *now = &sample->ledger;
    int64_t residue = ledger_residue(now);
    char size[SIZE_TEXT];
    uint64_t off = (uint64_t)(residue < 0 ? -residue : residue);
    if (!now->counted) {
        return;
    }
    page_put(page, STYLE_PLAIN, "%-24s %8s", "counted by the kernel", human_size(size, now->total));
    page_put(page, ledger_closes(now) ? STYLE_DIM : STYLE_BAD, "  residue %s (%.2f%%)",
             human_size(size, off), percent(off, now->total));
    page_end(page);
}

static void put_beside(struct page *page, const struct sample *sample) {
    const struct ledger *now = &sample->ledger;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    page_end(page);
    page_put(page, STYLE_PLAIN, "blocks   %llu small (%s), %llu large (%s)", ull(now->small_blocks),
             human_size(a, now->small_bytes), ull(now->large_blocks + now->mapping_blocks),
             human_size(b, now->large_asked + now->mapping_asked));
    page_end(page);
    page_put(page, STYLE_PLAIN, "a trim would return %s   in huge pages %s   swapped out ",
             human_size(a, now->dirty_pool + now->dirty_spans), human_size(b, now->huge));
    page_put(page, STYLE_PLAIN, "%s", human_size(a, now->swapped));
    page_end(page);
    page_put(page, STYLE_PLAIN, "per second: %.0f refills, %.0f flushes, %.0f large blocks, %s ",
             sample_rate(sample, sample->change.refills),
             sample_rate(sample, sample->change.flushes),
             sample_rate(sample, sample->change.larges),
             human_size(a, (uint64_t)sample_rate(sample, sample->change.returned)));
    page_put(page, STYLE_PLAIN, "given back");
    page_end(page);
}

static uint64_t past(const struct sample *sample, uint64_t steps) {
    return sample->history[(sample->taken - 1 - steps) % SAMPLE_HISTORY];
}

// Resident memory over the last readings, the newest at the right; the scale begins at 0, so that
// a small change does not look like a large one.
static void put_history(struct page *page, const struct sample *sample, const struct look *look) {
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {" ", ".", ".", "-", "-", "=", "=", "#", "#"};
    uint64_t count = sample->taken < SAMPLE_HISTORY ? sample->taken : SAMPLE_HISTORY;
    uint64_t room = look->width > 2 ? look->width - 2 : 1;
    uint64_t most = 1;
    char size[SIZE_TEXT];
    count = count < room ? count : room;
    for (uint64_t i = 0; i < count; i++) {
        most = past(sample, i) > most ? past(sample, i) : most;
    }
    page_end(page);
    page_put(page, STYLE_HEAD, "RESIDENT, LAST %llu %s, UP TO %s", ull(count),
             human_plural(count, "READING", "READINGS"), human_size(size, most));
    page_end(page);
    for (uint64_t i = count; i-- > 0;) {
        uint64_t step = (past(sample, i) * 8 + most / 2) / most;
        page_put(page, STYLE_GOOD, "%s", (look->ascii ? letters : blocks)[step]);
    }
    page_end(page);
}

// ---- classes ------------------------------------------------------------------------------------

static uint64_t held(const struct ledger_class *class) {
    return class->live + class->cached + class->partial + class->dirty;
}

static uint64_t class_key(const struct sample *sample, unsigned class, unsigned sort) {
    uint64_t now = held(&sample->ledger.classes[class]);
    uint64_t before = held(&sample->before.classes[class]);
    return sort == 0      ? now
           : sort == 1    ? CLASS_COUNT - class
           : now > before ? now - before
                          : before - now;
}

static void put_classes(struct page *page, const struct sample *sample, unsigned sort) {
    const struct sizeclass *sizes = sample->session->snapshot->reader.fixed.classes;
    unsigned order[CLASS_COUNT];
    size_t count = 0;
    char a[SIZE_TEXT];
    char b[SIZE_TEXT];
    char c[SIZE_TEXT];
    char change[CHANGE_TEXT];
    for (unsigned i = 1; i < CLASS_COUNT; i++) {
        size_t at = count;
        for (; at > 0 && class_key(sample, order[at - 1], sort) < class_key(sample, i, sort);
             at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
        count += sample->ledger.classes[i].spans > 0;
    }
    page_put(page, STYLE_HEAD, "%8s %8s %10s %8s %8s %8s %9s", "SIZE", "HELD", "IN USE", "LIVE",
             "IN BINS", "FREE", "PER SEC");
    page_end(page);
    for (size_t i = 0; i < count; i++) {
        const struct ledger_class *class = &sample->ledger.classes[order[i]];
        char live[SIZE_TEXT];
        page_put(page, STYLE_PLAIN, "%8u %8s %10llu %8s %8s %8s %9s", sizes[order[i]].size,
                 human_size(a, held(class)), ull(class->blocks), human_size(live, class->live),
                 human_size(b, class->cached), human_size(c, class->partial + class->dirty),
                 change_text(change, sample, held(class), held(&sample->before.classes[order[i]])));
        page_end(page);
    }
}

// ---- threads ------------------------------------------------------------------------------------

static unsigned thread_sort; // qsort has no room for it

static int compare_threads(const void *left, const void *right) {
    const struct sample_thread *a = *(const struct sample_thread *const *)left;
    const struct sample_thread *b = *(const struct sample_thread *const *)right;
    uint64_t first = thread_sort == 0 ? b->cached : b->change.refills;
    uint64_t second = thread_sort == 0 ? a->cached : a->change.refills;
    if (thread_sort == 2 || first == second) {
        return (a->tid > b->tid) - (a->tid < b->tid);
    }
    return (first > second) - (first < second);
}

#define THREAD_NAME 17u

// A terminal that has only ASCII would show one letter of another alphabet as several.
static const char *thread_name(char to[THREAD_NAME], const char *name, bool ascii) {
    name_shown(to, THREAD_NAME, name[0] != 0 ? name : "-");
    for (char *letter = to; ascii && *letter != 0; letter++) {
        *letter = *letter > '~' || *letter < ' ' ? '?' : *letter;
    }
    return to;
}

static void put_threads(struct page *page, const struct sample *sample, unsigned sort, bool ascii) {
    size_t count = sample->thread_count;
    const struct sample_thread **order = memory_take((count + 1) * sizeof(*order));
    char size[SIZE_TEXT];
    char name[THREAD_NAME];
    for (size_t i = 0; i < count; i++) {
        order[i] = &sample->threads[i];
    }
    thread_sort = sort;
    if (count > 0) {
        qsort(order, count, sizeof(*order), compare_threads);
    }
    page_put(page, STYLE_HEAD, "%8s  %-16s %-5s %8s %11s %11s %9s", "TID", "NAME", "STATE",
             "IN BINS", "REFILLS/S", "FLUSHES/S", "LARGE/S");
    page_end(page);
    for (size_t i = 0; i < count; i++) {
        const struct sample_thread *thread = order[i];
        thread_name(name, thread->name, ascii);
        page_put(page, thread->state == 'R' ? STYLE_STRONG : STYLE_PLAIN,
                 "%8d  %-*s %-5c %8s %11.0f %11.0f %9.0f", (int)thread->tid, name_width(name, 16),
                 name, thread->state, human_size(size, thread->cached),
                 sample_rate(sample, thread->change.refills),
                 sample_rate(sample, thread->change.flushes),
                 sample_rate(sample, thread->change.larges));
        page_end(page);
    }
    free(order);
}

void tab_fill(struct page *page, enum tab tab, const struct sample *sample,
              const struct look *look) {
    page_clear(page);
    switch (tab) {
    case TAB_SUMMARY:
        put_parts(page, sample, look);
        put_count(page, sample);
        put_beside(page, sample);
        put_history(page, sample, look);
        break;
    case TAB_CLASSES:
        put_classes(page, sample, look->sort[tab]);
        break;
    case TAB_THREADS:
        put_threads(page, sample, look->sort[tab], look->ascii);
        break;
    default:
        tabmap_put(page, sample, look);
        break;
    }
}
