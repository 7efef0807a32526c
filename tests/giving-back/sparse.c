// Takes memory, touches some of it, and waits for the end of the standard input.
//
// usage: sparse STEP...
//   COUNTxSIZE      so many blocks, filled one after the other
//   COUNTxSIZE:N    of each only the first N bytes are written
//   ...-            and all are freed after the last, and given back
//   COUNTxSIZE/     all of them made before the first is filled
//   COUNTxSIZE&     so many in each of four threads at the same time
//   COUNTxSIZEz     zeroed ones, of each of whose pages a byte is read and then written
//   nofile          from here on no file can be opened
//   restrict        the program gives up what it might gain (prctl), as sandboxes begin
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
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

static char *taken(size_t size, bool zeroed) {
    char *block = zeroed ? calloc(1, size) : malloc(size);
    if (block == NULL) {
        fail("no memory");
    }
    return block;
}

struct step {
    size_t count;
    size_t size;
    size_t touched; // of each
    char how;       // the last letter, or 0
};

static void *run(void *argument) {
    const struct step *step = argument;
    char **blocks = calloc(step->count, sizeof(*blocks));
    if (blocks == NULL) {
        fail("no memory");
    }
    for (size_t i = 0; i < step->count; i++) {
        blocks[i] = taken(step->size, step->how == 'z');
        for (size_t at = 0; step->how == 'z' && at < step->size; at += 4096) {
            ((volatile char *)blocks[i])[at]++;
        }
        memset(blocks[i], 1, step->how == '/' ? 0 : step->touched);
    }
    for (size_t i = 0; i < step->count && step->how == '/'; i++) {
        memset(blocks[i], 1, step->touched);
    }
    for (size_t i = 0; i < step->count && step->how == '-'; i++) {
        free(blocks[i]);
    }
    if (step->how == '-') {
        (void)malloc_trim(0);
    }
    return NULL;
}

static void run_in_threads(struct step *step) {
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, run, step) != 0) {
            fail("no thread");
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

static void take(const char *text) {
    char *end;
    struct step step = {.count = strtoul(text, &end, 10)};
    if (*end != 'x' || step.count == 0) {
        fail("a step is COUNTxSIZE, with :N, -, /, & or z; nofile; or restrict");
    }
    step.size = strtoul(end + 1, &end, 10);
    step.touched = *end == ':' ? strtoul(end + 1, &end, 10) : step.size;
    step.how = *end;
    if (step.touched > step.size) {
        fail("more of a block is to be written than there is");
    }
    if (step.how == '&') {
        run_in_threads(&step);
    } else {
        (void)run(&step);
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
