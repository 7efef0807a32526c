// lucid map: a picture of the heap in the terminal, or as a file.
#include "cells.h"
#include "commands.h"
#include "session.h"
#include "util/human.h"
#include "util/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_WANTED 24u
#define SVG_CELLS 4096u
#define CELLS_MAX (1u << 22)
#define CELL_LEAST 16u
#define CELL_MOST ((uint64_t)1 << 40) // so many of a row are still a number of bytes

struct picture {
    struct session session;
    uint64_t zoom; // address to look at closely; 0: the whole arena
    uint64_t cell; // 0: chosen by the size of the heap
    const char *svg;
    bool ascii; // text of plain letters, where the locale has no shades
};

static bool take_option(int option, const char *value, void *context) {
    struct picture *picture = context;
    bool fine = true;
    if (option == 's') {
        picture->svg = value;
    } else if (option == 'z') {
        fine = human_to_number(value, &picture->zoom) && picture->zoom != 0;
    } else {
        fine = human_to_size(value, &picture->cell) && picture->cell >= CELL_LEAST &&
               picture->cell <= CELL_MOST;
    }
    if (!fine) {
        say("%s: --zoom needs an address, --cell a size from 16 to 1T", value);
    }
    return fine;
}

static unsigned cells_per_row(void) {
    unsigned width = terminal_width() - 22;
    return width >= 64 ? width / 64 * 64 : 32;
}

// What part of the arena, and in pieces of what size: a power of two, so that cells are whole
// pages or whole numbers of them.
static bool choose_range(const struct picture *picture, uint64_t *start, uint64_t *end,
                         uint64_t *size) {
    const struct reader *reader = &picture->session.snapshot->reader;
    uint64_t wanted = picture->svg != NULL ? SVG_CELLS : (uint64_t)cells_per_row() * ROWS_WANTED;
    *start = reader_address(reader, 1);
    *end = reader_address(reader, reader->live.limit);
    *size = reader->fixed.page_size;
    if (picture->zoom != 0) {
        if (!reader_in_arena(reader, picture->zoom)) {
            say("--zoom 0x%llx is not in the arena, 0x%llx to 0x%llx", ull(picture->zoom),
                (unsigned long long)*start, (unsigned long long)*end);
            return false;
        }
        *size = picture->cell != 0 ? picture->cell : 64;
        uint64_t reach = *size * wanted / 2;
        // Whole rows: of cells of 64 bytes each is a page.
        uint64_t middle = picture->zoom / (*size * 64) * (*size * 64);
        *start = middle - *start > reach && middle > *start ? middle - reach : *start;
        *end = *end - *start > 2 * reach ? *start + 2 * reach : *end;
        return true;
    }
    while (picture->cell == 0 && (*end - *start) / *size > wanted) {
        *size *= 2;
    }
    *size = picture->cell != 0 ? picture->cell : *size;
    if ((*end - *start) / *size > CELLS_MAX) {
        say("--cell %llu makes too many cells of this heap; take a larger one, or --zoom",
            (unsigned long long)*size);
        return false;
    }
    return true;
}

// Green: resident. Blue: mostly given back or never touched. Yellow: top. Magenta: foreign.
static const char *cell_colour(const struct cells *cells, const struct cell *cell) {
    static const char *const colours[] = {"32", "34", "33", "35"};
    return colours[cell_tone(cells, cell)];
}

static void print_row(const struct picture *picture, const struct cells *cells, size_t first,
                      unsigned per_row) {
    struct out *out = &out_standard;
    bool colour = picture->session.cli.colour;
    const char *current = "";
    out_format(out, "  0x%-16llx ", ull(cells->start + first * cells->size));
    for (size_t i = first; i < cells->count && i < first + per_row; i++) {
        const char *wanted = cell_colour(cells, &cells->list[i]);
        if (colour && strcmp(wanted, current) != 0) {
            out_format(out, "\033[%sm", wanted);
            current = wanted;
        }
        out_text(out, cell_glyph(cells, &cells->list[i], picture->ascii));
    }
    out_text(out, colour ? "\033[0m\n" : "\n");
}

// Rows that are all alike are folded, as hexdump does it.
static bool same_row(const struct cells *cells, size_t first, unsigned per_row) {
    if (first < per_row || first + per_row > cells->count) {
        return false;
    }
    for (size_t i = first; i < first + per_row; i++) {
        if (cell_glyph(cells, &cells->list[i], false) !=
            cell_glyph(cells, &cells->list[i - per_row], false)) {
            return false;
        }
    }
    return true;
}

