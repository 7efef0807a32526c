// The edges of every function's contract: sizes, alignments, overflow, errno. The C library's own
// behaviour is the measure, where it has one.
#include "testing.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>

extern void *aligned_alloc(size_t alignment, size_t size);
extern void free_sized(void *block, size_t size);
extern void free_aligned_sized(void *block, size_t alignment, size_t size);
extern void *_Znwm(size_t size);
extern void *_ZnwmSt11align_val_t(size_t size, size_t alignment);

#define TOO_LARGE ((size_t)PTRDIFF_MAX + 1)

// Keeps the compiler from judging the sizes.
static size_t hide(size_t size) {
    __asm__ volatile("" : "+r"(size));
    return size;
}

static void require_refused(const void *block, int expected, const char *call, size_t size) {
    REQUIRE(block == NULL && errno == expected, "%s(%zx) gives %p and errno %d", call, size, block,
            errno);
    errno = 0;
}

static void too_large(void) {
    static const size_t sizes[] = {
        TOO_LARGE,    TOO_LARGE + 1, SIZE_MAX - 4096,     SIZE_MAX - 15,
        SIZE_MAX - 1, SIZE_MAX,      (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX - 4096};
    void *kept = malloc(100);
    test_fill(kept, 100);
    errno = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = hide(sizes[i]);
        void *aligned = &aligned;
        require_refused(malloc(size), ENOMEM, "malloc", size);
        require_refused(calloc(1, size), ENOMEM, "calloc", size);
        require_refused(calloc(size, 1), ENOMEM, "calloc", size);
        require_refused(realloc(NULL, size), ENOMEM, "realloc", size);
        require_refused(realloc(kept, size), ENOMEM, "realloc", size);
        require_refused(reallocarray(kept, size, 1), ENOMEM, "reallocarray", size);
        require_refused(aligned_alloc(64, size), ENOMEM, "aligned_alloc", size);
        require_refused(aligned_alloc(16, size), ENOMEM, "aligned_alloc", size);
        require_refused(memalign(1 << 20, size), ENOMEM, "memalign", size);
        require_refused(valloc(size), ENOMEM, "valloc", size);
        require_refused(pvalloc(size), ENOMEM, "pvalloc", size);
        int result = posix_memalign(&aligned, 64, size);
        REQUIRE(result == ENOMEM && aligned == &aligned && errno == ENOMEM,
                "posix_memalign(%zx) gives %d, errno %d", size, result, errno);
        errno = 0;
    }
    REQUIRE(test_filled(kept, kept, 100, 100), "the block that could not grow is as it was");
    free(kept);
}

static void overflow(void) {
    static const size_t factors[][2] = {{SIZE_MAX, 2},
                                        {SIZE_MAX / 2 + 1, 2},
                                        {(size_t)1 << 32, (size_t)1 << 32},
                                        {3, SIZE_MAX / 2}};
    void *kept = malloc(100);
    for (size_t i = 0; i < 4; i++) {
        size_t a = hide(factors[i][0]);
        size_t b = hide(factors[i][1]);
        errno = 0;
        require_refused(calloc(a, b), ENOMEM, "calloc", a);
        require_refused(calloc(b, a), ENOMEM, "calloc", a);
        require_refused(reallocarray(kept, a, b), ENOMEM, "reallocarray", a);
        require_refused(reallocarray(NULL, b, a), ENOMEM, "reallocarray", a);
    }
    free(kept);
    REQUIRE(calloc(hide(0), hide(SIZE_MAX)) != NULL && calloc(hide(SIZE_MAX), hide(0)) != NULL,
            "no overflow");
}

