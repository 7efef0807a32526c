// Forks while other threads hold the C library's locks for streams and allocate under them: getline
// grows its line inside the stream's lock, fflush(NULL) takes the list of streams and then each.
// Allocators that lock themselves before a fork stand still here.
//   streams FORKS
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define READERS 2u

static _Atomic bool stop;
static _Atomic unsigned long lines;
static _Atomic unsigned long flushes;

static void *reads_lines(void *argument) {
    FILE *file = argument;
    while (!stop) {
        char *line = NULL;
        size_t room = 0;
        rewind(file);
        while (!stop && getline(&line, &room, file) != -1) {
            if (++lines % 512 == 0) {
                (void)usleep(50); // leave the machine to the children, too
            }
            if (lines % 4 == 0) { // so that the next one grows again, under the lock
                free(line);
                line = NULL;
                room = 0;
            }
        }
        free(line);
    }
    return NULL;
}

static void *flushes_all(void *argument) {
    while (!stop) {
        (void)fflush(NULL);
        if (++flushes % 64 == 0) {
            (void)usleep(50);
        }
    }
    return argument;
}

static FILE *make_file(void) {
    FILE *file = tmpfile();
    REQUIRE(file != NULL, "a temporary file");
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned j = 0; j < i * 7 % 500; j++) {
            (void)fputc('x', file);
        }
        (void)fputc('\n', file);
    }
    return file;
}

static void child(unsigned number) {
    alarm(30);
    void *blocks[20];
    for (unsigned i = 0; i < 20; i++) {
        blocks[i] = malloc(i * 500);
        REQUIRE(blocks[i] != NULL, "memory in the child");
    }
    for (unsigned i = 0; i < 20; i++) {
        free(blocks[i]);
    }
#ifdef __GLIBC__ // others leave the locks of streams held in the child, and exit waits for them
    if (number % 50 == 0) {
        exit(0);
    }
#else
    (void)number;
#endif
    _exit(0);
}

int main(int count, char **values) {
    unsigned forks = count > 1 ? (unsigned)strtoul(values[1], NULL, 0) : 1000;
    pthread_t threads[READERS + 1];
    alarm(250); // no hang
    for (unsigned i = 0; i < READERS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, reads_lines, make_file()) == 0, "a thread");
    }
    REQUIRE(pthread_create(&threads[READERS], NULL, flushes_all, NULL) == 0, "a thread");
    for (unsigned i = 0; i < forks; i++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0, "fork %u", i);
        if (pid == 0) {
            child(i);
        }
        int status = 0;
        REQUIRE(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
                "child %u: status %#x", i, (unsigned)status);
    }
    stop = true;
    for (unsigned i = 0; i <= READERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    REQUIRE(lines > forks / 10 && flushes > forks / 10, "%lu lines, %lu flushes",
            (unsigned long)lines, (unsigned long)flushes);
    printf("%u forks beside %lu lines and %lu flushes\n", forks, (unsigned long)lines,
           (unsigned long)flushes);
    return 0;
}
