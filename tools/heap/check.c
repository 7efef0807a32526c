// lucid check: looks at all rules. In a living process a rule can seem broken because a thread is
// in the middle of a step; only what is still there, unchanged, after several looks is a finding.
#include "check.h"
#include "commands.h"
#include "session.h"
#include "util/human.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOKS 8u // the pauses between them double: 1 ms to 128 ms

static bool same(const struct finding *a, const struct finding *b) {
    return strcmp(a->rule, b->rule) == 0 && a->address == b->address && a->value == b->value;
}

// Keeps what is in both. Open is what was open at every look: a thread that stood still elsewhere
// at one of them was not in the middle of anything.
static void keep_common(struct findings *findings, const struct findings *later) {
    size_t kept = 0;
    for (size_t i = 0; i < findings->count; i++) {
        bool again = false;
        for (size_t k = 0; k < later->count && !again; k++) {
            again = same(&findings->list[i], &later->list[k]);
            findings->list[i].open &= !again || later->list[k].open;
        }
        if (again) {
            findings->list[kept++] = findings->list[i];
        }
    }
    findings->count = kept;
}

static void drop_open(struct findings *findings) {
    size_t kept = 0;
    for (size_t i = 0; i < findings->count; i++) {
        if (!findings->list[i].open) {
            findings->list[kept++] = findings->list[i];
        }
    }
    findings->count = kept;
}

static void pause_ms(unsigned ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

// False: the target went away.
static bool look_again(struct session *session, struct findings *findings) {
    struct snapshot *snapshot = session->snapshot;
    for (unsigned look = 0; look < LOOKS && findings->count > 0 && !snapshot->still; look++) {
        struct findings later;
        struct root_place place = snapshot->place;
        pause_ms(1u << look);
        snapshot_free(snapshot);
        target_regions(&session->target, false);
        target_list_threads(&session->target);
        if (!snapshot_take(snapshot, &session->target, &session->places, &place)) {
            snapshot_say_fault(snapshot);
            return false;
        }
        check_snapshot(&later, snapshot);
        keep_common(findings, &later);
        findings_free(&later);
    }
    drop_open(findings);
    return true;
}

static void print_text(const struct session *session, const struct findings *findings) {
    struct out *out = &out_standard;
    char runs[COUNT_TEXT];
    char blocks[COUNT_TEXT];
    char cached[COUNT_TEXT];
    session_print_head(session, out);
    size_t threads = session->snapshot->heap_count;
    out_format(
        out, "looked at %s %s, %s %s, %s of them in bins, %zu %s\n",
        human_count(runs, findings->runs), human_plural(findings->runs, "run", "runs"),
        human_count(blocks, findings->blocks), human_plural(findings->blocks, "block", "blocks"),
        human_count(cached, findings->cached), threads, human_plural(threads, "thread", "threads"));
    if (findings->moved > 0) {
        out_format(out, "~ %llu runs changed while they were read and were left out\n",
                   ull(findings->moved));
    }
    for (size_t i = 0; i < findings->count; i++) {
        out_format(out, "  %-18s %s\n", findings->list[i].rule, findings->list[i].text);
    }
    if (findings->more > 0) {
        out_format(out, "  and %llu more\n", ull(findings->more));
    }
    if (findings->count == 0) {
        out_text(out, "every rule holds\n");
    } else {
        out_format(out, "%zu %s broken\n", findings->count,
                   human_plural(findings->count, "rule is", "rules are"));
    }
}

static void print_json(const struct session *session, const struct findings *findings) {
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(session, &json, "check");
    json_number(&json, "runs", findings->runs);
    json_number(&json, "blocks", findings->blocks);
    json_number(&json, "cached", findings->cached);
    json_number(&json, "moved_runs", findings->moved);
    json_open_array(&json, "findings");
    for (size_t i = 0; i < findings->count; i++) {
        json_open_object(&json, NULL);
        json_string(&json, "rule", findings->list[i].rule);
        json_address(&json, "address", findings->list[i].address);
        json_string(&json, "text", findings->list[i].text);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_number(&json, "findings_not_shown", findings->more);
    json_close_object(&json);
}

int cmd_check(int argc, char **argv) {
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Verifies every rule of the heap from outside. Exit code 1: one is broken.",
        .details = "\nexample: lucid check core.991\n",
    };
    struct session session;
    struct findings findings;
    int code = session_begin(&session, &command, argc, argv, false);
    if (code >= 0) {
        return code;
    }
    check_snapshot(&findings, session.snapshot);
    code = EXIT_UNREADABLE;
    if (look_again(&session, &findings)) {
        code = findings.count > 0 ? EXIT_FINDING : EXIT_FINE;
        if (session.cli.json) {
            print_json(&session, &findings);
        } else {
            print_text(&session, &findings);
        }
    }
    findings_free(&findings);
    return session_end(&session, code);
}
