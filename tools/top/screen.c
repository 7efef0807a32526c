#include "screen.h"

#include "util/human.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HEAD_ROWS 3 // who, tabs, an empty one
#define FOOT_ROWS 1
#define LEAST_ROWS 6
#define LEAST_COLUMNS 24
#define INTERVAL_LEAST ((uint64_t)100 * 1000 * 1000)
#define INTERVAL_MOST ((uint64_t)3600 * 1000 * 1000 * 1000)
#define KEY_CTRL(letter) ((letter)-96)

struct view_state {
    struct sample *sample;
    enum tab tab;
    size_t scroll;
    struct look look;
    uint64_t interval;
    bool paused;
    bool help;
    bool quit;
    sigset_t signals; // those that are blocked during the sleep
    struct page page;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

// ---- the terminal -------------------------------------------------------------------------------

static void start_colours(void) {
    static const short colours[STYLE_COUNT] = {
        [STYLE_GOOD] = COLOR_GREEN,      [STYLE_FREE] = COLOR_BLUE, [STYLE_OTHER] = COLOR_YELLOW,
        [STYLE_FOREIGN] = COLOR_MAGENTA, [STYLE_BAD] = COLOR_RED,
    };
    start_color();
    short ground = use_default_colors() == OK ? -1 : COLOR_BLACK;
    for (int i = STYLE_GOOD; i < STYLE_COUNT; i++) {
        init_pair((short)i, colours[i], ground);
    }
}

// Terminals without colours still have bold and reverse, or ignore them.
static attr_t style_attributes(enum style style, bool colour) {
    switch (style) {
    case STYLE_HEAD:
        return A_UNDERLINE;
    case STYLE_STRONG:
        return A_BOLD;
    case STYLE_BAD:
        return colour ? (attr_t)COLOR_PAIR(STYLE_BAD) | A_BOLD : A_REVERSE;
    case STYLE_DIM:
        return colour ? A_DIM : A_NORMAL;
    case STYLE_PLAIN:
        return A_NORMAL;
    default:
        return colour ? (attr_t)COLOR_PAIR((int)style) : A_NORMAL;
    }
}

static bool has_colour;

// Writes as much of a text as fits behind `column`; returns the column behind it.
static int put_text(int row, int column, enum style style, const char *text, size_t length) {
    size_t used = 0;
    if (column >= COLS) {
        return column;
    }
    size_t fits = page_clip(text, length, (size_t)(COLS - column), &used);
    attrset((int)style_attributes(style, has_colour));
    mvaddnstr(row, column, text, (int)fits);
    attrset(A_NORMAL);
    return column + (int)used;
}

static int put(int row, int column, enum style style, const char *text) {
    return put_text(row, column, style, text, strlen(text));
}

// ---- drawing ------------------------------------------------------------------------------------

static void draw_head(const struct view_state *state) {
    const struct sample *sample = state->sample;
    char text[160];
    const char *trouble = sample_trouble(sample);
    int column = put(0, 0, STYLE_STRONG, sample->session->target.label);
    if (trouble[0] != 0) {
        column = put(0, column, STYLE_PLAIN, "  ");
        put(0, column, STYLE_BAD, trouble);
    } else {
        snprintf(text, sizeof(text), "  every %.1f s%s, read in %.1f ms",
                 (double)state->interval / 1e9, state->paused ? " (paused)" : "",
                 (double)sample->cost / 1e6);
        put(0, column, state->paused ? STYLE_BAD : STYLE_PLAIN, text);
    }
    column = 0;
    for (unsigned i = 0; i < TAB_COUNT; i++) {
        bool chosen = i == (unsigned)state->tab && !state->help;
        snprintf(text, sizeof(text), chosen ? "[%u %s]" : " %u %s ", i + 1, tab_names[i]);
        column = put(1, column, chosen ? STYLE_STRONG : STYLE_DIM, text);
    }
    if (tab_sorts(state->tab) > 0 && !state->help) {
        snprintf(text, sizeof(text), "   by %s",
                 tab_sort_name(state->tab, state->look.sort[state->tab]));
        put(1, column, STYLE_PLAIN, text);
    }
}

static void draw_foot(const struct view_state *state) {
    const char *keys = COLS >= 76 ? "q quit  1-4 tab  arrows scroll  s sort  p pause  "
                                    "+ - interval  h help"
                                  : "q quit  1-4 tab  h help";
    int column = put(LINES - 1, 0, STYLE_DIM, keys);
    size_t room = (size_t)(LINES - HEAD_ROWS - FOOT_ROWS);
    if (state->page.rows > room) {
        char text[64];
        size_t last =
            state->scroll + room < state->page.rows ? state->scroll + room : state->page.rows;
        snprintf(text, sizeof(text), "   rows %zu to %zu of %zu", state->scroll + 1, last,
                 state->page.rows);
        put(LINES - 1, column, STYLE_STRONG, text);
    }
}

static void fill_help(struct page *page) {
    static const char *const rows[] = {
        "1 2 3 4       the tabs; also Tab, left and right",
        "up, down      scroll by a row; PgUp, PgDn, Home, End",
        "s             sort classes and threads by another column",
        "p, blank      pause, go on",
        "+ -           longer, shorter interval",
        "r             read now",
        "h             this text, and back",
        "q             quit",
        "",
        "live: what the program uses. free, cached, dirty: free memory that",
        "lucid holds, beside blocks in use, in the bins of threads, and not",
        "yet given back. `lucid explain PID` says what would return it.",
    };
    page_clear(page);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        page_put(page, STYLE_PLAIN, "%s", rows[i]);
        page_end(page);
    }
}

