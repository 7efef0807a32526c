// Building a line of text in a caller's buffer: no allocation, no locale, no stdio.
// What does not fit is cut off; the text is always terminated.
#ifndef LUCID_TEXT_H
#define LUCID_TEXT_H

#include "base.h"

struct text {
    char *start;
    size_t capacity; // bytes at start, the terminator included
    size_t length;   // < capacity
};

struct text text_begin(char *buffer, size_t capacity);
void text_add(struct text *text, const char *words);
void text_add_char(struct text *text, char letter);
void text_add_number(struct text *text, uint64_t number);
void text_add_hex(struct text *text, uint64_t number); // 0x…, lower case

#endif
