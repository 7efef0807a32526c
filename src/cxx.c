// C++ operators new and delete by their mangled names, so that C++ programs need no C++ library
// of ours. When memory runs out, the throwing forms do what the standard says with the help of
// the program's own C++ library: call the new handler until it gives up, then throw.
//
// A program may replace any of them, and then the standard says which forms call which: an array
// form the one for single objects, a sized one the one without a size, a nothrow one the one that
// throws. So each name is weak, that the program's may take its place where lucid is linked
// statically, and a form that stands on another looks first whether that one is still ours.
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

// ---- the names ----------------------------------------------------------------------------------

#define OPERATOR EXPORT __attribute__((weak))
#define OPERATOR_IS(own) __attribute__((alias(#own)))

struct nothrow; // std::nothrow_t, only ever passed by reference

// On these the others stand. What such a name means is asked of the linker and the loader; ours is
// what the second name means.
OPERATOR void *_Znwm(size_t size) OPERATOR_IS(own_new);
OPERATOR void *_Znam(size_t size) OPERATOR_IS(own_new_array);
OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment) OPERATOR_IS(own_new_aligned);
OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment)
    OPERATOR_IS(own_new_array_aligned);
OPERATOR void _ZdlPv(void *pointer) OPERATOR_IS(own_delete);
OPERATOR void _ZdaPv(void *pointer) OPERATOR_IS(own_delete_array);
OPERATOR void _ZdlPvSt11align_val_t(void *pointer, size_t alignment)
    OPERATOR_IS(own_delete_aligned);
OPERATOR void _ZdaPvSt11align_val_t(void *pointer, size_t alignment)
    OPERATOR_IS(own_delete_array_aligned);

OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag);
OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag);
OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void _ZdlPvm(void *pointer, size_t size);
OPERATOR void _ZdaPvm(void *pointer, size_t size);
OPERATOR void _ZdlPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag);
OPERATOR void _ZdaPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag);
OPERATOR void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment);
OPERATOR void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment);
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                  const struct nothrow *tag);
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                  const struct nothrow *tag);

// ---- new ----------------------------------------------------------------------------------------

static ON_A_LINE void *own_new(size_t size) {
    return new_plain(size);
}

static void *own_new_array(size_t size) {
    return _Znwm(size);
}

static void *own_new_aligned(size_t size, size_t alignment) {
    return new_aligned(size, alignment);
}

static void *own_new_array_aligned(size_t size, size_t alignment) {
    return _ZnwmSt11align_val_t(size, alignment);
}

static void *call_new(size_t size, size_t alignment) {
    (void)alignment;
    return _Znwm(size);
}

static void *call_new_array(size_t size, size_t alignment) {
    (void)alignment;
    return _Znam(size);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const struct nothrow *tag) {
    (void)tag;
    return likely(_Znwm == own_new) ? nothrow_plain(size) : attempt(call_new, size, 0);
}

void *_ZnamRKSt9nothrow_t(size_t size, const struct nothrow *tag) {
    (void)tag;
    bool ours = _Znam == own_new_array && _Znwm == own_new;
    return likely(ours) ? nothrow_plain(size) : attempt(call_new_array, size, 0);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag) {
    (void)tag;
    bool ours = _ZnwmSt11align_val_t == own_new_aligned;
    return likely(ours) ? nothrow_aligned(size, alignment)
                        : attempt(_ZnwmSt11align_val_t, size, alignment);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const struct nothrow *tag) {
    (void)tag;
    bool ours =
        _ZnamSt11align_val_t == own_new_array_aligned && _ZnwmSt11align_val_t == own_new_aligned;
    return likely(ours) ? nothrow_aligned(size, alignment)
                        : attempt(_ZnamSt11align_val_t, size, alignment);
}

// ---- delete -------------------------------------------------------------------------------------

static ON_A_LINE void own_delete(void *pointer) {
    free_fast(pointer, "operator delete");
}

static void own_delete_array(void *pointer) {
    if (unlikely(_ZdlPv != own_delete)) {
        _ZdlPv(pointer);
        return;
    }
    free_fast(pointer, "operator delete[]");
}

// A size given to delete must be the one given to new, so its class must be the block's.
ON_A_LINE void _ZdlPvm(void *pointer, size_t size) {
    if (unlikely(_ZdlPv != own_delete)) {
        _ZdlPv(pointer);
        return;
    }
    free_sized_fast(pointer, size, "operator delete");
}

void _ZdaPvm(void *pointer, size_t size) {
    if (unlikely(_ZdaPv != own_delete_array) || unlikely(_ZdlPv != own_delete)) {
        _ZdaPv(pointer);
        return;
    }
    free_sized_fast(pointer, size, "operator delete[]");
}

void _ZdlPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag) {
    (void)tag;
    _ZdlPv(pointer);
}

void _ZdaPvRKSt9nothrow_t(void *pointer, const struct nothrow *tag) {
    (void)tag;
    _ZdaPv(pointer);
}

static void own_delete_aligned(void *pointer, size_t alignment) {
    free_aligned(pointer, alignment, 0, "operator delete");
}

static void own_delete_array_aligned(void *pointer, size_t alignment) {
    if (unlikely(_ZdlPvSt11align_val_t != own_delete_aligned)) {
        _ZdlPvSt11align_val_t(pointer, alignment);
        return;
    }
    free_aligned(pointer, alignment, 0, "operator delete[]");
}

void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
    if (unlikely(_ZdlPvSt11align_val_t != own_delete_aligned)) {
        _ZdlPvSt11align_val_t(pointer, alignment);
        return;
    }
    free_aligned(pointer, alignment, size, "operator delete");
}

void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
    if (unlikely(_ZdaPvSt11align_val_t != own_delete_array_aligned) ||
        unlikely(_ZdlPvSt11align_val_t != own_delete_aligned)) {
        _ZdaPvSt11align_val_t(pointer, alignment);
        return;
    }
    free_aligned(pointer, alignment, size, "operator delete[]");
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                         const struct nothrow *tag) {
    (void)tag;
    _ZdlPvSt11align_val_t(pointer, alignment);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                         const struct nothrow *tag) {
    (void)tag;
    _ZdaPvSt11align_val_t(pointer, alignment);
}

#endif
