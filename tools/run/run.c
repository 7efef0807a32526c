// lucid run: starts a program with liblucid.so preloaded.
#include "../commands.h"

#include "library.h"
#include "program.h"
#include "summary.h"
#include "util/human.h"
#include "util/variable.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct choices {
    bool summary;
    bool strict;
};

static void print_help(FILE *out) {
    fputs(
        "usage: lucid run [--summary] [--strict] [--] PROG [ARGS]\n\n"
        "Runs PROG under lucid. Its exit code and signals are PROG's own; its children are under\n"
        "lucid too. A program that lucid cannot get into is run all the same, after a line on\n"
        "stderr that says why.\n\n"
        "  --summary  when PROG has ended, tell its peak memory, time and heap on stderr\n"
        "  --strict   do not run a program that lucid cannot get into; exit 1\n\n"
        "Variables: LUCID_LIBRARY names the library, "
        "LUCID_OPTIONS sets options (`lucid options`).\n"
        "Exit codes of its own: 2 no library, 64 wrong usage, 126 cannot be run, 127 not found.\n\n"
        "example: lucid run --summary -- python3 script.py\n",
        out);
}

// Does the list, separated as the loader does it, have this entry?
static bool list_has(const char *list, const char *entry) {
    size_t length = strlen(entry);
    while (*list != '\0') {
        size_t part = strcspn(list, " :");
        if (part == length && strncmp(list, entry, length) == 0) {
            return true;
        }
        list += part + (list[part] != '\0');
    }
    return false;
}

static bool set_variables(const char *library, bool summary) {
    const char *preload = getenv("LD_PRELOAD");
    bool there = preload != NULL && list_has(preload, library);
    bool done = there || variable_join("LD_PRELOAD", library, ':', preload);
    if (summary) {
        done = done && variable_join("LUCID_OPTIONS", getenv("LUCID_OPTIONS"), ',', "summary=1");
    }
    if (!done) {
        fputs("lucid run: no memory for the environment\n", stderr);
    }
    return done;
}

static int run_program(const struct choices *choices, char **argv) {
    struct program program;
    char library[PATH_MAX];
    int code = program_find(argv[0], &program);
    if (code != 0) {
        return code;
    }
    if (!library_find(library)) {
        return EXIT_UNREADABLE;
    }
    bool reachable = program.obstacle == OBSTACLE_NONE || program.obstacle == OBSTACLE_LUCID;
    if (!reachable) {
        fprintf(stderr, "lucid run: %s %s%s\n", program.loaded, obstacle_text(program.obstacle),
                choices->strict ? "" : "; it runs without lucid");
        if (choices->strict) {
            return EXIT_FINDING;
        }
    }
    // The loader of another machine would only complain about our library,
    // and a sanitizer gives up.
    bool harmless = program.obstacle != OBSTACLE_MACHINE && program.obstacle != OBSTACLE_SANITIZER;
    if (harmless && !set_variables(library, choices->summary)) {
        return EXIT_UNREADABLE;
    }
    if (choices->summary) {
        return summary_run(program.path, argv);
    }
    execvp(program.path, argv);
    fprintf(stderr, "lucid run: cannot run %s: %m\n", program.path);
    return errno == ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
}

int cmd_run(int argc, char **argv) {
    static const struct option options[] = {
        {"summary", no_argument, NULL, 's'},
        {"strict", no_argument, NULL, 'S'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct choices choices = {0};
    int option;
    say_command(argv[0]);
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            choices.summary = true;
            break;
        case 'S':
            choices.strict = true;
            break;
        case 'h':
            print_help(stdout);
            return EXIT_FINE;
        default:
            fputs("lucid run: `lucid help run` lists the options.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) {
        fputs("lucid run: say which program: lucid run [--] PROG [ARGS]\n", stderr);
        return EXIT_USAGE;
    }
    return run_program(&choices, argv + optind);
}
