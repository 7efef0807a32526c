#include "batch.h"

#include "util/human.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define HEAD_EACH 20u // lines
#define ONCE_WIDTH 100u
#define ONCE_HEIGHT 28u

// ---- JSON ---------------------------------------------------------------------------------------

static void json_rates(struct json *json, const struct sample *sample,
                       const struct sample_counts *change) {
    json_fraction(json, "refills", sample_rate(sample, change->refills));
    json_fraction(json, "flushes", sample_rate(sample, change->flushes));
    json_fraction(json, "larges", sample_rate(sample, change->larges));
}

static void json_reading(const struct sample *sample) {
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(sample->session, &json, "top");
    json_number(&json, "reading", sample->taken);
    json_fraction(&json, "seconds", sample->seconds);
    json_number(&json, "cost_ns", sample->cost);
    ledger_json_parts(&json, &sample->ledger);
    json_open_object(&json, "per_second");
    json_rates(&json, sample, &sample->change);
    json_fraction(&json, "returned", sample_rate(sample, sample->change.returned));
    json_close_object(&json);
    json_open_array(&json, "threads");
    for (size_t i = 0; i < sample->thread_count; i++) {
        const struct sample_thread *thread = &sample->threads[i];
        char state[2] = {thread->state, 0};
        json_open_object(&json, NULL);
        json_number(&json, "tid", (uint64_t)thread->tid);
        json_string(&json, "name", thread->name);
        json_string(&json, "state", state);
        json_number(&json, "cached", thread->cached);
        json_rates(&json, sample, &thread->change);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_close_object(&json);
}

// ---- text ---------------------------------------------------------------------------------------

void batch_once(const struct sample *sample, enum tab tab) {
    struct look look = {.width = ONCE_WIDTH, .height = ONCE_HEIGHT, .ascii = terminal_ascii()};
    struct page page = {0};
    if (sample->session->cli.json) {
        json_reading(sample);
        return;
    }
    session_print_head(sample->session, &out_standard);
    for (unsigned i = 0; i < TAB_COUNT; i++) {
        if (tab == TAB_COUNT || tab == i) {
            out_format(&out_standard, "\n%s\n\n", tab_names[i]);
            tab_fill(&page, i, sample, &look);
            page_print(&page, &out_standard);
        }
    }
    page_free(&page);
}

static void print_line(const struct sample *sample) {
    const struct ledger *ledger = &sample->ledger;
    const uint64_t *part = ledger->part;
    const uint64_t columns[] = {
        ledger->sum,
        part[PART_LIVE] + part[PART_SLACK],
        part[PART_PARTIAL],
        part[PART_CACHED],
        part[PART_DIRTY],
        part[PART_METADATA],
        part[PART_FILES] + part[PART_STACKS] + part[PART_OTHER],
    };
    char size[SIZE_TEXT];
    if (sample->taken % HEAD_EACH == 1) {
        out_text(&out_standard, "RESIDENT     LIVE  PARTIAL  IN BINS    DIRTY   TABLES   OTHERS  "
                                "RESIDUE  REFILLS/S  LARGE/S\n");
    }
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        out_format(&out_standard, "%8s ", human_size(size, columns[i]));
    }
    int64_t residue = ledger_residue(ledger);
    out_format(&out_standard, "%8s %10.0f %8.0f\n",
               human_size(size, (uint64_t)(residue < 0 ? -residue : residue)),
               sample_rate(sample, sample->change.refills),
               sample_rate(sample, sample->change.larges));
}

// Until `until`, or until the target ends. False: it has.
static bool wait_for(const struct sample *sample, uint64_t until) {
    struct pollfd process = {.fd = sample->pidfd, .events = POLLIN};
    uint64_t now;
    while ((now = target_clock()) < until) {
        int left = (int)((until - now + 999999) / 1000000);
        int found = poll(&process, sample->pidfd >= 0, left);
        if (found > 0 || (found < 0 && errno != EINTR)) {
            break;
        }
    }
    return !sample_ended(sample);
}

int batch_run(struct sample *sample, uint64_t interval, uint64_t count) {
    const char *label = sample->session->target.label;
    for (uint64_t done = 1;; done++) {
        if (sample->state == SAMPLE_ENDED) {
            say("%s has ended", label);
            return EXIT_FINE;
        }
        if (sample->state != SAMPLE_GOOD) {
            say("%s: %s", label, sample_trouble(sample));
        } else if (sample->session->cli.json) {
            json_reading(sample);
        } else {
            print_line(sample);
        }
        if (!out_flush(&out_standard)) {
            return EXIT_UNREADABLE;
        }
        if (done == count) {
            return EXIT_FINE;
        }
        if (!wait_for(sample, sample->tried + interval)) {
            sample->state = SAMPLE_ENDED;
            continue;
        }
        sample_again(sample);
    }
}
