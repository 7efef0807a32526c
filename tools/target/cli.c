#include "cli.h"

#include "launch.h"
#include "util/human.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Values beyond those of the commands' own options, which are letters.
enum {
    OPTION_JSON = 256,
    OPTION_NO_COLOR,
    OPTION_FREEZE,
    OPTION_BREAK,
    OPTION_LIBC,
    OPTION_ROOT,
    OPTION_GDB,
    OPTION_HELP,
    OPTION_COUNT = 8
};

static const struct option common_options[OPTION_COUNT] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"no-color", no_argument, NULL, OPTION_NO_COLOR},
    {"freeze", no_argument, NULL, OPTION_FREEZE},
    {"break", required_argument, NULL, OPTION_BREAK},
    {"libc", no_argument, NULL, OPTION_LIBC},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"gdb-pipe", required_argument, NULL, OPTION_GDB},
    {"help", no_argument, NULL, OPTION_HELP},
};

static const char common_help[] =
    "TARGET is a process number, a core file, or -- PROGRAM ARGS at the end, which starts the\n"
    "program under lucid and reads it when it ends (its output goes to the standard error).\n"
    "\n"
    "  --json            the same as JSON (schema lucid.heap/1, docs/json.md)\n"
    "  --freeze          stop all threads while the tables are copied, then let them go on\n"
    "  --break FUNCTION  with --: read when FUNCTION is called first, not at the end\n"
    "  --libc            with --: let the program keep the C library's malloc\n"
    "  --root N          read the Nth heap of a process that has several\n"
    "  --no-color        no colours (as with NO_COLOR=1)\n";

static const char pid_help[] =
    "PID is the number of a process.\n"
    "\n"
    "  --json            JSON (schema lucid.heap/1, docs/json.md)\n"
    "  --root N          read the Nth heap of a process that has several\n"
    "  --no-color        no colours (as with NO_COLOR=1)\n";

static void print_help(const char *name, const struct cli_command *command) {
    printf("usage: %s [OPTIONS] %s\n\n%s\n\n%s\n%s", name, command->usage, command->purpose,
           command->pid_only ? pid_help : common_help, command->details);
}

static int usage_error(const char *name, const struct cli_command *command) {
    fprintf(stderr, "usage: %s [OPTIONS] %s; `%s --help` explains it\n", name, command->usage,
            name);
    return EXIT_USAGE;
}

static size_t join_options(struct option *all, const struct option *own) {
    size_t count = OPTION_COUNT;
    memcpy(all, common_options, sizeof(common_options));
    for (; own != NULL && own->name != NULL && count + 1 < CLI_OPTIONS_MAX + OPTION_COUNT; own++) {
        all[count++] = *own;
    }
    memset(&all[count], 0, sizeof(all[count]));
    return count;
}

static bool take_root(struct cli *cli, const char *value) {
    if (!human_to_number(value, &cli->root) || cli->root == 0) {
        say("--root %s: give a number from 1 on", value);
        return false;
    }
    return true;
}

static bool take_common(struct cli *cli, int option, const char *value) {
    switch (option) {
    case OPTION_JSON:
        cli->json = true;
        break;
    case OPTION_NO_COLOR:
        cli->colour = false;
        break;
    case OPTION_FREEZE:
        cli->freeze = true;
        break;
    case OPTION_BREAK:
        cli->break_function = value;
        break;
    case OPTION_LIBC:
        cli->plain = true;
        break;
    case OPTION_ROOT:
        return take_root(cli, value);
    default:
        cli->gdb_pipe = value;
        break;
    }
    return true;
}

// Cuts "-- program args" off, so that getopt does not see the program's options.
static int cut_program(struct cli *cli, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            cli->program = &argv[i + 1];
            argv[i] = NULL;
            return i;
        }
    }
    return argc;
}

// The words that are no options: TARGET, unless a program or gdb takes its place, and the rest.
static int take_words(struct cli *cli, const struct cli_command *command, int argc, char **argv) {
    int at = optind;
    if (cli->program != NULL && cli->program[0] == NULL) {
        say("there is no program behind --");
        return usage_error(argv[0], command);
    }
    if (cli->program == NULL && cli->gdb_pipe == NULL) {
        if (at == argc) {
            return usage_error(argv[0], command);
        }
        cli->target = argv[at++];
    }
    if (cli->break_function != NULL && cli->break_function[0] == 0) {
        say("--break needs the name of a function, such as main");
        return EXIT_USAGE;
    }
    if (cli->program == NULL && cli->break_function != NULL) {
        say("--break needs a program to start: -- PROGRAM ARGS");
        return EXIT_USAGE;
    }
    cli->arguments = &argv[at];
    cli->argument_count = argc - at;
    if (cli->argument_count < command->arguments_least ||
        cli->argument_count > command->arguments_most) {
        return usage_error(argv[0], command);
    }
    return -1;
}

int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv) {
    struct option all[CLI_OPTIONS_MAX + OPTION_COUNT + 1];
    memset(cli, 0, sizeof(*cli));
    cli->colour = terminal_colour(false);
    say_command(argv[0]);
    join_options(all, command->options);
    argc = cut_program(cli, argc, argv);
    // Letters of the commands' own options, so that -C 3 works as --context 3 does.
    char letters[2 * CLI_OPTIONS_MAX + 2] = "h";
    size_t used = 1;
    for (size_t i = OPTION_COUNT; all[i].name != NULL; i++) {
        letters[used++] = (char)all[i].val;
        if (all[i].has_arg == required_argument) {
            letters[used++] = ':';
        }
    }
    int option;
    while ((option = getopt_long(argc, argv, letters, all, NULL)) != -1) {
        if (option == OPTION_HELP || option == 'h') {
            print_help(argv[0], command);
            return EXIT_FINE;
        }
        if (option == '?') {
            return usage_error(argv[0], command);
        }
        bool fine = option >= OPTION_JSON ? take_common(cli, option, optarg)
                                          : command->take(option, optarg, command->context);
        if (!fine) {
            return EXIT_USAGE;
        }
    }
    return take_words(cli, command, argc, argv);
}

bool cli_open(const struct cli *cli, struct target *target) {
    uint64_t pid = 0;
    memset(target, 0, sizeof(*target));
    target->memory_fd = -1;
    bool opened = false;
    if (cli->program != NULL) {
        struct launch_order order = {cli->program, cli->break_function, cli->plain};
        opened = target_open_launch(target, &order);
    } else if (cli->gdb_pipe != NULL) {
        opened = target_open_gdb(target, cli->gdb_pipe);
    } else if (human_to_number(cli->target, &pid)) {
        opened = pid <= INT32_MAX && target_open_live(target, (pid_t)pid);
        if (pid > INT32_MAX) {
            say("there is no process %s; `ps -e` lists those that run", cli->target);
        }
    } else {
        opened = target_open_core(target, cli->target);
    }
    if (!opened) {
        target_close(target);
    }
    return opened;
}

int cli_end(int code) {
    if (!out_flush(&out_standard)) {
        fprintf(stderr, "lucid: the output could not be written (%s)\n",
                strerror(out_standard.error));
        return EXIT_UNREADABLE;
    }
    return code;
}
