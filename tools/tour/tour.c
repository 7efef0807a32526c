// lucid tour: what malloc does, step by step, on a program small enough to see it.
#include "tour.h"

#include "commands.h"
#include "subject.h"
#include "util/human.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE 768

// ---- the sentences: each is made from what was read ---------------------------------------------

static void explain_start(char *to, const struct observation *now) {
    const struct break_map *map = &now->map;
    snprintf(to, SENTENCE,
             "Code ends at &etext = 0x%llx, data at &edata = 0x%llx, bss at &end = 0x%llx. The "
             "break starts at 0x%llx, %llu bytes further: a gap, in which nothing is. From brk "
             "the program has %llu bytes so far.",
             ull(map->etext.address), ull(map->edata.address), ull(map->end.address),
             ull(map->start.address), ull(map->gap), ull(map->allocated));
}

static const struct observed_row *row_of(const struct observation *seen) {
    for (size_t i = 0; i < seen->row_count; i++) {
        if (seen->pointer - seen->rows[i].address < seen->rows[i].size) {
            return &seen->rows[i];
        }
    }
    return NULL;
}

static void explain_ten(char *to, const struct observation *now, const struct observation *before) {
    uint64_t grown = now->map.allocated - before->map.allocated;
    const struct observed_row *row = row_of(now);
    if (row != NULL && row->size_word != 0) {
        snprintf(
            to, SENTENCE,
            "The break moved by %llu bytes. glibc keeps the size in front of the block: the "
            "word at ptr - 8 is 0x%llx, a chunk of 0x%llx bytes (%llu) and flag bits %llu; the "
            "words behind the chunk are the next one's size, here the top's: 0x%llx.",
            ull(grown), ull(row->size_word), ull(row->size), ull(row->size),
            ull(row->size_word & 7), ull(now->top.size_word));
    } else if (row != NULL) {
        snprintf(to, SENTENCE,
                 "The break moved by %llu bytes. The block has %llu bytes, and nothing in front of "
                 "or behind it belongs to the allocator: lucid keeps sizes and states in tables "
                 "elsewhere, so the words around ptr are other blocks.",
                 ull(grown), ull(row->size));
    } else {
        snprintf(to, SENTENCE, "The break moved by %llu bytes.", ull(grown));
    }
}

static void explain_fill(char *to, const struct observation *now) {
    unsigned letters = 0;
    const unsigned char *bytes = (const unsigned char *)now->words;
    for (size_t i = 0; i < sizeof(now->words); i++) {
        letters += bytes[i] == 'A';
    }
    snprintf(to, SENTENCE, "%u bytes of 0x%02x are there now, from ptr on; nothing else changed.",
             letters, (unsigned)bytes[now->pointer - now->words_at]);
}

static void explain_fifteen(char *to, const struct observation *now,
                            const struct observation *before) {
    int used = snprintf(to, SENTENCE, "It lies %lld bytes behind the first one%s. ",
                        (long long)(now->pointer - before->pointer),
                        now->map.now.address == before->map.now.address
                            ? ", and the break did not move: there was memory left"
                            : "");
    if (now->top.size_word != 0) {
        snprintf(to + used, SENTENCE - (size_t)used,
                 "The chunk was cut off the top, whose size word went from 0x%llx to 0x%llx.",
                 ull(before->top.size_word), ull(now->top.size_word));
    } else {
        snprintf(
            to + used, SENTENCE - (size_t)used,
            "It came out of the thread's bin, which malloc(10) had filled: %llu blocks before, "
            "%llu after.",
            ull(before->bin_count), ull(now->bin_count));
    }
}

// The two words at ptr: the program's no longer, so an allocator may write there.
static void explain_freed_words(char *to, size_t length, const struct observation *now) {
    uint64_t words[2];
    if (!now->has_words || now->words_at + 8 != now->pointer) {
        return;
    }
    memcpy(words, &now->words[2], sizeof(words));
    if (row_of(now) != NULL && row_of(now)->size_word != 0) {
        snprintf(
            to, length,
            " glibc writes into it: at ptr the link to the next block of its list, 0x%llx "
            "(mixed with its own address), at ptr + 8 a key by which it notices a second free, "
            "0x%llx.",
            ull(words[0]), ull(words[1]));
    } else {
        snprintf(to, length,
                 " lucid leaves what was in it, but for a mark at ptr + 8, 0x%llx: by that a "
                 "second free is noticed, and nothing else relies on it.",
                 ull(words[1]));
    }
}

