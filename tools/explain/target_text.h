// How to name a target on the command line of the next command.
#ifndef LUCID_EXPLAIN_TARGET_TEXT_H
#define LUCID_EXPLAIN_TARGET_TEXT_H

#include "heap/session.h"

#define TARGET_TEXT 512

// "4711", "'my core'" or "-- python3 script.py" into `to`, quoted for a shell; returns `to`.
const char *target_text(char to[TARGET_TEXT], const struct session *session);

// Will the next command see the same heap, at the same addresses? Not when the program is started
// anew for it.
static inline bool target_stays(const struct session *session) {
    return session->cli.program == NULL;
}

#endif
