#include "observe.h"

#include "util/human.h"
#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_row(struct observation *seen, uint64_t address, uint64_t size, const char *state,
                    uint64_t size_word) {
    if (seen->row_count == OBSERVED_ROWS) {
        return;
    }
    struct observed_row *row = &seen->rows[seen->row_count++];
    *row = (struct observed_row){.address = address, .size = size, .size_word = size_word};
    snprintf(row->state, sizeof(row->state), "%s", state);
}

// The block itself and the rows around it.
static void rows_of_lucid(struct observation *seen, struct snapshot *snapshot) {
    struct rows rows;
    struct row row;
    struct row before = {0};
    bool has_before = false;
    rows_begin(&rows, snapshot);
    while (rows_next(&rows, &row)) {
        bool here = seen->pointer != 0 && seen->pointer - row.address < row.size;
        if (row.kind == ROW_TOP) {
            seen->top = (struct observed_row){.address = row.address, .size = row.size};
            snprintf(seen->top.state, sizeof(seen->top.state), "top");
        } else if (here || seen->row_count > 0) {
            if (seen->row_count == 0 && has_before) {
                add_row(seen, before.address, before.size, row_name(&before), 0);
            }
            if (seen->row_count < 4) {
                add_row(seen, row.address, row.size, row_name(&row), 0);
            }
        }
        before = row;
        has_before = row.kind != ROW_TOP;
    }
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            seen->cached += snapshot->heaps[i].count[class];
        }
    }
}

// The bin of the pointer's class in the first thread's heap; it works like a stack.
static void bin_of_lucid(struct observation *seen, struct snapshot *snapshot) {
    struct row row;
    if (seen->pointer == 0 || !rows_find(snapshot, seen->pointer, &row) || row.kind != ROW_SMALL) {
        return;
    }
    seen->bin_size = row.size;
    for (size_t i = 0; i < snapshot->cached_count; i++) {
        const struct snapshot_cached *cached = &snapshot->cached[i];
        const struct snapshot_heap *heap = &snapshot->heaps[cached->heap];
        if (cached->class != row.class || heap->tid != seen->pid) {
            continue;
        }
        size_t place = heap->count[row.class] - 1 - cached->place;
        seen->bin_count++;
        if (place < OBSERVED_BIN) {
            seen->bin[place] = cached->address;
        }
    }
}

static void observe_lucid(struct observation *seen, struct target *target,
                          const struct root_places *places) {
    struct snapshot *snapshot = memory_take_aligned(_Alignof(struct snapshot), sizeof(*snapshot));
    if (snapshot_take(snapshot, target, places, &places->list[0])) {
        seen->has_heap = true;
        rows_of_lucid(seen, snapshot);
        bin_of_lucid(seen, snapshot);
    } else if (snapshot->reader.fault != READER_UNUSED) {
        snapshot_say_fault(snapshot);
    }
    snapshot_free(snapshot);
    free(snapshot);
}

static void observe_glibc(struct observation *seen, const struct target *target) {
    struct glibc_walk walk;
    if (!glibc_walk_heap(&walk, target)) {
        return; // before the first malloc there is none
    }
    seen->has_heap = true;
    seen->cached = walk.tcache_count;
    for (size_t i = 0; i < walk.count; i++) {
        const struct glibc_chunk *chunk = &walk.chunks[i];
        const char *state = chunk->top      ? "top"
                            : chunk->tcache ? "tcache"
                                            : block_state_names[chunk->state];
        uint64_t word = chunk->size | chunk->flags;
        if (chunk->top) {
            seen->top = (struct observed_row){
                .address = chunk->address, .size = chunk->size, .size_word = word};
            snprintf(seen->top.state, sizeof(seen->top.state), "top");
        } else {
            add_row(seen, chunk->address, chunk->size, state, word);
        }
        if (seen->pointer == chunk->address + 16) {
            seen->bin_size = chunk->size;
            seen->bin_count = glibc_cached(&walk, chunk->size, seen->bin, OBSERVED_BIN);
        }
    }
    glibc_walk_free(&walk);
}

static void observe_region(struct observation *seen, const struct target *target) {
    const struct region *region = regions_find(&target->regions, seen->pointer);
    if (region != NULL) {
        seen->region_start = region->start;
        seen->region_end = region->end;
        snprintf(seen->region_name, sizeof(seen->region_name), "%s",
                 region->name[0] != 0 ? region->name : "anonymous");
    }
}

// From ptr - 8 on, where glibc keeps the size; the first block of all may have nothing in front.
static void read_words(struct observation *seen, const struct view *view) {
    if (seen->pointer == 0) {
        return;
    }
    seen->words_at = seen->pointer - 8;
    seen->has_words = view_read(view, seen->words_at, seen->words, sizeof(seen->words));
    if (!seen->has_words) {
        seen->words_at = seen->pointer;
        seen->has_words = view_read(view, seen->words_at, seen->words, sizeof(seen->words));
    }
}

