// Opening files whose names somebody else chose: a core, the list of what a process has mapped.
#ifndef LUCID_UTIL_REGULAR_H
#define LUCID_UTIL_REGULAR_H

// Opens a file to read it, -1: it cannot be opened (see errno), or is none (EINVAL). Devices and
// FIFOs are not opened at all: that alone starts a watchdog, rewinds a tape, lets a writer go on.
int regular_open(const char *path);

#endif
