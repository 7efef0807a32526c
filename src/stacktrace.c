#include "stacktrace.h"

#include "os/os.h"
#include "root.h"
#include "text.h"

#include <string.h>

#define PLAUSIBLE_MIN ((uintptr_t)1 << 16)
#define PLAUSIBLE_END ((uintptr_t)1 << 56)
#define OBJECTS_KNOWN 6u
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

// The objects met so far: most words of a stack point into a few of them. Not kept beyond a call,
// because the program may unload any of them.
struct known {
    struct os_object objects[OBJECTS_KNOWN];
    unsigned count;
    unsigned next; // to be replaced
};

static const struct os_object *object_of(struct known *known, uintptr_t address) {
    for (unsigned i = 0; i < known->count; i++) {
        const struct os_object *object = &known->objects[i];
        if (address - object->start < object->end - object->start) {
            return object;
        }
    }
    struct os_object *slot = &known->objects[known->next % OBJECTS_KNOWN];
    if (!os_find_object(address, slot)) {
        return NULL;
    }
    known->next++;
    known->count += known->count < OBJECTS_KNOWN;
    return slot;
}

static bool is_plausible(uintptr_t word, uintptr_t place) {
    bool near_stack = word - place + NEAR_STACK < 2 * NEAR_STACK;
    return word >= PLAUSIBLE_MIN && word < PLAUSIBLE_END && !near_stack && !in_arena(word);
}

// Is a call inside this object about to return to that address?
static bool is_return(const struct os_object *object, uintptr_t address) {
    return address - object->code_start < object->code_end - object->code_start &&
           address - object->code_start >= 8 && follows_call(address);
}

__attribute__((no_sanitize("address", "thread"))) COLD unsigned stacktrace_collect(uintptr_t from,
                                                                                   uint64_t *frames,
                                                                                   unsigned room) {
    struct known known = {.count = 0, .next = 0};
    const struct os_object *own = object_of(&known, (uintptr_t)&stacktrace_collect);
    // Linked into the program, its frames and ours cannot be told apart.
    uintptr_t own_start = own != NULL && !own->program ? own->start : 0;
    unsigned count = 0;
    uintptr_t end = readable_end(from);
    for (uintptr_t at = align_up(from, sizeof(uintptr_t)); at < end && count < room;
         at += sizeof(uintptr_t)) {
        uintptr_t word = *(const uintptr_t *)at;
        const struct os_object *object = is_plausible(word, at) ? object_of(&known, word) : NULL;
        if (object != NULL && object->start != own_start && is_return(object, word)) {
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
