// Children of a fork in which a test goes on alone.
#ifndef FUZZ_CHILD_H
#define FUZZ_CHILD_H

#include <stddef.h>

// Runs job(argument) in a child and returns its wait status. `text` receives what it wrote to
// standard error, ended by a zero byte; NULL: it goes where ours goes. A child that takes longer
// than 20 seconds is ended by SIGALRM.
int child_run(void (*job)(void *), void *argument, char *text, size_t room);

#endif
