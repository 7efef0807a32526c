// Why a process may not be read, and the one command that helps.
#include "target.h"

#include "util/human.h"
#include "util/memory.h"
#include "util/typed.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNKNOWN_USER UINT32_MAX

static int yama_scope(void) {
    char *text = memory_file("/proc/sys/kernel/yama/ptrace_scope", NULL);
    int scope = text != NULL ? atoi(text) : 0;
    free(text);
    return scope;
}

// The number behind "\nNAME:" in the process's status file.
static bool read_status(pid_t pid, const char *name, uint32_t *value) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    char *text = memory_file(path, NULL);
    char *line = text != NULL ? strstr(text, name) : NULL;
    if (line != NULL) {
        *value = (uint32_t)strtoul(line + strlen(name), NULL, 10);
    }
    free(text);
    return line != NULL;
}

// The real user of the process; its files in /proc are root's when it is not dumpable.
static uint32_t real_user(pid_t pid) {
    uint32_t user = UNKNOWN_USER;
    read_status(pid, "\nUid:", &user);
    return user;
}

pid_t target_tracer(pid_t pid) {
    uint32_t tracer = 0;
    read_status(pid, "\nTracerPid:", &tracer);
    return (pid_t)tracer;
}

pid_t target_process(pid_t pid) {
    uint32_t process = 0;
    return read_status(pid, "\nTgid:", &process) && process != 0 ? (pid_t)process : pid;
}

static bool is_dumpable(pid_t pid, uint32_t user) {
    char path[64];
    struct stat owner;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    return stat(path, &owner) != 0 || owner.st_uid == user;
}

// What is missing, as a piece of a sentence; `other` is set when there is a better way than sudo.
static void missing(const struct target *target, char *why, size_t length, const char **other) {
    uint32_t user = real_user(target->pid);
    int scope = yama_scope();
    if (geteuid() == 0) {
        snprintf(why, length, "CAP_SYS_PTRACE is missing here, as in most containers");
        *other = "run the command outside, or start the container with --cap-add=SYS_PTRACE";
    } else if (user != UNKNOWN_USER && user != geteuid()) {
        snprintf(why, length, "it belongs to user %u, and you are user %u without CAP_SYS_PTRACE",
                 user, (unsigned)geteuid());
    } else if (user != UNKNOWN_USER && !is_dumpable(target->alive, user)) {
        snprintf(why, length,
                 "it has made itself unreadable (not dumpable), and you are without "
                 "CAP_SYS_PTRACE");
    } else if (scope == 1) {
        snprintf(why, length,
                 "kernel.yama.ptrace_scope is 1, so only an ancestor of it may read "
                 "it, or who has CAP_SYS_PTRACE");
    } else if (scope == 2) {
        snprintf(why, length,
                 "kernel.yama.ptrace_scope is 2, so only who has CAP_SYS_PTRACE may "
                 "read it");
    } else {
        snprintf(why, length, "you are without CAP_SYS_PTRACE");
    }
    if (scope >= 3) {
        snprintf(why, length,
                 "kernel.yama.ptrace_scope is 3: no process may be read until the "
                 "next start of the machine");
        *other = "let it write a core file, and read that";
    }
}

void target_refused(struct target *target, const char *what, int error) {
    char why[256];
    const char *other = NULL;
    enum target_fate fate = target_fate(target);
    if (fate == FATE_EXECUTED) {
        snprintf(target->obstacle, sizeof(target->obstacle),
                 "%s of %s cannot be read: it runs another program now; run the command again",
                 what, target->label);
        return;
    }
    if (fate == FATE_ENDED || error == ESRCH || error == ENOENT) {
        snprintf(target->obstacle, sizeof(target->obstacle),
                 "%s of %s cannot be read: it has ended; `ps -e` lists those that run", what,
                 target->label);
        return;
    }
    missing(target, why, sizeof(why), &other);
    snprintf(target->obstacle, sizeof(target->obstacle), "%s of %s cannot be read (%s): %s; %s",
             what, target->label, strerror(error), why, other != NULL ? other : typed_with_sudo());
}

const char *target_lack(char to[TARGET_LACK], const struct target *target) {
    char missing[SIZE_TEXT];
    char whole[SIZE_TEXT];
    snprintf(to, TARGET_LACK, "is cut off: %s of %s are missing",
             human_size(missing, target->whole - target->held), human_size(whole, target->whole));
    return to;
}

void target_say_cut_off(const struct target *target, const char *what) {
    char lack[TARGET_LACK];
    say("%s %s, and with them %s; let the program dump again with `ulimit -c unlimited` and that "
        "much room on the disk, or use gdb's gcore",
        target->label, target_lack(lack, target), what);
}

void target_not_there(pid_t pid) {
    if (pid > 0 && kill(pid, 0) != 0 && errno == EPERM) {
        say("process %d is hidden from you: it is another user's, and /proc is mounted with "
            "hidepid; %s",
            (int)pid, typed_with_sudo());
    } else {
        say("there is no process %d; `ps -e` lists those that run", (int)pid);
    }
}
