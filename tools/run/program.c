#include "program.h"

#include "binary.h"
#include "util/human.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { INTERPRETER_DEPTH_MAX = 4, SCRIPT_LINE_MAX = 256 }; // the kernel's limits

static bool is_executable_file(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) {
        return false;
    }
    if (S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = EACCES; // as the kernel says; to open a FIFO would wait for its other end
        return false;
    }
    return access(path, X_OK) == 0;
}

static int refuse_program(const char *name, int reason) {
    if (reason == ENOENT || reason == ENOTDIR) {
        say("there is no program \"%s\"", name);
        return PROGRAM_NOT_FOUND;
    }
    say("cannot run %s: %s", name, strerror(reason));
    return PROGRAM_NOT_EXECUTABLE;
}

// Searches PATH the way execvp does: a file that may not be executed is passed over, but
// remembered as the reason if nothing better comes.
static int search_path(const char *name, char path[PATH_MAX]) {
    const char *folders = getenv("PATH");
    int reason = ENOENT;
    if (folders == NULL) {
        folders = "/bin:/usr/bin";
    }
    while (true) {
        size_t length = strcspn(folders, ":");
        const char *folder = length == 0 ? "." : folders;
        int written =
            snprintf(path, PATH_MAX, "%.*s/%s", length == 0 ? 1 : (int)length, folder, name);
        if (written < PATH_MAX && is_executable_file(path)) {
            return 0;
        }
        if (written < PATH_MAX && (errno == EACCES || errno == EISDIR)) {
            reason = EACCES;
        }
        if (folders[length] == '\0') {
            return reason;
        }
        folders += length + 1;
    }
}

static int locate(const char *name, char path[PATH_MAX]) {
    if (strchr(name, '/') == NULL) {
        return name[0] == '\0' ? ENOENT : search_path(name, path);
    }
    if (strlen(name) >= PATH_MAX) {
        return ENAMETOOLONG;
    }
    strcpy(path, name); // the length was just compared
    return is_executable_file(path) ? 0 : errno;
}

// Replaces the path of a script by that of its interpreter. False: it is no script.
static bool step_to_interpreter(char path[PATH_MAX]) {
    char line[SCRIPT_LINE_MAX + 1];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, line, SCRIPT_LINE_MAX);
    if (file >= 0) {
        close(file);
    }
    if (length < 2 || line[0] != '#' || line[1] != '!') {
        return false;
    }
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *interpreter = line + 2 + strspn(line + 2, " \t");
    interpreter[strcspn(interpreter, " \t")] = '\0';
    snprintf(path, PATH_MAX, "%s", interpreter);
    return true;
}

// Would the loader run it in its secure mode, because it gets rights its user has not?
static enum obstacle obstacle_of_rights(const char *path) {
    struct stat status;
    struct statvfs place;
    if (stat(path, &status) != 0 || statvfs(path, &place) != 0 || (place.f_flag & ST_NOSUID) != 0) {
        return OBSTACLE_NONE;
    }
    bool other_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != getuid();
    bool other_group =
        (status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getgid();
    if (other_user || other_group) {
        return OBSTACLE_SET_ID;
    }
    bool has_capabilities = getxattr(path, "security.capability", NULL, 0) > 0;
    return has_capabilities && getuid() != 0 ? OBSTACLE_CAPABILITIES : OBSTACLE_NONE;
}

static enum obstacle obstacle_of(const char *path) {
    struct binary binary;
    if (binary_read(path, &binary) != BINARY_READ) {
        return obstacle_of_rights(path); // what may be run but not read is taken as it comes
    }
    if (!binary_is_native(&binary)) {
        return OBSTACLE_MACHINE;
    }
    if (binary.version[0] != '\0') {
        return OBSTACLE_LUCID;
    }
    if (!binary.has_loader) {
        return OBSTACLE_STATIC;
    }
    enum obstacle rights = obstacle_of_rights(path);
    if (rights != OBSTACLE_NONE) {
        return rights;
    }
    if (binary.sanitizer[0] != '\0') {
        return OBSTACLE_SANITIZER;
    }
    return binary.defines_malloc ? OBSTACLE_OWN_MALLOC : OBSTACLE_NONE;
}

int program_find(const char *name, struct program *program) {
    int reason = locate(name, program->path);
    if (reason != 0) {
        return refuse_program(name, reason);
    }
    memcpy(program->loaded, program->path, sizeof(program->loaded));
    for (int depth = 0; depth < INTERPRETER_DEPTH_MAX; depth++) {
        if (!step_to_interpreter(program->loaded)) {
            break;
        }
        if (!is_executable_file(program->loaded)) {
            reason = errno;
            say("the interpreter of %s, %s, cannot be run: %s", program->path, program->loaded,
                strerror(reason));
            return reason == ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
        }
    }
    program->obstacle = obstacle_of(program->loaded);
    return 0;
}

const char *obstacle_text(enum obstacle obstacle) {
    switch (obstacle) {
    case OBSTACLE_STATIC:
        return "is statically linked, so no library can be preloaded; link it with liblucid.a";
    case OBSTACLE_SET_ID:
        return "is set-user-ID or set-group-ID, and the loader preloads nothing there; "
               "link it with -llucid";
    case OBSTACLE_CAPABILITIES:
        return "has file capabilities, and the loader preloads nothing there; "
               "link it with -llucid";
    case OBSTACLE_MACHINE:
        return "is for another machine than this liblucid.so (a 32-bit program, for example)";
    case OBSTACLE_OWN_MALLOC:
        return "brings its own malloc, which comes before a preloaded one; "
               "build it without that";
    case OBSTACLE_SANITIZER:
        return "is built with a sanitizer, which needs its own malloc; build it without that";
    case OBSTACLE_LUCID:
        return "is linked with lucid already";
    case OBSTACLE_NONE:
        break;
    }
    return "can be run under lucid";
}
