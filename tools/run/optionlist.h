// The options as a table. Apart from the command, because options.h and getopt.h both have
// something called "option".
#ifndef LUCID_TOOLS_RUN_OPTIONLIST_H
#define LUCID_TOOLS_RUN_OPTIONLIST_H

#include "util/json.h"

struct option_values;

// Prints every option with its value and where that comes from.
void option_list_print(const struct option_values *values, struct out *out);

// The same as an array "options" of an open object.
void option_list_json(const struct option_values *values, struct json *json);

// What a process started here would have: the file and the variable LUCID_OPTIONS. False: they
// have a mistake, which has been told on stderr.
bool option_list_here(struct option_values *values);

#endif
