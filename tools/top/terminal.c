#include "terminal.h"

#include "util/human.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <stdlib.h>
#include <term.h> // has a macro for every capability: `tab`, `columns`, ...
#include <unistd.h>

bool terminal_possible(void) {
    const char *name = getenv("TERM");
    int error = 0;
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        say("the standard %s is no terminal; --once prints everything once, --batch a line for "
            "each reading",
            isatty(STDOUT_FILENO) ? "input" : "output");
        return false;
    }
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK) {
        say("the terminal's kind (TERM=%s) is not known here; set TERM to one that is, for example "
            "vt100, or use --batch",
            name != NULL ? name : "");
        return false;
    }
    const char *move_to = tigetstr("cup");
    if (move_to == NULL || move_to == (const char *)-1) {
        say("this kind of terminal (TERM=%s) cannot move its cursor; use --once or --batch",
            name != NULL ? name : "");
        return false;
    }
    return true;
}
