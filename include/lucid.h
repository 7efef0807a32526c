/* lucid.h - the lucid memory allocator, version 0.1
 *
 * Link with -llucid, or run a program with `lucid run`: malloc and its relatives are lucid's then
 * and need no header but the C library's. The functions below are the same under names of their
 * own, and what goes beyond the C library.
 *
 * All functions may be called from any thread at any time. None may be called from a signal
 * handler that interrupts another of them, except in a program with one thread that has not been
 * interrupted inside one.
 */
#ifndef LUCID_H
#define LUCID_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#if __cplusplus >= 201103L
#define LUCID_NOTHROW noexcept
#else
#define LUCID_NOTHROW throw()
#endif
#else
#define LUCID_NOTHROW
#endif

#define LUCID_VERSION "0.1.0"
#define LUCID_VISIBLE __attribute__((visibility("default")))

/* Every block is aligned to 16 bytes and belongs to the caller until it is given to
 * lucid_free or lucid_realloc.
 *
 * Errors: functions that return a pointer return NULL and set errno to ENOMEM when there is no
 * memory or the size exceeds PTRDIFF_MAX; the state of the heap is unchanged. A pointer that is
 * not the start of a block in use ends the process with one line on standard error. */

/* At least `size` bytes; size 0 gives a block of its own. Contents are undefined. */
void *lucid_malloc(size_t size) LUCID_NOTHROW;

/* count * size bytes of zeros. ENOMEM also when the product overflows. */
void *lucid_calloc(size_t count, size_t size) LUCID_NOTHROW;

/* A block of `size` bytes with the contents of the one at `pointer` as far as they fit. NULL: that
 * one is unchanged. NULL for `pointer` is lucid_malloc(size); size 0 frees and returns NULL. */
void *lucid_realloc(void *pointer, size_t size) LUCID_NOTHROW;
void *lucid_reallocarray(void *pointer, size_t count, size_t size) LUCID_NOTHROW;

/* Gives a block back; NULL is allowed. errno is kept. */
void lucid_free(void *pointer) LUCID_NOTHROW;

/* The same, and the size (and alignment) must be those the block was allocated with. With NULL they
 * may be anything. */
void lucid_free_sized(void *pointer, size_t size) LUCID_NOTHROW;
void lucid_free_aligned_sized(void *pointer, size_t alignment, size_t size) LUCID_NOTHROW;

/* Aligned blocks. lucid_aligned_alloc: EINVAL unless the alignment is a power of two.
 * lucid_memalign rounds other alignments up to one. lucid_posix_memalign returns EINVAL, or
 * ENOMEM, which errno is then, too. lucid_valloc aligns to pages, lucid_pvalloc also rounds the
 * size up to pages. */
void *lucid_aligned_alloc(size_t alignment, size_t size) LUCID_NOTHROW;
void *lucid_memalign(size_t alignment, size_t size) LUCID_NOTHROW;
int lucid_posix_memalign(void **result, size_t alignment, size_t size) LUCID_NOTHROW;
void *lucid_valloc(size_t size) LUCID_NOTHROW;
void *lucid_pvalloc(size_t size) LUCID_NOTHROW;

/* How many bytes of a block may be used: at least what was asked for, the same for the life of
 * the block. 0 for NULL. */
size_t lucid_malloc_usable_size(void *pointer) LUCID_NOTHROW;

/* Statistics and tuning as in glibc (mallinfo(3), malloc_info(3), malloc_stats(3), mallopt(3),
 * malloc_trim(3)); struct mallinfo and mallinfo2 and the parameters are in its <malloc.h>. Other C
 * libraries have none of it, so they are here. */
#ifndef __GLIBC__
struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
#define M_MXFAST 1
#define M_TRIM_THRESHOLD (-1)
#define M_TOP_PAD (-2)
#define M_MMAP_THRESHOLD (-3)
#define M_MMAP_MAX (-4)
#define M_CHECK_ACTION (-5)
#define M_PERTURB (-6)
#define M_ARENA_TEST (-7)
#define M_ARENA_MAX (-8)
#endif
struct mallinfo lucid_mallinfo(void) LUCID_NOTHROW;
struct mallinfo2 lucid_mallinfo2(void) LUCID_NOTHROW;
int lucid_malloc_info(int options, FILE *stream) LUCID_NOTHROW;
void lucid_malloc_stats(void) LUCID_NOTHROW;
int lucid_mallopt(int parameter, int value) LUCID_NOTHROW;
int lucid_malloc_trim(size_t keep) LUCID_NOTHROW;

