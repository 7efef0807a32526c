// Forced into src/span.c (and spanstate.h with it) when it is compiled for the model: every atomic
// operation first hands control to the explorer, which decides which thread makes the next step.
// Between two steps only one thread runs, so the operations themselves are plain ones here.
#ifndef MODEL_STEPS_H
#define MODEL_STEPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The calling thread is about to read or write *object; `where` says in what function.
void model_step(const volatile void *object, const char *where);

// The value without the _Atomic that clang keeps in the type of what was read.
#define plain(value) ((value) + 0)

#define STEP(object) model_step((object), __func__)
#define CHANGE(object, operation)                  \
    __extension__({                                \
        STEP(object);                              \
        __auto_type old_ = plain(*(object));       \
        *(object) = (__typeof__(old_))(operation); \
        old_;                                      \
    })

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_weak_explicit

#define atomic_load(object) (STEP(object), *(object))
#define atomic_load_explicit(object, order) (STEP(object), *(object))
#define atomic_store(object, value) (STEP(object), (void)(*(object) = (value)))
#define atomic_store_explicit(object, value, order) (STEP(object), (void)(*(object) = (value)))
#define atomic_exchange_explicit(object, value, order) CHANGE(object, (value))
#define atomic_fetch_add_explicit(object, value, order) CHANGE(object, old_ + (value))
#define atomic_fetch_sub_explicit(object, value, order) CHANGE(object, old_ - (value))
#define atomic_fetch_or(object, value) CHANGE(object, old_ | (value))
#define atomic_fetch_or_explicit(object, value, order) CHANGE(object, old_ | (value))
#define atomic_fetch_and_explicit(object, value, order) CHANGE(object, old_ &(value))
#define atomic_compare_exchange_weak_explicit(object, expected, value, success, failure) \
    __extension__({                                                                      \
        STEP(object);                                                                    \
        __auto_type seen_ = plain(*(object));                                            \
        bool equal_ = seen_ == *(expected);                                              \
        if (equal_) {                                                                    \
            *(object) = (value);                                                         \
        } else {                                                                         \
            *(expected) = seen_;                                                         \
        }                                                                                \
        equal_;                                                                          \
    })

#define __atomic_load_n(object, order) (STEP(object), *(object))
#define __atomic_store_n(object, value, order) (STEP(object), (void)(*(object) = (value)))
#define __atomic_fetch_add(object, value, order) CHANGE(object, old_ + (value))
#define __atomic_fetch_sub(object, value, order) CHANGE(object, old_ - (value))

#endif
