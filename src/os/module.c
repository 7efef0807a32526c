// Which module an address belongs to: quickly for code, by the loader's own index; with a name,
// by reading /proc/self/maps. Neither allocates nor takes a lock.
#include "os.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__GLIBC_PREREQ) && defined(__LP64__)
#if __GLIBC_PREREQ(2, 35)
#define HAVE_FIND_OBJECT 1
#pragma weak _dl_find_object // an older C library does without
#endif
#endif

#ifdef HAVE_FIND_OBJECT
// Finds the executable segment in the object's own header.
static void find_code(struct os_object *object) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)object->start;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phoff != sizeof(*header)) {
        return;
    }
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(object->start + header->e_phoff);
    uintptr_t base = 0;
    bool based = false;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD) {
            continue;
        }
        if (!based) {
            base = object->start - align_down(segments[i].p_vaddr, os_page_size());
            based = true;
        }
        if (segments[i].p_flags & PF_X) {
            object->code_start = base + segments[i].p_vaddr;
            object->code_end = object->code_start + segments[i].p_memsz;
            return;
        }
    }
}

bool os_find_object(uintptr_t address, struct os_object *object) {
    struct dl_find_object found;
    if (&_dl_find_object == NULL || _dl_find_object((void *)address, &found) != 0) {
        return false;
    }
    object->start = (uintptr_t)found.dlfo_map_start;
    object->end = (uintptr_t)found.dlfo_map_end;
    object->code_start = object->code_end = object->start;
    object->program = getauxval(AT_PHDR) - object->start < object->end - object->start;
    find_code(object);
    return true;
}
#else
bool os_find_object(uintptr_t address, struct os_object *object) {
    (void)address, (void)object;
    return false;
}
#endif

// ---- /proc/self/maps ----------------------------------------------------------------------------

struct line_reader {
    int file;
    size_t length;
    size_t used;
    char buffer[512];
};

static int next_char(struct line_reader *reader) {
    if (reader->used == reader->length) {
        long got = syscall(SYS_read, reader->file, reader->buffer, sizeof(reader->buffer));
        if (got <= 0) {
            return -1;
        }
        reader->length = (size_t)got;
        reader->used = 0;
    }
    return (unsigned char)reader->buffer[reader->used++];
}

// A hexadecimal number and the character behind it.
static uint64_t next_number(struct line_reader *reader, int *behind) {
    uint64_t number = 0;
    for (;;) {
        int letter = next_char(reader);
        if (letter >= '0' && letter <= '9') {
            number = number * 16 + (uint64_t)(letter - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            number = number * 16 + (uint64_t)(letter - 'a') + 10;
        } else {
            *behind = letter;
            return number;
        }
    }
}

// The path at the end of a line, behind device and inode; cut off to the room there is. False: the
// file ends here.
static bool next_path(struct line_reader *reader, char *path, size_t room) {
    size_t length = 0;
    unsigned words = 0;
    bool begun = false;
    for (;;) {
        int letter = next_char(reader);
        if (letter < 0 || letter == '\n') {
            path[length] = '\0';
            return letter >= 0;
        }
        if (words < 2) {
            words += letter == ' ' && begun;
            begun = letter != ' ';
        } else if ((letter != ' ' || length > 0) && length + 1 < room) {
            path[length++] = (char)letter;
        }
    }
}

static bool search(struct line_reader *reader, uintptr_t address, struct os_module *module) {
    for (;;) {
        int behind = 0;
        uint64_t start = next_number(reader, &behind);
        uint64_t end = behind == '-' ? next_number(reader, &behind) : 0;
        if (behind != ' ') {
            return false;
        }
        while ((behind = next_char(reader)) > ' ') { // permissions
        }
        uint64_t offset = next_number(reader, &behind);
        char path[sizeof(module->path)];
        bool more = next_path(reader, path, sizeof(path));
        if (offset == 0 || strcmp(path, module->path) != 0) {
            module->base = start - offset;
            memcpy(module->path, path, sizeof(path));
        }
        if (address - start < end - start) {
            return path[0] == '/';
        }
        if (!more) {
            return false;
        }
    }
}

// False also when the file has nothing to say: `read` tells.
static bool search_in(const char *maps, uintptr_t address, struct os_module *module, bool *read) {
    struct line_reader reader = {.length = 0, .used = 0};
    module->path[0] = '\0';
    module->base = 0;
    reader.file = (int)syscall(SYS_openat, AT_FDCWD, maps, O_RDONLY | O_CLOEXEC);
    bool found = reader.file >= 0 && search(&reader, address, module);
    if (reader.file >= 0) {
        (void)syscall(SYS_close, reader.file);
    }
    *read = reader.length > 0;
    return found;
}

// The file of the process is that of its first thread, and empty once that has ended.
bool os_find_module(uintptr_t address, struct os_module *module) {
    int saved = errno;
    bool read = false;
    bool found = search_in("/proc/self/maps", address, module, &read);
    if (!read) {
        found = search_in("/proc/thread-self/maps", address, module, &read);
    }
    errno = saved;
    return found;
}
