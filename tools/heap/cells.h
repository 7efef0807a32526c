// The heap cut into cells of equal size: how much of each is live, and how much is resident.
#ifndef LUCID_HEAP_CELLS_H
#define LUCID_HEAP_CELLS_H

#include "snapshot.h"
#include "tally.h"

enum cell_kind { CELL_HEAP, CELL_FOREIGN, CELL_TOP };

struct cell {
    uint64_t live;     // bytes of used blocks
    uint64_t cached;   // bytes of blocks in bins
    uint64_t resident; // bytes
    enum cell_kind kind;
    bool moved;
};

struct cells {
    uint64_t start; // of the first cell
    uint64_t end;
    uint64_t size; // of a cell
    size_t count;
    struct cell *list;
    bool residency; // is known
};

// Cuts [start, end) of the arena into cells of `size` bytes.
void cells_cut(struct cells *cells, struct snapshot *snapshot, uint64_t start, uint64_t end,
               uint64_t size);
void cells_free(struct cells *cells);

// 0 (nothing live) to 4 (more than three quarters).
static inline unsigned cell_shade(const struct cells *cells, const struct cell *cell) {
    uint64_t quarters = (cell->live * 4 + cells->size - 1) / cells->size;
    return quarters > 4 ? 4 : (unsigned)quarters;
}

// One column that shows a cell, and what its colour says.
enum cell_tone { TONE_RESIDENT, TONE_AWAY, TONE_TOP, TONE_FOREIGN };
const char *cell_glyph(const struct cells *cells, const struct cell *cell, bool ascii);
enum cell_tone cell_tone(const struct cells *cells, const struct cell *cell);

// What stands above the picture.
struct svg_caption {
    const char *title;
    const char *subtitle;
    const struct tally *tally; // of the whole arena
};

// Writes a picture of the cells to a file that only its owner can read. False: errno.
bool cells_write_svg(const struct cells *cells, const char *path,
                     const struct svg_caption *caption);

#endif
