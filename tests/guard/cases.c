// One use or misuse of a sampled block per case: cases NAME. Run with guard=1/1, where every block
// that a refill would bring is sampled as long as there are slots.
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, TRIES = 20000 };

static char *volatile block;

static int at_page_end(const char *p, size_t size) {
    return ((uintptr_t)p + ((size + 15) & ~(size_t)15)) % PAGE == 0;
}

static int at_page_start(const char *p) {
    return (uintptr_t)p % PAGE == 0;
}

// Slots are pages of a mapping that /proc/self/maps shows by name where the kernel can, and that
// lies far from the heap in any case.
static int sampled(const char *p) {
    static char *heap;
    if (heap == NULL) {
        heap = malloc(100000);
    }
    return p - heap > (1l << 38) || heap - p > (1l << 38);
}

// A sampled block at the end of its page, or at its start.
__attribute__((noinline)) char *take_sampled(size_t size, int at_end) {
    for (int i = 0; i < TRIES; i++) {
        char *p = malloc(size);
        if (sampled(p) && (at_end ? at_page_end(p, size) : at_page_start(p))) {
            return p;
        }
        if (sampled(p)) {
            free(p);
        }
    }
    printf("no block was sampled\n");
    exit(3);
}

__attribute__((noinline)) void give(char *p) {
    free(p);
}

__attribute__((noinline)) void misuse(char *p) {
    *p = 1;
}

static void overflow(void) {
    block = take_sampled(64, 1);
    misuse(block + 64);
}

static void overflow_read(void) {
    block = take_sampled(64, 1);
    printf("%d\n", block[64]);
}

static void underflow(void) {
    block = take_sampled(64, 0);
    misuse(block - 1);
}

static void use_after_free(void) {
    block = take_sampled(64, 1);
    give(block);
    misuse(block + 8);
}

static void small_overflow(void) {
    block = take_sampled(20, 1);
    block[20] = 0; // the filling is random but never zero
    give(block);
}

static void small_underflow(void) {
    block = take_sampled(64, 1);
    block[-1] ^= 1; // whatever the filling is, this changes it
    give(block);
}

static void double_free(void) {
    block = take_sampled(64, 1);
    give(block);
    give(block);
}

static void interior(void) {
    block = take_sampled(64, 1);
    give(block + 16);
}

static void grow_freed(void) {
    block = take_sampled(64, 1);
    give(block);
    block = realloc(block, 100);
}

static sigjmp_buf back;

static void own_handler(int number) {
    printf("handler %d\n", number);
    siglongjmp(back, 1);
}

static void own_info_handler(int number, siginfo_t *info, void *context) {
    (void)context;
    printf("handler %d %d\n", number, info->si_addr == block + 64);
    siglongjmp(back, 1);
}

// The program's handler was there before the first sample, and sees the fault all the same.
static void chained(void) {
    struct sigaction mine = {.sa_handler = own_handler};
    sigaction(SIGSEGV, &mine, NULL);
    block = take_sampled(64, 1);
    if (sigsetjmp(back, 1) == 0) {
        misuse(block + 64);
    }
    printf("goes on\n");
}

static void chained_info(void) {
    struct sigaction mine = {.sa_sigaction = own_info_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &mine, NULL);
    block = take_sampled(64, 1);
    if (sigsetjmp(back, 1) == 0) {
        misuse(block + 64);
    }
    printf("goes on\n");
}

// Faults that are none of ours, and signals that are none of the processor's.
static void foreign_fault(void) {
    struct sigaction mine = {.sa_handler = own_handler};
    sigaction(SIGSEGV, &mine, NULL);
    block = take_sampled(64, 1);
    for (int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1) == 0) {
            *(volatile char *)8 = 1;
        }
    }
    if (sigsetjmp(back, 1) == 0) {
        raise(SIGSEGV);
    }
    printf("goes on\n");
}

static void foreign_fault_default(void) {
    block = take_sampled(64, 1);
    *(volatile char *)8 = 1;
}