/* The heap in numbers. All are exact while no other thread is inside the allocator; otherwise each
 * is right for a moment of its own, and off by no more than what the other threads are moving.
 * Bytes are address space, whether it is resident or not, unless it says so.
 *
 *   arena_bytes + mapped_bytes = live_bytes + slack_bytes + cached_bytes + free_bytes + fresh_bytes
 *                                + pool_bytes + top_bytes
 *
 * New members come at the end only. */
struct lucid_stats {
    size_t size;             /* of this struct; see lucid_stats_get */
    uint64_t live_blocks;    /* in use by the program, of all kinds */
    uint64_t live_bytes;     /* of these, as below */
    uint64_t small_blocks;   /* up to 32 KiB */
    uint64_t small_bytes;    /* rounded up to their class; in hardened mode as asked for */
    uint64_t large_blocks;   /* above, in the arena */
    uint64_t large_bytes;    /* as asked for */
    uint64_t mapping_blocks; /* with a mapping of their own */
    uint64_t mapping_bytes;  /* as asked for */
    uint64_t guarded_blocks; /* between guard pages (option guard) */
    uint64_t guarded_bytes;  /* as asked for */
    uint64_t slack_bytes;    /* what blocks take up beyond that */
    uint64_t cached_blocks;  /* free, in the bins of threads */
    uint64_t cached_bytes;
    uint64_t free_blocks; /* free, used before, in nobody's bin */
    uint64_t free_bytes;
    uint64_t fresh_bytes;         /* of spans: in no block that was ever handed out */
    uint64_t pool_bytes;          /* free, not part of any span */
    uint64_t dirty_bytes;         /* of these: written to since the kernel gave them */
    uint64_t top_bytes;           /* of the arena: not used by anything yet */
    uint64_t arena_bytes;         /* of the whole arena */
    uint64_t mapped_bytes;        /* of all mappings and guarded pages */
    uint64_t metadata_bytes;      /* the allocator's tables, opened so far */
    uint64_t returned_bytes;      /* given back to the kernel since the start, in total */
    uint64_t spans;               /* runs of blocks of one class */
    uint64_t threads;             /* that have a heap */
    uint64_t resident_bytes;      /* of the process, as the kernel counts; 0: unknown */
    uint64_t peak_resident_bytes; /* the most there ever was since exec; 0: unknown */
};

/* Fills a struct whose `size` the caller has set to its sizeof. On return `size` is what this
 * library has filled: less than the caller's when the library is older, and the rest is 0 then.
 * Returns 0, or -1 with errno: EINVAL, NULL or a size that is none; ENOMEM, there is no heap. Takes
 * time in proportion to the number of spans and free runs, and some system calls. Never allocates,
 * so it may be called under the caller's own locks. */
int lucid_stats_get(struct lucid_stats *stats) LUCID_NOTHROW;

/* Writes the same and the blocks of each size class to a file descriptor: as one line of JSON
 * (schema lucid.stats/1), or in the text format of OpenMetrics. Both without stdio and without
 * allocating. Returns 0, or -1 with errno: ENOMEM, or that of write(2) when not all was written. */
int lucid_stats_print_json(int fd) LUCID_NOTHROW;
int lucid_stats_print_openmetrics(int fd) LUCID_NOTHROW;

/* Gives all free memory back to the system that can go, and returns how many bytes went at once:
 * what the calling thread's bins, the threads that are gone, the spans and the pool held. Other
 * threads' bins are theirs: each thread is asked, and gives back all that its bins hold at its next
 * call that frees a block of a class it has free blocks of, or that finds a bin empty. From a
 * thread that makes no such call a thread of lucid's own takes it within a moment, but for one
 * block of each size class; where there can be no such thread it stays, at most 64 KiB for each
 * size class. lucid_malloc_trim does the same, but leaves `keep` bytes of free memory, and never
 * breaks up huge pages for free memory that was not written to. */
size_t lucid_trim(void) LUCID_NOTHROW;

/* Options by name, their values as text in the notation of lucid-options(7).
 * lucid_option_set changes one for the whole process, from now on. Returns 0, or -1 with errno:
 * ENOENT, no option is called so; EPERM, it can be set only before the program starts; EINVAL, the
 * text is no value for it or out of range; ENOMEM, there is no heap.
 * lucid_option_get writes the value in force to `value`, which has room for `room` bytes, the
 * terminator included; 32 are always enough. Returns 0, or -1 with errno: ENOENT; ERANGE, `room` is
 * too small; ENOMEM. */
