#include "nudge.h"

#include "answer.h"
#include "forkwatch.h"
#include "helper.h"
#include "os/os.h"

static void nudged(void) {
    (void)__atomic_fetch_add(&root.live.request.nudges, 1, __ATOMIC_RELAXED);
    if (!fork_is_stale() && answer_is_awaited() && !helper_call_now()) {
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
