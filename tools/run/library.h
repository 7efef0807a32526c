// Finding the liblucid.so that is to be preloaded.
#ifndef LUCID_TOOLS_RUN_LIBRARY_H
#define LUCID_TOOLS_RUN_LIBRARY_H

#include <limits.h>
#include <stdbool.h>

// Looks at LUCID_LIBRARY, beside this command, and where both were installed. False: none is
// there or it cannot be preloaded; the reason has been written to stderr.
bool library_find(char path[PATH_MAX]);

#endif
