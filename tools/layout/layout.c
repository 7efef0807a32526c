// lucid layout: the address space of any process, and where its program break stands.
#include "break.h"
#include "heap/session.h"
#include "owner.h"
#include "process.h"
#include "target/cli.h"
#include "target/image.h"
#include "util/human.h"
#include "util/json.h"
#include "util/name.h"

#include <string.h>

struct view_of_process {
    struct cli cli;
    struct target target;
    struct process process;
    struct images images;
    struct break_map map;
};

// ---- text ---------------------------------------------------------------------------------------

static void print_process(const struct view_of_process *seen) {
    struct out *out = &out_standard;
    const struct process *process = &seen->process;
    const struct target *target = &seen->target;
    char files[COUNT_TEXT];
    char shown[sizeof(process->command)];
    out_text(out, target->label);
    if (process->known) {
        out_format(out, "  %s, parent %d, user %llu, %llu %s, %s open files",
                   process_state_text(process->state), (int)process->parent, ull(process->user),
                   ull(process->threads), human_plural(process->threads, "thread", "threads"),
                   process->files_known ? human_count(files, process->open_files)
                                        : "(not shown to you:)");
    } else {
        out_format(out, "  %llu %s", ull(process->threads),
                   human_plural(process->threads, "thread", "threads"));
    }
    out_char(out, '\n');
    if (process->command[0] != 0) {
        out_format(out, "  command   %s\n", name_shown(shown, sizeof(shown), process->command));
    }
    for (size_t i = 0; i < target->thread_count && i < 16; i++) {
        const struct target_thread *thread = &target->threads[i];
        out_format(out, "  thread    %d %s", (int)thread->tid,
                   name_shown(shown, sizeof(shown), thread->name));
        if (thread->has_registers) {
            out_format(out, "  program counter 0x%llx  stack pointer 0x%llx", ull(thread->pc),
                       ull(thread->sp));
        } else {
            out_format(out, "  %s", process_state_text(thread->state));
        }
        out_char(out, '\n');
    }
    if (target->thread_count > 16) {
        out_format(out, "  and %zu more threads (--json lists all)\n", target->thread_count - 16);
    }
}

static void print_place(const char *name, const struct place *place, const char *note) {
    if (place->by == KNOWN_NOT) {
        out_format(&out_standard, "  %-12s unknown\n", name);
        return;
    }
    out_format(&out_standard, "  %-12s 0x%-16llx %s (%s)\n", name, ull(place->address), note,
               break_source(place->by));
}

// The sentence that the drawing of a break always lacks: what of it is memory, and what is not.
static void print_allocated(const struct break_map *map) {
    struct out *out = &out_standard;
    char bytes[COUNT_TEXT];
    char other[COUNT_TEXT];
    char size[SIZE_TEXT];
    if (map->start.by == KNOWN_NOT || map->now.by == KNOWN_NOT) {
        out_text(out, "\nThe program break of this target is not known.\n");
        return;
    }
    out_format(out,
               "\nAllocated with brk: %s bytes (%s), from the start of the break to sbrk(0).\n",
               human_count(bytes, map->allocated), human_size(size, map->allocated));
    if (map->gap_known) {
        out_format(out,
                   "The %s bytes (%s) between &end and the start of the break are a gap the kernel "
                   "leaves%s: nothing is there.\n",
                   human_count(bytes, map->gap), human_size(size, map->gap),
                   map->gap > (64u << 10) ? " at random" : "");
    }
    if (map->edata.by != KNOWN_NOT && map->now.address > map->edata.address) {
        out_format(out,
                   "So of the %s bytes between &edata and sbrk(0), %s were allocated with brk.\n",
                   human_count(bytes, map->now.address - map->edata.address),
                   human_count(other, map->allocated));
    }
    if (map->lucid) {
        out_format(out, "Of the break lucid has %s bytes, others %s.\n",
                   human_count(bytes, map->ours), human_count(other, map->foreign));
    }
}

static void print_break(const struct view_of_process *seen) {
    const struct break_map *map = &seen->map;
    struct out *out = &out_standard;
    char size[SIZE_TEXT];
    out_char(out, '\n');
    print_place("&etext", &map->etext, "end of the program's code");
    print_place("&edata", &map->edata, "end of its initialised data");
    print_place("&end", &map->end, "end of its uninitialised data (bss)");
    if (map->gap_known) {
        out_format(out, "  %-12s %-18s\n", "gap", human_size(size, map->gap));
    }
    print_place("start_brk", &map->start, "start of the break");
    print_place("sbrk(0)", &map->now,
                map->now.by == KNOWN_KERNEL ? "the break, rounded up to a page" : "the break");
    if (map->lucid) {
        out_format(out, "  %-12s 0x%-16llx to 0x%llx\n", "lucid's arena", ull(map->arena_base),
                   ull(map->arena_end));
    }
    const struct process *process = &seen->process;
    if (process->start_stack != 0) {
        out_format(out, "  %-12s 0x%-16llx arguments 0x%llx to 0x%llx, environment to 0x%llx\n",
                   "stack begins", ull(process->start_stack), ull(process->arg_start),
                   ull(process->arg_end), ull(process->env_end));
    }
    print_allocated(map);
}

