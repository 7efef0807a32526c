// The program that is to be run: where it is, and what would keep lucid out of it.
#ifndef LUCID_TOOLS_RUN_PROGRAM_H
#define LUCID_TOOLS_RUN_PROGRAM_H

#include <limits.h>

// As shells and env(1) have it.
enum { PROGRAM_NOT_EXECUTABLE = 126, PROGRAM_NOT_FOUND = 127 };

// What keeps lucid out. The loader is the one who preloads, so most of these are its reasons.
enum obstacle {
    OBSTACLE_NONE,
    OBSTACLE_STATIC,       // has no loader
    OBSTACLE_SET_ID,       // set-user-ID or set-group-ID: the loader ignores LD_PRELOAD
    OBSTACLE_CAPABILITIES, // file capabilities: the same
    OBSTACLE_MACHINE,      // 32-bit or another machine: the loader cannot take our library
    OBSTACLE_OWN_MALLOC,   // defines malloc itself: its own definition comes first
    OBSTACLE_SANITIZER,    // needs a sanitizer's library, which must come before every other malloc
    OBSTACLE_LUCID,        // is linked with lucid already, so nothing is missing
};

struct program {
    char path[PATH_MAX];   // what is executed
    char loaded[PATH_MAX]; // what the kernel loads: the interpreter, if path is a script
    enum obstacle obstacle;
};

// Finds `name` as execvp would and looks at it. 0, or one of the codes above, and then the
// reason has been written to stderr.
int program_find(const char *name, struct program *program);

// The sentence for an obstacle; it follows the path of the program.
const char *obstacle_text(enum obstacle obstacle);

#endif
