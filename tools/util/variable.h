// Environment variables that are lists.
#ifndef LUCID_UTIL_VARIABLE_H
#define LUCID_UTIL_VARIABLE_H

#include <stdbool.h>

// Sets a variable to "first SEPARATOR second", or to one of the two if the other is empty or NULL.
// False: no memory.
bool variable_join(const char *name, const char *first, char separator, const char *second);

#endif