bool observe(struct observation *seen, pid_t pid, uint64_t pointer) {
    struct target target = {.memory_fd = -1};
    struct images images;
    struct process process;
    struct root_places places;
    memset(seen, 0, sizeof(*seen));
    seen->pid = pid;
    seen->pointer = pointer;
    if (!target_open_live(&target, pid)) {
        return false;
    }
    if (!target.memory_readable) {
        say("%s", target.obstacle);
        target_close(&target);
        return false;
    }
    target_list_threads(&target);
    process_read(&process, &target);
    images_find(&images, &target);
    break_read(&seen->map, &target, &process, &images);
    locate_roots(&places, &target);
    seen->allocator = places.count > 0 ? "lucid" : "glibc";
    read_words(seen, &target.view);
    observe_region(seen, &target);
    if (places.count > 0) {
        observe_lucid(seen, &target, &places);
    } else {
        observe_glibc(seen, &target);
    }
    images_free(&images);
    target_close(&target);
    return true;
}

// ---- showing ------------------------------------------------------------------------------------

static void print_row(struct out *out, const struct observed_row *row, uint64_t pointer) {
    bool here = pointer != 0 && pointer - row->address < row->size;
    out_format(out, "   %s 0x%-16llx %12llu  %-9s", here ? ">" : " ", ull(row->address),
               ull(row->size), row->state);
    if (row->size_word != 0) {
        out_format(out, " (0x%llx, size word 0x%llx)", ull(row->size), ull(row->size_word));
    }
    out_char(out, '\n');
}

static void print_bin(struct out *out, const struct observation *seen) {
    if (seen->bin_size == 0) {
        return;
    }
    out_format(out, "    bin of %llu: %llu %s kept", ull(seen->bin_size), ull(seen->bin_count),
               human_plural(seen->bin_count, "block", "blocks"));
    for (size_t i = 0; i < OBSERVED_BIN && i < seen->bin_count; i++) {
        out_format(out, "%s 0x%llx", i == 0 ? "; the next ones to be given out:" : ",",
                   ull(seen->bin[i]));
    }
    out_text(out, seen->bin_count > OBSERVED_BIN ? ", ...\n" : "\n");
}

void observation_print(const struct observation *seen, struct out *out) {
    char bytes[COUNT_TEXT];
    if (seen->map.now.by != KNOWN_NOT) {
        out_format(out, "    break from 0x%llx to sbrk(0) = 0x%llx: %s bytes from brk\n",
                   ull(seen->map.start.address), ull(seen->map.now.address),
                   human_count(bytes, seen->map.allocated));
    }
    if (seen->has_words) {
        out_format(out, "    x/12wx 0x%llx\n", ull(seen->words_at));
        human_words(out, seen->words_at, seen->words, sizeof(seen->words));
    }
    if (seen->has_words && seen->words_at == seen->pointer) {
        out_text(out, "    (nothing is mapped in front of the pointer)\n");
    }
    for (size_t i = 0; i < seen->row_count; i++) {
        print_row(out, &seen->rows[i], seen->pointer);
    }
    if (seen->top.size != 0) {
        print_row(out, &seen->top, 0);
    }
    print_bin(out, seen);
}

static void json_row(struct json *json, const char *key, const struct observed_row *row) {
    json_open_object(json, key);
    json_address(json, "address", row->address);
    json_number(json, "size", row->size);
    json_string(json, "state", row->state);
    if (row->size_word != 0) {
        json_address(json, "size_word", row->size_word);
    }
    json_close_object(json);
}

static void json_words(const struct observation *seen, struct json *json) {
    json_address(json, "words_at", seen->words_at);
    json_open_array(json, "words");
    for (size_t i = 0; i < OBSERVED_WORDS; i++) {
        char text[16];
        snprintf(text, sizeof(text), "0x%08x", seen->words[i]);
        json_string(json, NULL, text);
    }
    json_close_array(json);
}

static void json_bin(const struct observation *seen, struct json *json) {
    json_open_object(json, "bin");
    json_number(json, "size", seen->bin_size);
    json_number(json, "count", seen->bin_count);
    json_open_array(json, "blocks");
    for (size_t i = 0; i < OBSERVED_BIN && i < seen->bin_count; i++) {
        json_address(json, NULL, seen->bin[i]);
    }
    json_close_array(json);
    json_close_object(json);
}

void observation_json(const struct observation *seen, struct json *json) {
    json_string(json, "allocator", seen->allocator);
    json_number(json, "pid", (uint64_t)seen->pid);
    json_address(json, "break_start", seen->map.start.address);
    json_address(json, "break_now", seen->map.now.address);
    json_number(json, "allocated", seen->map.allocated);
    json_address(json, "etext", seen->map.etext.address);
    json_address(json, "edata", seen->map.edata.address);
    json_address(json, "end", seen->map.end.address);
    json_number(json, "cached", seen->cached);
    if (seen->pointer != 0) {
        json_address(json, "pointer", seen->pointer);
        json_string(json, "region", seen->region_name);
        json_address(json, "region_start", seen->region_start);
        json_address(json, "region_end", seen->region_end);
    }
    if (seen->has_words) {
        json_words(seen, json);
    }
    if (seen->bin_size != 0) {
        json_bin(seen, json);
    }
    json_open_array(json, "blocks");
    for (size_t i = 0; i < seen->row_count; i++) {
        json_row(json, NULL, &seen->rows[i]);
    }
    json_close_array(json);
    if (seen->top.size != 0) {
        json_row(json, "top", &seen->top);
    }
}
