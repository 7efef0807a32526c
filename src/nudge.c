#include "nudge.h"

#include "answer.h"
#include "helper.h"
#include "os/os.h"

// In the child of a fork that has rebuilt nothing yet, the helper's words are the parent's.
static bool is_stale(void) {
    const struct fork_page *page = root.live.fork_page;
    return page == NULL || atomic_load(&page->known) == 0;
}

static void nudged(void) {
    (void)__atomic_fetch_add(&root.live.request.nudges, 1, __ATOMIC_RELAXED);
    if (!is_stale() && answer_is_awaited() && !helper_call_now()) {
        answer_no_helper();
    }
}

void nudge_begin(void) {
    struct request *request = &root.live.request;
    helper_prepare();
    // From here on no thread is alone with its spans (span.c); only then the signal may come.
    atomic_store(&request->state, REQUEST_OPEN);
    request->signal = os_on_nudge(nudged, &root);
    if (request->signal == 0) {
        atomic_store(&request->state, REQUEST_CLOSED);
    }
}
