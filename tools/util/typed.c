#include "typed.h"

#include "name.h"

#include <stdbool.h>
#include <string.h>

#define ADVICE_ROOM 512
#define GENERAL "run the same command with sudo"

static const char begin[] = "run `sudo lucid";
static const char end[] = "`";

static char advice[ADVICE_ROOM] = GENERAL;

struct text {
    char *to;
    size_t used;
    bool fits; // also: is shown as it is
};

static void add(struct text *text, const char *piece, size_t length) {
    text->fits = text->fits && length < ADVICE_ROOM - text->used;
    if (text->fits) {
        memcpy(text->to + text->used, piece, length);
        text->used += length;
        text->to[text->used] = 0;
    }
}

static bool is_plain(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_@%+=:,./-";
    return word[0] != 0 && word[strspn(word, plain)] == 0;
}

static void add_word(struct text *text, const char *word) {
    char shown[ADVICE_ROOM];
    text->fits = text->fits && strcmp(name_shown(shown, sizeof(shown), word), word) == 0;
    add(text, " ", 1);
    if (is_plain(word)) {
        add(text, word, strlen(word));
        return;
    }
    add(text, "'", 1);
    for (; *word != 0 && text->fits; word++) {
        if (*word == '\'') {
            add(text, "'\\''", 4);
        } else {
            add(text, word, 1);
        }
    }
    add(text, "'", 1);
}

void typed_keep(int argc, char *const *argv) {
    struct text text = {.to = advice, .fits = true};
    add(&text, begin, strlen(begin));
    for (int i = 0; i < argc; i++) {
        add_word(&text, argv[i]);
    }
    add(&text, end, strlen(end));
    if (!text.fits) {
        memcpy(advice, GENERAL, sizeof(GENERAL));
    }
}

const char *typed_with_sudo(void) {
    return advice;
}
