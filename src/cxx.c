// C++ operators new and delete by their mangled names, so that C++ programs need no C++ library
// of ours. When memory runs out, the throwing forms do what the standard says with the help of
// the program's own C++ library: call the new handler until it gives up, then throw.
#include "alloc.h"
#include "attempt.h"
#include "export.h"
#include "free.h"
#include "panic.h"

#include <errno.h>
#include <lucid.h>

#if LUCID_OVERRIDE

typedef void (*new_handler)(void);

// libstdc++'s and libc++'s names; absent from programs without a C++ library.
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern _Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

static bool call_new_handler(void) {
    new_handler handler = &_ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
    if (handler == NULL) {
        return false;
    }
    handler(); // frees something, throws, or ends the program
    return true;
}

static COLD void *new_slow(size_t size, size_t alignment, bool throws) {
    while (call_new_handler()) {
        void *block = alloc_aligned(alignment, size);
        if (block != NULL) {
            return block;
        }
    }
    if (throws) {
        if (&_ZSt17__throw_bad_allocv != NULL) {
            _ZSt17__throw_bad_allocv();
        }
        panic_broken("operator new: no memory, and no C++ library to throw bad_alloc; bytes", size);
    }
    return NULL;
}

ALWAYS_INLINE void *new_plain(size_t size) {
    void *block = alloc_fast(size);
    return likely(block != NULL) ? block : new_slow(size, BLOCK_ALIGN, true);
}

static void *new_aligned(size_t size, size_t alignment) {
    void *block = alloc_aligned(alignment, size);
    return likely(block != NULL) ? block : new_slow(size, alignment, true);
}

// The new handler may throw.
static void *nothrow_slow(size_t size, size_t alignment) {
    return new_slow(size, alignment, false);
}

ALWAYS_INLINE void *nothrow_plain(size_t size) {
    void *block = alloc_fast(size);
    return likely(block != NULL) ? block : attempt(nothrow_slow, size, BLOCK_ALIGN);
}

static void *nothrow_aligned(size_t size, size_t alignment) {
    void *block = alloc_aligned(alignment, size);
    return likely(block != NULL) ? block : attempt(nothrow_slow, size, alignment);
}

#define OPERATOR EXPORT __attribute__((used))

struct nothrow; // std::nothrow_t, only ever passed by reference

OPERATOR void *_Znwm(size_t size);
OPERATOR void *_Znam(size_t size);
OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag);
OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag);
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment);
OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void _ZdlPv(void *pointer);
OPERATOR void _ZdaPv(void *pointer);
OPERATOR void _ZdlPvm(void *pointer, size_t size);
OPERATOR void _ZdaPvm(void *pointer, size_t size);
OPERATOR void _ZdlPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag);
OPERATOR void _ZdaPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag);
OPERATOR void _ZdlPvSt11align_val_t(void *pointer, size_t alignment);
OPERATOR void _ZdaPvSt11align_val_t(void *pointer, size_t alignment);
OPERATOR void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment);
OPERATOR void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment);
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                  const struct nothrow *tag);

void *_Znwm(size_t size) {
    return new_plain(size);
}

void *_Znam(size_t size) {
    return new_plain(size);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag) {
    (void)tag;
    return nothrow_plain(size);
}

void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag) {
    (void)tag;
    return nothrow_plain(size);
}

void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
    return new_aligned(size, alignment);
}

void *_ZnamSt11align_val_t(size_t size, size_t alignment) {
    return new_aligned(size, alignment);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag) {
    (void)tag;
    return nothrow_aligned(size, alignment);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag) {
    (void)tag;
    return nothrow_aligned(size, alignment);
}

void _ZdlPv(void *pointer) {
    free_fast(pointer, "operator delete");
}

void _ZdaPv(void *pointer) {
    free_fast(pointer, "operator delete[]");
}

// A size given to delete must be the one given to new, so its class must be the block's.
void _ZdlPvm(void *pointer, size_t size) {
    free_sized_fast(pointer, size, "operator delete");
}

void _ZdaPvm(void *pointer, size_t size) {
    free_sized_fast(pointer, size, "operator delete[]");
}

void _ZdlPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag) {
    (void)tag;
    free_fast(pointer, "operator delete");
}

void _ZdaPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag) {
    (void)tag;
    free_fast(pointer, "operator delete[]");
}

void _ZdlPvSt11align_val_t(void *pointer, size_t alignment) {
    free_aligned(pointer, alignment, 0, "operator delete");
}

void _ZdaPvSt11align_val_t(void *pointer, size_t alignment) {
    free_aligned(pointer, alignment, 0, "operator delete[]");
}

void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
    free_aligned(pointer, alignment, size, "operator delete");
}

void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
    free_aligned(pointer, alignment, size, "operator delete[]");
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                         const struct nothrow *tag) {
    (void)tag;
    free_aligned(pointer, alignment, 0, "operator delete");
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                         const struct nothrow *tag) {
    (void)tag;
    free_aligned(pointer, alignment, 0, "operator delete[]");
}

#endif
