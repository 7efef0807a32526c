#include "contestant.h"

#include "run/binary.h"
#include "run/library.h"
#include "util/human.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#define MACHINE "x86_64"
#elif defined(__aarch64__)
#define MACHINE "aarch64"
#else
#define MACHINE "unknown"
#endif

struct known {
    const char *name;
    const char *pattern; // of the library's file name, or of its whole path
};

// The allocators Debian 12 packages. The C library's is what a program has anyway.
static const struct known known[] = {
    {"jemalloc", "libjemalloc.so.2"},
    {"mimalloc", "libmimalloc.so.2"},
    {"tcmalloc", "libtcmalloc_minimal.so.4"},
    {"tbbmalloc", "libtbbmalloc_proxy.so.2"},
    {"scudo", "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-" MACHINE ".so"},
};

static const char *const folders[] = {
    "/usr/lib/*-linux-gnu", "/lib/*-linux-gnu", "/usr/local/lib", "/usr/lib64", "/usr/lib",
};

static bool add(struct contest *contest, const char *name, const char *library) {
    if (contest->count == CONTESTANTS_MAX) {
        say("too many allocators: at most %d", CONTESTANTS_MAX);
        return false;
    }
    struct contestant *member = &contest->members[contest->count];
    if (strlen(name) >= sizeof(member->name) || strlen(library) >= sizeof(member->library)) {
        say("the name or path of the allocator \"%s\" is too long", name);
        return false;
    }
    strcpy(member->name, name);
    strcpy(member->library, library);
    member->rounds = 0;
    contest->count++;
    return true;
}

// The loader only warns about a library it cannot load, and goes on without it; then the program
// would run under the C library under a wrong name.
static bool is_loadable(const char *path) {
    struct binary binary;
    return binary_read(path, &binary) == BINARY_READ && binary_is_native(&binary);
}

// The first file that matches, as a path of its own in `to`.
static bool first_match(const char *pattern, char to[PATH_MAX]) {
    glob_t found;
    bool matched = glob(pattern, 0, NULL, &found) == 0;
    if (matched) {
        matched = snprintf(to, PATH_MAX, "%s", found.gl_pathv[0]) < PATH_MAX;
    }
    globfree(&found);
    return matched;
}

static bool find_library(const char *pattern, char to[PATH_MAX]) {
    if (pattern[0] == '/') {
        return first_match(pattern, to);
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", folders[i], pattern);
        if (first_match(path, to)) {
            return true;
        }
    }
    return false;
}

// PEERS=name=path,name=path
static bool add_named(struct contest *contest) {
    const char *peers = getenv("PEERS");
    char *copy = strdup(peers == NULL ? "" : peers);
    char *rest = copy;
    bool fine = copy != NULL;
    for (char *entry; fine && (entry = strsep(&rest, ",")) != NULL;) {
        char path[PATH_MAX];
        char *value = strchr(entry, '=');
        if (entry[0] == '\0') {
            continue;
        }
        if (value == NULL || value == entry || realpath(value + 1, path) == NULL ||
            !is_loadable(path)) {
            say("PEERS: \"%s\" is not NAME=PATH of a library for this machine", entry);
            fine = false;
        } else {
            *value = '\0';
            fine = add(contest, entry, path);
        }
    }
    free(copy);
    return fine;
}

bool contest_gather(struct contest *contest) {
    char path[PATH_MAX];
    contest->count = 0;
    contest->members = calloc(CONTESTANTS_MAX, sizeof(*contest->members));
    if (contest->members == NULL) {
        say("not enough memory: %s", strerror(errno));
        return false;
    }
    if (!library_find(path)) {
        return false;
    }
    bool fine = add(contest, "lucid", path) && add(contest, "glibc", "");
    for (size_t i = 0; fine && i < sizeof(known) / sizeof(known[0]); i++) {
        if (find_library(known[i].pattern, path) && is_loadable(path)) {
            fine = add(contest, known[i].name, path);
        }
    }
    return fine && add_named(contest);
}

void contest_release(struct contest *contest) {
    free(contest->members);
    contest->members = NULL;
    contest->count = 0;
}

static bool listed(const char *names, const char *name) {
    size_t length = strlen(name);
    for (const char *at = names; (at = strstr(at, name)) != NULL; at += length) {
        bool begins = at == names || at[-1] == ',';
        if (begins && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_member(const struct contest *contest, const char *name, size_t length) {
    for (int i = 0; i < contest->count; i++) {
        const char *other = contest->members[i].name;
        if (strlen(other) == length && strncmp(other, name, length) == 0) {
            return true;
        }
    }
    return false;
}

bool contest_restrict(struct contest *contest, const char *names) {
    for (const char *at = names; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length > 0 && !is_member(contest, at, length)) {
            say("--peers: \"%.*s\" is not installed, and PEERS does not name it", (int)length, at);
            return false;
        }
        at += length + (at[length] == ',');
    }
    int kept = 2;
    for (int i = 2; i < contest->count; i++) {
        if (listed(names, contest->members[i].name)) {
            if (kept != i) {
                memcpy(&contest->members[kept], &contest->members[i], sizeof(*contest->members));
            }
            kept++;
        }
    }
    contest->count = kept;
    return true;
}
