// lucid: finds the command, and helps when there is none of that name.
#include "commands.h"
#include "config.h"
#include "util/typed.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_LENGTH = 31 };

static void print_help(FILE *out) {
    fputs("usage: lucid COMMAND [OPTIONS] [ARGS]\n\n", out);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    }
    fputs("\n"
          "  --help     this text; `lucid help COMMAND` explains one command\n"
          "  --version  the version\n\n"
          "example: lucid run --summary -- python3 script.py\n",
          out);
}

static const struct command *command_find(const char *name) {
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static size_t min3(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

// How many letters must be added, dropped, changed or swapped with their neighbour to get from
// one name to the other. Three rows of the usual table are kept.
static size_t name_distance(const char *from, const char *to) {
    size_t rows[3][NAME_MAX_LENGTH + 1];
    size_t length = strlen(to);
    for (size_t j = 0; j <= length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; from[i - 1] != '\0'; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t change = above[j - 1] + (from[i - 1] != to[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, change);
            bool swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if (swapped && rows[(i - 2) % 3][j - 2] + 1 < row[j]) {
                row[j] = rows[(i - 2) % 3][j - 2] + 1;
            }
        }
    }
    return rows[strlen(from) % 3][length];
}

// The command that was probably meant: begins the same way, or differs in at most two letters.
static const struct command *command_nearest(const char *name) {
    const struct command *nearest = NULL;
    size_t least = 3;
    if (name[0] == '\0' || strlen(name) > NAME_MAX_LENGTH) {
        return NULL;
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        bool begins = strncmp(commands[i].name, name, strlen(name)) == 0;
        size_t distance = begins ? 1 : name_distance(name, commands[i].name);
        if (distance < least && distance < strlen(commands[i].name)) {
            least = distance;
            nearest = &commands[i];
        }
    }
    return nearest;
}

static int refuse_command(const char *name) {
    const struct command *nearest = command_nearest(name);
    fprintf(stderr, "lucid: there is no command \"%s\"; ", name);
    if (nearest != NULL) {
        fprintf(stderr, "did you mean \"%s\"?\n", nearest->name);
    } else {
        fputs("`lucid --help` lists them.\n", stderr);
    }
    return EXIT_USAGE;
}

static int run_command(const struct command *command, int argc, char **argv) {
    char name[sizeof("lucid ") + NAME_MAX_LENGTH];
    snprintf(name, sizeof(name), "lucid %s", command->name);
    typed_keep(argc, argv);
    argv[0] = name;
    optind = 0; // getopt_long begins anew with the command's own options
    return command->run(argc, argv);
}

static int help_on(int argc, char **argv) {
    if (argc == 1) {
        print_help(stdout);
        return EXIT_FINE;
    }
    const struct command *command = command_find(argv[1]);
    if (command == NULL) {
        return refuse_command(argv[1]);
    }
    char help[] = "--help";
    char *arguments[] = {argv[1], help, NULL};
    return run_command(command, 2, arguments);
}

static int choose(int argc, char **argv) {
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+hV", options, NULL)) != -1) {
        switch (option) {
        case 'h':
            print_help(stdout);
            return EXIT_FINE;
        case 'V':
            puts("lucid " LUCID_VERSION_TEXT);
            return EXIT_FINE;
        default:
            fputs("lucid: `lucid --help` lists the commands.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    argc -= optind;
    argv += optind;
    if (strcmp(argv[0], "help") == 0) {
        return help_on(argc, argv);
    }
    const struct command *command = command_find(argv[0]);
    return command == NULL ? refuse_command(argv[0]) : run_command(command, argc, argv);
}

// No file may take the number of a standard one that the caller has closed: what is printed would
// go into it. Each is opened the wrong way round, so that to use it fails as it did before, and a
// program that is run finds it closed.
static void fill_standard_files(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
        }
    }
}

// Commands with much to say end their output themselves; help, the version and short answers go
// through stdio, and whether they have arrived is known when nothing is left in its buffer.
int main(int argc, char **argv) {
    fill_standard_files();
    int code = choose(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "lucid: the output could not be written (%s)\n", strerror(errno));
        return EXIT_UNREADABLE;
    }
    return code;
}
