// Looking a symbol up in the dynamic table as the loader does it, in the target's memory.
#include "image.h"

#include <string.h>

struct dynamic {
    uint64_t symbols;
    uint64_t strings;
    uint64_t hash;
};

// The loader moves these addresses when it loads most files, but not the kernel's own.
static uint64_t moved(const struct image *image, uint64_t value) {
    return value < image->start ? value + image->bias : value;
}

static bool read_dynamic(const struct target *target, const struct image *image,
                         struct dynamic *dynamic) {
    memset(dynamic, 0, sizeof(*dynamic));
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        Elf64_Dyn entries[128];
        if (header->p_type != PT_DYNAMIC) {
            continue;
        }
        size_t size = header->p_memsz < sizeof(entries) ? (size_t)header->p_memsz : sizeof(entries);
        if (!view_read(&target->view, image->bias + header->p_vaddr, entries, size)) {
            return false;
        }
        for (size_t k = 0; k < size / sizeof(entries[0]) && entries[k].d_tag != DT_NULL; k++) {
            uint64_t value = moved(image, entries[k].d_un.d_ptr);
            if (entries[k].d_tag == DT_SYMTAB) {
                dynamic->symbols = value;
            } else if (entries[k].d_tag == DT_STRTAB) {
                dynamic->strings = value;
            } else if (entries[k].d_tag == DT_GNU_HASH) {
                dynamic->hash = value;
            }
        }
    }
    return dynamic->symbols != 0 && dynamic->strings != 0 && dynamic->hash != 0;
}

static uint32_t hash_of(const char *name) {
    uint32_t hash = 5381;
    for (; *name != 0; name++) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

static bool symbol_is(const struct target *target, const struct dynamic *dynamic, uint32_t index,
                      const char *name, Elf64_Sym *symbol) {
    char found[128];
    size_t length = strlen(name) + 1;
    uint64_t address = dynamic->symbols + (uint64_t)index * sizeof(*symbol);
    return length <= sizeof(found) && view_read(&target->view, address, symbol, sizeof(*symbol)) &&
           symbol->st_shndx != SHN_UNDEF &&
           view_read(&target->view, dynamic->strings + symbol->st_name, found, length) &&
           memcmp(found, name, length) == 0;
}

bool image_dynamic_symbol(const struct target *target, const struct image *image, const char *name,
                          uint64_t *address) {
    struct dynamic dynamic;
    struct {
        uint32_t buckets, first, bloom_words, bloom_shift;
    } head;
    if (!read_dynamic(target, image, &dynamic) ||
        !view_read(&target->view, dynamic.hash, &head, sizeof(head)) || head.buckets == 0) {
        return false;
    }
    uint32_t hash = hash_of(name);
    uint64_t buckets = dynamic.hash + sizeof(head) + (uint64_t)head.bloom_words * 8;
    uint64_t chains = buckets + (uint64_t)head.buckets * 4;
    uint32_t index = 0;
    if (!view_read(&target->view, buckets + (uint64_t)(hash % head.buckets) * 4, &index, 4) ||
        index < head.first) {
        return false;
    }
    // A chain of a sound table is short; a damaged one must not keep us for ever.
    for (unsigned step = 0; step < 4096; step++, index++) {
        uint32_t link;
        Elf64_Sym symbol;
        if (!view_read(&target->view, chains + (uint64_t)(index - head.first) * 4, &link, 4)) {
            return false;
        }
        if ((link | 1) == (hash | 1) && symbol_is(target, &dynamic, index, name, &symbol)) {
            *address = image->bias + symbol.st_value;
            return true;
        }
        if (link & 1) {
            break;
        }
    }
    return false;
}
