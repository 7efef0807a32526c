// Takes memory, touches some of it, and waits for the end of the standard input.
//
// usage: sparse STEP...
//   COUNTxSIZE      so many blocks, filled one after the other
//   COUNTxSIZE:N    of each only the first N bytes are written
//   ...-            and all are freed after the last, and given back
//   COUNTxSIZE/     all of them made before the first is filled
//   COUNTxSIZE&     so many in each of four threads at the same time
//   COUNTxSIZEz     zeroed ones, of each of whose pages a byte is read and then written
//   COUNTxSIZE:Ns   of each one byte in every N is written; and all are freed after the last
//   COUNTxSIZE:Nt   the same with zeroed ones that stay
//   nofile          from here on no file can be opened
//   restrict        the program gives up what it might gain (prctl), as sandboxes begin
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static bool is_one_of(const struct step *step, const char *letters) {
    return step->how != 0 && strchr(letters, step->how) != NULL;
}

static void touch(const struct step *step, volatile char *block) {
    if (is_one_of(step, "sft")) {
        for (size_t at = 0; at < step->size; at += step->touched) {
            block[at] = 1;
        }
        return;
    }
    for (size_t at = 0; is_one_of(step, "z") && at < step->size; at += 4096) {
        block[at]++;
    }
    memset((char *)block, 1, step->touched);
}

static void *run(void *argument) {
    const struct step *step = argument;
    // No block of its own: a thread may have none but the large ones.
    char **blocks = mmap(NULL, step->count * sizeof(*blocks), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blocks == MAP_FAILED) {
        fail("no memory");
    }
    for (size_t i = 0; i < step->count; i++) {
        blocks[i] = taken(step->size, is_one_of(step, "zt"));
        if (!is_one_of(step, "/")) {
            touch(step, blocks[i]);
        }
        if (is_one_of(step, "f")) {
            free(blocks[i]);
        }
    }
    for (size_t i = 0; i < step->count && is_one_of(step, "/"); i++) {
        touch(step, blocks[i]);
    }
    for (size_t i = 0; i < step->count && is_one_of(step, "-"); i++) {
        free(blocks[i]);
    }
    if (is_one_of(step, "-")) {
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
        fail("a step is COUNTxSIZE, with :N, and -, /, &, z, s, f or t; nofile; or restrict");
    }
    step.size = strtoul(end + 1, &end, 10);
    step.touched = *end == ':' ? strtoul(end + 1, &end, 10) : step.size;
    step.how = *end;
    if (step.touched > step.size || step.touched == 0) {
        fail("of a block between one byte and all of it is to be written");
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
