"""The statistics: paired ratios, the noise floor of the null pair, verdicts, geometric means."""
import math
from statistics import median

OURS = ("lucid", "lucid-null")


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def quartiles(values):
    """Lower and upper quartile, interpolated; with few values it is close to least and most."""
    ordered = sorted(values)

    def at(share):
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return at(0.25), at(0.75)


class Cell:
    """All runs of one workload: allocator name to the list of its runs, one per round."""

    def __init__(self, workload):
        self.workload = workload
        self.runs = {}
        self.syscalls = {}

    def add(self, allocator, run):
        self.runs.setdefault(allocator, []).append(run)

    def reference(self):
        """What the program prints: the C library's answer, else the one most runs gave."""
        answers = [run.output for run in self.runs.get("glibc", []) if not run.fault]
        answers = answers or [run.output for runs in self.runs.values() for run in runs
                              if not run.fault]
        return max(set(answers), key=answers.count) if answers else None

    def fault(self, allocator):
        """What went wrong with this allocator in this workload, or an empty string."""
        for run in self.runs.get(allocator, []):
            if run.fault:
                return run.fault
            if run.output != self.reference():
                return "printed something else than the other allocators"
        return ""

    def sound(self):
        return [name for name in self.runs if not self.fault(name)]

    def values(self, allocator, what):
        """One value per run; runs beside other work on the machine do not count if they can be
        done without, that is, if at least three others are left."""
        runs = self.runs[allocator]
        quiet = [run for run in runs if not run.disturbed]
        return [getattr(run, what) for run in (quiet if len(quiet) >= 3 else runs)]

    def ratios(self, over, under, what):
        """Paired by round, again without disturbed runs if three pairs are left."""
        pairs = list(zip(self.runs[over], self.runs[under]))
        quiet = [(a, b) for a, b in pairs if not a.disturbed and not b.disturbed]
        return [getattr(a, what) / getattr(b, what)
                for a, b in (quiet if len(quiet) >= 3 else pairs)]

    def median(self, allocator, what):
        return median(self.values(allocator, what))

    def least(self, allocator, what):
        return min(self.values(allocator, what))


class Comparison:
    """lucid against the best peer of a cell in one respect ("wall" or "rss")."""

    def __init__(self, cell, what):
        peers = [name for name in cell.sound() if name not in OURS]
        self.best = min(peers, key=lambda name: cell.median(name, what))
        self.ratios = cell.ratios("lucid", self.best, what)
        self.least = cell.least("lucid", what) / min(cell.least(name, what) for name in peers)
        self.ratio = median(self.ratios)
        self.spread = quartiles(self.ratios)
        self.null = 1.0
        if "lucid-null" in cell.sound():
            self.null = median(cell.ratios("lucid-null", "lucid", what))
        self.floor = 0.0
        self.verdict = ""

    def judge(self, pooled):
        """It counts when it is beyond what the library shows against itself, here and on the
        whole, and the middle half of the pairs agrees."""
        self.floor = max(abs(math.log(self.null)), pooled)
        distance = math.log(self.ratio)
        within = abs(distance) <= self.floor or self.spread[0] <= 1.0 <= self.spread[1]
        self.verdict = "tie" if within else "win" if distance < 0 else "loss"


def comparable(cell):
    sound = cell.sound()
    return "lucid" in sound and any(name not in OURS for name in sound)


def compare(cells, what):
    """Cell name to Comparison, judged; cells without lucid or without a peer are left out."""
    result = {cell.workload.name: Comparison(cell, what) for cell in cells if comparable(cell)}
    if result:
        pooled = median(abs(math.log(c.null)) for c in result.values())
        for comparison in result.values():
            comparison.judge(pooled)
    return result


def against_best_peer(cells, what):
    """For each allocator the geometric mean of its ratio to the best peer, and of how many."""
    ratios = {}
    for cell in filter(comparable, cells):
        best = min(cell.median(name, what) for name in cell.sound() if name not in OURS)
        for name in cell.sound():
            ratios.setdefault(name, []).append(cell.median(name, what) / best)
    return {name: (geomean(values), len(values)) for name, values in ratios.items()}


def tally(comparisons):
    verdicts = [c.verdict for c in comparisons.values()]
    return verdicts.count("win"), verdicts.count("tie"), verdicts.count("loss")
