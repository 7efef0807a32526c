// The public functions of the memory limit (allowance.h, relief.h).
#include "allowance.h"
#include "export.h"
#include "fork.h"
#include "huge.h"
#include "init.h"
#include "options.h"
#include "release.h"
#include "relief.h"

#include <errno.h>
#include <lucid.h>

EXPORT int lucid_limit_set(size_t bytes) {
    const struct option_row *row = &option_table[OPTION_LIMIT];
    if ((bytes != 0 && bytes < LIMIT_MIN) || bytes > row->most) {
        return EINVAL;
    }
    if (!init_ready()) {
        return ENOMEM;
    }
    fork_check();
    allowance_set(bytes);
    huge_obey_limit();
    if (bytes != 0) {
        (void)release_all(); // and what stands behind huge pages that there will be no more of
    }
    root.live.options.value[OPTION_LIMIT] = bytes;
    root.live.options.source[OPTION_LIMIT] = SOURCE_PROGRAM;
    return 0;
}

EXPORT void lucid_on_limit(int (*callback)(void *context, size_t size), void *context) {
    if (init_ready()) {
        fork_check();
    }
    relief_ask(callback, context);
}
