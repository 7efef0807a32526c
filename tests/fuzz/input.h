// The fuzzer's input, read byte by byte; after the end it is all zeros.
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *data;
    size_t size;
    size_t at;
};

static inline bool input_ended(const struct input *input) {
    return input->at >= input->size;
}

static inline unsigned input_byte(struct input *input) {
    return input_ended(input) ? 0 : input->data[input->at++];
}

static inline unsigned input_pair(struct input *input) {
    unsigned high = input_byte(input);
    return high << 8 | input_byte(input);
}

// A size for a request: of every kind that the allocator treats differently, the impossible ones
// included.
size_t input_size(struct input *input);

// An alignment: mostly a power of two up to 64 MiB, sometimes no power of two at all.
size_t input_alignment(struct input *input);

#endif
