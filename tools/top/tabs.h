// The four tabs of `lucid top`, as rows.
#ifndef LUCID_TOP_TABS_H
#define LUCID_TOP_TABS_H

#include "page.h"
#include "sample.h"

enum tab { TAB_SUMMARY, TAB_CLASSES, TAB_THREADS, TAB_MAP, TAB_COUNT };

extern const char *const tab_names[TAB_COUNT];

struct look {
    unsigned width; // columns
    unsigned height;
    bool ascii;               // the terminal's character set has no blocks
    unsigned sort[TAB_COUNT]; // by which of the tab's columns
};

// Fills the page anew.
void tab_fill(struct page *page, enum tab tab, const struct sample *sample,
              const struct look *look);

// In how many ways a tab can be sorted, and the name of one.
unsigned tab_sorts(enum tab tab);
const char *tab_sort_name(enum tab tab, unsigned sort);

#endif
