// Misuse of heaps of the program's own, for misuse.c.
#include "cases.h"

#include <lucid.h>

static lucid_heap *have_heap(void) {
    lucid_heap *heap = lucid_heap_new("misused");
    REQUIRE(heap != NULL, "a heap");
    (void)hide(lucid_heap_alloc(heap, 100));
    return heap;
}

static void heap_double(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100));
    lucid_heap_free(heap, block);
    lucid_heap_free(heap, hide(block));
}

static void heap_double_plain(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100));
    free(block);
    free(hide(block));
}

static void heap_double_large(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100000));
    lucid_heap_free(heap, block);
    free(hide(block));
}

static void heap_freed_after_all(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100));
    lucid_heap_free_all(heap);
    lucid_heap_free(heap, hide(block));
}

static void heap_resized_after_all(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100));
    lucid_heap_free_all(heap);
    (void)hide(realloc(hide(block), 200));
}

static void heap_realloc_freed(void) {
    lucid_heap *heap = have_heap();
    void *block = announce(lucid_heap_alloc(heap, 100));
    lucid_heap_free(heap, block);
    (void)hide(lucid_heap_realloc(heap, hide(block), 200));
}

static void heap_free_interior(void) {
    lucid_heap *heap = have_heap();
    char *block = lucid_heap_alloc(heap, 100);
    lucid_heap_free(heap, announce(block + 16));
}

static void heap_free_never_handed_out(void) {
    lucid_heap *heap = have_heap();
    char *block = lucid_heap_alloc(heap, 1024);
    lucid_heap_free(heap, announce(block + (size_t)4 * 1024));
}

static void heap_free_of_another(void) {
    lucid_heap *heap = have_heap();
    lucid_heap *other = have_heap();
    lucid_heap_free(heap, announce(lucid_heap_alloc(other, 100)));
}

static void heap_free_of_malloc(void) {
    lucid_heap *heap = have_heap();
    lucid_heap_free(heap, announce(have(100)));
}

static void heap_destroyed(void) {
    lucid_heap *heap = have_heap();
    lucid_heap_destroy(announce(heap));
    (void)lucid_heap_alloc(hide(heap), 10);
}

static void heap_destroyed_twice(void) {
    lucid_heap *heap = have_heap();
    lucid_heap_destroy(announce(heap));
    lucid_heap_destroy(hide(heap));
}

static void heap_that_is_none(void) {
    char block[600] = {0};
    (void)lucid_heap_alloc(announce(block), 10);
}

static void heap_that_is_a_block(void) {
    lucid_heap_free_all(announce(have(1000)));
}

const struct misuse_case heap_cases[] = {
    CASE(heap_double),
    CASE(heap_double_plain),
    CASE(heap_double_large),
    CASE(heap_freed_after_all),
    CASE(heap_resized_after_all),
    CASE(heap_realloc_freed),
    CASE(heap_free_interior),
    CASE(heap_free_never_handed_out),
    CASE(heap_free_of_another),
    CASE(heap_free_of_malloc),
    CASE(heap_destroyed),
    CASE(heap_destroyed_twice),
    CASE(heap_that_is_none),
    CASE(heap_that_is_a_block),
    {NULL, NULL},
};
