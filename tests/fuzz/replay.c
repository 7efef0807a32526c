// Runs the fuzzer's inputs without a fuzzer: files, folders of files, or random bytes. Every input
// gets a process of its own, so that each begins with the allocator's very first call and one that
// fails can be run again alone.
#include "child.h"
#include "ops.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX 4096u

struct run {
    uint8_t data[INPUT_MAX];
    size_t size;
    unsigned count;
    unsigned failed;
};

static void run_input(void *argument) {
    const struct run *run = argument;
    ops_run(run->data, run->size);
}

static void run_apart(struct run *run, const char *name) {
    int status = child_run(run_input, run, NULL, 0);
    run->count++;
    if (status != 0) {
        run->failed++;
        (void)fprintf(stderr, "%s: failed, status %x\n", name, (unsigned)status);
    }
}

static int run_file(struct run *run, const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    run->size = fread(run->data, 1, INPUT_MAX, file);
    (void)fclose(file);
    run_apart(run, path);
    return 0;
}

static int run_folder(struct run *run, const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    int result = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && run_file(run, name) != 0) {
            result = 2;
        }
        free(entries[i]);
    }
    free(entries);
    return result;
}

static int run_path(struct run *run, const char *path) {
    struct stat about;
    if (stat(path, &about) != 0) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    return S_ISDIR(about.st_mode) ? run_folder(run, path) : run_file(run, path);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du;
}

// A failing input is left in the current folder, to be run again by name.
static void keep(const struct run *run, uint64_t seed) {
    char name[64];
    (void)snprintf(name, sizeof(name), "fuzz-failed-%llx", (unsigned long long)seed);
    FILE *file = fopen(name, "wb");
    if (file == NULL || fwrite(run->data, 1, run->size, file) != run->size) {
        (void)fprintf(stderr, "cannot keep the input in %s\n", name);
    } else {
        (void)fprintf(stderr, "the input is kept in %s\n", name);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static void run_random(struct run *run, unsigned long inputs, uint64_t seed) {
    for (unsigned long i = 0; i < inputs; i++) {
        uint64_t state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        run->size = next_random(&state) % INPUT_MAX;
        for (size_t at = 0; at < run->size; at++) {
            run->data[at] = (uint8_t)(next_random(&state) >> 56);
        }
        unsigned failed = run->failed;
        char name[64];
        (void)snprintf(name, sizeof(name), "random input of seed %llu",
                       (unsigned long long)(seed + i));
        run_apart(run, name);
        if (run->failed != failed) {
            keep(run, seed + i);
        }
    }
}

int main(int argc, char **argv) {
    static struct run run;
    unsigned long inputs = 0;
    uint64_t seed = 1;
    int option;
    while ((option = getopt(argc, argv, "n:s:")) != -1) {
        if (option == 'n') {
            inputs = strtoul(optarg, NULL, 10);
        } else if (option == 's') {
            seed = strtoull(optarg, NULL, 10);
        } else {
            (void)fprintf(stderr, "usage: %s [-n RANDOM_INPUTS] [-s SEED] [FILE|FOLDER]...\n",
                          argv[0]);
            return 64;
        }
    }
    int result = 0;
    for (int i = optind; i < argc; i++) {
        int one = run_path(&run, argv[i]);
        result = one != 0 ? one : result;
    }
    run_random(&run, inputs, seed);
    (void)printf("%u inputs run, %u failed\n", run.count, run.failed);
    if (run.count == 0 && result == 0) {
        (void)fprintf(stderr, "nothing to run\n");
        return 2;
    }
    return result != 0 ? result : run.failed != 0;
}
