// The command as it was typed, for advice to type it again.
#ifndef LUCID_UTIL_TYPED_H
#define LUCID_UTIL_TYPED_H

// The words from the command's name on, before getopt puts them into an order of its own.
void typed_keep(int argc, char *const *argv);

// "run `sudo lucid COMMAND WORDS`", each word as a shell wants it; "run the same command with sudo"
// where that would be too long, or would not be the same once it is shown.
const char *typed_with_sudo(void);

#endif
