// One request to a living process and its answer (src/answer.h): written into its root, announced
// by a signal, read from there. The process is not stopped.
#ifndef LUCID_CTL_ASK_H
#define LUCID_CTL_ASK_H

#include "layout.h"
#include "reader.h"
#include "target/target.h"

struct asker {
    struct target *target;
    uint64_t root;
    uint64_t request;  // address of struct request in the target
    unsigned patience; // seconds
    int process;       // pidfd: the number of a process that ended may soon be another one's
    int lock;          // one asker at a time
};

struct wish {
    enum request_action action;
    uint32_t option;
    uint64_t value;
};

// False: a sentence has been printed. `reader` has opened the root. To be closed in either case.
bool asker_open(struct asker *asker, struct target *target, const struct reader *reader,
                unsigned patience);
void asker_close(struct asker *asker);

// Asks and waits. False: there is no answer, and a sentence says why.
bool asker_ask(const struct asker *asker, const struct wish *wish, struct request *answer);

#endif
