// Opening a core file and reading memory out of it. Program headers and notes come from libelf;
// every offset in them is checked against the file before it is used, because cores are cut off
// by limits and full disks.
#include "corefile.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"
#include "util/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct core_segment *find_segment(const struct core *core, uint64_t address) {
    size_t low = 0;
    size_t high = core->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->segments[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool inside = low < core->segment_count && core->segments[low].start <= address;
    return inside ? &core->segments[low] : NULL;
}

// Pages that the kernel left out because their file has them.
static size_t read_from_file(struct core *core, const struct core_segment *segment, uint64_t at,
                             void *to, size_t length) {
    if (segment->file < 0 || segment->flags & PF_W) {
        return 0; // a writable page that was not dumped is not what the file holds
    }
    struct core_file *file = &core->files[segment->file];
    if (file->fd == -1) {
        file->fd = regular_open(file->path);
        file->fd = file->fd >= 0 ? file->fd : -2; // not to be tried again
    }
    if (file->fd < 0 || segment->file_offset + at > INT64_MAX) {
        return 0;
    }
    ssize_t got = pread(file->fd, to, length, (off_t)(segment->file_offset + at));
    return got > 0 ? (size_t)got : 0;
}

// Whoever rotates cores or makes room on the disk may cut this one off at any time. It is not
// mapped, since that would end in SIGBUS; half of it would be a wrong answer.
static _Noreturn void give_up(const struct target *target, ssize_t got) {
    if (got == 0) {
        say("%s became shorter while it was read; let the program dump again, and read a copy that "
            "nobody changes",
            target->label);
    } else {
        say("%s cannot be read any more (%s); read a copy of it", target->label, strerror(errno));
    }
    exit(EXIT_UNREADABLE);
}

static void read_stored(const struct target *target, uint64_t offset, char *to, size_t length) {
    const struct core *core = target->core_data;
    while (length > 0) {
        ssize_t got = pread(core->fd, to, length, (off_t)offset);
        if (got > 0) {
            to += got;
            offset += (uint64_t)got;
            length -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            give_up(target, got);
        }
    }
}

static size_t read_core(void *context, uint64_t address, void *to, size_t length) {
    struct target *target = context;
    struct core *core = target->core_data;
    size_t done = 0;
    while (done < length) {
        const struct core_segment *segment = find_segment(core, address + done);
        if (segment == NULL) {
            break;
        }
        uint64_t at = address + done - segment->start;
        uint64_t rest = segment->end - (address + done);
        size_t want = length - done < rest ? length - done : (size_t)rest;
        size_t piece = 0;
        if (at < segment->stored) {
            piece = want < segment->stored - at ? want : (size_t)(segment->stored - at);
            read_stored(target, segment->offset + at, (char *)to + done, piece);
        } else {
            piece = read_from_file(core, segment, at, (char *)to + done, want);
        }
        if (piece == 0) {
            break;
        }
        done += piece;
    }
    return done;
}

uint64_t core_expect(struct target *target, const struct core *core, uint64_t offset,
                     uint64_t length) {
    uint64_t held = offset < core->length ? core->length - offset : 0;
    uint64_t end = offset + length >= offset ? offset + length : UINT64_MAX;
    target->held = core->length;
    target->whole = end > target->whole ? end : target->whole;
    target->truncated = target->truncated || length > held;
    return length < held ? length : held;
}

static void add_segment(struct target *target, struct core *core, const GElf_Phdr *header) {
    if (header->p_memsz == 0 || header->p_vaddr + header->p_memsz < header->p_vaddr) {
        return;
    }
    core->segments = memory_grow(core->segments, core->segment_count, &core->segment_capacity,
                                 sizeof(struct core_segment));
    struct core_segment *segment = &core->segments[core->segment_count++];
    uint64_t stored = header->p_filesz < header->p_memsz ? header->p_filesz : header->p_memsz;
    *segment = (struct core_segment){
        .start = header->p_vaddr,
        .end = header->p_vaddr + header->p_memsz,
        .offset = header->p_offset,
        .stored = core_expect(target, core, header->p_offset, stored),
        .flags = header->p_flags,
        .file = -1,
    };
}

static int by_start(const void *left, const void *right) {
    const struct core_segment *a = left;
    const struct core_segment *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

// Sorted and without overlaps, so that a search finds one answer whatever the file claims.
static void order_segments(struct core *core) {
    if (core->segment_count == 0) {
        return;
    }
    qsort(core->segments, core->segment_count, sizeof(struct core_segment), by_start);
    size_t kept = 0;
    for (size_t i = 0; i < core->segment_count; i++) {
        if (kept == 0 || core->segments[i].start >= core->segments[kept - 1].end) {
            core->segments[kept++] = core->segments[i];
        }
    }
    core->segment_count = kept;
}

static bool read_segments(struct target *target, struct core *core, Elf *elf) {
    size_t count = 0;
    if (elf_getphdrnum(elf, &count) != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) == NULL) {
            target->truncated = true;
            break;
        }
        if (header.p_type == PT_LOAD) {
            add_segment(target, core, &header);
        }
    }
    order_segments(core);
    return core->segment_count > 0;
}

