#include "input.h"

#include "sizeclass.h"

size_t input_size(struct input *input) {
    unsigned kind = input_byte(input) % 16;
    unsigned number = input_pair(input);
    size_t off_by_one = number % 3;
    switch (kind) {
    case 5:
    case 6:
    case 7:
        return number % 1100;
    case 8:
    case 9:
        return number % (SMALL_MAX + 500);
    case 10: // the last size of a class, or a neighbour of it
        return sizeclass_size(number / 3 % (CLASS_COUNT - 1) + 1) + off_by_one - 1;
    case 11:
        return SMALL_MAX + (size_t)number * 4;
    case 12:
        return (size_t)number * 64;
    case 13: // whole units, or a neighbour; 0 - 1 is an impossible size
        return number / 3 % 64 * UNIT_SIZE + off_by_one - 1;
    case 14:
        return MAPPING_THRESHOLD + (size_t)number * 128;
    case 15:
        return number % 2 ? (size_t)PTRDIFF_MAX + number : SIZE_MAX - number;
    default:
        return number % 256;
    }
}

size_t input_alignment(struct input *input) {
    unsigned number = input_byte(input);
    if (number >= 224) {
        return number % 3 == 0 ? 0 : number; // mostly invalid
    }
    return (size_t)1 << (number < 192 ? number % 16 : number % 27);
}
