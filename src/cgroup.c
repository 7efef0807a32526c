#include "cgroup.h"

#include "text.h"

#include <string.h>

#define PATH_ROOM 1024u

struct version {
    const char *mount; // where the groups' folders are
    const char *file;  // in each of them
};

static const struct version one = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes"};
static const struct version two = {"/sys/fs/cgroup", "/memory.max"};

// A number and nothing else but a line end. 0: none, such as "max".
static uint64_t number_in(const char *text) {
    uint64_t number = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++) {
        if (number > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    return text[i] == '\n' || text[i] == '\0' ? number : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

// The group at `path` (`length` bytes of it) and those above. What a container cannot see of the
// path is not there; the mount itself is its own group then.
static uint64_t limit_above(const struct version *version, const char *path, size_t length,
                            cgroup_reader *read_file) {
    uint64_t limit = 0;
    for (;;) {
        char name[PATH_ROOM];
        char text[64];
        size_t got = 0;
        struct text line = text_begin(name, sizeof(name));
        text_add(&line, version->mount);
        for (size_t i = 0; i < length; i++) {
            text_add_char(&line, path[i]);
        }
        text_add(&line, version->file);
        if (line.length + 1 < sizeof(name) && read_file(name, text, sizeof(text), &got)) {
            limit = least(limit, number_in(text));
        }
        if (length == 0) {
            return limit;
        }
        while (length > 0 && path[length - 1] != '/') {
            length--;
        }
        length -= length > 0; // the slash
    }
}

// Is "memory" one of the words, which are separated by commas?
static bool names_memory(const char *words, size_t length) {
    static const char name[] = "memory";
    while (length > 0) {
        const char *comma = memchr(words, ',', length);
        size_t word = comma != NULL ? (size_t)(comma - words) : length;
        if (word == sizeof(name) - 1 && memcmp(words, name, word) == 0) {
            return true;
        }
        word += comma != NULL;
        words += word;
        length -= word;
    }
    return false;
}

// A line of /proc/self/cgroup is NUMBER:CONTROLLERS:PATH;
// version 2 has number 0 and no controllers.
static uint64_t limit_of_line(const char *line, size_t length, cgroup_reader *read_file) {
    const char *controllers = memchr(line, ':', length);
    if (controllers == NULL) {
        return 0;
    }
    controllers++;
    const char *path = memchr(controllers, ':', length - (size_t)(controllers - line));
    if (path == NULL) {
        return 0;
    }
    size_t words = (size_t)(path - controllers);
    path++;
    size_t path_length = length - (size_t)(path - line);
    path_length -= path_length == 1; // "/" alone is the mount
    if (words == 0) {
        return limit_above(&two, path, path_length, read_file);
    }
    return names_memory(controllers, words) ? limit_above(&one, path, path_length, read_file) : 0;
}

uint64_t cgroup_memory_limit(cgroup_reader *read_file) {
    char text[4096];
    size_t length = 0;
    uint64_t limit = 0;
    if (!read_file("/proc/self/cgroup", text, sizeof(text), &length)) {
        return 0;
    }
    for (const char *line = text; *line != '\0';) {
        size_t end = strcspn(line, "\n");
        limit = least(limit, limit_of_line(line, end, read_file));
        line += end;
        line += *line == '\n';
    }
    return limit;
}