static void zero_sizes(void) {
    void *a = malloc(0);
    void *b = malloc(0);
    REQUIRE(a != NULL && b != NULL && a != b, "malloc(0) gives blocks of their own: %p, %p", a, b);
    REQUIRE(realloc(a, 0) == NULL, "realloc(p, 0) frees");
    free(b);
    void *blocks[] = {calloc(0, 0),      realloc(NULL, 0), aligned_alloc(64, 0),
                      memalign(4096, 0), valloc(0),        pvalloc(0)};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        REQUIRE(blocks[i] != NULL, "function %zu, size 0", i);
        free(blocks[i]);
    }
    void *aligned = NULL;
    REQUIRE(posix_memalign(&aligned, 64, 0) == 0 && aligned != NULL, "posix_memalign of 0");
    free(aligned);
    void *page = pvalloc(1);
    REQUIRE(malloc_usable_size(page) >= (size_t)sysconf(_SC_PAGESIZE),
            "pvalloc rounds up to a page");
    free(page);
    free(NULL);
    free_sized(NULL, 0);
    free_aligned_sized(NULL, 0, 0);
    REQUIRE(malloc_usable_size(NULL) == 0, "the size of no block");
}

static void require_aligned(void *block, size_t alignment, size_t size) {
    if (block == NULL) {
        REQUIRE(errno == ENOMEM && alignment > ((size_t)1 << 44), "%zx bytes at %zx, errno %d",
                size, alignment, errno);
        return;
    }
    REQUIRE((uintptr_t)block % alignment == 0 && (uintptr_t)block % 16 == 0, "%p at %zx", block,
            alignment);
    REQUIRE(malloc_usable_size(block) >= size, "%zx bytes at %zx", size, alignment);
    memset(block, 0x77, size);
    free(block);
}

static void alignments(void) {
    static const size_t sizes[] = {0, 1, 16, 17, 100, 1000, 4096, 5000, 32768, 40000, 300000};
    for (unsigned shift = 0; shift < 64; shift++) {
        size_t alignment = (size_t)1 << shift;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            errno = 0;
            require_aligned(aligned_alloc(hide(alignment), sizes[i]), alignment, sizes[i]);
            require_aligned(memalign(hide(alignment), sizes[i]), alignment, sizes[i]);
            void *block = NULL;
            int result = posix_memalign(&block, hide(alignment), sizes[i]);
            if (alignment < sizeof(void *)) {
                REQUIRE(result == EINVAL, "posix_memalign at %zx gives %d", alignment, result);
            } else {
                errno = result;
                require_aligned(block, alignment, sizes[i]);
            }
        }
    }
}

static void wrong_alignments(void) {
    static const size_t wrong[] = {0,  3,  5,   6,    7,    9,        12,
                                   24, 48, 100, 4095, 4097, SIZE_MAX, SIZE_MAX / 2 + 2};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t alignment = hide(wrong[i]);
        void *block = &block;
        errno = 0;
        require_refused(aligned_alloc(alignment, 10), EINVAL, "aligned_alloc", alignment);
        REQUIRE(posix_memalign(&block, alignment, 10) == EINVAL && block == &block && errno == 0,
                "posix_memalign(%zx)", alignment);
    }
    // memalign rounds up instead, as the C library's does, as far as it can.
    // One block may be aligned by chance, a row of neighbours is not.
    void *blocks[16];
    for (size_t i = 0; i < 16; i++) {
        blocks[i] = memalign(hide(100), 10);
        REQUIRE((uintptr_t)blocks[i] % 128 == 0 && blocks[i] != NULL, "memalign(100) gives %p",
                blocks[i]);
    }
    for (size_t i = 0; i < 16; i++) {
        free(blocks[i]);
    }
    errno = 0;
    require_refused(memalign(hide(SIZE_MAX / 2 + 2), 10), EINVAL, "memalign", SIZE_MAX / 2 + 2);
}

