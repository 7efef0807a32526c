#include "session.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/name.h"

#include <stdlib.h>
#include <string.h>

const char *session_mode(const struct target *target) {
    static const char *const by_pause[] = {"live", "frozen", "stopped"};
    return target->kind == TARGET_CORE  ? "core"
           : target->kind == TARGET_GDB ? "gdb"
                                        : by_pause[target->pause];
}

static const struct root_place *choose_place(const struct session *session) {
    const struct root_places *places = &session->places;
    if (session->cli.root > places->count) {
        say("%s has %zu lucid %s, so there is no --root %llu", session->target.label, places->count,
            human_plural(places->count, "heap", "heaps"), ull(session->cli.root));
        return NULL;
    }
    return &places->list[session->cli.root != 0 ? session->cli.root - 1 : 0];
}

static bool copy_heap(struct session *session, const struct root_place *place) {
    session->snapshot = memory_take_aligned(_Alignof(struct snapshot), sizeof(*session->snapshot));
    if (session->cli.freeze && !target_freeze(&session->target)) {
        return false;
    }
    bool copied = snapshot_take(session->snapshot, &session->target, &session->places, place);
    target_thaw(&session->target);
    if (!copied) {
        snapshot_say_fault(session->snapshot);
    }
    return copied;
}

bool session_copy_again(struct session *session) {
    struct root_place place = session->snapshot->place;
    snapshot_free(session->snapshot);
    return snapshot_take(session->snapshot, &session->target, &session->places, &place);
}

// -1: glibc's heap is to be looked for.
static int without_heap(struct session *session, bool glibc_too) {
    const struct target *target = &session->target;
    if (target_say_fate(target)) {
        return session_end(session, EXIT_UNREADABLE);
    }
    if (session->places.left_out && !target->truncated) {
        say("%s left out the memory that lucid's heap is in; let it be dumped in full (core(5) "
            "tells how coredump_filter is set, or use gdb's gcore)",
            target->label);
    } else if (glibc_too) {
        return -1;
    } else if (target->truncated) {
        target_say_cut_off(target, "what a heap is found by");
    } else if (session->cli.plain && target->launch != NULL) {
        say("%s was started without lucid because of --libc; leave that out", target->label);
    } else {
        say("%s does not run on lucid; start it with `lucid run -- PROGRAM`, or give -- PROGRAM "
            "to this command",
            target->label);
    }
    return session_end(session, EXIT_UNREADABLE);
}

int session_begin(struct session *session, const struct cli_command *command, int argc, char **argv,
                  bool glibc_too) {
    memset(session, 0, sizeof(*session));
    int code = cli_parse(&session->cli, command, argc, argv);
    if (code >= 0) {
        return code;
    }
    struct target *target = &session->target;
    if (!cli_open(&session->cli, target)) {
        return EXIT_UNREADABLE;
    }
    if (!target->memory_readable) {
        say("%s", target->obstacle);
        return session_end(session, EXIT_UNREADABLE);
    }
    target_list_threads(target);
    locate_roots(&session->places, target);
    if (session->places.count == 0) {
        return without_heap(session, glibc_too);
    }
    const struct root_place *place = choose_place(session);
    if (place == NULL) {
        return session_end(session, EXIT_USAGE);
    }
    return copy_heap(session, place) ? -1 : session_end(session, EXIT_UNREADABLE);
}

int session_end(struct session *session, int code) {
    code = cli_end(code);
    if (session->snapshot != NULL) {
        snapshot_free(session->snapshot);
        free(session->snapshot);
        session->snapshot = NULL;
    }
    target_close(&session->target);
    return code;
}

void session_print_head(const struct session *session, struct out *out) {
    const struct target *target = &session->target;
    const struct snapshot *snapshot = session->snapshot;
    char where[sizeof(snapshot->place.where)];
    char version[sizeof(snapshot->reader.fixed.library_version)];
    out_format(out, "%s", target->label);
    if (target->pause == PAUSE_FROZEN) {
        out_format(out, "  frozen for %.2f ms", (double)target->pause_length / 1e6);
    } else if (target->kind == TARGET_LIVE && target->pause == PAUSE_NONE) {
        out_text(out, "  live, not stopped");
    } else if (target->launch != NULL) {
        out_text(out, "  stopped");
    }
    if (snapshot != NULL) {
        out_format(out, ", read in %.2f ms\nlucid %s, layout %u, root 0x%llx (%s in %s)\n",
                   (double)snapshot->nanoseconds / 1e6,
                   name_shown(version, sizeof(version), snapshot->reader.fixed.library_version),
                   snapshot->reader.fixed.version, ull(snapshot->place.address),
                   snapshot->place.how, name_shown(where, sizeof(where), snapshot->place.where));
    } else {
        out_char(out, '\n');
    }
    for (size_t i = 0; snapshot != NULL && session->places.count > 1 && i < session->places.count;
         i++) {
        out_format(out, "  heap %zu of %zu: root 0x%llx in %s%s\n", i + 1, session->places.count,
                   ull(session->places.list[i].address),
                   name_shown(where, sizeof(where), session->places.list[i].where),
                   session->places.list[i].address == snapshot->place.address
                       ? ", shown here"
                       : "; choose it with --root");
    }
    if (target->truncated) {
        char lack[TARGET_LACK];
        out_format(out, "the core %s\n", target_lack(lack, target));
    }
}

void session_json_target(const struct target *target, struct json *json) {
    json_open_object(json, "target");
    json_number(json, "pid", (uint64_t)target->pid);
    json_string(json, "name", target->name);
    json_string(json, "mode", session_mode(target));
    if (target->kind == TARGET_CORE) {
        json_string(json, "core", target->core);
        json_bool(json, "truncated", target->truncated);
        json_number(json, "missing", target->truncated ? target->whole - target->held : 0);
    }
    if (target->pause == PAUSE_FROZEN) {
        json_number(json, "pause_ns", target->pause_length);
    }
    json_close_object(json);
}

void session_json_head(const struct session *session, struct json *json, const char *command) {
    const struct snapshot *snapshot = session->snapshot;
    json_open_object(json, NULL);
    json_string(json, "schema", "lucid.heap/1");
    json_string(json, "command", command);
    json_string(json, "tool", LUCID_VERSION_TEXT);
    session_json_target(&session->target, json);
    if (snapshot == NULL) {
        return;
    }
    json_open_object(json, "heap");
    json_string(json, "allocator", "lucid");
    json_string(json, "version", snapshot->reader.fixed.library_version);
    json_number(json, "layout", snapshot->reader.fixed.version);
    json_address(json, "root", snapshot->place.address);
    json_string(json, "found_by", snapshot->place.how);
    json_string(json, "file", snapshot->place.where);
    json_number(json, "read_ns", snapshot->nanoseconds);
    json_open_array(json, "roots");
    for (size_t i = 0; i < session->places.count; i++) {
        json_address(json, NULL, session->places.list[i].address);
    }
    json_close_array(json);
    json_close_object(json);
}

void session_json_no_block(const struct session *session, struct json *json, uint64_t address) {
    const struct region *region = regions_find(&session->target.regions, address);
    json_address(json, "asked_about", address);
    json_null(json, "block");
    if (region != NULL) {
        json_string(json, "region", region->name);
    } else {
        json_null(json, "region");
    }
}
