// Whether the terminal can show `lucid top`.
#ifndef LUCID_TOP_TERMINAL_H
#define LUCID_TOP_TERMINAL_H

#include <stdbool.h>

// False: a sentence has been printed.
bool terminal_possible(void);

#endif
