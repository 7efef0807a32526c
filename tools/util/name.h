// Names that somebody else has chosen: of processes, threads, files. They are bytes, and may hold
// what moves a terminal's cursor, ends a line, or makes letters run the other way.
#ifndef LUCID_UTIL_NAME_H
#define LUCID_UTIL_NAME_H

#include <stddef.h>

// A copy for people to read, as one line: whatever is more than a letter to a terminal is a '?',
// and so is what is not UTF-8. It is never longer than `name`, which may be `to` itself. Files are
// opened by, and JSON gets, the name as it is. Returns `to`.
char *name_shown(char *to, size_t room, const char *name);

// The width that printf must be told, which counts bytes, for a name to fill so many columns.
int name_width(const char *name, int columns);

// One UTF-8 sequence at `text`: its length, or 0 if it is none.
size_t utf8_length(const unsigned char *text);

#endif
