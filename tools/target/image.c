#include "image.h"

#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The first bytes of a mapped file: from memory, else from the file itself.
static bool read_head(const struct target *target, const struct region *region, uint64_t offset,
                      void *to, size_t length) {
    if (target->memory_readable && view_read(&target->view, region->start + offset, to, length)) {
        return true;
    }
    int fd = target_open_file(target, region);
    if (fd < 0) {
        return false;
    }
    ssize_t got = pread(fd, to, length, (off_t)offset);
    close(fd);
    return got == (ssize_t)length;
}

static void place_segments(const struct target *target, struct image *image) {
    uint64_t lowest = UINT64_MAX;
    uint64_t highest = 0;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        if (header->p_type == PT_LOAD) {
            lowest = header->p_vaddr < lowest ? header->p_vaddr : lowest;
            uint64_t end = header->p_vaddr + header->p_memsz;
            highest = end > highest ? end : highest;
        }
    }
    lowest = lowest == UINT64_MAX ? 0 : lowest / target->page_size * target->page_size;
    image->bias = image->region->start - lowest;
    image->start = image->region->start;
    image->end = image->bias + highest;
    uint64_t point = target->entry != 0 ? target->entry : target->headers;
    image->main = point >= image->start && point < image->end;
}

static bool read_image(const struct target *target, const struct region *region,
                       struct image *image) {
    Elf64_Ehdr head;
    memset(image, 0, sizeof(*image));
    if (!read_head(target, region, 0, &head, sizeof(head)) ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum == 0 ||
        head.e_phnum > IMAGE_HEADERS_MAX || (head.e_type != ET_EXEC && head.e_type != ET_DYN) ||
        head.e_phoff > UINT32_MAX) {
        return false;
    }
    image->region = region;
    image->type = head.e_type;
    image->header_count = head.e_phnum;
    if (!read_head(target, region, head.e_phoff, image->headers,
                   head.e_phnum * sizeof(Elf64_Phdr))) {
        return false;
    }
    place_segments(target, image);
    return true;
}

void images_find(struct images *images, const struct target *target) {
    memset(images, 0, sizeof(*images));
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        struct image image;
        bool may_be = region->offset == 0 && region->rights[0] == 'r' &&
                      (region->name[0] == '/' || strcmp(region->name, "[vdso]") == 0 ||
                       target->kind == TARGET_CORE);
        if (may_be && read_image(target, region, &image)) {
            images->list =
                memory_grow(images->list, images->count, &images->capacity, sizeof(image));
            images->list[images->count++] = image;
        }
    }
    // Without an auxiliary vector: programs are loaded below their libraries.
    if (images->count > 0 && images_main(images) == NULL) {
        images->list[0].main = true;
    }
}

void images_free(struct images *images) {
    free(images->list);
    memset(images, 0, sizeof(*images));
}

const struct image *images_main(const struct images *images) {
    for (size_t i = 0; i < images->count; i++) {
        if (images->list[i].main) {
            return &images->list[i];
        }
    }
    return NULL;
}

const struct image *images_owner(const struct images *images, uint64_t address) {
    for (size_t i = 0; i < images->count; i++) {
        if (address >= images->list[i].start && address < images->list[i].end) {
            return &images->list[i];
        }
    }
    return NULL;
}

// ---- notes --------------------------------------------------------------------------------------

static size_t padded(uint32_t length) {
    return ((size_t)length + 3) & ~(size_t)3;
}

bool image_note(const struct target *target, const struct image *image, const char *owner,
                uint32_t type, void *body, size_t length, uint64_t *address) {
    char bytes[4096];
    size_t owner_length = strlen(owner) + 1;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        size_t size = header->p_memsz < sizeof(bytes) ? (size_t)header->p_memsz : sizeof(bytes);
        uint64_t start = image->bias + header->p_vaddr;
        if (header->p_type != PT_NOTE || !view_read(&target->view, start, bytes, size)) {
            continue;
        }
        for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
            Elf64_Nhdr note;
            memcpy(&note, bytes + at, sizeof(note));
            size_t name = at + sizeof(note);
            size_t content = name + padded(note.n_namesz);
            if (content > size || padded(note.n_descsz) > size - content) {
                break;
            }
            if (note.n_type == type && note.n_namesz == owner_length &&
                memcmp(bytes + name, owner, owner_length) == 0 && note.n_descsz >= length) {
                memcpy(body, bytes + content, length);
                *address = start + content;
                return true;
            }
            at = content + padded(note.n_descsz);
        }
    }
    return false;
}
