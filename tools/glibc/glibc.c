// lucid heap, arena and block for a process on glibc's own malloc.
#include "glibc.h"

#include "util/human.h"

#include <string.h>

static const char best_effort[] =
    "glibc's own malloc, best effort: the main arena, walked by sizes and flag bits; other "
    "arenas and blocks with an mmap of their own are not shown";

static void no_heap(const struct session *session) {
    if (session->target.truncated) {
        target_say_cut_off(&session->target, "what a heap is found by");
        return;
    }
    say("%s runs on no lucid, and no glibc heap can be walked behind its program break either: "
        "it has not allocated yet, or has an allocator of its own; `lucid layout` works on any "
        "process",
        session->target.label);
}

static const char *flag_names(uint64_t flags) {
    static const char *const names[8] = {
        "-",
        "PREV_INUSE",
        "IS_MMAPPED",
        "PREV_INUSE|IS_MMAPPED",
        "NON_MAIN_ARENA",
        "PREV_INUSE|NON_MAIN_ARENA",
        "IS_MMAPPED|NON_MAIN_ARENA",
        "PREV_INUSE|IS_MMAPPED|NON_MAIN_ARENA",
    };
    return names[flags & 7];
}

static const char *chunk_state(const struct glibc_chunk *chunk) {
    return chunk->top ? "top" : chunk->tcache ? "tcache" : block_state_names[chunk->state];
}

struct sums {
    uint64_t count[3];
    uint64_t bytes[3];
    const struct glibc_chunk *top;
};

static void add_up(const struct glibc_walk *walk, struct sums *sums) {
    memset(sums, 0, sizeof(*sums));
    for (size_t i = 0; i < walk->count; i++) {
        const struct glibc_chunk *chunk = &walk->chunks[i];
        if (chunk->top) {
            sums->top = chunk;
        } else {
            sums->count[chunk->state]++;
            sums->bytes[chunk->state] += chunk->size;
        }
    }
}

// ---- JSON ---------------------------------------------------------------------------------------

static void json_head(const struct session *session, struct json *json, const char *command,
                      const struct glibc_walk *walk) {
    session_json_head(session, json, command);
    json_open_object(json, "heap");
    json_string(json, "allocator", "glibc");
    json_bool(json, "best_effort", true);
    json_address(json, "start", walk->start);
    json_address(json, "end", walk->end);
    if (walk->problem != NULL) {
        json_string(json, "problem", walk->problem);
        json_address(json, "problem_at", walk->problem_at);
    }
    json_close_object(json);
}

static void json_chunk(struct json *json, const char *key, const struct glibc_chunk *chunk) {
    json_open_object(json, key);
    json_address(json, "address", chunk->top ? chunk->address : chunk->address + 16);
    json_number(json, "size", chunk->top ? chunk->size : chunk->size - 8);
    if (!chunk->top) {
        json_string(json, "state", block_state_names[chunk->state]);
    }
    json_address(json, "chunk", chunk->address);
    json_number(json, "chunk_size", chunk->size);
    json_address(json, "size_word", chunk->size | chunk->flags);
    json_string(json, "flags", flag_names(chunk->flags));
    if (chunk->tcache) {
        json_bool(json, "tcache", true);
    }
    json_close_object(json);
}

static bool suits(const struct glibc_filter *filter, const struct glibc_chunk *chunk) {
    return !chunk->top && (filter->state < 0 || chunk->state == filter->state) &&
           chunk->size - 8 >= filter->least;
}

static uint64_t json_chunks(struct json *json, const struct glibc_walk *walk,
                            const struct glibc_filter *filter) {
    uint64_t found = 0;
    json_open_array(json, "blocks");
    for (size_t i = 0; i < walk->count; i++) {
        if (suits(filter, &walk->chunks[i]) && found++ < filter->limit) {
            json_chunk(json, NULL, &walk->chunks[i]);
        }
    }
    json_close_array(json);
    return found > filter->limit ? found - filter->limit : 0;
}

// ---- text ---------------------------------------------------------------------------------------

static void print_chunk(struct out *out, const struct glibc_chunk *chunk) {
    out_format(out, "  0x%-16llx  0x%-8llx 0x%-8llx %-8s %s%s\n", ull(chunk->address),
               ull(chunk->size), ull(chunk->size | chunk->flags), chunk_state(chunk),
               flag_names(chunk->flags),
               chunk->tcache ? "  the first thread's table of cached blocks" : "");
}

static void print_chunk_head(struct out *out) {
    out_text(out, "  CHUNK               SIZE       IN MEMORY  STATE    FLAGS\n");
}

static void print_head(const struct session *session, const struct glibc_walk *walk) {
    struct out *out = &out_standard;
    session_print_head(session, out);
    out_format(out, "%s\n", best_effort);
    out_format(out, "[heap] 0x%llx to 0x%llx; what malloc returned is 16 bytes behind a chunk\n\n",
               ull(walk->start), ull(walk->end));
}

static void print_problem(const struct glibc_walk *walk) {
    if (walk->problem != NULL) {
        out_format(&out_standard, "  the walk ends at 0x%llx: %s there\n", ull(walk->problem_at),
                   walk->problem);
    }
}

static void print_chunks(const struct glibc_walk *walk, const struct glibc_filter *filter) {
    uint64_t found = 0;
    print_chunk_head(&out_standard);
    for (size_t i = 0; i < walk->count; i++) {
        const struct glibc_chunk *chunk = &walk->chunks[i];
        if (chunk->top || (suits(filter, chunk) && found++ < filter->limit)) {
            print_chunk(&out_standard, chunk);
        }
    }
    if (found > filter->limit) {
        out_format(&out_standard, "  %llu more chunks are not shown (--limit)\n",
                   ull(found - filter->limit));
    }
    print_problem(walk);
}

