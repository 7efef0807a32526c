// The operations of the fuzzer, and the program that an input is.
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <stddef.h>
#include <stdint.h>

// Runs the program, ends its threads, gives every block back and walks the tables.
void ops_run(const uint8_t *data, size_t size);

// How often each operation was run since the start, for people to read.
void ops_report(void);

#endif
