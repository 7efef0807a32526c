// What an ELF file says about itself, as far as preloading is concerned.
#ifndef LUCID_TOOLS_RUN_BINARY_H
#define LUCID_TOOLS_RUN_BINARY_H

#include <stdbool.h>
#include <stdint.h>

struct binary {
    int bits;            // 32 or 64
    unsigned machine;    // EM_X86_64 and so on
    bool has_loader;     // asks for a dynamic loader; without one nothing can be preloaded
    bool defines_malloc; // has a malloc of its own
    char sanitizer[32];  // the sanitizer's shared library it needs, which has a malloc; or ""
    char version[16];    // of the lucid inside it, from the note; "" without one
    uint64_t root;       // address of its root before relocation; 0 without the note
    uint64_t first;      // lowest address of its segments before relocation
};

enum binary_result {
    BINARY_READ,
    BINARY_UNREADABLE, // errno tells why
    BINARY_NOT_ELF,
};

enum binary_result binary_read(const char *path, struct binary *binary);

// Is it for the kind of machine this program was built for?
bool binary_is_native(const struct binary *binary);

#endif
