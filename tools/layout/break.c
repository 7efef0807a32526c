#include "break.h"

#include "heap/locate.h"
#include "reader.h"

#include <stddef.h>
#include <string.h>

static void set(struct place *place, uint64_t address, enum known by) {
    if (place->by == KNOWN_NOT) {
        place->address = address;
        place->by = by;
    }
}

const char *break_source(enum known by) {
    static const char *const texts[] = {
        [KNOWN_NOT] = "unknown",
        [KNOWN_SYMBOL] = "symbol",
        [KNOWN_HEADERS] = "program headers",
        [KNOWN_SECTION] = "section table",
        [KNOWN_KERNEL] = "kernel",
        [KNOWN_SEGMENT] = "core's segments",
        [KNOWN_LIBC] = "the C library's own record",
    };
    return texts[by];
}

static void read_segments(struct break_map *map, const struct image *image) {
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        uint64_t start = image->bias + header->p_vaddr;
        if (header->p_type != PT_LOAD) {
            continue;
        }
        if (header->p_flags & PF_X) {
            map->text_start = start;
            map->text_end = start + header->p_memsz;
        }
        if (header->p_flags & PF_W) {
            map->data_start = start;
            set(&map->edata, start + header->p_filesz, KNOWN_HEADERS);
            set(&map->end, start + header->p_memsz, KNOWN_HEADERS);
        }
    }
}

// The linker defines these three; a program that never mentions them may still have them, and a
// stripped one has lost them.
static void read_symbols(struct break_map *map, const struct target *target,
                         const struct image *image) {
    static const struct {
        const char *names[2];
        size_t field;
    } wanted[] = {
        {{"etext", "_etext"}, offsetof(struct break_map, etext)},
        {{"edata", "_edata"}, offsetof(struct break_map, edata)},
        {{"end", "_end"}, offsetof(struct break_map, end)},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct place *place = (struct place *)(void *)((char *)map + wanted[i].field);
        uint64_t address = 0;
        // The plain name may be a variable of the program's own; the one with _ is the linker's.
        if (image_symbol(target, image, wanted[i].names[1], &address) ||
            image_symbol(target, image, wanted[i].names[0], &address)) {
            set(place, address, KNOWN_SYMBOL);
        }
    }
}

static void read_text_end(struct break_map *map, const struct target *target,
                          const struct image *image) {
    uint64_t address = 0;
    uint64_t size = 0;
    if (map->etext.by != KNOWN_NOT) {
        return;
    }
    // &etext is where .fini ends: the code behind .text that every program has.
    if (image_section(target, image, ".fini", &address, &size) ||
        image_section(target, image, ".text", &address, &size)) {
        set(&map->etext, address + size, KNOWN_SECTION);
    }
    set(&map->etext, map->text_end, KNOWN_HEADERS);
}

// The exact break is a variable of the C library; the kernel only shows whole pages.
static void read_break(struct break_map *map, const struct target *target,
                       const struct process *process, const struct images *images) {
    uint64_t page = target->page_size;
    uint64_t start = 0;
    uint64_t end = 0;
    bool heap = regions_extent(&target->regions, "[heap]", &start, &end);
    if (process->start_brk != 0) {
        set(&map->start, process->start_brk, KNOWN_KERNEL);
    } else if (heap) {
        set(&map->start, start, KNOWN_KERNEL);
    }
    for (size_t i = 0; i < images->count && target->memory_readable; i++) {
        uint64_t address = 0;
        uint64_t now = 0;
        bool found =
            image_dynamic_symbol(target, &images->list[i], "__curbrk", &address) ||
            (images->list[i].main && image_symbol(target, &images->list[i], "__curbrk", &address));
        if (found && view_read(&target->view, address, &now, sizeof(now)) && now != 0 &&
            (!heap || (now > start && now <= end && end - now < page))) {
            set(&map->now, now, KNOWN_LIBC);
            break;
        }
    }
    // A core does not name the heap, but knows the piece of memory that ends at the break.
    const struct region *last = map->now.by == KNOWN_LIBC && map->start.by == KNOWN_NOT
                                    ? regions_find(&target->regions, map->now.address - 1)
                                    : NULL;
    if (last != NULL && last->name[0] == 0 && last->start >= map->end.address) {
        set(&map->start, last->start, KNOWN_SEGMENT);
    }
    if (heap) {
        set(&map->now, end, KNOWN_KERNEL);
    } else if (process->start_brk != 0) {
        set(&map->now, process->start_brk, KNOWN_KERNEL);
    }
}

// How much of the break the lucid that owns it has, and how much others moved it by.
static void read_owner(struct break_map *map, const struct target *target) {
    struct root_places places;
    struct reader reader;
    unsigned char window[READER_RECORD_MAX];
    if (!target->memory_readable) {
        return;
    }
    locate_roots(&places, target);
    for (size_t i = 0; i < places.count && !map->lucid; i++) {
        if (!reader_open(&reader, &target->view, places.list[i].address, window, sizeof(window)) ||
            reader.fixed.break_start >= map->now.address ||
            reader.fixed.break_start < map->start.address) {
            continue;
        }
        uint64_t end = reader_address(&reader, reader.live.limit);
        map->lucid = true;
        // Unit 0 is never used: it may begin below the break, which need not be a multiple of it.
        map->arena_base = reader_address(&reader, 1);
        map->tables_start = reader.fixed.meta_start - target->page_size;
        map->tables_end = reader_tables_end(&reader) + target->page_size;
        map->arena_end = end < map->now.address ? end : map->now.address;
        struct reader_run run;
        for (bool more = reader_first(&reader, &run); more; more = reader_next(&reader, &run)) {
            map->foreign +=
                run.kind == RUN_FOREIGN && run.end <= map->now.address ? run.end - run.start : 0;
        }
        map->foreign += map->now.address - map->arena_end;
        map->foreign += reader.fixed.break_start - map->start.address;
        map->ours = map->allocated - map->foreign;
    }
}

void break_read(struct break_map *map, const struct target *target, const struct process *process,
                const struct images *images) {
    memset(map, 0, sizeof(*map));
    const struct image *image = images_main(images);
    if (image != NULL) {
        read_symbols(map, target, image);
        read_segments(map, image);
        read_text_end(map, target, image);
    }
    read_break(map, target, process, images);
    if (map->end.by != KNOWN_NOT && map->start.by != KNOWN_NOT &&
        map->start.address >= map->end.address) {
        map->gap_known = true;
        map->gap = map->start.address - map->end.address;
    }
    if (map->start.by != KNOWN_NOT && map->now.address >= map->start.address) {
        map->allocated = map->now.address - map->start.address;
    }
    read_owner(map, target);
}
