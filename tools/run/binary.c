#include "binary.h"

#include "util/regular.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "tell lucid run the ELF machine number of this architecture"
#endif

// The notes of owner "lucid": cmake/library/version_note.c.in and src/rootnote.c write them.
enum { NOTE_TYPE_VERSION = 1, NOTE_TYPE_ROOT = 2 };

static void read_symbol(const char *name, const GElf_Sym *symbol, struct binary *binary) {
    int kind = GELF_ST_TYPE(symbol->st_info);
    bool function = kind == STT_FUNC || kind == STT_GNU_IFUNC;
    if (symbol->st_shndx == SHN_UNDEF) {
        return;
    }
    if (function && strcmp(name, "malloc") == 0) {
        binary->defines_malloc = true;
    }
}

static void read_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *header,
                         struct binary *binary) {
    Elf_Data *data = elf_getdata(section, NULL);
    if (data == NULL || header->sh_entsize == 0) {
        return;
    }
    int count = (int)(header->sh_size / header->sh_entsize);
    for (int i = 0; i < count; i++) {
        GElf_Sym symbol;
        if (gelf_getsym(data, i, &symbol) == NULL) {
            return;
        }
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        if (name != NULL) {
            read_symbol(name, &symbol, binary);
        }
    }
}

// Shared runtimes of sanitizers, of gcc and of clang. They replace malloc and must be loaded first.
static bool is_sanitizer(const char *library) {
    static const char *const runtimes[] = {
        "libasan.so",       "libhwasan.so",     "liblsan.so",         "libtsan.so",
        "libclang_rt.asan", "libclang_rt.lsan", "libclang_rt.hwasan", "libclang_rt.tsan",
    };
    for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
        if (strncmp(library, runtimes[i], strlen(runtimes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void read_needs(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct binary *binary) {
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Dyn entry;
    for (int i = 0; data != NULL && gelf_getdyn(data, i, &entry) != NULL; i++) {
        const char *library =
            entry.d_tag == DT_NEEDED ? elf_strptr(elf, header->sh_link, entry.d_un.d_val) : NULL;
        if (library != NULL && is_sanitizer(library)) {
            strncpy(binary->sanitizer, library, sizeof(binary->sanitizer) - 1);
        }
    }
}

static void read_sections(Elf *elf, struct binary *binary) {
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section)) != NULL) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == NULL) {
            continue;
        }
        if (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB) {
            read_symbols(elf, section, &header, binary);
        } else if (header.sh_type == SHT_DYNAMIC) {
            read_needs(elf, section, &header, binary);
        }
    }
}

// One note of ours; `body` is its `size` bytes, which lie at `address` before relocation.
static void read_note(uint32_t type, const char *body, size_t size, uint64_t address,
                      struct binary *binary) {
    int64_t distance;
    if (type == NOTE_TYPE_ROOT && size == sizeof(distance)) {
        memcpy(&distance, body, sizeof(distance));
        binary->root = address + (uint64_t)distance;
    }
    size_t length = strnlen(body, size);
    if (type == NOTE_TYPE_VERSION && length < sizeof(binary->version)) {
        memcpy(binary->version, body, length);
        binary->version[length] = '\0';
    }
}

static void read_notes(Elf *elf, const GElf_Phdr *header, struct binary *binary) {
    Elf_Type type = header->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR;
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)header->p_offset, header->p_filesz, type);
    GElf_Nhdr note;
    size_t name;
    size_t body;
    size_t next = 0;
    while (data != NULL && (next = gelf_getnote(data, next, &note, &name, &body)) > 0) {
        const char *bytes = data->d_buf;
        if (note.n_namesz == sizeof("lucid") &&
            memcmp(bytes + name, "lucid", sizeof("lucid")) == 0) {
            read_note(note.n_type, bytes + body, note.n_descsz, header->p_vaddr + body, binary);
        }
    }
}

static void read_segments(Elf *elf, struct binary *binary) {
    size_t count = 0;
    binary->first = UINT64_MAX;
    if (elf_getphdrnum(elf, &count) != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) == NULL) {
            return;
        }
        if (header.p_type == PT_INTERP) {
            binary->has_loader = true;
        } else if (header.p_type == PT_NOTE) {
            read_notes(elf, &header, binary);
        } else if (header.p_type == PT_LOAD && header.p_vaddr < binary->first) {
            binary->first = header.p_vaddr;
        }
    }
}

static enum binary_result read_elf(Elf *elf, struct binary *binary) {
    GElf_Ehdr header;
    if (elf == NULL || elf_kind(elf) != ELF_K_ELF || gelf_getehdr(elf, &header) == NULL) {
        return BINARY_NOT_ELF;
    }
    binary->bits = gelf_getclass(elf) == ELFCLASS64 ? 64 : 32;
    binary->machine = header.e_machine;
    read_segments(elf, binary);
    read_sections(elf, binary);
    return BINARY_READ;
}

enum binary_result binary_read(const char *path, struct binary *binary) {
    memset(binary, 0, sizeof(*binary));
    elf_version(EV_CURRENT);
    int file = regular_open(path);
    if (file < 0) {
        return errno == EINVAL ? BINARY_NOT_ELF : BINARY_UNREADABLE;
    }
    Elf *elf = elf_begin(file, ELF_C_READ_MMAP, NULL);
    enum binary_result result = read_elf(elf, binary);
    elf_end(elf);
    close(file);
    return result;
}

bool binary_is_native(const struct binary *binary) {
    return binary->bits == (int)sizeof(void *) * 8 && binary->machine == NATIVE_MACHINE;
}
