// A program for every kind of machine and C library: each member of the family, what the C library
// allocates by itself, threads that come and go, and a fork. Whatever was not lucid's own would end
// it at the first free. Prints one line.
//   program lucid|other [wait]    which malloc it must have; whether it waits for its input to end
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <malloc.h>
#include <pthread.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEED(holds)                                                             \
    do {                                                                        \
        if (!(holds)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds); \
            _exit(1);                                                           \
        }                                                                       \
    } while (0)

extern const char *lucid_version(void) __attribute__((weak));

static void fill(char *block, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; i++) {
        block[i] = (char)(i * 31 + seed);
    }
}

static int filled(const char *block, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; i++) {
        if (block[i] != (char)(i * 31 + seed)) {
            return 0;
        }
    }
    return 1;
}

static void family(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 300000; size = size * 3 / 2 + 7) {
        char *block = malloc(size);
        NEED(block != NULL && (uintptr_t)block % 16 == 0 && malloc_usable_size(block) >= size);
        fill(block, size, 5);
        block = realloc(block, size * 2 + 1);
        NEED(block != NULL && filled(block, size, 5));
        memset(block, 0x55, size * 2 + 1);
        errno = 1789;
        free(block);
        NEED(errno == 1789);
        block = calloc(size, 2);
        for (size_t i = 0; i < size * 2; i++) {
            NEED(block[i] == 0);
        }
        free(block);
    }
    for (size_t alignment = 16; alignment <= (size_t)1 << 22; alignment *= 2) {
        void *block = NULL;
        NEED(posix_memalign(&block, alignment, 1000) == 0 && (uintptr_t)block % alignment == 0);
        free(block);
        block = aligned_alloc(alignment, alignment);
        NEED(block != NULL && (uintptr_t)block % alignment == 0);
        free(block);
        block = memalign(alignment, 3);
        NEED(block != NULL && (uintptr_t)block % alignment == 0);
        free(block);
    }
    void *block = valloc(10);
    NEED(block != NULL && (uintptr_t)block % page == 0);
    free(block);
    block = reallocarray(NULL, 100, 100);
    NEED(block != NULL && reallocarray(block, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    free(block);
    volatile size_t too_large = (size_t)PTRDIFF_MAX + 1;
    errno = 0;
    NEED(malloc(too_large) == NULL && errno == ENOMEM);
}

// What the C library hands out is to be freed by the program, so it must come from the same heap.
static void from_the_c_library(void) {
    char *text = strdup("a text");
    NEED(strcmp(text, "a text") == 0);
    free(text);
    NEED(asprintf(&text, "%d %s", 17, "words") == 8);
    free(text);
    size_t room = 0;
    FILE *file = open_memstream(&text, &room);
    for (int i = 0; i < 5000; i++) {
        fprintf(file, "line %d\n", i);
    }
    fclose(file);
    file = fmemopen(text, room, "r");
    char *line = NULL;
    size_t length = 0;
    int lines = 0;
    while (getline(&line, &length, file) != -1) {
        lines++;
    }
    NEED(lines == 5000);
    fclose(file);
    free(line);
    free(text);
    regex_t expression;
    NEED(regcomp(&expression, "(a|b)*c[0-9]+", REG_EXTENDED) == 0);
    NEED(regexec(&expression, "ababc42", 0, NULL, 0) == 0);
    regfree(&expression);
    glob_t found;
    NEED(glob("/*", 0, NULL, &found) == 0 && found.gl_pathc > 0);
    globfree(&found);
    char *folder = realpath("/", NULL);
    NEED(strcmp(folder, "/") == 0);
    free(folder);
}

// The loader and its messages live in a heap of the C library's own, where it has one. Both grow
// in turn, and neither may run into the other.
static void beside_the_c_librarys_heap(void) {
    static char *kept[400];
    for (unsigned i = 0; i < 400; i++) {
        kept[i] = malloc(100000);
        NEED(kept[i] != NULL);
        fill(kept[i], 100000, i);
        char name[100];
        snprintf(name, sizeof(name), "/there/is/no/such/library-%u-%080u.so", i, i);
        NEED(dlopen(name, RTLD_NOW) == NULL);
        (void)dlerror();
    }
    for (unsigned i = 0; i < 400; i++) {
        NEED(filled(kept[i], 100000, i));
        free(kept[i]);
    }
}

#define SHARED 64
static char *shared[SHARED]; // by atomic exchange only

static void *works(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < 4000; i++) {
        seed = seed * 1103515245 + 12345;
        size_t size = (seed >> 8) % 2000 + 8;
        char *block = malloc(size);
        NEED(block != NULL);
        memcpy(block, &size, sizeof(size));
        memset(block + sizeof(size), (int)size, size - sizeof(size));
        block = __atomic_exchange_n(&shared[(seed >> 20) % SHARED], block, __ATOMIC_ACQ_REL);
        if (block != NULL) {
            memcpy(&size, block, sizeof(size));
            NEED(size == sizeof(size) || block[size - 1] == (char)size);
            free(block);
        }
    }
    return NULL;
}

static void threads(void) {
    for (unsigned round = 0; round < 20; round++) {
        pthread_t all[6];
        for (unsigned i = 0; i < 6; i++) {
            NEED(pthread_create(&all[i], NULL, works, (void *)(uintptr_t)(round * 6 + i)) == 0);
        }
        for (unsigned i = 0; i < 6; i++) {
            NEED(pthread_join(all[i], NULL) == 0);
        }
    }
}

static void forks(void) {
    char *kept = malloc(5000);
    fill(kept, 5000, 9);
    for (unsigned i = 0; i < 10; i++) {
        pid_t child = fork();
        NEED(child != -1);
        if (child == 0) {
            (void)alarm(60);
            NEED(filled(kept, 5000, 9));
            free(kept);
            works((void *)(uintptr_t)i);
            _exit(0);
        }
        int status = 0;
        NEED(waitpid(child, &status, 0) == child && status == 0);
    }
    free(kept);
}

int main(int count, char **values) {
    (void)alarm(300);
    const char *wanted = count > 1 ? values[1] : "";
    const char *mine = &lucid_version != NULL ? "lucid" : "other";
    if (strcmp(wanted, mine) != 0) {
        fprintf(stderr, "the malloc here is %s, not %s\n", mine, wanted);
        return 1;
    }
    family();
    from_the_c_library();
    beside_the_c_librarys_heap();
    threads();
    forks();
    puts("all well");
    (void)fflush(stdout);
    while (count > 2 && getchar() != EOF) {
    }
    return 0;
}
