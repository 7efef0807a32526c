// The entry point libFuzzer calls; it brings main().
#include "ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ops_run(data, size);
    return 0;
}
