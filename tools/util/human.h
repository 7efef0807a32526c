// Small things for people: sizes, numbers, words of memory, colours, messages.
#ifndef LUCID_UTIL_HUMAN_H
#define LUCID_UTIL_HUMAN_H

#include "commands.h"
#include "out.h"

// "0", "512", "4.0K", "16.1M", "2.3G" into `to`; returns `to`.
#define SIZE_TEXT 16
char *human_size(char to[SIZE_TEXT], uint64_t bytes);

// "1,234,567" into `to`; returns `to`.
#define COUNT_TEXT 28
char *human_count(char to[COUNT_TEXT], uint64_t number);

// "1 block", "2 blocks".
const char *human_plural(uint64_t number, const char *one, const char *many);

// A number as people type it: decimal or 0x hexadecimal, nothing behind it. False: it is none.
bool human_to_number(const char *text, uint64_t *number);

// The same with K, M, G, T behind it.
bool human_to_size(const char *text, uint64_t *size);

// "lucid COMMAND: sentence" on the standard error output. `command` is argv[0] of a command.
void say_command(const char *command);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Memory as gdb's x/wx prints it: four words a line behind their address, then the same as text.
void human_words(struct out *out, uint64_t address, const void *bytes, size_t length);

// Is the standard output a terminal that wants colour; has the locale only ASCII for pictures made
// of characters; how many columns are there?
bool terminal_colour(bool refused);
bool terminal_ascii(void);
unsigned terminal_width(void);

#endif
