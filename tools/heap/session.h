// One run of a heap command: the target, where its heap is, and the copy of its tables.
#ifndef LUCID_HEAP_SESSION_H
#define LUCID_HEAP_SESSION_H

#include "locate.h"
#include "snapshot.h"
#include "target/cli.h"
#include "util/json.h"

struct session {
    struct cli cli;
    struct target target;
    struct root_places places;
    struct snapshot *snapshot; // NULL: no lucid heap here
};

// Parses, opens and copies. Returns -1 to go on, else the exit code to end with (nothing is left
// open then). Without a lucid heap `snapshot` stays NULL if `glibc_too`; otherwise that is said.
int session_begin(struct session *session, const struct cli_command *command, int argc, char **argv,
                  bool glibc_too);

// Copies the heap once more, in place of the copy there is. Nothing is printed. False: the snapshot
// is good for snapshot_say_fault only.
bool session_copy_again(struct session *session);

// Closes everything and flushes the output. Returns the exit code.
int session_end(struct session *session, int code);

// What every answer begins with: who was read, how, and where the heap was found.
void session_print_head(const struct session *session, struct out *out);
void session_json_head(const struct session *session, struct json *json, const char *command);
void session_json_target(const struct target *target, struct json *json);

// The members for an address that is in no block of the heap.
void session_json_no_block(const struct session *session, struct json *json, uint64_t address);

// "live, not stopped" and the like.
const char *session_mode(const struct target *target);

#endif
