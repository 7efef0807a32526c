// How every part of the fuzzer says that the allocator broke a promise.
#ifndef FUZZ_FAIL_H
#define FUZZ_FAIL_H

// Prints one line, "fuzz: " and the text, and ends the process by SIGABRT.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
