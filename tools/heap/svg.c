// The map as a picture: what the arena's bytes are used for as a bar, then one square a cell.
#include "cells.h"
#include "util/human.h"
#include "util/out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 12, STEP = 13, PER_ROW = 64, LEFT = 132, WIDTH = PER_ROW * STEP, MARGIN = 24 };
enum { BAR_Y = 70, BAR_HEIGHT = 16, SUMS_Y = 106, LEGEND_Y = 146, CELLS_Y = 166 };

// Colours by class, for light and dark surroundings. Green is live memory, blue the same where it
// is not resident, amber what is held without being used: that is what one looks for.
static const char style[] =
    "<style>\n"
    "text{font:11px system-ui,'DejaVu Sans',sans-serif;fill:#3d4756}\n"
    ".h{font-size:20px;font-weight:600;fill:#161b22}.m{fill:#7a8494}\n"
    ".a{font:10px ui-monospace,'DejaVu Sans Mono',monospace;fill:#7a8494}\n"
    ".g{fill:#fdfdfb}.e{fill:#eef0ee}.f{fill:#f2b04a}.t{fill:#f3efe0}.u{fill:#e3dabb}\n"
    ".x{fill:#c79bd3}.w{fill:#5ec8b9}.l{fill:#0b6e4f}.k{fill:#0f8a8a}\n"
    ".r1{fill:#cdebd5}.r2{fill:#86cfa0}.r3{fill:#37a46f}.r4{fill:#0b6e4f}\n"
    ".n1{fill:#dbe4f5}.n2{fill:#a9bfe8}.n3{fill:#6c8fd3}.n4{fill:#3459a8}\n"
    ".c:hover{stroke:#161b22;stroke-width:1.5}\n"
    "@media (prefers-color-scheme:dark){text{fill:#b9c2cf}.h{fill:#f0f3f6}.m,.a{fill:#8b95a3}\n"
    ".g{fill:#11151b}.e{fill:#1d232b}.t{fill:#26241c}.u{fill:#3a3524}.f{fill:#d38c1f}\n"
    ".r1{fill:#143a2a}.r2{fill:#1c6a48}.r3{fill:#2b9c69}.r4{fill:#5fd99b}\n"
    ".n1{fill:#1a2744}.n2{fill:#27406f}.n3{fill:#3f63a8}.n4{fill:#7aa2ee}\n"
    ".l{fill:#5fd99b}.c:hover{stroke:#f0f3f6}}\n"
    "</style>\n";

static const char *class_of(const struct cells *cells, const struct cell *cell) {
    static const char *const here[] = {"f", "r1", "r2", "r3", "r4"};
    static const char *const gone[] = {"e", "n1", "n2", "n3", "n4"};
    unsigned shade = cell_shade(cells, cell);
    if (cell->kind == CELL_TOP && cell->live == 0) {
        return cell->resident > 0 ? "u" : "t";
    }
    if (cell->kind == CELL_FOREIGN) {
        return "x";
    }
    bool resident = cells->residency && shade == 0 ? cell->resident > 0
                    : !cells->residency            ? shade > 0
                                                   : cell->resident * 2 >= cells->size;
    return resident ? here[shade] : gone[shade];
}

static void write_escaped(struct out *out, const char *text) {
    for (; *text != 0; text++) {
        if (*text == '<' || *text == '&') {
            out_text(out, *text == '<' ? "&lt;" : "&amp;");
        } else {
            out_char(out, *text);
        }
    }
}

static void write_rect(struct out *out, int x, int y, int width, int height, const char *class) {
    out_format(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" class=\"%s\"/>\n",
               x, y, width, height, class);
}

