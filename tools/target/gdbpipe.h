// Memory that gdb holds: the tool asks for it on one pipe and gets it on another, because under
// gdb nobody else may read the process. The plugin in tools/gdb answers.
//
//   tool -> gdb   "read ADDRESS LENGTH\n"      both hexadecimal without 0x
//   gdb -> tool   "COUNT\n" and COUNT bytes, fewer than asked when the rest cannot be read
//   tool -> gdb   "threads\n"
//   gdb -> tool   "COUNT\n" and COUNT bytes of text, "TID PC SP NAME\n" for each thread
//   tool -> gdb   "maps\n"
//   gdb -> tool   "COUNT\n" and COUNT bytes in the format of /proc/PID/maps
#ifndef LUCID_TARGET_GDBPIPE_H
#define LUCID_TARGET_GDBPIPE_H

#include "target.h"

struct gdb_pipe {
    int ask;
    int answer;
};

#endif
