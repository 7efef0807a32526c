// The notes of a core file: who the process was, its threads, the files it had mapped.
#include "corefile.h"

#include "util/memory.h"
#include "util/name.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

// The registers of elf_prstatus are in the order of struct user_regs_struct.
#ifdef __x86_64__
enum { REGISTER_PC = 16, REGISTER_SP = 19 };
#else
enum { REGISTER_PC = 32, REGISTER_SP = 31 };
#endif

struct note {
    uint32_t type;
    const char *body;
    size_t length;
};

static void read_status(struct target *target, const struct note *note, size_t *capacity) {
    struct elf_prstatus status;
    if (note->length < sizeof(status)) {
        return;
    }
    memcpy(&status, note->body, sizeof(status));
    target->threads =
        memory_grow(target->threads, target->thread_count, capacity, sizeof(struct target_thread));
    target->threads[target->thread_count++] = (struct target_thread){
        .tid = status.pr_pid,
        .own = status.pr_pid,
        .state = '?',
        .has_registers = true,
        .pc = status.pr_reg[REGISTER_PC],
        .sp = status.pr_reg[REGISTER_SP],
    };
}

static void read_process(struct target *target, const struct note *note) {
    struct elf_prpsinfo info;
    if (note->length < sizeof(info)) {
        return;
    }
    memcpy(&info, note->body, sizeof(info));
    target->pid = info.pr_pid;
    snprintf(target->name, sizeof(target->name), "%.*s", (int)sizeof(info.pr_fname), info.pr_fname);
    char shown[sizeof(target->name)];
    size_t used = strlen(target->label);
    snprintf(target->label + used, sizeof(target->label) - used, " (%s, pid %d)",
             name_shown(shown, sizeof(shown), target->name), (int)target->pid);
}

static void read_auxv(struct target *target, const struct note *note) {
    for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= note->length; at += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t entry;
        memcpy(&entry, note->body + at, sizeof(entry));
        uint64_t value = entry.a_un.a_val;
        if (entry.a_type == AT_ENTRY) {
            target->entry = value;
        } else if (entry.a_type == AT_PHDR) {
            target->headers = value;
        } else if (entry.a_type == AT_SYSINFO_EHDR) {
            target->vdso = value;
        } else if (entry.a_type == AT_PAGESZ && value >= 4096 && value <= 65536 &&
                   (value & (value - 1)) == 0) {
            target->page_size = value;
        }
    }
}

// Files are listed by address, so the pieces of one lie side by side.
static int file_of(struct core *core, const char *path) {
    if (core->file_count > 0 && strcmp(core->files[core->file_count - 1].path, path) == 0) {
        return (int)(core->file_count - 1);
    }
    core->files =
        memory_grow(core->files, core->file_count, &core->file_capacity, sizeof(struct core_file));
    core->files[core->file_count] = (struct core_file){.path = memory_text(path), .fd = -1};
    return (int)core->file_count++;
}

static size_t first_segment_at(const struct core *core, uint64_t start) {
    size_t low = 0;
    size_t high = core->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->segments[middle].start < start) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// The file at [start, end), whose first byte is at `offset`, lies behind these segments. Each
// segment takes the first file that claims it.
static void assign_file(struct core *core, uint64_t start, uint64_t end, uint64_t offset,
                        const char *path) {
    for (size_t i = first_segment_at(core, start); i < core->segment_count; i++) {
        struct core_segment *segment = &core->segments[i];
        if (segment->start >= end || segment->file >= 0) {
            break;
        }
        segment->file = file_of(core, path);
        segment->file_offset = offset + (segment->start - start);
    }
}

static uint64_t word_at(const struct note *note, size_t index) {
    uint64_t word;
    memcpy(&word, note->body + index * 8, 8);
    return word;
}

// count, page size, then (start, end, offset in pages) for each, then their names.
static void read_files(struct core *core, const struct note *note) {
    if (note->length < 16) {
        return;
    }
    uint64_t count = word_at(note, 0);
    uint64_t page = word_at(note, 1);
    if (count > (note->length - 16) / 25) {
        return; // more than fit: damaged
    }
    const char *name = note->body + 16 + count * 24;
    const char *end = note->body + note->length;
    for (uint64_t i = 0; i < count; i++) {
        size_t length = strnlen(name, (size_t)(end - name));
        if (length == (size_t)(end - name)) {
            return;
        }
        assign_file(core, word_at(note, 2 + i * 3), word_at(note, 3 + i * 3),
                    word_at(note, 4 + i * 3) * page, name);
        name += length + 1;
    }
}

static void read_note(struct target *target, struct core *core, const struct note *note,
                      size_t *threads) {
    switch (note->type) {
    case NT_PRSTATUS:
        read_status(target, note, threads);
        break;
    case NT_PRPSINFO:
        read_process(target, note);
        break;
    case NT_AUXV:
        read_auxv(target, note);
        break;
    case NT_FILE:
        read_files(core, note);
        break;
    default:
        break;
    }
}

// Owner and type are read with libelf; a note that reaches beyond its segment ends the list.
static void read_note_segment(struct target *target, struct core *core, Elf *elf,
                              const GElf_Phdr *header) {
    size_t threads = target->thread_count;
    size_t length = (size_t)core_expect(target, core, header->p_offset, header->p_filesz);
    if (header->p_offset >= core->length) {
        return;
    }
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)header->p_offset, length, ELF_T_NHDR);
    size_t at = 0;
    GElf_Nhdr note;
    size_t name = 0;
    size_t body = 0;
    while (data != NULL && (at = gelf_getnote(data, at, &note, &name, &body)) > 0) {
        bool ours = name + 4 <= length && memcmp((char *)data->d_buf + name, "CORE", 4) == 0;
        if (ours && note.n_namesz >= 4 && body <= length && note.n_descsz <= length - body) {
            struct note found = {note.n_type, (char *)data->d_buf + body, note.n_descsz};
            read_note(target, core, &found, &threads);
        }
    }
}

void core_read_notes(struct target *target, struct core *core) {
    // Cut-off cores are read as far as they go; libelf then checks against the same length.
    Elf *elf = elf_begin(core->fd, ELF_C_READ, NULL);
    size_t count = 0;
    if (elf == NULL || elf_getphdrnum(elf, &count) != 0) {
        elf_end(elf);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) != NULL && header.p_type == PT_NOTE) {
            read_note_segment(target, core, elf, &header);
        }
    }
    elf_end(elf);
}
