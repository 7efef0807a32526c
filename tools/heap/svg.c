// The map as a picture: one square a cell, a row of squares a line, a legend.
#include "cells.h"
#include "util/human.h"
#include "util/out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 12, GAP = 1, LEFT = 130, TOP = 64, PER_ROW = 64 };

static const char *colour_of(const struct cells *cells, const struct cell *cell) {
    static const char *const live[] = {"#e8e8e8", "#b7d8b0", "#7fbf7b", "#3d9a50", "#0a6b2d"};
    static const char *const gone[] = {"#ffffff", "#c6d9ec", "#8fb8de", "#4a8bc2", "#1f5f99"};
    if (cell->kind == CELL_TOP && cell->live == 0) {
        return cell->resident > 0 ? "#f5e6b8" : "#fbf6e4";
    }
    if (cell->kind == CELL_FOREIGN) {
        return "#d9b3d9";
    }
    bool resident = !cells->residency || cell->resident * 2 >= cells->size;
    return resident ? live[cell_shade(cells, cell)] : gone[cell_shade(cells, cell)];
}

static void write_text(struct out *out, int x, int y, const char *text) {
    out_format(out, "<text x=\"%d\" y=\"%d\">%s</text>\n", x, y, text);
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

static void write_legend(struct out *out) {
    static const struct {
        const char *colour;
        const char *text;
    } entries[] = {
        {"#e8e8e8", "free, resident"},
        {"#b7d8b0", "to 1/4 live"},
        {"#7fbf7b", "to 1/2"},
        {"#3d9a50", "to 3/4"},
        {"#0a6b2d", "more"},
        {"#8fb8de", "mostly not resident"},
        {"#fbf6e4", "top"},
        {"#d9b3d9", "foreign"},
    };
    int x = LEFT;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        out_format(out,
                   "<rect x=\"%d\" y=\"36\" width=\"%d\" height=\"%d\" fill=\"%s\" "
                   "stroke=\"#999\" stroke-width=\"0.5\"/>\n",
                   x, SIDE, SIDE, entries[i].colour);
        write_text(out, x + SIDE + 4, 46, entries[i].text);
        x += 104;
    }
}

static void write_cell(struct out *out, const struct cells *cells, size_t i) {
    const struct cell *cell = &cells->list[i];
    int x = LEFT + (int)(i % PER_ROW) * (SIDE + GAP);
    int y = TOP + (int)(i / PER_ROW) * (SIDE + GAP);
    char live[SIZE_TEXT];
    char resident[SIZE_TEXT];
    out_format(out,
               "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"><title>0x%llx: "
               "%s live, %s resident</title></rect>\n",
               x, y, SIDE, SIDE, colour_of(cells, cell), ull(cells->start + i * cells->size),
               human_size(live, cell->live), human_size(resident, cell->resident));
}

static void write_picture(struct out *out, const struct cells *cells, const char *title) {
    int rows = (int)((cells->count + PER_ROW - 1) / PER_ROW);
    char size[SIZE_TEXT];
    out_format(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "font-family=\"sans-serif\" font-size=\"11\">\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
               LEFT + PER_ROW * (SIDE + GAP) + 20, TOP + rows * (SIDE + GAP) + 20);
    out_format(out, "<text x=\"10\" y=\"20\" font-size=\"14\">");
    write_escaped(out, title);
    out_format(out, ", one square = %s</text>\n", human_size(size, cells->size));
    write_legend(out);
    for (int row = 0; row < rows; row++) {
        out_format(out, "<text x=\"10\" y=\"%d\" font-family=\"monospace\">0x%llx</text>\n",
                   TOP + row * (SIDE + GAP) + 10,
                   ull(cells->start + (uint64_t)row * PER_ROW * cells->size));
    }
    for (size_t i = 0; i < cells->count; i++) {
        write_cell(out, cells, i);
    }
    out_text(out, "</svg>\n");
}

bool cells_write_svg(const struct cells *cells, const char *path, const char *title) {
    struct out *out = calloc(1, sizeof(*out));
    if (out == NULL) {
        return false;
    }
    out->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat file;
    bool done = out->fd >= 0;
    // A file that was there before keeps its mode.
    if (done && fstat(out->fd, &file) == 0 && S_ISREG(file.st_mode)) {
        done = fchmod(out->fd, 0600) == 0;
    }
    if (done) {
        write_picture(out, cells, title);
        done = out_flush(out);
        int error = out->error;
        done = close(out->fd) == 0 && done;
        errno = error != 0 ? error : errno;
    }
    free(out);
    return done;
}
