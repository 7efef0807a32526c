#include "library.h"

#include "binary.h"
#include "util/human.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Is it a lucid that a program of this machine can load?
static bool library_is_good(const char *path) {
    struct binary binary;
    switch (binary_read(path, &binary)) {
    case BINARY_UNREADABLE:
        say("cannot read the library %s: %m", path);
        return false;
    case BINARY_NOT_ELF:
        say("%s is not a shared library", path);
        return false;
    case BINARY_READ:
        break;
    }
    if (binary.version[0] == '\0' || !binary_is_native(&binary)) {
        say("%s is not a liblucid.so for this machine", path);
        return false;
    }
    // The loader separates the entries of LD_PRELOAD at blanks and colons, and knows no quotes.
    if (strpbrk(path, " :\t\n") != NULL) {
        say("LD_PRELOAD cannot name \"%s\", because of the blank or colon in it; "
            "copy or link the library to another place and set LUCID_LIBRARY to that",
            path);
        return false;
    }
    return true;
}

static bool beside(const char *folder, const char *rest, char path[PATH_MAX]) {
    char joined[PATH_MAX];
    int length = snprintf(joined, sizeof(joined), "%s/%s", folder, rest);
    return length > 0 && length < PATH_MAX && realpath(joined, path) != NULL;
}

bool library_find(char path[PATH_MAX]) {
    const char *chosen = getenv("LUCID_LIBRARY");
    if (chosen != NULL && chosen[0] != '\0') {
        if (realpath(chosen, path) == NULL) {
            say("LUCID_LIBRARY is %s: %m", chosen);
            return false;
        }
        return library_is_good(path);
    }
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    if (length < 0) {
        say("cannot read /proc/self/exe; set LUCID_LIBRARY to the library");
        return false;
    }
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    if (beside(folder, "liblucid.so." LUCID_SOVERSION, path) ||
        beside(folder, LUCID_LIBRARY_FROM_COMMAND "/liblucid.so." LUCID_SOVERSION, path)) {
        return library_is_good(path);
    }
    say("there is no liblucid.so." LUCID_SOVERSION " in %s or %s/" LUCID_LIBRARY_FROM_COMMAND
        "; set LUCID_LIBRARY to the library",
        folder, folder);
    return false;
}
