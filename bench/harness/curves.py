"""Time per operation against the number of live blocks and of threads."""
import random

from .measure import run
from .suite import Command

LIVE = (10000, 30000, 100000, 300000, 1000000, 3000000, 10000000)
THREADS = (1, 2, 4, 8, 16, 32, 64)
TITLES = {"live": "time per replacement by live blocks, touching them taken out",
          "threads": "time per local replacement by threads, times processors in use"}


def point(kind, count, library, work):
    """One measured point in nanoseconds per replacement, or None when the run went wrong."""
    operations = 1000000 if kind == "live" else max(50000, 2000000 // count)
    argv = [f"{work}/bin/scale", kind, str(count), str(operations)]
    result = run(Command(argv, {}, None, False), library, work, 120)
    if result.fault or not result.notes:
        return None
    words = result.notes[0].split()
    return float(words[2]) - float(words[4])


def measure(allocators, work, rounds, say):
    """kind to allocator to list of (count, the least of some rounds), interleaved."""
    curves = {kind: {name: [] for name in allocators if name != "lucid-null"} for kind in TITLES}
    for kind, counts in (("live", LIVE), ("threads", THREADS)):
        for count in counts:
            best = {}
            for _ in range(rounds):
                for name in random.sample(list(curves[kind]), len(curves[kind])):
                    say(f"curve {kind} {count} {name}")
                    value = point(kind, count, allocators[name], work)
                    if value is not None:
                        best[name] = min(value, best.get(name, value))
            for name, value in best.items():
                curves[kind][name].append((count, value))
    return curves


def print_curves(curves):
    for kind, lines in curves.items():
        counts = LIVE if kind == "live" else THREADS
        print(f"\n{TITLES[kind]} (ns, least of the rounds)")
        print(f"{'':12}" + "".join(f"{count:>10}" for count in counts) + f"{'growth':>10}")
        for name, points in lines.items():
            known = dict(points)
            row = "".join(f"{known[c]:10.1f}" if c in known else f"{'-':>10}" for c in counts)
            first, last = known.get(counts[0]), known.get(counts[-1])
            growth = f"{last / first:10.2f}" if first and last else f"{'-':>10}"
            print(f"{name:12}{row}{growth}")
