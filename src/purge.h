// When free memory is given back to the kernel. arena.h says how.
#ifndef LUCID_PURGE_H
#define LUCID_PURGE_H

#include "base.h"

// To be called after units went back to the pool: looks at the clock at most, most of the time.
void purge_after_free(void);

#endif
