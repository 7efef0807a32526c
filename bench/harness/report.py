"""Tells the result: the table, the summary of each allocator, the CSV file, the last line."""
import csv
from statistics import median

from .figures import OURS, against_best_peer, compare, geomean, tally

FIELDS = ("workload", "allocator", "round", "wall_s", "user_s", "sys_s", "rss_kib", "minor_faults",
          "major_faults", "switches", "syscalls", "steal_ms", "foreign_ms", "output", "fault")

# What may be resident after a burst: so many times the live bytes, and so much for each thread.
AFTER_SHARE, AFTER_THREAD = 1.2, 64 << 10


def write_csv(path, cells):
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(FIELDS)
        for cell in cells:
            for allocator, runs in cell.runs.items():
                for number, run in enumerate(runs):
                    table.writerow((cell.workload.name, allocator, number, f"{run.wall:.6f}",
                                    f"{run.user:.6f}", f"{run.sys:.6f}", run.rss, run.minor,
                                    run.major, run.switches, cell.syscalls.get(allocator, ""),
                                    f"{run.steal_ms:.0f}", f"{run.foreign_ms:.0f}", run.output,
                                    run.fault))


def print_table(cells, times, memory):
    print(f"{'workload':15} {'time s':>8} {'best peer':>11} {'ratio':>6} {'quartiles':>13}"
          f" {'least':>6} {'null':>6} {'':5} {'MiB':>7} {'smallest':>11} {'ratio':>6}"
          f" {'null':>6} {'':5} {'faults':>8} {'best':>8}")
    for cell in cells:
        name = cell.workload.name
        if name not in times:
            print(f"{name:15} left out")
            continue
        t, m = times[name], memory[name]
        print(f"{name:15} {cell.median('lucid', 'wall'):8.3f} {t.best:>11} {t.ratio:6.2f}"
              f" {t.spread[0]:6.2f}-{t.spread[1]:<6.2f} {t.least:6.2f} {t.null:6.2f} {t.verdict:5}"
              f" {cell.median('lucid', 'rss') / 1024:7.1f} {m.best:>11} {m.ratio:6.2f}"
              f" {m.null:6.2f} {m.verdict:5} {cell.median('lucid', 'minor'):8.0f}"
              f" {min(cell.median(n, 'minor') for n in cell.sound() if n not in OURS):8.0f}")


