// How the public functions get their names: each is defined once as lucid_NAME and carries the C
// library's name as an alias, unless the build leaves those out.
#ifndef LUCID_EXPORT_H
#define LUCID_EXPORT_H

#include "base.h"

#include <features.h>

#define EXPORT __attribute__((visibility("default")))

#if LUCID_OVERRIDE
#define STANDARD_NAME(type, name, parameters, target) \
    extern EXPORT type name parameters __attribute__((alias(#target)));
#else
#define STANDARD_NAME(type, name, parameters, target) \
    _Static_assert(sizeof(#name) > 0, "no standard names in this build");
#endif

// glibc exports some functions also as __libc_NAME. Who stands in front of malloc passes calls on
// to these, and blocks of one name come back to the other. musl's of that name are internal.
#ifdef __GLIBC__
#define GLIBC_NAME(type, name, parameters, target) \
    STANDARD_NAME(type, __libc_##name, parameters, target)
#else
#define GLIBC_NAME(type, name, parameters, target) \
    _Static_assert(sizeof(#name) > 0, "only glibc has such names");
#endif

#endif