// systemd-coredump and others keep cores compressed. NULL: it is not, or in no way known here. The
// name of the way is that of the command, too.
static const char *compression_of(const struct core *core) {
    static const struct {
        const char *name;
        const char *begin;
    } ways[] = {
        {"gzip", "\x1f\x8b"},   {"xz", "\xfd\x37zXZ"}, {"zstd", "\x28\xb5\x2f\xfd"},
        {"lz4", "\x04\"M\x18"}, {"bzip2", "BZh"},
    };
    char begin[8] = {0};
    ssize_t got = pread(core->fd, begin, sizeof(begin) - 1, 0);
    for (size_t i = 0; got > 0 && i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strncmp(begin, ways[i].begin, strlen(ways[i].begin)) == 0) {
            return ways[i].name;
        }
    }
    return NULL;
}

static void say_no_core(const struct core *core, const char *path) {
    const char *way = compression_of(core);
    if (way != NULL) {
        say("%s is compressed with %s; unpack it with `%s -dc FILE > core`, and give that core",
            path, way, way);
    } else {
        say("%s is not a core file; give a process number, a core file, or -- and a program", path);
    }
}

static bool is_our_kind(const struct core *core, const char *path, Elf *elf) {
    GElf_Ehdr header;
    if (elf_kind(elf) != ELF_K_ELF || gelf_getehdr(elf, &header) == NULL) {
        say_no_core(core, path);
        return false;
    }
    if (header.e_ident[EI_CLASS] == ELFCLASS32) {
        say("%s is a 32-bit file; lucid and its reader are for 64-bit programs only", path);
        return false;
    }
    if (header.e_type != ET_CORE) {
        say("%s is an ELF file but not a core; to look at a program, put -- before it", path);
        return false;
    }
    if (header.e_machine != EM_X86_64 && header.e_machine != EM_AARCH64) {
        say("%s comes from another kind of machine (ELF machine %u); read it there", path,
            (unsigned)header.e_machine);
        return false;
    }
    return true;
}

static void add_regions(struct target *target, const struct core *core) {
    for (size_t i = 0; i < core->segment_count; i++) {
        const struct core_segment *segment = &core->segments[i];
        char rights[5] = {segment->flags & PF_R ? 'r' : '-', segment->flags & PF_W ? 'w' : '-',
                          segment->flags & PF_X ? 'x' : '-', 'p', 0};
        bool vdso = target->vdso != 0 && segment->start == target->vdso;
        const char *name = segment->file >= 0 ? core->files[segment->file].path
                           : vdso             ? "[vdso]"
                                              : "";
        struct region *region =
            regions_add(&target->regions, segment->start, segment->end, rights, name);
        region->offset = segment->file_offset;
        region->stored = segment->stored;
    }
}

static bool open_core(struct core *core, const char *path) {
    struct stat file;
    core->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (core->fd < 0 || fstat(core->fd, &file) != 0) {
        say("%s cannot be opened (%s); give a process number, a core file, or -- and a program",
            path, strerror(errno));
        return false;
    }
    if (!S_ISREG(file.st_mode) || file.st_size == 0) {
        say("%s is %s; give a process number, a core file, or -- and a program", path,
            S_ISREG(file.st_mode) ? "empty" : "not a file");
        return false;
    }
    core->length = (size_t)file.st_size;
    return true;
}

bool target_open_core(struct target *target, const char *path) {
    struct core *core = memory_take(sizeof(*core));
    target->kind = TARGET_CORE;
    target->memory_fd = -1;
    target->core_data = core;
    target->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    target->view = (struct view){.read = read_core, .context = target};
    snprintf(target->core, sizeof(target->core), "%s", path);
    snprintf(target->label, sizeof(target->label), "core file %s", path);
    name_shown(target->label, sizeof(target->label), target->label);
    if (!open_core(core, path)) {
        return false;
    }
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(core->fd, ELF_C_READ, NULL);
    bool fine = elf != NULL && is_our_kind(core, path, elf);
    if (elf == NULL) {
        say("%s is not a core file (%s)", path, elf_errmsg(-1));
    } else if (fine && !read_segments(target, core, elf)) {
        say("%s holds no memory: it is cut off or damaged; let the program dump again with "
            "`ulimit -c unlimited` or gdb's gcore",
            path);
        fine = false;
    }
    elf_end(elf);
    if (!fine) {
        return false;
    }
    core_read_notes(target, core);
    add_regions(target, core);
    target->memory_readable = true;
    return true;
}
