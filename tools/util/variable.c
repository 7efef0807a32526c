#include "variable.h"

#include <stdio.h>
#include <stdlib.h>

bool variable_join(const char *name, const char *first, char separator, const char *second) {
    char *joined;
    bool both = first != NULL && first[0] != '\0' && second != NULL && second[0] != '\0';
    int length = asprintf(&joined, "%s%.*s%s", first == NULL ? "" : first, both ? 1 : 0, &separator,
                          second == NULL ? "" : second);
    bool done = length >= 0 && setenv(name, joined, 1) == 0;
    if (length >= 0) {
        free(joined);
    }
    return done;
}
