#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int regular_open(const char *path) {
    struct stat file;
    if (stat(path, &file) != 0) {
        return -1;
    }
    int fd = S_ISREG(file.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    // Another may be behind the name by now.
    if (fd >= 0 && (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))) {
        close(fd);
        fd = -1;
    }
    if (!S_ISREG(file.st_mode)) {
        errno = EINVAL;
    }
    return fd;
}
