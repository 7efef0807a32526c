#include "name.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t utf8_length(const unsigned char *text) {
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xc2 ? 0
                    : text[0] < 0xe0 ? 2
                    : text[0] < 0xf0 ? 3
                    : text[0] < 0xf5 ? 4
                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    // Over-long forms, surrogates and what lies beyond the last code point are not UTF-8 either.
    bool outside = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
                   (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f);
    return outside ? 0 : length;
}

static uint32_t code_point(const unsigned char *text, size_t length) {
    uint32_t code = length == 1 ? text[0] : text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (text[i] & 0x3f);
    }
    return code;
}

// Controls of both kinds, ends of lines and paragraphs, and marks that change the direction of
// what follows.
static bool is_letter(uint32_t code) {
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool line = code == 0x2028 || code == 0x2029;
    bool direction = code == 0x61c || code == 0x200e || code == 0x200f ||
                     (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return !control && !line && !direction;
}

char *name_shown(char *to, size_t room, const char *name) {
    const unsigned char *byte = (const unsigned char *)name;
    size_t used = 0;
    while (*byte != 0) {
        size_t length = utf8_length(byte);
        bool letter = length > 0 && is_letter(code_point(byte, length));
        size_t shown = letter ? length : 1;
        if (used + shown >= room) {
            break;
        }
        if (letter) {
            memmove(to + used, byte, length);
        } else {
            to[used] = '?';
        }
        used += shown;
        byte += length > 0 ? length : 1;
    }
    to[used] = 0;
    return to;
}

int name_width(const char *name, int columns) {
    for (; *name != 0; name++) {
        columns += ((unsigned char)*name & 0xc0) == 0x80;
    }
    return columns;
}