static void print_size(uint64_t bytes, bool known) {
    char size[SIZE_TEXT];
    out_format(&out_standard, " %8s", known ? bytes == 0 ? "-" : human_size(size, bytes) : "?");
}

static void print_mappings(const struct view_of_process *seen) {
    struct out *out = &out_standard;
    const struct target *target = &seen->target;
    const struct region *heap = regions_named(&target->regions, "[heap]");
    uint64_t last = 0;
    char owner[512];
    char size[SIZE_TEXT];
    out_text(out, "\n  START              END                 RIGHTS     SIZE RESIDENT  SWAPPED"
                  "     HUGE  OWNER\n");
    for (size_t i = 0; i < target->regions.count; i++) {
        const struct region *region = &target->regions.list[i];
        if (region == heap && seen->map.gap_known) {
            out_format(out, "  ------ gap of %s before the break\n",
                       human_size(size, seen->map.gap));
        } else if (last != 0 && region->start < (uint64_t)1 << 63 &&
                   region->start - last >= (uint64_t)1 << 30) {
            out_format(out, "  ...... %s of nothing\n", human_size(size, region->start - last));
        }
        owner_text(owner, sizeof(owner), target, &seen->images, &seen->map, region);
        out_format(out, "  0x%-16llx 0x%-16llx  %s ", ull(region->start), ull(region->end),
                   region->rights);
        print_size(region->end - region->start, true);
        print_size(region->resident, region->counted);
        print_size(region->swapped, region->counted);
        print_size(region->huge, region->counted);
        out_format(out, "  %s\n", name_shown(owner, sizeof(owner), owner));
        last = region->end;
    }
}

static void print_end(const struct view_of_process *seen) {
    struct out *out = &out_standard;
    const struct process *process = &seen->process;
    char resident[SIZE_TEXT];
    char tables[SIZE_TEXT];
    char all[SIZE_TEXT];
    out_format(out, "\n%zu mappings, %s of addresses", seen->target.regions.count,
               human_size(all, process->virtual_size));
    if (process->known) {
        out_format(out, ", %s resident, page tables %s", human_size(resident, process->resident),
                   human_size(tables, process->page_tables));
    }
    out_format(out, "; user space ends at 0x%llx\n", ull(process_user_end(&seen->target)));
    if (seen->target.truncated) {
        char lack[TARGET_LACK];
        out_format(out, "The core %s.\n", target_lack(lack, &seen->target));
    }
    if (!seen->target.memory_readable) {
        out_format(out, "Not shown: the exact break and who owns it. %s\n", seen->target.obstacle);
    }
    if (process->known && process->start_brk == 0) {
        out_text(out, "Not shown: start_brk, stack and argument addresses; the kernel gives them "
                      "to the same user and to sudo only.\n");
    }
    if (seen->target.regions.count > 0 && !seen->target.regions.list[0].counted &&
        seen->target.kind != TARGET_CORE) {
        out_text(out, "Not shown: what is resident; /proc/PID/smaps cannot be read here.\n");
    }
}

// ---- JSON ---------------------------------------------------------------------------------------

static void json_place(struct json *json, const char *key, const struct place *place) {
    if (place->by == KNOWN_NOT) {
        json_null(json, key);
        return;
    }
    json_open_object(json, key);
    json_address(json, "address", place->address);
    json_string(json, "source", break_source(place->by));
    json_close_object(json);
}

