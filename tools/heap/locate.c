#include "locate.h"

#include "layout.h"
#include "target/image.h"
#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_OWNER "lucid"
#define NOTE_ROOT 2u
#define SCAN_MAX ((uint64_t)64 << 20)    // of one piece of memory
#define SCAN_TOTAL ((uint64_t)512 << 20) // a forged core claims any number of them
#define SCAN_PIECE ((size_t)1 << 20)

static void add_place(struct root_places *places, uint64_t address, const char *how,
                      const char *where, uint64_t start, uint64_t end) {
    for (size_t i = 0; i < places->count; i++) {
        if (places->list[i].address == address) {
            return;
        }
    }
    if (places->count < LOCATE_MAX) {
        struct root_place *place = &places->list[places->count];
        place->address = address;
        place->how = how;
        snprintf(place->where, sizeof(place->where), "%s", where);
        places->code[places->count].start = start;
        places->code[places->count].end = end;
        places->count++;
    }
}

struct root_head {
    char magic[16];
    uint32_t version, page_size;
    uint64_t self;
};

// What the file holds in its place, where a core left it out, is a root that was never used.
static bool is_left_out(const struct target *target, uint64_t address) {
    const struct region *region = regions_find(&target->regions, address);
    return target->kind == TARGET_CORE && region != NULL &&
           address - region->start + sizeof(struct root_head) > region->stored;
}

// Does a root of any version live here? Copies of one say that they live elsewhere.
static bool is_root(const struct target *target, uint64_t address) {
    struct root_head head;
    return !is_left_out(target, address) &&
           view_read(&target->view, address, &head, sizeof(head)) &&
           memcmp(head.magic, LUCID_LAYOUT_MAGIC, sizeof(LUCID_LAYOUT_MAGIC)) == 0 &&
           head.self == address;
}

static void look_at_image(struct root_places *places, const struct target *target,
                          const struct image *image) {
    int64_t distance = 0;
    uint64_t address = 0;
    if (image_note(target, image, NOTE_OWNER, NOTE_ROOT, &distance, sizeof(distance), &address)) {
        address += (uint64_t)distance;
        places->left_out |= is_left_out(target, address);
        if (is_root(target, address)) {
            add_place(places, address, "ELF note", image->region->name, image->start, image->end);
        }
    }
    if (image_dynamic_symbol(target, image, "lucid_root", &address) && is_root(target, address)) {
        add_place(places, address, "symbol lucid_root", image->region->name, image->start,
                  image->end);
    }
}

// Every root begins at a page, in memory that a file initialised. Returns how much was read.
static uint64_t scan_region(struct root_places *places, const struct target *target,
                            const struct region *region, uint64_t start, uint64_t end) {
    char *piece = memory_take(SCAN_PIECE);
    uint64_t length = region->end - region->start;
    size_t got = SCAN_PIECE;
    uint64_t done = 0;
    for (; done < length && done < SCAN_MAX && got == SCAN_PIECE; done += got) {
        uint64_t at = region->start + done;
        uint64_t rest = length - done;
        got = target->view.read(target->view.context, at, piece,
                                rest < SCAN_PIECE ? (size_t)rest : SCAN_PIECE);
        for (size_t page = 0; page + sizeof(LUCID_LAYOUT_MAGIC) <= got; page += 4096) {
            bool magic = memcmp(piece + page, LUCID_LAYOUT_MAGIC, sizeof(LUCID_LAYOUT_MAGIC)) == 0;
            if (magic && is_root(target, at + page)) {
                add_place(places, at + page, "magic", region->name, start, end);
            }
        }
    }
    free(piece);
    return done;
}

static void scan(struct root_places *places, const struct target *target,
                 const struct images *images) {
    uint64_t done = 0;
    for (size_t i = 0; i < target->regions.count && done < SCAN_TOTAL; i++) {
        const struct region *region = &target->regions.list[i];
        const struct image *image = images_owner(images, region->start);
        bool may_be = region->rights[0] == 'r' && region->rights[2] != 'x';
        if (may_be && image != NULL) {
            done += scan_region(places, target, region, image->start, image->end);
        } else if (may_be && images->count == 0) {
            done += scan_region(places, target, region, 0, 0);
        }
    }
}

void locate_roots(struct root_places *places, const struct target *target) {
    struct images images;
    memset(places, 0, sizeof(*places));
    images_find(&images, target);
    for (size_t i = 0; i < images.count; i++) {
        look_at_image(places, target, &images.list[i]);
    }
    if (places->count == 0) {
        scan(places, target, &images);
    }
    images_free(&images);
}
