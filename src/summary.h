// A short account of the heap on the standard error output, for the option `summary`.
#ifndef LUCID_SUMMARY_H
#define LUCID_SUMMARY_H

// The most that was ever resident, what is live now, and the classes that hold most of it. Takes
// no lock and allocates nothing.
void summary_print(void);

#endif
