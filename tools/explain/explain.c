// lucid explain: where the memory of a process is, in words, and what would return some of it.
#include "commands.h"
#include "story.h"
#include "util/human.h"

#include <string.h>

#define WIDTH_MOST 100u

struct explain {
    struct session session;
    struct reasons reasons;
    struct story story;
};

// A sentence behind a dash, broken between words.
static void print_sentence(const char *text, size_t width) {
    struct out *out = &out_standard;
    size_t column = 2;
    out_text(out, "- ");
    for (const char *word = text; *word != 0;) {
        size_t length = strcspn(word, " ");
        if (column > 2 && column + 1 + length > width) {
            out_text(out, "\n  ");
            column = 2;
        } else if (column > 2) {
            out_char(out, ' ');
            column++;
        }
        out_bytes(out, word, length);
        column += length;
        word += length;
        word += *word == ' ';
    }
    out_char(out, '\n');
}

static void print_text(const struct explain *explain) {
    const struct story *story = &explain->story;
    struct out *out = &out_standard;
    size_t width = terminal_width() < WIDTH_MOST ? terminal_width() : WIDTH_MOST;
    session_print_head(&explain->session, out);
    for (unsigned topic = 0; topic < TOPIC_COUNT; topic++) {
        out_format(out, "\n%s\n", topic_titles[topic]);
        for (size_t i = 0; i < story->count; i++) {
            if (story->list[i].topic == topic) {
                print_sentence(story->list[i].text, width);
            }
        }
    }
    out_format(out, "\nNext: %s\n  %s\n", story->because, story->next);
}

static void json_holds(struct json *json, const struct explain *explain) {
    const struct reasons *reasons = &explain->reasons;
    const struct sizeclass *sizes = explain->session.snapshot->reader.fixed.classes;
    json_open_array(json, "classes");
    for (size_t i = 0; i < reasons->class_count; i++) {
        const struct ledger_class *class = &reasons->ledger.classes[reasons->classes[i]];
        json_open_object(json, NULL);
        json_number(json, "size", sizes[reasons->classes[i]].size);
        json_number(json, "blocks", class->blocks);
        json_number(json, "live", class->live);
        json_number(json, "held", reasons_held(class));
        json_close_object(json);
    }
    json_close_array(json);
    json_open_array(json, "large");
    for (size_t i = 0; i < reasons->large_count; i++) {
        json_open_object(json, NULL);
        json_address(json, "address", reasons->large[i].address);
        json_number(json, "asked", reasons->large[i].asked);
        json_string(json, "kind", reasons->large[i].mapping ? "mapping" : "large");
        json_close_object(json);
    }
    json_close_array(json);
    json_open_array(json, "threads");
    for (size_t i = 0; i < reasons->thread_count; i++) {
        json_open_object(json, NULL);
        json_number(json, "tid", (uint64_t)reasons->threads[i].tid);
        json_string(json, "name", reasons->threads[i].name);
        if (reasons->states_known) {
            json_bool(json, "asleep", reasons->threads[i].asleep);
        }
        json_number(json, "cached", reasons->threads[i].cached);
        json_close_object(json);
    }
    json_close_array(json);
}

static void json_returns(struct json *json, const struct reasons *reasons) {
    json_open_object(json, "trim");
    json_number(json, "bytes", reasons->trim_pool + reasons->trim_spans);
    json_number(json, "pool", reasons->trim_pool);
    json_number(json, "spans", reasons->trim_spans);
    json_number(json, "returned", reasons->settings.returned);
    json_bool(json, "purges", reasons->settings.purges);
    json_number(json, "age_ms", reasons->settings.age);
    json_close_object(json);
    json_open_object(json, "bins");
    json_number(json, "threads", reasons->thread_total);
    json_number(json, "cached", reasons->cached);
    json_number(json, "ended_cached", reasons->ended_cached);
    json_number(json, "asleep", reasons->asleep);
    json_number(json, "asleep_cached", reasons->asleep_cached);
    json_number(json, "pages_only", reasons->sparse.total.bins_only);
    json_close_object(json);
    json_open_object(json, "sparse");
    json_number(json, "below", reasons->sparse.below);
    json_number(json, "free", reasons->ledger.part[PART_PARTIAL]);
    json_number(json, "used_pages", reasons->sparse.total.used_pages);
    json_number(json, "pages", reasons->sparse.total.sparse_pages);
    json_number(json, "blocks", reasons->sparse.total.blocks);
    json_number(json, "block_bytes", reasons->sparse.total.block_bytes);
    json_number(json, "returns", reasons->sparse.total.returns);
    json_close_object(json);
}

static void print_json(const struct explain *explain) {
    const struct story *story = &explain->story;
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&explain->session, &json, "explain");
    ledger_json_parts(&json, &explain->reasons.ledger);
    json_holds(&json, explain);
    json_returns(&json, &explain->reasons);
    json_open_array(&json, "sentences");
    for (size_t i = 0; i < story->count; i++) {
        json_open_object(&json, NULL);
        json_string(&json, "topic", topic_names[story->list[i].topic]);
        json_string(&json, "text", story->list[i].text);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_open_object(&json, "next");
    json_string(&json, "command", story->next);
    json_string(&json, "because", story->because);
    json_close_object(&json);
    json_close_object(&json);
}

static int show(struct explain *explain) {
    if (!reasons_take(&explain->reasons, &explain->session)) {
        return EXIT_UNREADABLE;
    }
    story_tell(&explain->story, &explain->reasons, &explain->session);
    if (explain->session.cli.json) {
        print_json(explain);
    } else {
        print_text(explain);
    }
    reasons_free(&explain->reasons);
    return EXIT_FINE;
}

int cmd_explain(int argc, char **argv) {
    static struct explain explain;
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Says in words what holds memory, what would return some, and where to look "
                   "next.",
        .details = "\nexample: lucid explain $(pidof redis-server)\n",
    };
    int code = session_begin(&explain.session, &command, argc, argv, false);
    return code >= 0 ? code : session_end(&explain.session, show(&explain));
}
