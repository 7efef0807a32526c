// The allocation functions that take an alignment.
#include "alloc.h"
#include "export.h"
#include "os/os.h"

#include <errno.h>
#include <lucid.h>

static void *aligned_or_invalid(size_t alignment, size_t size) {
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_aligned(alignment, size);
}

EXPORT void *lucid_aligned_alloc(size_t alignment, size_t size) {
    return aligned_or_invalid(alignment, size);
}
STANDARD_NAME(void *, aligned_alloc, (size_t, size_t), lucid_aligned_alloc)

// Like the C library's: an alignment that is no power of two is rounded up to the next one, and
// one beyond the largest is invalid.
EXPORT void *lucid_memalign(size_t alignment, size_t size) {
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    if (alignment > 1 && !is_power_of_two(alignment)) {
        alignment = (size_t)1 << (bit_highest(alignment) + 1);
    }
    return alloc_aligned(alignment, size);
}
STANDARD_NAME(void *, memalign, (size_t, size_t), lucid_memalign)
GLIBC_NAME(void *, memalign, (size_t, size_t), lucid_memalign)

// POSIX does not ask for errno, but glibc and musl set it where memory is short.
EXPORT int lucid_posix_memalign(void **result, size_t alignment, size_t size) {
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    void *block = alloc_aligned(alignment, size);
    if (block == NULL) {
        return ENOMEM;
    }
    *result = block;
    return 0;
}
STANDARD_NAME(int, posix_memalign, (void **, size_t, size_t), lucid_posix_memalign)

EXPORT void *lucid_valloc(size_t size) {
    return alloc_aligned(os_page_size(), size);
}
STANDARD_NAME(void *, valloc, (size_t), lucid_valloc)
GLIBC_NAME(void *, valloc, (size_t), lucid_valloc)

EXPORT void *lucid_pvalloc(size_t size) {
    size_t page = os_page_size();
    if (size > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc_aligned(page, size == 0 ? page : align_up(size, page));
}
STANDARD_NAME(void *, pvalloc, (size_t), lucid_pvalloc)
GLIBC_NAME(void *, pvalloc, (size_t), lucid_pvalloc)
