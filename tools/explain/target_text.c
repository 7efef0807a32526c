#include "target_text.h"

#include "util/name.h"

#include <stdio.h>
#include <string.h>

struct text {
    char *to;
    size_t used;
};

static void put(struct text *text, const char *bytes, size_t length) {
    if (text->used + length < TARGET_TEXT) {
        memcpy(text->to + text->used, bytes, length);
        text->used += length;
        text->to[text->used] = 0;
    }
}

static bool is_plain_text(const char *word) {
    char shown[TARGET_TEXT];
    return strcmp(name_shown(shown, sizeof(shown), word), word) == 0;
}

// Between quotes in which a shell reads numbers of bytes: the word comes out as it was, and
// nothing of it reaches the terminal before.
static void put_escaped(struct text *text, const char *word) {
    char piece[8];
    put(text, "$'", 2);
    for (; *word != 0; word++) {
        unsigned char byte = (unsigned char)*word;
        bool plain = byte >= ' ' && byte <= '~' && byte != '\'' && byte != '\\';
        int length = snprintf(piece, sizeof(piece), plain ? "%c" : "\\%03o", byte);
        put(text, piece, (size_t)length);
    }
    put(text, "'", 1);
}

// As it is when a shell reads nothing into it, else between quotes.
static void put_word(struct text *text, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:=@%+,";
    if (word[0] != 0 && word[strspn(word, plain)] == 0) {
        put(text, word, strlen(word));
        return;
    }
    if (!is_plain_text(word)) {
        put_escaped(text, word);
        return;
    }
    put(text, "'", 1);
    for (; *word != 0; word++) {
        put(text, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    }
    put(text, "'", 1);
}

const char *target_text(char to[TARGET_TEXT], const struct session *session) {
    const struct cli *cli = &session->cli;
    struct text text = {.to = to};
    to[0] = 0;
    if (cli->program != NULL) {
        if (cli->break_function != NULL) {
            put(&text, "--break ", 8);
            put_word(&text, cli->break_function);
            put(&text, " ", 1);
        }
        put(&text, "--", 2);
        for (char **word = cli->program; *word != NULL; word++) {
            put(&text, " ", 1);
            put_word(&text, *word);
        }
    } else if (cli->target != NULL) {
        put_word(&text, cli->target);
    } else {
        snprintf(to, TARGET_TEXT, "%d", (int)session->target.pid);
    }
    return to;
}
