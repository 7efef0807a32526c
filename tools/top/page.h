// Rows of styled text that do not know yet where they will be shown: a terminal, or a pipe.
#ifndef LUCID_TOP_PAGE_H
#define LUCID_TOP_PAGE_H

#include "util/out.h"

enum style {
    STYLE_PLAIN,
    STYLE_HEAD,   // names of columns
    STYLE_STRONG, // what matters most
    STYLE_DIM,
    STYLE_GOOD,    // green: memory that works
    STYLE_FREE,    // blue: memory that could go
    STYLE_OTHER,   // yellow: memory that is not the program's data
    STYLE_FOREIGN, // magenta
    STYLE_BAD,     // red
    STYLE_COUNT,
};

struct piece {
    size_t row;
    enum style style;
    size_t start; // in the text
    size_t length;
};

struct page {
    struct piece *pieces;
    size_t count;
    size_t capacity;
    char *text;
    size_t used;
    size_t room;
    size_t rows;
};

void page_clear(struct page *page);
void page_free(struct page *page);

// Appends to the last row; page_end ends it.
void page_put(struct page *page, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void page_end(struct page *page);

// Without styles.
void page_print(const struct page *page, struct out *out);

// How many bytes of UTF-8 text fill at most so many columns; every character has one.
size_t page_clip(const char *text, size_t length, size_t columns, size_t *used);

#endif