def print_matrix(cells, what, title):
    """Every allocator's ratio to the best peer of each workload; 1.00 is the best peer itself."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.runs))
    print(f"\n{title}")
    print(f"{'':15}" + "".join(f"{name[:10]:>11}" for name in names))
    for cell in cells:
        sound = cell.sound()
        peers = [cell.median(name, what) for name in sound if name not in OURS]
        line = f"{cell.workload.name:15}"
        for name in names:
            known = name in sound and peers
            line += f"{cell.median(name, what) / min(peers):11.2f}" if known else f"{'-':>11}"
        print(line)


def print_allocators(cells):
    times, memory = against_best_peer(cells, "wall"), against_best_peer(cells, "rss")
    print(f"\n{'allocator':12} {'time':>6} {'memory':>7}   geometric mean of the ratio to the best"
          " peer of each workload")
    for name, (time, count) in sorted(times.items(), key=lambda item: item[1]):
        print(f"{name:12} {time:6.2f} {memory[name][0]:7.2f}   of {count} workloads")


def note(cell, name, word):
    """The number behind a word in the lines of measurements, the median of the runs, or None."""
    values = []
    for run in cell.runs[name]:
        words = " ".join(run.notes).split()
        if word in words[:-1]:
            values.append(int(words[words.index(word) + 1]))
    return median(values) if values else None


def in_order(cell):
    """lucid in its forms, then the peers by name: rounds are in random order."""
    return sorted(cell.sound(), key=lambda name: (not name.startswith("lucid"), name))


def print_start(cell):
    """Start-up: what one allocation costs beyond the C library."""
    print(f"\n{cell.workload.about} ({cell.workload.name}):")
    for name in in_order(cell):
        calls, resident = cell.syscalls.get(name), note(cell, name, "resident")
        if resident is not None:
            print(f"  {name:12} {resident / 1024:7.0f} KiB, exact")
            continue
        print(f"  {name:12} {cell.median(name, 'minor'):6.0f} faults"
              f" {cell.least(name, 'wall') * 1000:7.2f} ms"
              + (f" {calls:6d} system calls" if calls is not None else ""))


def print_after(cell):
    """What a burst leaves behind, against what it should at most."""
    print(f"\n{cell.workload.about} ({cell.workload.name}):")
    for name in in_order(cell):
        live, resident = note(cell, name, "live"), note(cell, name, "resident")
        threads = note(cell, name, "threads")
        allowed = AFTER_SHARE * live + AFTER_THREAD * threads
        print(f"  {name:12} {resident / 2**20:7.1f} MiB, {resident / live:5.2f} times the live"
              f" {live / 2**20:.1f} MiB; {'within' if resident <= allowed else 'above'}"
              f" {AFTER_SHARE} times and {AFTER_THREAD >> 10} KiB a thread")


def print_syscalls(cells):
    names = list(dict.fromkeys(name for cell in cells for name in cell.syscalls))
    if not names:
        return
    print("\nsystem calls of one run of the quick command, counted by strace")
    print(f"{'':15}" + "".join(f"{name[:10]:>11}" for name in names))
    for cell in cells:
        counts = "".join(f"{cell.syscalls.get(name) or '-':>11}" for name in names)
        print(f"{cell.workload.name:15}{counts}")


def print_phases(cells):
    """The worst and the last resident memory per live byte of the workload that tells phases."""
    for cell in cells:
        rows = []
        for name in cell.sound():
            notes = [line.split() for line in cell.runs[name][-1].notes if "phase" in line]
            full = [int(w[6]) / int(w[4]) for w in notes if int(w[2]) % 2 == 0]
            low = [int(w[6]) / int(w[4]) for w in notes if int(w[2]) % 2 == 1]
            if full and low:
                rows.append((name, max(full), max(low), low[-1]))
        if rows:
            print(f"\n{cell.workload.about} ({cell.workload.name}): resident beyond start / live")
            for name, full, low, last in rows:
                print(f"  {name:12} at most {full:5.2f} when full, {low:5.2f} after most is freed,"
                      f" {last:5.2f} at the end")


def print_faults(cells, missing):
    for name in missing:
        print(f"not installed: {name}; bench/bootstrap installs the peers")
    for cell in cells:
        for name in cell.runs:
            if cell.fault(name):
                print(f"left out: {cell.workload.name} under {name}: {cell.fault(name)}")


def print_last_line(times, memory):
    wins, ties, losses = tally(memory)
    print(f"memory alone: wins {wins} ties {ties} losses {losses}")
    wins, ties, losses = tally(times)
    print(f"geomean time/best-peer {geomean([c.ratio for c in times.values()]):.3f}"
          f" rss/best-peer {geomean([c.ratio for c in memory.values()]):.3f}"
          f" wins {wins} ties {ties} losses {losses}")


def tell(cells, probes, missing, matrix):
    """Everything, ending in the one line. False when lucid itself failed somewhere."""
    times, memory = compare(cells, "wall"), compare(cells, "rss")
    print_table(cells, times, memory)
    if matrix:
        print_matrix(cells, "wall", "time, ratio to the best peer (medians)")
        print_matrix(cells, "rss", "peak resident memory, ratio to the smallest peer (medians)")
    print_syscalls(cells + probes)
    for cell in probes:
        (print_after if cell.workload.group == "after" else print_start)(cell)
    print_phases(cells)
    print_allocators(cells)
    print_faults(cells + probes, missing)
    print_last_line(times, memory)
    return not any(cell.fault("lucid") for cell in cells + probes)
