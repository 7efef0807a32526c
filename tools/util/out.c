#include "out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct out out_standard = {.fd = STDOUT_FILENO};

static void write_all(struct out *out, const char *bytes, size_t length) {
    while (length > 0 && out->error == 0) {
        ssize_t written = write(out->fd, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        } else if (written < 0 && errno != EINTR) {
            out->error = errno;
        }
    }
}

bool out_flush(struct out *out) {
    write_all(out, out->buffer, out->used);
    out->used = 0;
    return out->error == 0;
}

void out_bytes(struct out *out, const char *bytes, size_t length) {
    out->total += length;
    if (length > OUT_BUFFER - out->used) {
        out_flush(out);
        if (length >= OUT_BUFFER) {
            write_all(out, bytes, length);
            return;
        }
    }
    memcpy(out->buffer + out->used, bytes, length);
    out->used += length;
}

void out_text(struct out *out, const char *text) {
    out_bytes(out, text, strlen(text));
}

void out_char(struct out *out, char c) {
    out_bytes(out, &c, 1);
}

void out_spaces(struct out *out, size_t count) {
    while (count-- > 0) {
        out_char(out, ' ');
    }
}

size_t out_digits(char *to, uint64_t number) {
    char reversed[20];
    size_t length = 0;
    do {
        reversed[length++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < length; i++) {
        to[i] = reversed[length - 1 - i];
    }
    return length;
}

size_t out_hex_digits(char *to, uint64_t number) {
    unsigned digits = number == 0 ? 1 : (unsigned)(63 - __builtin_clzll(number)) / 4 + 1;
    to[0] = '0';
    to[1] = 'x';
    for (unsigned i = 0; i < digits; i++) {
        to[2 + i] = "0123456789abcdef"[number >> ((digits - 1 - i) * 4) & 0xf];
    }
    return digits + 2;
}

void out_number(struct out *out, uint64_t number) {
    char text[20];
    out_bytes(out, text, out_digits(text, number));
}

void out_hex(struct out *out, uint64_t number) {
    char text[18];
    out_bytes(out, text, out_hex_digits(text, number));
}

void out_format(struct out *out, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 misses the va_start
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0) {
        out->error = errno;
        return;
    }
    size_t shown = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
    out_bytes(out, text, shown);
}
