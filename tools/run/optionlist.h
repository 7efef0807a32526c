// The options as a table. Apart from the command, because options.h and getopt.h both have
// something called "option".
#ifndef LUCID_TOOLS_RUN_OPTIONLIST_H
#define LUCID_TOOLS_RUN_OPTIONLIST_H

#include <stdbool.h>

// Prints every option with its value under the LUCID_OPTIONS of this process. False: the
// variable has a mistake, which has been told on stderr.
bool option_list_print(void);

#endif