static void json_process(struct json *json, const struct view_of_process *seen) {
    const struct process *process = &seen->process;
    const struct target *target = &seen->target;
    char state[2] = {process->state, 0};
    json_open_object(json, "process");
    if (process->known) {
        json_string(json, "state", state);
        json_number(json, "parent", (uint64_t)process->parent);
        json_number(json, "user", process->user);
        json_number(json, "resident", process->resident);
        json_number(json, "swapped", process->swapped);
        json_number(json, "page_tables", process->page_tables);
        json_number(json, "virtual", process->virtual_size);
        json_string(json, "command", process->command);
    }
    if (process->files_known) {
        json_number(json, "open_files", process->open_files);
    }
    if (process->start_stack != 0) {
        json_address(json, "stack", process->start_stack);
        json_address(json, "arguments", process->arg_start);
        json_address(json, "arguments_end", process->arg_end);
        json_address(json, "environment", process->env_start);
        json_address(json, "environment_end", process->env_end);
    }
    json_open_array(json, "threads");
    for (size_t i = 0; i < target->thread_count; i++) {
        const struct target_thread *thread = &target->threads[i];
        char letter[2] = {thread->state, 0};
        json_open_object(json, NULL);
        json_number(json, "tid", (uint64_t)thread->tid);
        json_string(json, "name", thread->name);
        json_string(json, "state", letter);
        if (thread->has_registers) {
            json_address(json, "pc", thread->pc);
            json_address(json, "sp", thread->sp);
        }
        json_close_object(json);
    }
    json_close_array(json);
    json_close_object(json);
}

static void json_break(struct json *json, const struct break_map *map) {
    json_open_object(json, "program");
    json_place(json, "etext", &map->etext);
    json_place(json, "edata", &map->edata);
    json_place(json, "end", &map->end);
    json_close_object(json);
    json_open_object(json, "break");
    json_place(json, "start", &map->start);
    json_place(json, "now", &map->now);
    json_number(json, "allocated", map->allocated);
    if (map->gap_known) {
        json_number(json, "gap", map->gap);
    } else {
        json_null(json, "gap");
    }
    if (map->lucid) {
        json_address(json, "arena", map->arena_base);
        json_number(json, "lucid", map->ours);
        json_number(json, "foreign", map->foreign);
    }
    json_close_object(json);
}

static void json_mappings(struct json *json, const struct view_of_process *seen) {
    char owner[512];
    json_open_array(json, "mappings");
    for (size_t i = 0; i < seen->target.regions.count; i++) {
        const struct region *region = &seen->target.regions.list[i];
        owner_text(owner, sizeof(owner), &seen->target, &seen->images, &seen->map, region);
        json_open_object(json, NULL);
        json_address(json, "start", region->start);
        json_address(json, "end", region->end);
        json_string(json, "rights", region->rights);
        json_number(json, "size", region->end - region->start);
        if (region->counted) {
            json_number(json, "resident", region->resident);
            json_number(json, "swapped", region->swapped);
            json_number(json, "huge", region->huge);
        }
        json_string(json, "owner", owner);
        json_string(json, "name", region->name);
        json_close_object(json);
    }
    json_close_array(json);
}

static void print_json(const struct view_of_process *seen) {
    struct json json;
    json_start(&json, &out_standard);
    json_open_object(&json, NULL);
    json_string(&json, "schema", "lucid.heap/1");
    json_string(&json, "command", "layout");
    json_string(&json, "tool", LUCID_VERSION_TEXT);
    session_json_target(&seen->target, &json);
    json_bool(&json, "memory_readable", seen->target.memory_readable);
    if (!seen->target.memory_readable) {
        json_string(&json, "obstacle", seen->target.obstacle);
    }
    json_process(&json, seen);
    json_break(&json, &seen->map);
    json_mappings(&json, seen);
    json_address(&json, "user_space_end", process_user_end(&seen->target));
    json_close_object(&json);
}

// ---- the command --------------------------------------------------------------------------------

int cmd_layout(int argc, char **argv) {
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Shows the address space of any process: who it is, its code and data, the "
                   "gap,\nthe program break, and every mapping with what of it is resident.",
        .details = "\nexample: lucid layout $$\n",
    };
    struct view_of_process seen;
    memset(&seen, 0, sizeof(seen));
    int code = cli_parse(&seen.cli, &command, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (!cli_open(&seen.cli, &seen.target)) {
        return EXIT_UNREADABLE;
    }
    if (seen.cli.freeze && !target_freeze(&seen.target)) {
        target_close(&seen.target);
        return EXIT_UNREADABLE;
    }
    target_regions(&seen.target, true);
    if (seen.target.freezer == NULL) {
        target_list_threads(&seen.target);
    }
    process_read(&seen.process, &seen.target);
    images_find(&seen.images, &seen.target);
    break_read(&seen.map, &seen.target, &seen.process, &seen.images);
    target_thaw(&seen.target);
    if (seen.cli.json) {
        print_json(&seen);
    } else {
        print_process(&seen);
        print_break(&seen);
        print_mappings(&seen);
        print_end(&seen);
    }
    code = cli_end(EXIT_FINE);
    images_free(&seen.images);
    target_close(&seen.target);
    return code;
}
