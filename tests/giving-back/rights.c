// A program that frees a lot, so that the helper is there, and then gives rights up
// or restricts itself.
//
// usage: rights setuid|user|mount|memory|filter|threads|child|vfork
// setuid: becomes another user and prints a line for each thread; user, memory: unshare(); mount:
// setns(); filter: allows itself a handful of system calls only, and goes on allocating; threads:
// the same with a second thread, and what that takes; child, vfork: a child restricts itself before
// it does anything else.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOMEBODY 65534

static void burst(size_t count) {
    static void *blocks[200000];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(1000);
        if (blocks[i] == NULL) {
            _exit(3);
        }
        memset(blocks[i], 1, 1000);
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static int is_number(const char *text) {
    return *text >= '0' && *text <= '9';
}

static unsigned threads(void) {
    DIR *folder = opendir("/proc/self/task");
    unsigned count = 0;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        count += is_number(entry->d_name) ? 1 : 0;
    }
    if (folder == NULL || closedir(folder) != 0) {
        perror("rights: /proc/self/task");
        exit(2);
    }
    return count;
}

static void burst_until_there_is_a_helper(void) {
    for (int i = 0; i < 10 && threads() == 1; i++) {
        burst(200000);
    }
    (void)printf("threads %u\n", threads());
    (void)fflush(stdout);
}

static void print_rights(const char *task) {
    char path[300];
    char line[200];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "Uid:", 4) == 0 || strncmp(line, "CapEff:", 7) == 0 ||
            strncmp(line, "NoNewPrivs:", 11) == 0 || strncmp(line, "Seccomp:", 8) == 0) {
            line[strcspn(line, "\n")] = '\0';
            (void)printf("%s ", line);
        }
    }
    if (file != NULL) { // else it has ended
        (void)fclose(file);
        (void)printf("task\n");
    }
}

static int become_somebody(void) {
    if (setgroups(0, NULL) != 0 || setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0) {
        perror("rights: setuid");
        return 2;
    }
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (is_number(entry->d_name)) {
            print_rights(entry->d_name);
        }
    }
    return folder == NULL || closedir(folder) != 0 ? 2 : 0;
}

static int say(const char *what, int result) {
    (void)printf("%s: %s\n", what, result == 0 ? "done" : strerror(errno));
    return 0;
}

static atomic_int begun;
static atomic_int filtered;
static atomic_int allocated;

// With one thread the last four are not allowed: the C library's malloc does without them.
static int filter(const char *what, int threads_too) {
    static const unsigned allowed[] = {
        SYS_read,         SYS_write,  SYS_exit,   SYS_exit_group,     SYS_brk,
        SYS_mmap,         SYS_munmap, SYS_mremap, SYS_mprotect,       SYS_madvise,
        SYS_rt_sigreturn, SYS_futex,  SYS_clone,  SYS_rt_sigprocmask, SYS_pause,
    };
    enum { COUNT = sizeof(allowed) / sizeof(allowed[0]) };
    struct sock_filter steps[COUNT + 3];
    steps[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    unsigned char allows = (unsigned char)(threads_too ? COUNT : COUNT - 4);
    for (unsigned char i = 0; i < allows; i++) {
        steps[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
                                                    (unsigned char)(allows - i), 0);
    }
    steps[allows + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    steps[allows + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)(allows + 3), steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
        perror("rights: seccomp");
        return 2;
    }
    filtered = 1;
    while (threads_too && !allocated) {
    }
    for (unsigned i = 0; i < 40; i++) {
        burst(50000);
    }
    return say(what, 0);
}

// Allocates for the first time when only what the C library's malloc needs is allowed.
static void *allocate_and_sleep(void *unused) {
    begun = 1; // the C library has made its calls
    while (!filtered) {
    }
    void *volatile block = malloc(100);
    free(block);
    allocated = 1;
    (void)pause();
    return unused;
}

static int filter_with_thread(const char *what) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate_and_sleep, NULL) != 0) {
        perror("rights: pthread_create");
        return 2;
    }
    while (!begun) {
        (void)sched_yield();
    }
    return filter(what, 1);
}

// The child of a fork of a process that has a helper has none, and must not wait for it.
static int child(const char *what) {
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(20);
        _exit(unshare(CLONE_NEWUSER) == 0 ? filter(what, 0) : 3);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    (void)printf("%s: %s %d\n", what, WIFEXITED(status) ? "exit" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 0;
}

// What the child of a vfork does to itself is nothing to its parent.
static int vfork_child(const char *what) {
    pid_t pid = vfork();
    if (pid == 0) {
        _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : 3);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    struct timespec moment = {0, 10000000};
    for (unsigned i = 0; i < 1000 && threads() > 1; i++) {
        (void)nanosleep(&moment, NULL);
    }
    for (unsigned i = 0; i < 10 && threads() == 1; i++) {
        burst(200000);
    }
    (void)printf("%s: %d, then threads %u\n", what, WEXITSTATUS(status), threads());
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    burst_until_there_is_a_helper();
    if (strcmp(what, "setuid") == 0) {
        return become_somebody();
    }
    if (strcmp(what, "user") == 0) {
        return say(what, unshare(CLONE_NEWUSER));
    }
    if (strcmp(what, "memory") == 0) {
        return say(what, unshare(CLONE_VM));
    }
    if (strcmp(what, "mount") == 0) {
        return say(what, setns(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), CLONE_NEWNS));
    }
    if (strcmp(what, "filter") == 0) {
        return filter(what, 0);
    }
    if (strcmp(what, "threads") == 0) {
        return filter_with_thread(what);
    }
    if (strcmp(what, "child") == 0) {
        return child(what);
    }
    if (strcmp(what, "vfork") == 0) {
        return vfork_child(what);
    }
    (void)fputs("usage: rights setuid|user|mount|memory|filter|threads|child|vfork\n", stderr);
    return 2;
}
