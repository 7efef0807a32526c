// NAME=VALUE for an option of a running process. Apart from the command, because options.h and
// getopt.h both have something called "option".
#ifndef LUCID_CTL_SETTING_H
#define LUCID_CTL_SETTING_H

#include <stdbool.h>
#include <stdint.h>

struct setting {
    uint32_t option;
    uint64_t value;
};

// False: a sentence says what is wrong with it.
bool setting_parse(struct setting *setting, const char *text);

#endif