int lucid_option_set(const char *name, const char *value) LUCID_NOTHROW;
int lucid_option_get(const char *name, char *value, size_t room) LUCID_NOTHROW;

/* Options of the program, for those who cannot set its environment: a program may define this
 * symbol, as in
 *     const char *lucid_options = "purge_age=2s,mmap_threshold=4M";
 * It is read once, before the first block is served, after /etc/lucid.conf and before the variable
 * LUCID_OPTIONS, and what is read later counts; lucid-options(7) has the options and the notation.
 * The text must be a constant. The library finds the symbol when the program is linked with it, or
 * exports its symbols (-rdynamic). */
extern const char *lucid_options LUCID_VISIBLE;

/* A limit for the memory that lucid takes: 0 for none, or 1 MiB at least. What counts is what may
 * be in memory: spans and large blocks in use, free memory that has not been given back yet,
 * mappings of blocks in full, and lucid's own tables. A request that would exceed the limit first
 * makes lucid give back what is free, then calls what lucid_on_limit has set, and then fails as if
 * there were no memory. What is taken already when a lower limit is set stays. Returns 0, or EINVAL
 * for a limit that is none, or ENOMEM when lucid itself cannot start. Option `limit`. */
int lucid_limit_set(size_t bytes) LUCID_NOTHROW;

/* Called before a request for `size` bytes fails at the limit: on the thread that made it, within
 * the function that allocates, outside all locks of lucid. It may free blocks, and allocate as far
 * as there is room; it is not called again for that. Not zero: try again. A request for more than
 * the whole limit fails without a call. One callback is in force; NULL: none.
 *
 * It must return, neither longjmp nor throw: it would never be called on that thread again. glibc
 * declares malloc and its relatives `leaf` in C: a compiler may assume that their calls change no
 * static variable of the file they are in. One that the callback changes has to be volatile or
 * atomic where the same file allocates. */
void lucid_on_limit(int (*callback)(void *context, size_t size), void *context) LUCID_NOTHROW;

/* Heaps of the program's own, for what dies together: a request, a document, a phase. The blocks
 * of a heap are given back one by one or all at once, and the latter takes time in proportion to
 * the memory, 16 KiB or more at a time, not to the number of blocks. Any thread may use any heap;
 * a lock is taken for each call, so malloc is the faster one for what is freed one by one.
 *
 * lucid_free, lucid_realloc and lucid_malloc_usable_size, and the C library's names for them, take
 * these blocks too: a block stays with its heap whoever frees or resizes it. */
typedef struct lucid_heap lucid_heap;

/* A heap without blocks. `name` is copied (31 bytes of it) and shown by `lucid arena` and
 * `lucid stats`; it may be NULL. NULL and ENOMEM: no memory. */
lucid_heap *lucid_heap_new(const char *name) LUCID_NOTHROW;
void lucid_heap_set_name(lucid_heap *heap, const char *name) LUCID_NOTHROW;

/* As lucid_malloc, lucid_calloc, lucid_aligned_alloc and lucid_realloc. */
void *lucid_heap_alloc(lucid_heap *heap, size_t size) LUCID_NOTHROW;
void *lucid_heap_calloc(lucid_heap *heap, size_t count, size_t size) LUCID_NOTHROW;
void *lucid_heap_aligned_alloc(lucid_heap *heap, size_t alignment, size_t size) LUCID_NOTHROW;
void *lucid_heap_realloc(lucid_heap *heap, void *block, size_t size) LUCID_NOTHROW;

/* Gives one block back. The block must be of this heap; NULL is allowed. */
void lucid_heap_free(lucid_heap *heap, void *block) LUCID_NOTHROW;

/* Gives all blocks back. Nobody may use one of them any more, nor call for the heap meanwhile.
 * lucid_heap_destroy also ends the heap; a later use of it ends the process with one line. */
void lucid_heap_free_all(lucid_heap *heap) LUCID_NOTHROW;
void lucid_heap_destroy(lucid_heap *heap) LUCID_NOTHROW;

/* The version of the library in use, such as "0.1.0". */
const char *lucid_version(void) LUCID_NOTHROW;

#ifdef __cplusplus
}
#endif

#endif
