// How the public functions get their names: each is defined once as lucid_NAME and carries the C
// library's name as an alias, unless the build leaves those out.
#ifndef LUCID_EXPORT_H
#define LUCID_EXPORT_H

#include "base.h"

#define EXPORT __attribute__((visibility("default")))

#if LUCID_OVERRIDE
#define STANDARD_NAME(type, name, parameters, target) \
    extern EXPORT type name parameters __attribute__((alias(#target)));
#else
#define STANDARD_NAME(type, name, parameters, target) \
    _Static_assert(sizeof(#name) > 0, "no standard names in this build");
#endif

#endif
