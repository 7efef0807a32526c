#include "owner.h"

#include <stdio.h>
#include <string.h>

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != 0 ? slash + 1 : path;
}

static const char *part_name(const struct region *region) {
    if (region->rights[2] == 'x') {
        return "text";
    }
    if (region->rights[1] == 'w') {
        return "data";
    }
    return region->rights[0] == 'r' ? "read-only data" : "reserved";
}

static const struct target_thread *stack_owner(const struct target *target,
                                               const struct region *region) {
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];
        if (thread->has_registers && thread->sp >= region->start && thread->sp < region->end) {
            return thread;
        }
    }
    return NULL;
}

void owner_text(char *to, size_t length, const struct target *target, const struct images *images,
                const struct break_map *map, const struct region *region) {
    const struct image *image = images_owner(images, region->start);
    const struct target_thread *thread = stack_owner(target, region);
    const char *deleted = region->deleted ? " (deleted)" : "";
    if (strcmp(region->name, "[heap]") == 0) {
        snprintf(to, length, "break (%s)", map->lucid ? "lucid's arena" : "heap");
    } else if (region->name[0] == '[') {
        snprintf(to, length, "%.*s", (int)(strlen(region->name) - 2), region->name + 1);
    } else if (image != NULL && region->name[0] != 0) {
        snprintf(to, length, "%s of %s%s", part_name(region), base_name(region->name), deleted);
    } else if (image != NULL && image->region->name[0] == 0) {
        snprintf(to, length, "a program or library, not named here");
    } else if (image != NULL && region->end <= image->end + target->page_size) {
        snprintf(to, length, "bss of %s", base_name(image->region->name));
    } else if (region->name[0] != 0) {
        snprintf(to, length, "file %s%s", region->name, deleted);
    } else if (region->start >= map->tables_start && region->end <= map->tables_end) {
        snprintf(to, length, "lucid's tables%s", region->rights[0] == '-' ? ", room to grow" : "");
    } else if (thread != NULL && thread->tid != target->pid) {
        snprintf(to, length, "stack of thread %d (%s)", (int)thread->tid, thread->name);
    } else if (region->rights[0] == '-') {
        snprintf(to, length, "reserved, no access");
    } else {
        snprintf(to, length, "anonymous");
    }
}
