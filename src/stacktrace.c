#include "stacktrace.h"

#include "os/os.h"
#include "text.h"

#include <string.h>

#define PLAUSIBLE_MIN ((uintptr_t)1 << 16)
#define NEAR_STACK ((uintptr_t)16 << 20) // a word that points so near to itself is no code

// How far the stack can be read from `from` on, at most one window.
static uintptr_t readable_end(uintptr_t from) {
    size_t page = os_page_size();
    uintptr_t end = from + STACK_WINDOW;
    for (uintptr_t next = align_up(from + 1, page); next < end; next += page) {
        if (!os_is_readable(next)) {
            return next;
        }
    }
    return end;
}

// Does a call instruction end right before this address? pre: 8 bytes before it can be read.
static bool follows_call(uintptr_t address) {
#if defined(__x86_64__)
    const unsigned char *code = (const unsigned char *)address;
    if (code[-5] == 0xe8) {
        return true; // call, relative
    }
    // ff /2, with 0 to 5 bytes behind the byte that names the operand
    static const int starts[] = {2, 3, 4, 6, 7};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (code[-starts[i]] == 0xff && (code[-starts[i] + 1] >> 3 & 7) == 2) {
            return true;
        }
    }
    return false;
#elif defined(__aarch64__)
    uint32_t before;
    memcpy(&before, (const void *)(address - 4), sizeof(before));
    return (before & 0xfc000000u) == 0x94000000u || (before & 0xfffffc1fu) == 0xd63f0000u;
#else
    (void)address;
    return true;
#endif
}

static bool within(const struct os_code *code, uintptr_t address) {
    return address - code->start < code->end - code->start;
}

__attribute__((no_sanitize("address", "thread"))) COLD unsigned stacktrace_collect(uintptr_t from,
                                                                                   uint64_t *frames,
                                                                                   unsigned room) {
    struct os_code own = {0, 0, false};
    struct os_code last = {0, 0, false};
    if (os_find_code((uintptr_t)&stacktrace_collect, &own) && own.program) {
        own.end = own.start; // linked into the program: its frames and ours cannot be told apart
    }
    unsigned count = 0;
    uintptr_t end = readable_end(from);
    for (uintptr_t at = align_up(from, sizeof(uintptr_t)); at < end && count < room;
         at += sizeof(uintptr_t)) {
        uintptr_t word = *(const uintptr_t *)at;
        if (word < PLAUSIBLE_MIN || word - at + NEAR_STACK < 2 * NEAR_STACK || within(&own, word)) {
            continue;
        }
        if (!within(&last, word) && !os_find_code(word, &last)) {
            continue;
        }
        if (word - last.start >= 8 && follows_call(word)) {
            frames[count++] = word;
        }
    }
    return count;
}

void stacktrace_print(const uint64_t *frames, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char buffer[400];
        struct text line = text_begin(buffer, sizeof(buffer) - 1);
        struct os_module module;
        text_add(&line, "    ");
        text_add_hex(&line, frames[i]);
        if (os_find_module(frames[i], &module)) {
            const char *name = strrchr(module.path, '/');
            text_add_char(&line, ' ');
            text_add(&line, name != NULL ? name + 1 : module.path);
            text_add_char(&line, '+');
            text_add_hex(&line, frames[i] - module.base);
        }
        text_add_char(&line, '\n');
        os_write(2, line.start, line.length);
    }
}