static void draw_page(struct view_state *state) {
    const struct page *page = &state->page;
    size_t room = (size_t)(LINES - HEAD_ROWS - FOOT_ROWS);
    size_t most = page->rows > room ? page->rows - room : 0;
    size_t row = SIZE_MAX;
    int column = 0;
    state->scroll = state->scroll < most ? state->scroll : most;
    for (size_t i = 0; i < page->count; i++) {
        const struct piece *piece = &page->pieces[i];
        column = piece->row == row ? column : 0;
        row = piece->row;
        if (row >= state->scroll && row < state->scroll + room) {
            column = put_text(HEAD_ROWS + (int)(row - state->scroll), column, piece->style,
                              page->text + piece->start, piece->length);
        }
    }
}

static void draw(struct view_state *state) {
    erase();
    if (LINES < LEAST_ROWS || COLS < LEAST_COLUMNS) {
        put(0, 0, STYLE_PLAIN, "too small");
        refresh();
        return;
    }
    state->look.width = (unsigned)COLS;
    state->look.height = (unsigned)(LINES - HEAD_ROWS - FOOT_ROWS);
    if (state->help) {
        fill_help(&state->page);
    } else {
        tab_fill(&state->page, state->tab, state->sample, &state->look);
    }
    draw_head(state);
    draw_page(state);
    draw_foot(state);
    refresh();
}

// ---- keys ---------------------------------------------------------------------------------------

static void choose_tab(struct view_state *state, int step) {
    state->tab = (enum tab)(((int)state->tab + step + TAB_COUNT) % TAB_COUNT);
    state->scroll = 0;
    state->help = false;
}

static void change_interval(struct view_state *state, bool longer) {
    uint64_t wanted = longer ? state->interval * 2 : state->interval / 2;
    wanted = wanted < INTERVAL_LEAST ? INTERVAL_LEAST : wanted;
    state->interval = wanted > INTERVAL_MOST ? INTERVAL_MOST : wanted;
}

static bool take_scroll_key(struct view_state *state, int key) {
    size_t room = LINES > HEAD_ROWS + FOOT_ROWS ? (size_t)(LINES - HEAD_ROWS - FOOT_ROWS) : 1;
    switch (key) {
    case KEY_DOWN:
    case 'j':
        state->scroll++;
        break;
    case KEY_UP:
    case 'k':
        state->scroll -= state->scroll > 0;
        break;
    case KEY_NPAGE:
        state->scroll += room;
        break;
    case KEY_PPAGE:
        state->scroll -= room < state->scroll ? room : state->scroll;
        break;
    case KEY_HOME:
        state->scroll = 0;
        break;
    case KEY_END:
        state->scroll = state->page.rows; // drawing brings it back to the last page
        break;
    default:
        return false;
    }
    return true;
}