// Whatever the size, the pointer is a multiple of 16, the usable size stays,
// and all of it is usable.
static void usable_sizes(void) {
    for (size_t size = 0; size < 70000; size += size < 2000 ? 1 : 97) {
        void *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        REQUIRE((uintptr_t)block % 16 == 0 && usable >= size, "%zu bytes: %p, %zu", size, block,
                usable);
        memset(block, 0x11, usable);
        void *neighbour = malloc(size);
        memset(neighbour, 0x22, malloc_usable_size(neighbour));
        REQUIRE(malloc_usable_size(block) == usable && ((char *)block)[usable - 1] == 0x11,
                "%zu bytes", size);
        void *same = realloc(block, usable);
        REQUIRE(same == block, "realloc to the usable size %zu moves", usable);
        free(same);
        free(neighbour);
    }
    static const size_t large[] = {1 << 20, 40 << 20, 100 << 20};
    for (size_t i = 0; i < 3; i++) {
        void *block = malloc(large[i] + 1);
        size_t usable = malloc_usable_size(block);
        ((char *)block)[usable - 1] = 1;
        REQUIRE(usable > large[i] && realloc(block, usable) == block, "%zu", usable);
        free(block);
    }
}

static void check_resize(void *block, size_t from, size_t to) {
    test_fill(block, from);
    void *moved = realloc(block, to);
    REQUIRE(moved != NULL && test_filled(moved, block, from < to ? from : to, from),
            "realloc of %zu to %zu keeps the contents", from, to);
    free(moved);
}

static void resizes(void) {
    static const size_t sizes[] = {1,     16,     100,     1000,     5000,    32768,
                                   32769, 100000, 3000000, 33 << 20, 70 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            check_resize(malloc(sizes[i]), sizes[i], sizes[j]);
            check_resize(aligned_alloc(65536, sizes[i]), sizes[i], sizes[j]);
        }
    }
}

static void errno_is_kept(void) {
    static const size_t sizes[] = {0, 100, 5000, 100000, 3000000, 40 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = malloc(sizes[i]);
        errno = 1789;
        free(block);
        REQUIRE(errno == 1789, "free of %zu bytes changed errno to %d", sizes[i], errno);
        block = malloc(sizes[i]);
        REQUIRE(errno == 1789, "malloc of %zu bytes changed errno to %d", sizes[i], errno);
        free_sized(block, sizes[i]);
        REQUIRE(errno == 1789, "free_sized of %zu bytes changed errno to %d", sizes[i], errno);
    }
    errno = 1789;
    free(NULL);
    REQUIRE(errno == 1789, "free(NULL) changed errno");
}

// Memory that was written to and freed comes back as zeros from calloc, whatever its size.
static void zeros(void) {
    for (unsigned round = 0; round < 3; round++) {
        for (size_t size = 1; size < ((size_t)48 << 20); size = size * 3 / 2 + 1) {
            void *dirty = malloc(size);
            memset(dirty, 0xee, size);
            free(dirty);
            void *block = calloc(1, size);
            REQUIRE(block != NULL && test_zero(block, size), "calloc of %zu bytes", size);
            memset(block, 0xdd, size);
            free(block);
        }
        (void)malloc_trim(0);
    }
}

static const char cannot_throw[] =
    " lucid: operator new: no memory, and no C++ library to throw bad_alloc; bytes 0x";

// This is no C++ program: nobody can throw bad_alloc here, and operator new must not return null.
static void operator_new_ends(bool aligned) {
    int ends[2];
    char text[300] = {0};
    int status = 0;
    REQUIRE(pipe(ends) == 0, "a pipe");
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        void *block = aligned ? _ZnwmSt11align_val_t(TOO_LARGE, 64) : _Znwm(TOO_LARGE);
        _exit(block != NULL);
    }
    (void)close(ends[1]);
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child"); // its one line fits into the pipe
    REQUIRE(read(ends[0], text, sizeof(text) - 1) > 0 && strstr(text, cannot_throw) != NULL,
            "the report is \"%s\"", text);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned)status);
    (void)close(ends[0]);
}

int main(void) {
    operator_new_ends(false);
    operator_new_ends(true);
    too_large();
    overflow();
    zero_sizes();
    alignments();
    wrong_alignments();
    usable_sizes();
    resizes();
    errno_is_kept();
    zeros();
    printf("every edge holds\n");
    return 0;
}
