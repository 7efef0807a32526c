// The ELF files that a target has mapped: programs and libraries. Headers are read from the
// target's own memory where that can be read, so that deleted files and other mount namespaces
// are no obstacle; symbols are read from the file.
#ifndef LUCID_TARGET_IMAGE_H
#define LUCID_TARGET_IMAGE_H

#include "target.h"

#include <elf.h>

#define IMAGE_HEADERS_MAX 64u

struct image {
    const struct region *region; // the one with the file's first byte
    uint64_t bias;               // address = bias + value in the file
    uint64_t start;              // of the lowest segment
    uint64_t end;                // of the highest
    bool main;                   // the program itself
    uint16_t type;               // ET_EXEC or ET_DYN
    unsigned header_count;
    Elf64_Phdr headers[IMAGE_HEADERS_MAX];
};

struct images {
    struct image *list; // by address
    size_t count;
    size_t capacity;
};

void images_find(struct images *images, const struct target *target);
void images_free(struct images *images);
const struct image *images_main(const struct images *images);
const struct image *images_owner(const struct images *images, uint64_t address);

// Value of a symbol in the file's tables, moved by the bias. False: no such symbol, or the file
// cannot be read.
bool image_symbol(const struct target *target, const struct image *image, const char *name,
                  uint64_t *address);

// The address where a section of the file lies and its size. False: no section table.
bool image_section(const struct target *target, const struct image *image, const char *name,
                   uint64_t *address, uint64_t *size);

// A symbol from the dynamic table in the target's memory; no file is needed.
bool image_dynamic_symbol(const struct target *target, const struct image *image, const char *name,
                          uint64_t *address);

// The body of a note, copied to `body`; `address` is where it is in the target.
bool image_note(const struct target *target, const struct image *image, const char *owner,
                uint32_t type, void *body, size_t length, uint64_t *address);

#endif