static void print_text(const struct picture *picture, const struct cells *cells) {
    struct out *out = &out_standard;
    char size[SIZE_TEXT];
    unsigned per_row = cells_per_row();
    bool folded = false;
    session_print_head(&picture->session, out);
    out_format(out,
               "\none cell = %s   live: %s less   T top   F foreign\n"
               "                  free: %s resident, blank returned or untouched   ~ moved%s\n",
               human_size(size, cells->size),
               picture->ascii ? "# over 3/4 x over 1/2 + over 1/4 -"
                              : "█ over 3/4 ▓ over 1/2 ▒ over 1/4 ░",
               picture->ascii ? "." : "·",
               picture->session.cli.colour
                   ? "   \033[32mresident\033[0m \033[34mnot resident\033[0m"
                   : "");
    if (!cells->residency) {
        out_text(out, "what is resident is not known here\n");
    }
    out_char(out, '\n');
    for (size_t first = 0; first < cells->count; first += per_row) {
        bool same = same_row(cells, first, per_row);
        if (!same) {
            print_row(picture, cells, first, per_row);
        } else if (!folded) {
            out_text(out, "  *\n");
        }
        folded = same;
    }
    out_format(out, "  0x%-16llx end of the arena\n", ull(cells->end));
}

static void print_json(const struct picture *picture, const struct cells *cells) {
    static const char *const kinds[] = {"heap", "foreign", "top"};
    struct json json;
    json_start(&json, &out_standard);
    session_json_head(&picture->session, &json, "map");
    json_address(&json, "start", cells->start);
    json_address(&json, "end", cells->end);
    json_number(&json, "cell_bytes", cells->size);
    json_bool(&json, "residency_known", cells->residency);
    json_open_array(&json, "cells");
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->list[i];
        json_open_object(&json, NULL);
        json_number(&json, "live", cell->live);
        json_number(&json, "cached", cell->cached);
        json_number(&json, "resident", cell->resident);
        json_string(&json, "kind", kinds[cell->kind]);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_close_object(&json);
}

// False: a sentence has been printed.
static bool write_file(struct picture *picture, const struct cells *cells) {
    static struct tally tally;
    const struct target *target = &picture->session.target;
    char title[96];
    char subtitle[256];
    char size[SIZE_TEXT];
    if (!tally_heap(&tally, picture->session.snapshot)) {
        snapshot_say_fault(picture->session.snapshot);
        return false;
    }
    name_shown(title, sizeof(title), target->name);
    int used = snprintf(subtitle, sizeof(subtitle),
                        "process %d, %s  \u00b7  arena of %s, shown from 0x%llx to 0x%llx",
                        (int)target->pid, session_mode(target), human_size(size, tally.arena_bytes),
                        ull(cells->start), ull(cells->end));
    if (tally.mapping_bytes > 0) {
        snprintf(subtitle + used, sizeof(subtitle) - (size_t)used,
                 "  \u00b7  beside it %s in mappings", human_size(size, tally.mapping_bytes));
    }
    struct svg_caption caption = {title, subtitle, &tally};
    if (!cells_write_svg(cells, picture->svg, &caption)) {
        say("%s cannot be written (%s)", picture->svg, strerror(errno));
        return false;
    }
    return true;
}

static int draw(struct picture *picture) {
    struct cells cells;
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t size = 0;
    int code = EXIT_FINE;
    if (!choose_range(picture, &start, &end, &size)) {
        return EXIT_USAGE;
    }
    cells_cut(&cells, picture->session.snapshot, start, end, size);
    if (picture->svg != NULL && !write_file(picture, &cells)) {
        code = EXIT_UNREADABLE;
    } else if (picture->session.cli.json) {
        print_json(picture, &cells);
    } else if (picture->svg == NULL) {
        print_text(picture, &cells);
    }
    cells_free(&cells);
    return code;
}

int cmd_map(int argc, char **argv) {
    static const struct option options[] = {
        {"zoom", required_argument, NULL, 'z'},
        {"cell", required_argument, NULL, 'c'},
        {"svg", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    struct picture picture = {.ascii = terminal_ascii()};
    const struct cli_command command = {
        .usage = "TARGET",
        .purpose = "Draws the heap: how much of each piece is live, and what is resident.",
        .details = "\n  --zoom ADDRESS    only what lies around it, a cell of 64 bytes\n"
                   "  --cell BYTES      size of a cell (K, M, G may follow)\n"
                   "  --svg FILE        write a picture to FILE instead (only you can read it)\n"
                   "\nexample: lucid map --svg heap.svg $(pidof redis-server)\n",
        .options = options,
        .take = take_option,
        .context = &picture,
    };
    int code = session_begin(&picture.session, &command, argc, argv, false);
    if (code >= 0) {
        return code;
    }
    return session_end(&picture.session, draw(&picture));
}
