// The tab with the picture of the arena.
#ifndef LUCID_TOP_TABMAP_H
#define LUCID_TOP_TABMAP_H

#include "tabs.h"

void tabmap_put(struct page *page, const struct sample *sample, const struct look *look);

#endif