static void explain_free(char *to, const struct observation *now,
                         const struct observation *before) {
    const struct observed_row *row = row_of(now);
    int used = snprintf(to, SENTENCE,
                        "The block is %s now: the thread keeps it for its next malloc of that size "
                        "(%llu blocks kept before, %llu after). Nothing went back to the kernel: "
                        "sbrk(0) is still 0x%llx.",
                        row != NULL ? row->state : "gone", ull(before->bin_count),
                        ull(now->bin_count), ull(now->map.now.address));
    explain_freed_words(to + used, SENTENCE - (size_t)used, now);
}

static void explain_large(char *to, const struct observation *now,
                          const struct observation *before) {
    bool moved = now->map.now.address != before->map.now.address;
    int used = snprintf(to, SENTENCE,
                        "The break %s. The block is at 0x%llx, in a mapping of its own from 0x%llx "
                        "to 0x%llx (%llu bytes): it comes from mmap.",
                        moved ? "moved" : "did not move", ull(now->pointer), ull(now->region_start),
                        ull(now->region_end), ull(now->region_end - now->region_start));
    if (now->top.size_word != 0 && now->has_words && now->words_at + 8 == now->pointer) {
        uint64_t word;
        memcpy(&word, now->words, sizeof(word));
        snprintf(
            to + used, SENTENCE - (size_t)used,
            " The word at ptr - 8 is 0x%llx: a chunk of %llu bytes and flag bits %llu, where 2 "
            "says IS_MMAPPED.",
            ull(word), ull(word & ~(uint64_t)7), ull(word & 7));
    }
}

static void explain(enum subject_step step, char *to, const struct observation *now,
                    const struct observation *before) {
    switch (step) {
    case STEP_START:
        explain_start(to, now);
        break;
    case STEP_TEN:
        explain_ten(to, now, before);
        break;
    case STEP_FILL:
        explain_fill(to, now);
        break;
    case STEP_FIFTEEN:
        explain_fifteen(to, now, before);
        break;
    case STEP_FREE:
        explain_free(to, now, before);
        break;
    default:
        explain_large(to, now, before);
        break;
    }
}

// ---- showing steps ------------------------------------------------------------------------------

void tour_pause(const struct tour *tour) {
    if (!tour->wait) {
        return;
    }
    if (!tour->json) {
        out_text(&out_standard, "  [Enter goes on]\n");
    }
    out_flush(&out_standard);
    int c;
    while ((c = getchar()) != '\n' && c != EOF) {
    }
}

// A sentence, two columns in, broken between words.
static void print_sentence(struct out *out, const char *sentence) {
    unsigned width = terminal_width() - 2;
    size_t column = 0;
    while (*sentence != 0) {
        size_t word = strcspn(sentence, " ");
        if (column == 0 || column + 1 + word > width) {
            out_text(out, column == 0 ? "  " : "\n  ");
            column = 0;
        } else {
            out_char(out, ' ');
            column++;
        }
        out_bytes(out, sentence, word);
        column += word;
        sentence += word + (sentence[word] != 0);
    }
    out_char(out, '\n');
}

static void json_step(struct tour *tour, const char *name, const char *title,
                      const struct observation *seen, size_t count, const char *const *sentences) {
    struct json *json = &tour->writer;
    json_open_object(json, NULL);
    json_string(json, "step", name);
    json_string(json, "title", title);
    json_open_array(json, "seen");
    for (size_t i = 0; i < count; i++) {
        json_open_object(json, NULL);
        observation_json(&seen[i], json);
        json_string(json, "sentence", sentences[i]);
        json_close_object(json);
    }
    json_close_array(json);
    json_close_object(json);
    if (tour->wait) {
        out_char(&out_standard, '\n'); // whoever waits for the step reads lines
    }
}

void tour_step(struct tour *tour, const char *name, const char *title,
               const struct observation *seen, size_t count, const char *const *sentences) {
    struct out *out = &out_standard;
    if (tour->json) {
        json_step(tour, name, title, seen, count, sentences);
    } else {
        out_format(out, "\n%s\n", title);
        for (size_t i = 0; i < count; i++) {
            out_format(out, "\n  %s, process %d\n", seen[i].allocator, (int)seen[i].pid);
            observation_print(&seen[i], out);
            print_sentence(out, sentences[i]);
        }
    }
    out_flush(out); // the program may run on for long
    tour_pause(tour);
}

// ---- the built-in program -----------------------------------------------------------------------

static const struct {
    const char *name;
    const char *title;
} steps[STEP_COUNT] = {
    [STEP_START] = {"start", "1. The program has started and allocated nothing."},
    [STEP_TEN] = {"malloc-10", "2. char *ptr = malloc(10);"},
    [STEP_FILL] = {"fill-10", "3. memset(ptr, 'A', 10);"},
    [STEP_FIFTEEN] = {"malloc-15", "4. char *ptr2 = malloc(15); memset(ptr2, 'B', 15);"},
    [STEP_FREE] = {"free-10", "5. free(ptr);"},
    [STEP_LARGE] = {"malloc-large", "6. malloc(64 << 20);"},
};

