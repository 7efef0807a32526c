#include "page.h"

#include "util/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX 512u

void page_clear(struct page *page) {
    page->count = 0;
    page->used = 0;
    page->rows = 0;
}

void page_free(struct page *page) {
    free(page->pieces);
    free(page->text);
    memset(page, 0, sizeof(*page));
}

static void make_room(struct page *page, size_t more) {
    if (page->used + more > page->room) {
        char *old = page->text;
        page->room = (page->used + more) * 2;
        page->text = memory_take(page->room);
        if (page->used > 0) {
            memcpy(page->text, old, page->used);
        }
        free(old);
    }
}

void page_put(struct page *page, enum style style, const char *format, ...) {
    char text[PIECE_MAX];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    int wanted = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (wanted <= 0) {
        return;
    }
    size_t length = (size_t)wanted < sizeof(text) ? (size_t)wanted : sizeof(text) - 1;
    struct piece *last = page->count > 0 ? &page->pieces[page->count - 1] : NULL;
    make_room(page, length);
    memcpy(page->text + page->used, text, length);
    if (last != NULL && last->row == page->rows && last->style == style) {
        last->length += length;
    } else {
        page->pieces =
            memory_grow(page->pieces, page->count, &page->capacity, sizeof(struct piece));
        page->pieces[page->count++] = (struct piece){page->rows, style, page->used, length};
    }
    page->used += length;
}

void page_end(struct page *page) {
    page->rows++;
}

// Blanks are held back until something follows them.
static void print_piece(struct out *out, const char *text, size_t length, size_t *blanks) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == ' ') {
            (*blanks)++;
        } else {
            out_spaces(out, *blanks);
            out_char(out, text[i]);
            *blanks = 0;
        }
    }
}

void page_print(const struct page *page, struct out *out) {
    size_t row = 0;
    size_t blanks = 0;
    for (size_t i = 0; i < page->count; i++) {
        const struct piece *piece = &page->pieces[i];
        for (; row < piece->row; row++) {
            out_char(out, '\n');
            blanks = 0;
        }
        print_piece(out, page->text + piece->start, piece->length, &blanks);
    }
    for (; row < page->rows; row++) {
        out_char(out, '\n');
    }
}

size_t page_clip(const char *text, size_t length, size_t columns, size_t *used) {
    size_t at = 0;
    *used = 0;
    while (at < length) {
        bool begins = ((unsigned char)text[at] & 0xc0) != 0x80;
        if (begins && *used == columns) {
            break;
        }
        *used += begins;
        at++;
    }
    return at;
}
