// Takes memory, touches some of it, and waits for the end of the standard input.
//
// usage: sparse STEP...
//   COUNTxSIZE      so many blocks, filled one after the other
//   COUNTxSIZE:N    so many blocks, of each only the first N bytes written
//   COUNTxSIZE/     so many blocks, all of them made before the first is filled
//   COUNTxSIZE-     so many blocks, filled, and freed after the last
//   nofile          from here on no file can be opened
//   restrict        the program gives up what it might gain (prctl), as sandboxes begin
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "sparse: %s\n", what);
    exit(2);
}

static char *taken(size_t size) {
    char *block = malloc(size);
    if (block == NULL) {
        fail("no memory");
    }
    return block;
}

static void fill_late(char **blocks, size_t count, size_t size) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = taken(size);
    }
    for (size_t i = 0; i < count; i++) {
        memset(blocks[i], 1, size);
    }
}

static void take(const char *step) {
    char *end;
    size_t count = strtoul(step, &end, 10);
    if (*end != 'x' || count == 0) {
        fail("a step is COUNTxSIZE, with :N, / or -; nofile; or restrict");
    }
    size_t size = strtoul(end + 1, &end, 10);
    size_t touched = *end == ':' ? strtoul(end + 1, NULL, 10) : size;
    char **blocks = calloc(count, sizeof(*blocks));
    if (blocks == NULL || size < touched) {
        fail("no memory, or more of a block written than there is");
    }
    if (*end == '/') {
        fill_late(blocks, count, size);
    }
    for (size_t i = 0; *end != '/' && i < count; i++) {
        blocks[i] = memset(taken(size), 1, touched);
    }
    for (size_t i = 0; *end == '-' && i < count; i++) {
        free(blocks[i]);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const struct rlimit none = {0, 0};
        if (strcmp(argv[i], "nofile") == 0) {
            if (setrlimit(RLIMIT_NOFILE, &none) != 0) {
                fail("cannot set RLIMIT_NOFILE");
            }
        } else if (strcmp(argv[i], "restrict") == 0) {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
                fail("cannot set PR_SET_NO_NEW_PRIVS");
            }
        } else {
            take(argv[i]);
        }
    }
    puts("done");
    fflush(stdout);
    char byte;
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 2;
}
