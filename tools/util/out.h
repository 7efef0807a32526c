// Buffered text output. Ten million rows are written by hand, without a format string each.
#ifndef LUCID_UTIL_OUT_H
#define LUCID_UTIL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUT_BUFFER ((size_t)256 << 10)

struct out {
    int fd;
    int error; // errno of the first write that failed, or 0
    size_t used;
    uint64_t total; // bytes given to the file descriptor or still in the buffer
    char buffer[OUT_BUFFER];
};

// The standard output of the command; there is one, because a command has one.
extern struct out out_standard;

void out_bytes(struct out *out, const char *bytes, size_t length);
void out_text(struct out *out, const char *text);
void out_char(struct out *out, char c);
void out_number(struct out *out, uint64_t number);
void out_hex(struct out *out, uint64_t number); // with 0x, lower case, no leading zeros
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_spaces(struct out *out, size_t count);

// uint64_t is unsigned long here, and %llu and %llx want unsigned long long.
static inline unsigned long long ull(uint64_t number) {
    return number;
}

// Writes what is buffered. False: some write failed, now or earlier (see error).
bool out_flush(struct out *out);

// The digits of `number` into `to` (at least 20 bytes), not terminated. Returns how many.
size_t out_digits(char *to, uint64_t number);
size_t out_hex_digits(char *to, uint64_t number); // at least 18 bytes

#endif
