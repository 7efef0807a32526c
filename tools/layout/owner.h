// Who has a mapping: in words, for the table of lucid layout.
#ifndef LUCID_LAYOUT_OWNER_H
#define LUCID_LAYOUT_OWNER_H

#include "break.h"

// "text of demo", "break (heap)", "stack of thread 12", "lucid's tables", ... into `to`.
void owner_text(char *to, size_t length, const struct target *target, const struct images *images,
                const struct break_map *map, const struct region *region);

#endif