// A text and how wide it is at the least; no font is known here.
static int write_text(struct out *out, int x, int y, const char *class, const char *text) {
    out_format(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
    write_escaped(out, text);
    out_text(out, "</text>\n");
    return (int)strlen(text) * 13 / 2;
}

// ---- the sums -----------------------------------------------------------------------------------

struct part {
    const char *name;
    const char *class;
    uint64_t bytes;
};

// The bar is drawn without rounding away its smallest parts.
static void write_bar(struct out *out, const struct part *parts, size_t count, uint64_t whole) {
    double x = LEFT;
    int legend = LEFT;
    int line = SUMS_Y;
    char size[SIZE_TEXT];
    char text[64];
    for (size_t i = 0; i < count; i++) {
        double width = whole > 0 ? (double)parts[i].bytes / (double)whole * WIDTH : 0;
        if (parts[i].bytes == 0) {
            continue;
        }
        human_size(size, parts[i].bytes);
        out_format(out,
                   "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" class=\"%s c\">"
                   "<title>%s: %s</title></rect>\n",
                   x, BAR_Y, width > 1.5 ? width - 0.8 : 0.8, BAR_HEIGHT, parts[i].class,
                   parts[i].name, size);
        x += width;
        snprintf(text, sizeof(text), "%s %s", parts[i].name, size);
        if (legend + SIDE + (int)strlen(text) * 13 / 2 > LEFT + WIDTH) {
            legend = LEFT;
            line += 16;
        }
        write_rect(out, legend, line - 10, SIDE, SIDE, parts[i].class);
        legend += SIDE + 5 + write_text(out, legend + SIDE + 5, line, "", text) + 4;
    }
}

static void write_sums(struct out *out, const struct tally *tally) {
    const struct part parts[] = {
        {"small blocks", "r4", tally->used_bytes},
        {"large blocks", "k", tally->large_bytes},
        {"cached", "w", tally->cached_bytes},
        {"free in spans", "f", tally->free_bytes},
        {"free runs", "r1", tally->pool_bytes + tally->busy_bytes},
        {"untouched", "e", tally->uncarved_bytes + tally->tail_bytes},
        {"foreign", "x", tally->foreign_bytes},
        {"top", "t", tally->top_bytes},
    };
    write_bar(out, parts, sizeof(parts) / sizeof(parts[0]), tally->arena_bytes);
}

// ---- the cells ----------------------------------------------------------------------------------

static int write_scale(struct out *out, int x, const char *name, const char *const classes[4]) {
    for (int i = 0; i < 4; i++) {
        write_rect(out, x, LEGEND_Y - 10, SIDE, SIDE, classes[i]);
        x += STEP;
    }
    return x + 5 + write_text(out, x + 5, LEGEND_Y, "", name) + 4;
}

static int write_swatch(struct out *out, int x, const char *name, const char *class) {
    write_rect(out, x, LEGEND_Y - 10, SIDE, SIDE, class);
    return x + SIDE + 5 + write_text(out, x + SIDE + 5, LEGEND_Y, "", name) + 4;
}

static void write_legend(struct out *out, const struct cells *cells) {
    static const char *const here[] = {"r1", "r2", "r3", "r4"};
    static const char *const gone[] = {"n1", "n2", "n3", "n4"};
    char size[SIZE_TEXT];
    char text[64];
    snprintf(text, sizeof(text), "%s a square", human_size(size, cells->size));
    write_text(out, MARGIN, LEGEND_Y, "m", text);
    int x = LEFT;
    if (cells->residency) {
        x = write_scale(out, x, "live, up to full", here);
        x = write_scale(out, x, "the same, not resident", gone);
        x = write_swatch(out, x, "free but resident", "f");
        x = write_swatch(out, x, "nothing", "e");
    } else {
        x = write_scale(out, x, "live, up to full (what is resident is not known)", here);
        x = write_swatch(out, x, "free", "e");
    }
    write_swatch(out, x, "top", "t");
}

static void write_cell(struct out *out, const struct cells *cells, size_t i) {
    const struct cell *cell = &cells->list[i];
    char live[SIZE_TEXT];
    char cached[SIZE_TEXT];
    char resident[SIZE_TEXT];
    out_format(out,
               "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" class=\"%s c\">"
               "<title>0x%llx: %s live, %s cached, %s resident</title></rect>\n",
               LEFT + (int)(i % PER_ROW) * STEP, CELLS_Y + (int)(i / PER_ROW) * STEP, SIDE, SIDE,
               class_of(cells, cell), ull(cells->start + i * cells->size),
               human_size(live, cell->live), human_size(cached, cell->cached),
               cells->residency ? human_size(resident, cell->resident) : "? ");
}

static void write_cells(struct out *out, const struct cells *cells, int rows) {
    int every = rows > 16 ? 4 : 1;
    for (int row = 0; row < rows; row += every) {
        out_format(out, "<text x=\"%d\" y=\"%d\" class=\"a\">0x%llx</text>\n", MARGIN,
                   CELLS_Y + row * STEP + 10,
                   ull(cells->start + (uint64_t)row * PER_ROW * cells->size));
    }
    for (size_t i = 0; i < cells->count; i++) {
        write_cell(out, cells, i);
    }
}

static void write_picture(struct out *out, const struct cells *cells,
                          const struct svg_caption *caption) {
    int rows = (int)((cells->count + PER_ROW - 1) / PER_ROW);
    int width = LEFT + WIDTH + MARGIN;
    int height = CELLS_Y + rows * STEP + MARGIN;
    out_format(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "viewBox=\"0 0 %d %d\">\n",
               width, height, width, height);
    out_text(out, style);
    out_text(out, "<rect width=\"100%\" height=\"100%\" class=\"g\"/>\n");
    write_text(out, MARGIN, 36, "h", caption->title);
    write_text(out, MARGIN, 56, "m", caption->subtitle);
    write_text(out, MARGIN, BAR_Y + 12, "m", "the whole arena");
    write_sums(out, caption->tally);
    write_legend(out, cells);
    write_cells(out, cells, rows);
    out_text(out, "</svg>\n");
}

// A file that was there before keeps its mode otherwise.
static bool make_private(int fd) {
    struct stat file;
    return fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || fchmod(fd, 0600) == 0;
}

bool cells_write_svg(const struct cells *cells, const char *path,
                     const struct svg_caption *caption) {
    struct out *out = calloc(1, sizeof(*out));
    if (out == NULL) {
        return false;
    }
    out->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = out->fd >= 0 && make_private(out->fd);
    if (done) {
        write_picture(out, cells, caption);
        done = out_flush(out);
    }
    int error = out->error != 0 ? out->error : errno;
    if (out->fd >= 0) {
        done = close(out->fd) == 0 && done;
    }
    errno = error;
    free(out);
    return done;
}
