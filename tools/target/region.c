#include "region.h"

#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct region *regions_add(struct regions *regions, uint64_t start, uint64_t end,
                           const char *rights, const char *name) {
    static const char deleted[] = " (deleted)";
    regions->list =
        memory_grow(regions->list, regions->count, &regions->capacity, sizeof(struct region));
    struct region *region = &regions->list[regions->count++];
    memset(region, 0, sizeof(*region));
    region->start = start;
    region->end = end;
    snprintf(region->rights, sizeof(region->rights), "%s", rights);
    region->name = memory_text(name);
    size_t length = strlen(name);
    size_t tail = sizeof(deleted) - 1;
    if (length > tail && strcmp(name + length - tail, deleted) == 0) {
        region->name[length - tail] = 0;
        region->deleted = true;
    }
    return region;
}

void regions_free(struct regions *regions) {
    for (size_t i = 0; i < regions->count; i++) {
        free(regions->list[i].name);
    }
    free(regions->list);
    memset(regions, 0, sizeof(*regions));
}

static const char *end_of_line(const char *line) {
    const char *end = strchr(line, '\n');
    return end != NULL ? end : line + strlen(line);
}

// "start-end rights offset device inode    name"; false: the line is something else.
static bool parse_head(struct regions *regions, const char *line, const char *end) {
    unsigned long long start = 0;
    unsigned long long stop = 0;
    unsigned long long offset = 0;
    unsigned long long inode = 0;
    char rights[5] = "";
    char name[4096];
    char head[128]; // sscanf looks for the end of its text, which would be that of the whole file
    int at = 0;
    size_t shown =
        (size_t)(end - line) < sizeof(head) - 1 ? (size_t)(end - line) : sizeof(head) - 1;
    memcpy(head, line, shown);
    head[shown] = 0;
    if (sscanf(head, "%llx-%llx %4s %llx %*s %llu%n", &start, &stop, rights, &offset, &inode,
               &at) != 5) {
        return false;
    }
    const char *text = line + at;
    while (text < end && *text == ' ') {
        text++;
    }
    size_t length = (size_t)(end - text);
    length = length < sizeof(name) ? length : sizeof(name) - 1;
    memcpy(name, text, length);
    name[length] = 0;
    struct region *region = regions_add(regions, start, stop, rights, name);
    region->offset = offset;
    region->inode = inode;
    return true;
}

// "Rss:      132 kB" and the like, which follow a head in smaps.
static void parse_detail(struct region *region, const char *line) {
    static const struct {
        const char *key;
        size_t field;
    } keys[] = {
        {"Rss:", offsetof(struct region, resident)},
        {"Swap:", offsetof(struct region, swapped)},
        {"AnonHugePages:", offsetof(struct region, huge)},
        {"ShmemPmdMapped:", offsetof(struct region, huge)},
        {"FilePmdMapped:", offsetof(struct region, huge)},
        {"LazyFree:", offsetof(struct region, lazy_free)},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t length = strlen(keys[i].key);
        if (strncmp(line, keys[i].key, length) == 0) {
            uint64_t *field = (uint64_t *)(void *)((char *)region + keys[i].field);
            *field += strtoull(line + length, NULL, 10) * 1024;
            region->counted = true;
        }
    }
}

void regions_parse(struct regions *regions, const char *text) {
    for (const char *line = text; *line != 0;) {
        const char *end = end_of_line(line);
        // Details begin with a capital letter, addresses with a digit or a small one.
        if (*line >= 'A' && *line <= 'Z') {
            if (regions->count > 0) {
                parse_detail(&regions->list[regions->count - 1], line);
            }
        } else {
            parse_head(regions, line, end);
        }
        line = *end != 0 ? end + 1 : end;
    }
}

const struct region *regions_find(const struct regions *regions, uint64_t address) {
    size_t low = 0;
    size_t high = regions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (regions->list[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool inside = low < regions->count && regions->list[low].start <= address;
    return inside ? &regions->list[low] : NULL;
}

const struct region *regions_named(const struct regions *regions, const char *name) {
    for (size_t i = 0; i < regions->count; i++) {
        if (strcmp(regions->list[i].name, name) == 0) {
            return &regions->list[i];
        }
    }
    return NULL;
}

bool regions_extent(const struct regions *regions, const char *name, uint64_t *start,
                    uint64_t *end) {
    const struct region *first = regions_named(regions, name);
    if (first == NULL) {
        return false;
    }
    *start = first->start;
    for (const struct region *last = first; last < regions->list + regions->count; last++) {
        *end = strcmp(last->name, name) == 0 ? last->end : *end;
    }
    return true;
}

bool regions_cover(const struct regions *regions, uint64_t start, uint64_t length) {
    uint64_t end = start + length;
    if (end < start) {
        return false;
    }
    while (start < end) {
        const struct region *region = regions_find(regions, start);
        if (region == NULL) {
            return false;
        }
        start = region->end;
    }
    return true;
}

bool regions_without_file(const struct regions *regions, uint64_t start, uint64_t end) {
    while (start < end) {
        const struct region *region = regions_find(regions, start);
        if (region == NULL || region->inode != 0) {
            return false;
        }
        start = region->end;
    }
    return true;
}
