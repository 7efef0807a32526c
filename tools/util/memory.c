#include "memory.h"

#include "human.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *memory, size_t bytes) {
    if (memory == NULL) {
        say("no memory left for %zu bytes of the tool's own", bytes);
        exit(EXIT_UNREADABLE);
    }
    return memory;
}

void *memory_take(size_t bytes) {
    return checked(calloc(1, bytes != 0 ? bytes : 1), bytes);
}

void *memory_take_aligned(size_t alignment, size_t bytes) {
    void *memory = checked(aligned_alloc(alignment, bytes), bytes);
    return memset(memory, 0, bytes);
}

char *memory_text(const char *text) {
    return checked(strdup(text), strlen(text));
}

void *memory_grow(void *array, size_t count, size_t *capacity, size_t element) {
    if (count < *capacity) {
        return array;
    }
    size_t more = *capacity != 0 ? *capacity * 2 : 64;
    array = checked(reallocarray(array, more, element), more * element);
    *capacity = more;
    return array;
}

char *memory_file(const char *path, size_t *length) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    size_t room = (size_t)64 << 10;
    size_t used = 0;
    char *text = memory_take(room);
    for (;;) {
        ssize_t got = read(fd, text + used, room - 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int error = errno;
            free(text);
            close(fd);
            errno = error;
            return NULL;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (used + 1 == room) {
            room *= 2;
            text = checked(realloc(text, room), room);
        }
    }
    close(fd);
    text[used] = 0;
    if (length != NULL) {
        *length = used;
    }
    return text;
}
