// What all reading commands have in common: options, TARGET, help, exit codes.
#ifndef LUCID_TARGET_CLI_H
#define LUCID_TARGET_CLI_H

#include "commands.h"
#include "target.h"

#include <getopt.h>

#define CLI_OPTIONS_MAX 16

struct cli {
    bool json;
    bool freeze;
    bool plain;    // --libc: do not preload lucid into a launched program
    bool colour;   // the standard output wants it
    uint64_t root; // --root N: which of several heaps, from 1; 0: not given
    const char *break_function;
    const char *gdb_pipe;
    char **arguments; // what stands behind TARGET
    int argument_count;
    char *target;   // pid or file; NULL: a program is launched, or gdb answers
    char **program; // behind --
};

// One command: its text for --help, its own options, and what it does with their values.
struct cli_command {
    const char *usage;   // "TARGET [ADDRESS]"
    const char *purpose; // one sentence
    const char *details; // its own options, one a line, and an example
    const struct option *options;
    // `option` is the `val` of the row; false: a sentence about the value has been printed.
    bool (*take)(int option, const char *value, void *context);
    void *context;
    int arguments_least; // behind TARGET
    int arguments_most;
    bool pid_only; // TARGET is always the number of a process
};

// Returns -1 to go on, else the exit code to end with.
int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv);

// Opens what `cli` names. False: a sentence has been printed; the command ends with
// EXIT_UNREADABLE.
bool cli_open(const struct cli *cli, struct target *target);

// Ends a command's output: `code`, or EXIT_UNREADABLE when it could not be written.
int cli_end(int code);

#endif
