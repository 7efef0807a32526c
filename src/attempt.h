// Calls code of the program that may throw, for a function of ours from which nothing may come out.
#ifndef LUCID_ATTEMPT_H
#define LUCID_ATTEMPT_H

#include "base.h"

typedef void *attempt_function(size_t size, size_t alignment);

// What the function returns, or NULL if it ends with an exception.
void *attempt(attempt_function *function, size_t size, size_t alignment);

#endif
