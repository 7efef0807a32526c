// Forced into src/span.c and src/lane.c (and spanstate.h with them) when they are compiled for the
// model: every atomic operation first hands control to the explorer, which decides which thread
// makes the next step. Between two steps only one thread runs, so the operations themselves are
// plain ones here.
#ifndef MODEL_STEPS_H
#define MODEL_STEPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The calling thread is about to read or write *object; `where` says in what function.
void model_step(const volatile void *object, const char *where);

// It does so now, with this memory_order (orders.h, whose numbers these are).
enum { MODEL_LOADS, MODEL_STORES, MODEL_EXCHANGES };
void model_order(const volatile void *object, int kind, int order);

// The value without the _Atomic that clang keeps in the type of what was read.
#define plain(value) ((value) + 0)

#define STEP(object) model_step((object), __func__)
#define LOAD(object, order)                               \
    __extension__({                                       \
        STEP(object);                                     \
        model_order((object), MODEL_LOADS, (int)(order)); \
        plain(*(object));                                 \
    })
#define STORE(object, value, order)                        \
    __extension__({                                        \
        STEP(object);                                      \
        model_order((object), MODEL_STORES, (int)(order)); \
        *(object) = (value);                               \
        (void)0;                                           \
    })
#define CHANGE(object, operation, order)                      \
    __extension__({                                           \
        STEP(object);                                         \
        model_order((object), MODEL_EXCHANGES, (int)(order)); \
        __auto_type old_ = plain(*(object));                  \
        *(object) = (__typeof__(old_))(operation);            \
        old_;                                                 \
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

#define atomic_load(object) LOAD(object, memory_order_seq_cst)
#define atomic_load_explicit(object, order) LOAD(object, order)
#define atomic_store(object, value) STORE(object, value, memory_order_seq_cst)
#define atomic_store_explicit(object, value, order) STORE(object, value, order)
#define atomic_exchange_explicit(object, value, order) CHANGE(object, (value), order)
#define atomic_fetch_add_explicit(object, value, order) CHANGE(object, old_ + (value), order)
#define atomic_fetch_sub_explicit(object, value, order) CHANGE(object, old_ - (value), order)
#define atomic_fetch_or(object, value) CHANGE(object, old_ | (value), memory_order_seq_cst)
#define atomic_fetch_or_explicit(object, value, order) CHANGE(object, old_ | (value), order)
#define atomic_fetch_and_explicit(object, value, order) CHANGE(object, old_ &(value), order)
#define atomic_compare_exchange_weak_explicit(object, expected, value, success, failure) \
    __extension__({                                                                      \
        STEP(object);                                                                    \
        __auto_type seen_ = plain(*(object));                                            \
        bool equal_ = seen_ == *(expected);                                              \
        model_order((object), equal_ ? MODEL_EXCHANGES : MODEL_LOADS,                    \
                    (int)(equal_ ? (success) : (failure)));                              \
        if (equal_) {                                                                    \
            *(object) = (value);                                                         \
        } else {                                                                         \
            *(expected) = seen_;                                                         \
        }                                                                                \
        equal_;                                                                          \
    })

#define __atomic_load_n(object, order) LOAD(object, order)
#define __atomic_store_n(object, value, order) STORE(object, value, order)
#define __atomic_fetch_add(object, value, order) CHANGE(object, old_ + (value), order)
#define __atomic_fetch_sub(object, value, order) CHANGE(object, old_ - (value), order)

#endif
