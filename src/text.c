#include "text.h"

struct text text_begin(char *buffer, size_t capacity) {
    buffer[0] = '\0';
    return (struct text){.start = buffer, .capacity = capacity, .length = 0};
}

void text_add_char(struct text *text, char letter) {
    if (text->length + 1 < text->capacity) {
        text->start[text->length++] = letter;
        text->start[text->length] = '\0';
    }
}

void text_add(struct text *text, const char *words) {
    for (; *words != '\0'; words++) {
        text_add_char(text, *words);
    }
}

static void add_digits(struct text *text, uint64_t number, unsigned base) {
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    while (count > 0) {
        text_add_char(text, digits[--count]);
    }
}

void text_add_number(struct text *text, uint64_t number) {
    add_digits(text, number, 10);
}

void text_add_hex(struct text *text, uint64_t number) {
    text_add(text, "0x");
    add_digits(text, number, 16);
}
