// Memory for the tool itself. A tool that has none left says so and ends.
#ifndef LUCID_UTIL_MEMORY_H
#define LUCID_UTIL_MEMORY_H

#include <stddef.h>

void *memory_take(size_t bytes); // zeroed, never NULL
// The same for a type with an alignment of its own; its size is a multiple of that.
void *memory_take_aligned(size_t alignment, size_t bytes);

char *memory_text(const char *text); // a copy

// Makes room for one more element at the end of a growing array.
void *memory_grow(void *array, size_t count, size_t *capacity, size_t element);

// The whole of a file that may be in /proc (whose size is not known before it is read), with a
// NUL behind it. NULL: errno says why.
char *memory_file(const char *path, size_t *length);

#endif
