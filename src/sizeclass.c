// The table of size classes. Span lengths are about the shortest with which the tail wastes at most
// 1/16 and at least 8 blocks fit (4 above 2 KiB, 2 above 4 KiB): a short span is empty soon, and
// its units serve other classes then.
#include "sizeclass.h"

#define ROW(size_, units_)                                                            \
    {                                                                                 \
        .size = (size_), .units = (units_)*UNIT_16K, .blocks = BLOCKS(size_, units_), \
        .reciprocal = (((uint64_t)1 << RECIPROCAL_SHIFT) + (size_)-1) / (size_),      \
    }
// The span lengths below are for units of 16 KiB; larger units make every span as many units
// long, which only lowers the waste.
#define UNIT_16K 1
#define BLOCKS(size_, units_) (uint16_t)((units_)*UNIT_SIZE / (size_))

const struct sizeclass sizeclass_table[CLASS_COUNT] = {
    {.size = 0, .units = 0, .blocks = 0, .reciprocal = 0},
    // clang-format off
    ROW(16, 1),    ROW(32, 1),    ROW(48, 1),    ROW(64, 1),
    ROW(80, 1),    ROW(96, 1),    ROW(112, 1),   ROW(128, 1),
    ROW(144, 1),   ROW(160, 1),   ROW(176, 1),   ROW(192, 1),
    ROW(208, 1),   ROW(224, 1),   ROW(240, 1),   ROW(256, 1),
    ROW(272, 1),   ROW(288, 1),   ROW(304, 1),   ROW(320, 1),
    ROW(336, 1),   ROW(352, 1),   ROW(368, 1),   ROW(384, 1),
    ROW(400, 1),   ROW(416, 1),   ROW(432, 1),   ROW(448, 1),
    ROW(464, 1),   ROW(480, 1),   ROW(496, 1),   ROW(512, 1),
    ROW(528, 1),   ROW(544, 1),   ROW(560, 1),   ROW(576, 1),
    ROW(592, 1),   ROW(608, 1),   ROW(624, 1),   ROW(640, 1),
    ROW(656, 1),   ROW(672, 1),   ROW(688, 1),   ROW(704, 1),
    ROW(720, 1),   ROW(736, 1),   ROW(752, 1),   ROW(768, 1),
    ROW(784, 1),   ROW(800, 1),   ROW(816, 1),   ROW(832, 1),
    ROW(848, 1),   ROW(864, 1),   ROW(880, 1),   ROW(896, 1),
    ROW(912, 1),   ROW(928, 1),   ROW(944, 1),   ROW(960, 1),
    ROW(976, 1),   ROW(992, 1),   ROW(1008, 1),  ROW(1024, 1),
    ROW(1280, 1),  ROW(1536, 1),  ROW(1792, 1),  ROW(2048, 1),
    ROW(2560, 1),  ROW(3072, 1),  ROW(3584, 2),  ROW(4096, 1),
    ROW(5120, 1),  ROW(6144, 2),  ROW(7168, 4),  ROW(8192, 1),
    ROW(10240, 2), ROW(12288, 3), ROW(14336, 7), ROW(16384, 2),
    ROW(20480, 4), ROW(24576, 3), ROW(28672, 7), ROW(32768, 4),
    // clang-format on
};

unsigned sizeclass_aligned(size_t n, size_t alignment) {
    if (alignment > UNIT_SIZE) {
        return 0; // spans are aligned to units only
    }
    // Classes lie a power of two apart. Where that is less than the alignment, the rounded size is
    // one of a class; elsewhere every class is a multiple of the alignment.
    size_t rounded = align_up(n == 0 ? 1 : n, alignment);
    return rounded <= SMALL_MAX ? sizeclass_of(rounded) : 0;
}