static void take_key(struct view_state *state, int key) {
    unsigned sorts = tab_sorts(state->tab);
    if (take_scroll_key(state, key)) {
        return;
    }
    if (key >= '1' && key < '1' + TAB_COUNT) {
        choose_tab(state, key - '1' - (int)state->tab);
    } else if (key == '\t' || key == KEY_RIGHT) {
        choose_tab(state, 1);
    } else if (key == KEY_BTAB || key == KEY_LEFT) {
        choose_tab(state, -1);
    } else if (key == 's' && sorts > 0) {
        state->look.sort[state->tab] = (state->look.sort[state->tab] + 1) % sorts;
    } else if (key == 'p' || key == ' ') {
        state->paused = !state->paused;
    } else if (key == '+' || key == '=' || key == '-') {
        change_interval(state, key != '-');
    } else if (key == 'h' || key == '?') {
        state->help = !state->help;
        state->scroll = 0;
    } else if (key == KEY_CTRL('l')) {
        clearok(curscr, TRUE);
    } else if (key == 'r' && state->sample->state != SAMPLE_ENDED) {
        sample_again(state->sample);
    } else if (key == 'q' || key == 'Q') {
        state->quit = true;
    }
}

// ---- the loop -----------------------------------------------------------------------------------

// How long to sleep: until the next reading, or for ever.
static int milliseconds_left(const struct view_state *state) {
    uint64_t next = state->sample->tried + state->interval;
    uint64_t now = target_clock();
    if (state->paused || state->sample->state == SAMPLE_ENDED) {
        return -1;
    }
    return next > now ? (int)((next - now + 999999) / 1000000) : 0;
}

// Sleeps until a key, the end of the target, a new size, the next reading, or a signal that ends
// all this, which comes at no other time: just before the sleep it would be noticed only behind it.
// False: the terminal is gone.
static bool wait_for_something(const struct view_state *state) {
    bool running = state->sample->state != SAMPLE_ENDED && state->sample->pidfd >= 0;
    struct pollfd things[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = state->sample->pidfd, .events = POLLIN},
    };
    int left = milliseconds_left(state);
    const struct timespec time = {.tv_sec = left / 1000, .tv_nsec = (long)(left % 1000) * 1000000};
    int found = ppoll(things, running ? 2 : 1, left >= 0 ? &time : NULL, &state->signals);
    return !(found < 0 && errno != EINTR) && !(things[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void loop(struct view_state *state) {
    while (!state->quit && !interrupted) {
        int key;
        draw(state);
        if (!wait_for_something(state)) {
            return;
        }
        while ((key = getch()) != ERR) {
            take_key(state, key);
        }
        if (state->sample->state == SAMPLE_ENDED) {
            continue;
        }
        if (sample_ended(state->sample)) {
            state->sample->state = SAMPLE_ENDED;
        } else if (milliseconds_left(state) == 0) {
            sample_again(state->sample);
        }
    }
}

static void catch_signals(sigset_t *before) {
    struct sigaction action = {.sa_handler = interrupt};
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, before);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int screen_run(struct sample *sample, enum tab tab, uint64_t interval, bool colour) {
    struct view_state state = {.sample = sample, .tab = tab, .interval = interval};
    state.look.ascii = terminal_ascii(); // which also tells ncurses of the locale
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen == NULL) {
        say("the terminal cannot be used; --once prints everything once, --batch a line for each "
            "reading");
        return EXIT_UNREADABLE;
    }
    catch_signals(&state.signals);
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    has_colour = colour && has_colors();
    if (has_colour) {
        start_colours();
    }
    loop(&state);
    // A terminal with one screen only goes on below what was shown last.
    move(LINES - 1, 0);
    clrtoeol();
    refresh();
    endwin();
    delscreen(screen);
    page_free(&state.page);
    return EXIT_FINE;
}
