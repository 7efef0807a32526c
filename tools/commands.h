// The commands of `lucid`. To add one: its prototype, its row, and a folder beside this file.
// A command gets argv[0] = "lucid NAME", parses its own options with getopt_long and answers
// --help itself. It returns 0 fine, 1 finding, 2 could not read, 64 wrong usage.
#ifndef LUCID_TOOLS_COMMANDS_H
#define LUCID_TOOLS_COMMANDS_H

enum exit_code { EXIT_FINE = 0, EXIT_FINDING = 1, EXIT_UNREADABLE = 2, EXIT_USAGE = 64 };

int cmd_bench(int argc, char **argv);
int cmd_arena(int argc, char **argv);
int cmd_block(int argc, char **argv);
int cmd_bins(int argc, char **argv);
int cmd_find(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_tour(int argc, char **argv);
int cmd_heap(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_frag(int argc, char **argv);
int cmd_layout(int argc, char **argv);
int cmd_options(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_verify(int argc, char **argv);

struct command {
    const char *name;
    const char *help; // one line, without a full stop
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"bench", "compare a program under lucid, the C library's malloc and others", cmd_bench},
    {"run", "run a program under lucid", cmd_run},
    {"layout", "show a process's address space and its program break", cmd_layout},
    {"stats", "tell what every resident byte is there for", cmd_stats},
    {"explain", "say in words what holds memory, and what would return it", cmd_explain},
    {"frag", "find pages that a few blocks keep in memory", cmd_frag},
    {"ctl", "give memory of a running process back, and set its options", cmd_ctl},
    {"top", "watch where a running process's memory is", cmd_top},
    {"heap", "list the blocks of a heap", cmd_heap},
    {"tour", "show step by step what malloc does", cmd_tour},
    {"map", "draw a heap", cmd_map},
    {"check", "verify every rule of a heap", cmd_check},
    {"find", "tell which blocks contain a value or a text", cmd_find},
    {"bins", "show the size classes", cmd_bins},
    {"block", "show the block that owns an address", cmd_block},
    {"arena", "show what the arena is used for, and the threads", cmd_arena},
    {"options", "list the options and their values", cmd_options},
    {"verify", "tell whether a process uses lucid, and which version", cmd_verify},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

#endif