struct stage {
    struct subject subjects[2];
    size_t count;
    struct observation now[2];
    struct observation before[2];
};

static bool take_step(struct tour *tour, struct stage *stage, enum subject_step step) {
    char texts[2][SENTENCE] = {"", ""};
    const char *sentences[2] = {texts[0], texts[1]};
    size_t count = stage->count < 2 ? stage->count : 2;
    for (size_t i = 0; i < count; i++) {
        uint64_t pointer = 0;
        stage->before[i] = stage->now[i];
        if ((step != STEP_START && !subject_step(&stage->subjects[i], &pointer)) ||
            !observe(&stage->now[i], stage->subjects[i].pid, pointer)) {
            return false;
        }
        explain(step, texts[i], &stage->now[i], &stage->before[i]);
    }
    tour_step(tour, steps[step].name, steps[step].title, stage->now, count, sentences);
    return true;
}

static void print_answers(const struct stage *stage) {
    struct out *out = &out_standard;
    out_text(out, "\nThree questions, answered from what was just read\n");
    for (size_t i = 0; i < stage->count; i++) {
        const struct observation *seen = &stage->now[i];
        char text[SENTENCE];
        snprintf(text, sizeof(text),
                 "%s: the break is at 0x%llx; in front of a pointer there is %s; %llu bytes are "
                 "left in the top, at 0x%llx.",
                 seen->allocator, ull(seen->map.now.address),
                 seen->top.size_word != 0 ? "the chunk's size with its flags"
                                          : "nothing of the allocator's",
                 ull(seen->top.size), ull(seen->top.address));
        print_sentence(out, text);
    }
}

static int tour_subject(struct tour *tour) {
    struct stage stage = {.count = 0};
    bool fine = true;
    if (!tour->plain) {
        fine = subject_start(&stage.subjects[stage.count], true);
        stage.count += fine;
    }
    if (fine && (tour->both || tour->plain)) {
        fine = subject_start(&stage.subjects[stage.count], false);
        stage.count += fine;
    }
    for (int step = 0; step < STEP_COUNT && fine; step++) {
        fine = take_step(tour, &stage, (enum subject_step)step);
    }
    for (size_t i = 0; i < stage.count; i++) {
        subject_end(&stage.subjects[i]);
    }
    if (fine && !tour->json) {
        print_answers(&stage);
    }
    return fine ? EXIT_FINE : EXIT_UNREADABLE;
}

// ---- the command --------------------------------------------------------------------------------

static void print_help(const char *name) {
    printf("usage: %s [OPTIONS] [PROGRAM ARGS]\n\n"
           "Shows what malloc does, step by step, on a small built-in program or on yours; every\n"
           "number is read from the running process.\n\n"
           "  --libc     the C library's malloc beside lucid\n"
           "  --wait     after each step, wait for Enter: the process stands still for gdb\n"
           "  --json     the same as JSON (schema lucid.heap/1, docs/json.md)\n"
           "\nexample: lucid tour --libc\n",
           name);
}

// 0: go on; else the exit code plus one.
static int take_options(struct tour *tour, int argc, char **argv) {
    static const struct option options[] = {
        {"libc", no_argument, NULL, 'l'},     {"wait", no_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'j'},     {"help", no_argument, NULL, 'h'},
        {"no-color", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            tour->both = true;
            break;
        case 'w':
            tour->wait = true;
            break;
        case 'j':
            tour->json = true;
            break;
        case 'n':
            break;
        case 'h':
            print_help(argv[0]);
            return EXIT_FINE + 1;
        default:
            fprintf(stderr, "`%s --help` explains it\n", argv[0]);
            return EXIT_USAGE + 1;
        }
    }
    tour->program = optind < argc ? &argv[optind] : NULL;
    return 0;
}

int cmd_tour(int argc, char **argv) {
    struct tour tour = {.json = false};
    if (argc == 4 && strcmp(argv[1], SUBJECT_ARGUMENT) == 0) {
        return subject_main(atoi(argv[2]), atoi(argv[3]));
    }
    say_command(argv[0]);
    int code = take_options(&tour, argc, argv);
    if (code > 0) {
        return code - 1;
    }
    if (tour.json) {
        json_start(&tour.writer, &out_standard);
        json_open_object(&tour.writer, NULL);
        json_string(&tour.writer, "schema", "lucid.heap/1");
        json_string(&tour.writer, "command", "tour");
        json_open_array(&tour.writer, "steps");
    }
    code = tour.program != NULL ? tour_program(&tour) : tour_subject(&tour);
    if (tour.json) {
        json_close_array(&tour.writer);
        json_close_object(&tour.writer);
    }
    return cli_end(code);
}
