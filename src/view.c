#include "view.h"

bool view_read(const struct view *view, uint64_t address, void *to, size_t length) {
    // An address so high that the end would wrap around is nobody's.
    return length <= UINT64_MAX - address &&
           view->read(view->context, address, to, length) == length;
}
