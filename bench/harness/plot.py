"""The picture: time and memory of every allocator, as a ratio to the best peer; and the curves."""
from .figures import OURS
from .suite import BenchError

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
           "#17becf", "#000080", "#98df8a", "#ffbb78", "#556b2f", "#c5b0d5")


def load():
    try:
        import matplotlib
    except ImportError as error:
        raise BenchError("the picture needs python3-matplotlib; bench/bootstrap installs it, and"
                         " bench/run must be run by /usr/bin/python3") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "lucid"
    import matplotlib.pyplot
    return matplotlib.pyplot


def available():
    try:
        load()
    except BenchError:
        return False
    return True


def style(name, index):
    if name == "lucid":
        return {"color": "#d62728", "marker": "D", "s": 46, "zorder": 3}
    return {"color": COLOURS[index % len(COLOURS)], "marker": "o", "s": 22, "zorder": 2}


def draw_panel(axes, cells, what, title):
    names = sorted({name for cell in cells for name in cell.runs} - {"lucid-null"})
    for index, name in enumerate(names):
        xs, ys = [], []
        for row, cell in enumerate(cells):
            sound = cell.sound()
            peers = [cell.median(n, what) for n in sound if n not in OURS]
            if name in sound and peers:
                xs.append(cell.median(name, what) / min(peers))
                ys.append(row)
        axes.scatter(xs, ys, label=name, **style(name, index))
    axes.set_xscale("log")
    axes.axvline(1.0, color="black", linewidth=0.8)
    ticks = [0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50]
    axes.set_xticks(ticks)
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_title(title, fontsize=10)
    axes.grid(axis="both", alpha=0.3)
    axes.set_ylim(len(cells) - 0.5, -0.5)


def draw_ratios(paths, cells):
    pyplot = load()
    size = (13, 1.6 + 0.28 * len(cells))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=size, sharey=True)
    draw_panel(left, cells, "wall", "time / best peer (lower is better)")
    draw_panel(right, cells, "rss", "peak resident memory / smallest peer")
    left.set_yticks(range(len(cells)))
    left.set_yticklabels([cell.workload.name for cell in cells], fontsize=8)
    right.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    figure.tight_layout()
    for path in paths:
        figure.savefig(path, dpi=120)


def draw_curves(paths, curves):
    """curves: title to allocator to list of (count, nanoseconds)."""
    pyplot = load()
    size = (6.2 * len(curves), 4.2)
    figure, panels = pyplot.subplots(1, len(curves), figsize=size, squeeze=False)
    for axes, (title, lines) in zip(panels[0], curves.items()):
        for index, (name, points) in enumerate(lines.items()):
            look = style(name, index)
            axes.plot([x for x, _ in points], [y for _, y in points], label=name,
                      color=look["color"], marker=look["marker"], markersize=4)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("nanoseconds per replacement (free + malloc)")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.tight_layout()
    for path in paths:
        figure.savefig(path, dpi=120)
