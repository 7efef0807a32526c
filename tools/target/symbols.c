// Symbols and sections from the file behind an image, through libelf.
#include "image.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>
#include <unistd.h>

struct file {
    int fd;
    Elf *elf;
};

static bool file_open(struct file *file, const struct target *target, const struct image *image) {
    file->elf = NULL;
    file->fd = target_open_file(target, image->region);
    if (file->fd < 0) {
        return false;
    }
    elf_version(EV_CURRENT);
    file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
    if (file->elf == NULL || elf_kind(file->elf) != ELF_K_ELF) {
        elf_end(file->elf);
        close(file->fd);
        return false;
    }
    return true;
}

static void file_close(struct file *file) {
    elf_end(file->elf);
    close(file->fd);
}

// Calls `visit` for each symbol of the tables of `type` until it returns true.
static bool each_symbol(Elf *elf, uint32_t type,
                        bool (*visit)(const GElf_Sym *symbol, const char *name, void *context),
                        void *context) {
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section != NULL;
         section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == NULL || header.sh_type != type ||
            header.sh_entsize == 0) {
            continue;
        }
        Elf_Data *data = elf_getdata(section, NULL);
        size_t count = data != NULL ? data->d_size / header.sh_entsize : 0;
        for (size_t i = 0; i < count; i++) {
            GElf_Sym symbol;
            if (gelf_getsym(data, (int)i, &symbol) == NULL || symbol.st_shndx == SHN_UNDEF) {
                continue;
            }
            const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
            if (name != NULL && visit(&symbol, name, context)) {
                return true;
            }
        }
    }
    return false;
}

struct wanted {
    const char *name;
    uint64_t value;
};

static bool has_name(const GElf_Sym *symbol, const char *name, void *context) {
    struct wanted *wanted = context;
    wanted->value = symbol->st_value;
    return strcmp(name, wanted->name) == 0;
}

bool image_symbol(const struct target *target, const struct image *image, const char *name,
                  uint64_t *address) {
    struct file file;
    struct wanted wanted = {.name = name, .value = 0};
    if (!file_open(&file, target, image)) {
        return false;
    }
    bool found = each_symbol(file.elf, SHT_SYMTAB, has_name, &wanted) ||
                 each_symbol(file.elf, SHT_DYNSYM, has_name, &wanted);
    file_close(&file);
    *address = image->bias + wanted.value;
    return found;
}

bool image_section(const struct target *target, const struct image *image, const char *name,
                   uint64_t *address, uint64_t *size) {
    struct file file;
    size_t strings = 0;
    bool found = false;
    if (!file_open(&file, target, image)) {
        return false;
    }
    Elf_Scn *section =
        elf_getshdrstrndx(file.elf, &strings) == 0 ? elf_nextscn(file.elf, NULL) : NULL;
    for (; section != NULL && !found; section = elf_nextscn(file.elf, section)) {
        GElf_Shdr header;
        const char *own = NULL;
        if (gelf_getshdr(section, &header) != NULL) {
            own = elf_strptr(file.elf, strings, header.sh_name);
        }
        if (own != NULL && strcmp(own, name) == 0) {
            *address = image->bias + header.sh_addr;
            *size = header.sh_size;
            found = true;
        }
    }
    file_close(&file);
    return found;
}
