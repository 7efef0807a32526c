// Running a program as a child, to tell afterwards what it used.
#ifndef LUCID_TOOLS_RUN_SUMMARY_H
#define LUCID_TOOLS_RUN_SUMMARY_H

// Runs argv as `path`, passes signals on, writes one line to stderr when it ends, and returns its
// exit code. If a signal ended it, the same signal ends this process.
int summary_run(const char *path, char **argv);

#endif
