#include "human.h"

#include "name.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

char *human_size(char to[SIZE_TEXT], uint64_t bytes) {
    static const char suffixes[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(to, SIZE_TEXT, "%llu", ull(bytes));
        return to;
    }
    unsigned power = 0;
    double value = (double)bytes / 1024;
    while (value >= 1023.95 && power < 5) {
        value /= 1024;
        power++;
    }
    snprintf(to, SIZE_TEXT, "%.1f%c", value, suffixes[power]);
    return to;
}

char *human_count(char to[COUNT_TEXT], uint64_t number) {
    char digits[20];
    size_t length = out_digits(digits, number);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            to[used++] = ',';
        }
        to[used++] = digits[i];
    }
    to[used] = 0;
    return to;
}

const char *human_plural(uint64_t number, const char *one, const char *many) {
    return number == 1 ? one : many;
}

// Digits from `text`; `end` is set behind them.
static bool leading_number(const char *text, uint64_t *number, char **end) {
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    *number = strtoull(text, end, hexadecimal ? 16 : 10);
    return errno == 0;
}

bool human_to_number(const char *text, uint64_t *number) {
    char *end = NULL;
    return leading_number(text, number, &end) && *end == 0;
}

bool human_to_size(const char *text, uint64_t *size) {
    static const char suffixes[] = "KMGT";
    char *end = NULL;
    if (!leading_number(text, size, &end)) {
        return false;
    }
    if (*end == 0) {
        return true;
    }
    const char *suffix = strchr(suffixes, *end & ~0x20);
    if (suffix == NULL || end[1] != 0) {
        return false;
    }
    unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
    uint64_t value = *size;
    *size = value << shift;
    return *size >> shift == value;
}

static const char *current_command = "lucid";

void say_command(const char *command) {
    current_command = command;
}

void say(const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    name_shown(text, sizeof(text), text); // a sentence is one line, whatever names are in it
    // The rows so far come first, so that both outputs on one terminal are in order.
    out_flush(&out_standard);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", current_command, text);
}

static void words_line(struct out *out, uint64_t address, const unsigned char *bytes,
                       size_t length) {
    char line[128];
    int used = snprintf(line, sizeof(line), "0x%llx:", ull(address));
    out_bytes(out, line, (size_t)used);
    size_t at = 0;
    for (; at + 4 <= length; at += 4) {
        uint32_t word;
        memcpy(&word, bytes + at, 4);
        used = snprintf(line, sizeof(line), "\t0x%08x", word);
        out_bytes(out, line, (size_t)used);
    }
    for (; at < length; at++) {
        out_format(out, "\t0x%02x", bytes[at]);
    }
    out_text(out, "\t");
    for (at = 0; at < length; at++) {
        out_char(out, bytes[at] >= 0x20 && bytes[at] < 0x7f ? (char)bytes[at] : '.');
    }
    out_char(out, '\n');
}

void human_words(struct out *out, uint64_t address, const void *bytes, size_t length) {
    const unsigned char *byte = bytes;
    for (size_t at = 0; at < length; at += 16) {
        size_t rest = length - at;
        words_line(out, address + at, byte + at, rest < 16 ? rest : 16);
    }
}

bool terminal_colour(bool refused) {
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return !refused && isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == 0) &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

bool terminal_ascii(void) {
    setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

unsigned terminal_width(void) {
    struct winsize size;
    uint64_t columns = 0;
    const char *text = getenv("COLUMNS");
    if (text != NULL && human_to_number(text, &columns) && columns >= 40 && columns <= 1000) {
        return (unsigned)columns;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) {
        return size.ws_col;
    }
    return 100;
}