static void raised_default(void) {
    block = take_sampled(64, 1);
    raise(SIGSEGV);
}

static void raised_ignored(void) {
    signal(SIGSEGV, SIG_IGN);
    block = take_sampled(64, 1);
    raise(SIGSEGV);
    printf("goes on\n");
}

static void stack_overflow_handler(int number) {
    printf("handler %d\n", number);
    fflush(stdout);
    _exit(0);
}

static int deep(int n) {
    volatile char room[4096];
    room[0] = (char)n;
    return n == 0 ? 0 : deep(n + 1) + room[0];
}

static void stack_overflow(void) {
    static char other_stack[65536];
    stack_t alternative = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
    struct sigaction mine = {.sa_handler = stack_overflow_handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &mine, NULL);
    block = take_sampled(64, 1);
    printf("%d\n", deep(1));
}

// Every size and every function of the family, all blocks kept and full, so that slots run out.
static void family(void) {
    static char *kept[2000];
    static size_t sizes[2000];
    int guarded = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2000; i++) {
            size_t size = (size_t)(i * 37 + round * 11) % 5000 + 1;
            if (kept[i] != NULL) {
                for (size_t k = 0; k < sizes[i]; k++) {
                    if (kept[i][k] != (char)i) {
                        printf("contents of %d\n", i);
                        exit(3);
                    }
                }
            }
            switch ((i + round) % 4) {
            case 0:
                free(kept[i]);
                kept[i] = malloc(size);
                break;
            case 1:
                free(kept[i]);
                kept[i] = calloc(1, size);
                for (size_t k = 0; k < size; k++) {
                    if (kept[i][k] != 0) {
                        printf("calloc\n");
                        exit(3);
                    }
                }
                break;
            case 2:
                kept[i] = realloc(kept[i], size);
                break;
            default:
                free(kept[i]);
                kept[i] = aligned_alloc(256, size);
                if ((uintptr_t)kept[i] % 256 != 0) {
                    printf("alignment\n");
                    exit(3);
                }
            }
            if ((uintptr_t)kept[i] % 16 != 0 || malloc_usable_size(kept[i]) < size) {
                printf("block %p\n", (void *)kept[i]);
                exit(3);
            }
            sizes[i] = malloc_usable_size(kept[i]);
            memset(kept[i], i, sizes[i]);
            guarded += sampled(kept[i]);
        }
    }
    printf("%d sampled\n", guarded);
}

static void rate(void) {
    static char *kept[200000];
    int guarded = 0;
    for (int i = 0; i < 200000; i++) {
        kept[i] = malloc(48);
        if (sampled(kept[i])) {
            guarded++;
            free(kept[i]); // so that the slots suffice
        }
    }
    printf("%d\n", guarded);
}

static void *thread_work(void *unused) {
    for (int i = 0; i < 3000; i++) {
        char *p[50];
        for (int k = 0; k < 50; k++) {
            p[k] = malloc((size_t)(i * k) % 900 + 1);
            memset(p[k], k, (size_t)(i * k) % 900 + 1);
        }
        for (int k = 0; k < 50; k++) {
            free(p[k]);
        }
    }
    return unused;
}

static void threads(void) {
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&thread[i], NULL, thread_work, NULL);
    }
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            thread_work(NULL);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) {
            printf("child %d\n", status);
        }
        i += 9;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("done\n");
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"overflow", overflow},
    {"overflow_read", overflow_read},
    {"underflow", underflow},
    {"use_after_free", use_after_free},
    {"small_overflow", small_overflow},
    {"small_underflow", small_underflow},
    {"double_free", double_free},
    {"interior", interior},
    {"grow_freed", grow_freed},
    {"chained", chained},
    {"chained_info", chained_info},
    {"foreign_fault", foreign_fault},
    {"foreign_fault_default", foreign_fault_default},
    {"raised_default", raised_default},
    {"raised_ignored", raised_ignored},
    {"stack_overflow", stack_overflow},
    {"family", family},
    {"rate", rate},
    {"threads", threads},
};

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: cases NAME\n");
    return 64;
}
