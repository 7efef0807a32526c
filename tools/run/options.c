// lucid options: the table of options, and what LUCID_OPTIONS makes of them here and now.
#include "../commands.h"

#include "optionlist.h"

#include <getopt.h>
#include <stdio.h>

static void print_help(FILE *out) {
    fputs(
        "usage: lucid options\n\n"
        "Lists the options that LUCID_OPTIONS=\"name=value,name=value\" can set: name, value in\n"
        "force, default, where the value comes from, and what the option is for. Values are read\n"
        "as the library reads them. Exit codes: 0 fine, 1 LUCID_OPTIONS has a mistake, 64 wrong\n"
        "usage.\n\n"
        "example: LUCID_OPTIONS=purge_age=2s lucid options\n",
        out);
}

int cmd_options(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            print_help(stdout);
            return EXIT_FINE;
        }
        fputs("lucid options: `lucid help options` lists the options of this command.\n", stderr);
        return EXIT_USAGE;
    }
    if (optind != argc) {
        fprintf(stderr, "lucid options: takes no argument, but got \"%s\"\n", argv[optind]);
        return EXIT_USAGE;
    }
    return option_list_print() ? EXIT_FINE : EXIT_FINDING;
}
