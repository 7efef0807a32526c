// lucid bench: the user's own program under lucid, the C library's malloc and the peers.
#include "commands.h"
#include "target/cli.h"
#include "trial.h"
#include "util/human.h"
#include "verdict.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct request {
    int rounds;
    bool json;
    bool show_output;
    const char *peers;
    char **program;
};

static void print_help(void) {
    fputs(
        "usage: lucid bench [OPTIONS] [--] PROGRAM [ARGS]\n\n"
        "Runs PROGRAM under lucid, under the C library's malloc and under the other allocators\n"
        "that are installed, in turns, and compares time, peak memory and page faults.\n\n"
        "  --rounds N      how often it runs under each (5)\n"
        "  --peers LIST    only these besides lucid and glibc, separated by commas; \"\" for none\n"
        "  --json          print the figures of every run as JSON\n"
        "  --show-output   let the program's output through; otherwise it is dropped\n"
        "  --help          this text\n\n"
        "Ratios are paired: each run is divided by the C library's run of the same round, and\n"
        "what is shown is the median and the middle half of these ratios. The program reads its\n"
        "standard input anew each time if that is a file, and finds it empty otherwise.\n"
        "PEERS=NAME=LIBRARY,... adds further allocators.\n\n"
        "exit code: 0, also if the program fails alike in every run, which is said; 1 if it fails\n"
        "only in some, 2 if it cannot be started, 64 for wrong usage\n\n"
        "example: lucid bench --rounds 9 -- python3 script.py\n",
        stdout);
}

static int read_rounds(const char *text, int *rounds) {
    char *end = NULL;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 1 || number > ROUNDS_MAX) {
        say("--rounds must be a number from 1 to %d, not \"%s\"", ROUNDS_MAX, text);
        return EXIT_USAGE;
    }
    *rounds = (int)number;
    return EXIT_FINE;
}

// Returns an exit code; *done says that nothing is left to do.
static int read_request(int argc, char **argv, struct request *request, bool *done) {
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'n'}, {"peers", required_argument, NULL, 'p'},
        {"json", no_argument, NULL, 'j'},         {"show-output", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int option;
    *done = true;
    while ((option = getopt_long(argc, argv, "+n:p:joh", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            if (read_rounds(optarg, &request->rounds) != EXIT_FINE) {
                return EXIT_USAGE;
            }
            break;
        case 'p':
            request->peers = optarg;
            break;
        case 'j':
            request->json = true;
            break;
        case 'o':
            request->show_output = true;
            break;
        case 'h':
            print_help();
            return EXIT_FINE;
        default:
            say("`lucid bench --help` explains the options");
            return EXIT_USAGE;
        }
    }
    if (optind >= argc) {
        say("which program? For example: lucid bench -- python3 script.py");
        return EXIT_USAGE;
    }
    request->program = argv + optind;
    *done = false;
    return EXIT_FINE;
}

// A new order for each round: whoever runs first after another must not always be the same.
static void shuffle(int *order, int count, unsigned *seed) {
    for (int i = 0; i < count; i++) {
        int other = (int)((unsigned)rand_r(seed) % (unsigned)(i + 1));
        if (other != i) {
            order[i] = order[other];
        }
        order[other] = i;
    }
}

static void show_progress(int round, int rounds, const char *name) {
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[Kround %d of %d: %s", round, rounds, name);
    }
}

static void clear_progress(void) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
}

// The first run is not counted: it brings the program's files into memory.
static bool run_all(struct contest *contest, const struct request *request) {
    int order[CONTESTANTS_MAX];
    unsigned seed = (unsigned)time(NULL);
    struct measurement unused;
    if (!trial_run(&contest->members[1], request->program, false, &unused)) {
        return false;
    }
    for (int round = 0; round < request->rounds; round++) {
        shuffle(order, contest->count, &seed);
        for (int i = 0; i < contest->count; i++) {
            struct contestant *member = &contest->members[order[i]];
            show_progress(round + 1, request->rounds, member->name);
            if (!trial_run(member, request->program, request->show_output, &member->runs[round])) {
                return false;
            }
            member->rounds = round + 1;
        }
    }
    clear_progress();
    return true;
}

static int compare(struct contest *contest, const struct request *request) {
    if (!contest_gather(contest) || !trial_possible(request->program[0])) {
        return EXIT_UNREADABLE;
    }
    if (request->peers != NULL && !contest_restrict(contest, request->peers)) {
        return EXIT_USAGE;
    }
    if (!run_all(contest, request)) {
        return EXIT_UNREADABLE;
    }
    if (request->json) {
        verdict_json(contest, request->program);
    } else {
        verdict_table(contest, request->program);
    }
    return cli_end(verdict_endings(contest) ? EXIT_FINE : EXIT_FINDING);
}

int cmd_bench(int argc, char **argv) {
    struct request request = {.rounds = 5};
    struct contest contest = {0, NULL};
    bool done = false;
    say_command(argv[0]);
    int code = read_request(argc, argv, &request, &done);
    if (done) {
        return code;
    }
    code = compare(&contest, &request);
    contest_release(&contest);
    return code;
}
