// Preloaded into the command: makes the system refuse what it refuses elsewhere.
//
//   OBSTACLE_MEMORY=1     another process's memory cannot be read
//   OBSTACLE_YAMA=FILE    stands for /proc/sys/kernel/yama/ptrace_scope
//   OBSTACLE_SCAN=1       a kernel before 6.7, which does not know PAGEMAP_SCAN
//   OBSTACLE_STOP=1       ptrace and signals end the command with SIGABRT
//   OBSTACLE_WAIT=1       before the command waits for a key for ever, SIGTERM comes
//   OBSTACLE_READ=N       before the memory is read for the Nth time the shell executes
//   OBSTACLE_SHELL=...    this
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static void be_in_time(void) {
    static int readings;
    const char *number = getenv("OBSTACLE_READ");
    const char *command = getenv("OBSTACLE_SHELL");
    if (number != NULL && command != NULL && ++readings == atoi(number)) {
        unsetenv("LD_PRELOAD");
        if (system(command) != 0) {
            abort();
        }
    }
}

EXPORT ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                                const struct iovec *remote, unsigned long remote_count,
                                unsigned long flags) {
    ssize_t (*next)(pid_t, const struct iovec *, unsigned long, const struct iovec *, unsigned long,
                    unsigned long) = dlsym(RTLD_NEXT, "process_vm_readv");
    be_in_time();
    if (getenv("OBSTACLE_MEMORY") != NULL) {
        errno = EPERM;
        return -1;
    }
    return next(pid, local, local_count, remote, remote_count, flags);
}

static const char *instead(const char *path) {
    const char *yama = getenv("OBSTACLE_YAMA");
    size_t length = strlen(path);
    if (yama != NULL && strcmp(path, "/proc/sys/kernel/yama/ptrace_scope") == 0) {
        return yama;
    }
    if (getenv("OBSTACLE_MEMORY") != NULL && strncmp(path, "/proc/", 6) == 0 && length > 4 &&
        strcmp(path + length - 4, "/mem") == 0) {
        return NULL;
    }
    return path;
}

static int open_by(const char *name, const char *path, int flags, mode_t mode) {
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    path = instead(path);
    if (path == NULL) {
        errno = EACCES;
        return -1;
    }
    return next(path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_by("open", path, flags, mode);
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (getenv("OBSTACLE_SCAN") != NULL && _IOC_TYPE(request) == 'f' && _IOC_NR(request) == 16) {
        errno = ENOTTY;
        return -1;
    }
    return next(fd, request, argument);
}

static void refuse_to_stop(void) {
    if (getenv("OBSTACLE_STOP") != NULL) {
        abort();
    }
}

EXPORT long ptrace(int request, ...);
long ptrace(int request, ...) {
    (void)request;
    refuse_to_stop();
    errno = EPERM;
    return -1;
}

EXPORT int kill(pid_t pid, int signal) {
    int (*next)(pid_t, int) = dlsym(RTLD_NEXT, "kill");
    refuse_to_stop();
    return next(pid, signal);
}

static void come_before(const struct pollfd *files, nfds_t count, bool forever) {
    if (forever && count > 0 && files[0].fd == STDIN_FILENO && getenv("OBSTACLE_WAIT") != NULL) {
        unsetenv("OBSTACLE_WAIT");
        raise(SIGTERM);
    }
}

EXPORT int poll(struct pollfd *files, nfds_t count, int milliseconds) {
    int (*next)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
    come_before(files, count, milliseconds < 0);
    return next(files, count, milliseconds);
}

EXPORT int ppoll(struct pollfd *files, nfds_t count, const struct timespec *time,
                 const sigset_t *signals) {
    int (*next)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) =
        dlsym(RTLD_NEXT, "ppoll");
    come_before(files, count, time == NULL);
    return next(files, count, time, signals);
}