int glibc_heap(struct session *session, const struct glibc_filter *filter) {
    struct glibc_walk walk;
    struct json json;
    if (!glibc_walk_heap(&walk, &session->target)) {
        no_heap(session);
        return EXIT_UNREADABLE;
    }
    struct sums sums;
    add_up(&walk, &sums);
    if (session->cli.json) {
        json_start(&json, &out_standard);
        json_head(session, &json, "heap", &walk);
        json_number(&json, "blocks_not_shown", json_chunks(&json, &walk, filter));
        if (sums.top != NULL) {
            json_chunk(&json, "top", sums.top);
        } else {
            json_null(&json, "top");
        }
        json_close_object(&json);
    } else {
        print_head(session, &walk);
        print_chunks(&walk, filter);
    }
    int code = walk.problem != NULL ? EXIT_FINDING : EXIT_FINE;
    glibc_walk_free(&walk);
    return code;
}

int glibc_arena(struct session *session) {
    struct glibc_walk walk;
    struct json json;
    struct sums sums;
    char size[SIZE_TEXT];
    if (!glibc_walk_heap(&walk, &session->target)) {
        no_heap(session);
        return EXIT_UNREADABLE;
    }
    add_up(&walk, &sums);
    if (session->cli.json) {
        json_start(&json, &out_standard);
        json_head(session, &json, "arena", &walk);
    } else {
        print_head(session, &walk);
    }
    for (int state = 0; state < 3; state++) {
        if (session->cli.json) {
            json_open_object(&json, block_state_names[state]);
            json_number(&json, "blocks", sums.count[state]);
            json_number(&json, "bytes", sums.bytes[state]);
            json_close_object(&json);
        } else {
            out_format(&out_standard, "  %-7s %12llu chunks %8s%s\n", block_state_names[state],
                       ull(sums.count[state]), human_size(size, sums.bytes[state]),
                       state == BLOCK_IS_USED ? "  cached ones of other threads included" : "");
        }
    }
    uint64_t top = sums.top != NULL ? sums.top->size : 0;
    if (session->cli.json) {
        json_number(&json, "top_bytes", top);
        json_close_object(&json);
    } else {
        out_format(&out_standard, "  top     %28s\n", human_size(size, top));
        print_problem(&walk);
    }
    glibc_walk_free(&walk);
    return EXIT_FINE;
}

static void tell_none(const struct session *session, uint64_t address,
                      const struct glibc_walk *walk) {
    if (session->cli.json) {
        struct json json;
        json_start(&json, &out_standard);
        json_head(session, &json, "block", walk);
        session_json_no_block(session, &json, address);
        json_close_object(&json);
        return;
    }
    say("0x%llx is in no chunk of glibc's main arena (0x%llx to 0x%llx) of %s; `lucid layout` "
        "tells what lies there",
        ull(address), ull(walk->start), ull(walk->end), session->target.label);
}

// The chunk of an address and those around it.
struct chunk_place {
    uint64_t address;
    size_t at;
    size_t first;
    size_t last;
};

static void json_block(const struct session *session, const struct glibc_walk *walk,
                       const struct chunk_place *place) {
    struct json json;
    json_start(&json, &out_standard);
    json_head(session, &json, "block", walk);
    json_number(&json, "offset", place->address - walk->chunks[place->at].address);
    json_chunk(&json, "block", &walk->chunks[place->at]);
    json_open_array(&json, "around");
    for (size_t i = place->first; i <= place->last; i++) {
        json_chunk(&json, NULL, &walk->chunks[i]);
    }
    json_close_array(&json);
    json_close_object(&json);
}

static void print_block(const struct session *session, const struct glibc_walk *walk,
                        const struct chunk_place *place) {
    const struct glibc_chunk *chunk = &walk->chunks[place->at];
    struct out *out = &out_standard;
    print_head(session, walk);
    print_chunk_head(out);
    for (size_t i = place->first; i <= place->last; i++) {
        print_chunk(out, &walk->chunks[i]);
    }
    uint64_t shown = chunk->size < 512 ? chunk->size : 512;
    out_format(out, "\n0x%llx is byte %llu of this chunk:\n", ull(place->address),
               ull(place->address - chunk->address));
    human_words(out, chunk->address + 8, walk->heap + (chunk->address + 8 - walk->start),
                (size_t)(shown - 8));
}

int glibc_block(struct session *session, uint64_t address, uint64_t around) {
    struct glibc_walk walk;
    if (!glibc_walk_heap(&walk, &session->target)) {
        no_heap(session);
        return EXIT_UNREADABLE;
    }
    size_t at = 0;
    while (at < walk.count && address - walk.chunks[at].address >= walk.chunks[at].size) {
        at++;
    }
    if (at == walk.count) {
        tell_none(session, address, &walk);
        glibc_walk_free(&walk);
        return EXIT_FINDING;
    }
    const struct chunk_place place = {
        .address = address,
        .at = at,
        .first = at > around ? at - (size_t)around : 0,
        .last = walk.count - at - 1 > around ? at + (size_t)around : walk.count - 1,
    };
    if (session->cli.json) {
        json_block(session, &walk, &place);
    } else {
        print_block(session, &walk, &place);
    }
    glibc_walk_free(&walk);
    return EXIT_FINE;
}
