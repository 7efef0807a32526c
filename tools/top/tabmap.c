#include "tabmap.h"

#include "heap/cells.h"
#include "util/human.h"

#define LABEL_COLUMNS 17u // the address and a blank
#define LEGEND_ROWS 4u

static enum style cell_style(const struct cells *cells, const struct cell *cell) {
    static const enum style styles[] = {STYLE_GOOD, STYLE_FREE, STYLE_OTHER, STYLE_FOREIGN};
    return styles[cell_tone(cells, cell)];
}

// As many cells in a row as fit, a power of two so that rows begin at round addresses.
static unsigned cells_in_row(const struct look *look) {
    unsigned count = 8;
    while (count * 2 + LABEL_COLUMNS <= look->width && count < 512) {
        count *= 2;
    }
    return count;
}

static void put_legend(struct page *page, const struct cells *cells, const struct look *look) {
    char size[SIZE_TEXT];
    page_put(page, STYLE_PLAIN, "a cell is %s; live:", human_size(size, cells->size));
    page_put(page, STYLE_GOOD, "%s", look->ascii ? " # x + - " : " █ ▓ ▒ ░ ");
    page_put(page, STYLE_PLAIN, "most to least");
    page_end(page);
    page_put(page, STYLE_PLAIN, "free: ");
    page_put(page, STYLE_FREE, "%s", look->ascii ? "." : "·");
    page_put(page, STYLE_PLAIN, " resident, blank returned;  T top  F foreign  ~ moved");
    page_end(page);
    if (!cells->residency) {
        page_put(page, STYLE_DIM, "what is resident is not known");
        page_end(page);
    }
    page_end(page);
}

void tabmap_put(struct page *page, const struct sample *sample, const struct look *look) {
    struct snapshot *snapshot = sample->session->snapshot;
    const struct reader *reader = &snapshot->reader;
    uint64_t start = reader_address(reader, 1);
    uint64_t end = reader_address(reader, reader->live.limit);
    unsigned in_row = cells_in_row(look);
    uint64_t rows = look->height > LEGEND_ROWS + 1 ? look->height - LEGEND_ROWS : 1;
    uint64_t size = snapshot->target->page_size;
    struct cells cells;
    while ((end - start) / size > rows * in_row) {
        size *= 2;
    }
    cells_cut(&cells, snapshot, start, end, size);
    put_legend(page, &cells, look);
    for (size_t first = 0; first < cells.count; first += in_row) {
        page_put(page, STYLE_DIM, "%15llx  ", ull(cells.start + first * size));
        for (size_t i = first; i < cells.count && i < first + in_row; i++) {
            page_put(page, cell_style(&cells, &cells.list[i]), "%s",
                     cell_glyph(&cells, &cells.list[i], look->ascii));
        }
        page_end(page);
    }
    cells_free(&cells);
}
