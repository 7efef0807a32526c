#!/usr/bin/env python3
"""soak.py BUILD MINUTES [PROGRAM...]: real programs at work under lucid for MINUTES.

Every program lives from the beginning to the end and does the same work round by round. What it
answers must be what it answers under the C library's malloc, and its resident memory, mappings
and threads must stay flat. Exit code 0, 1 for a difference or growth, 64 for wrong usage.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from suites import (Browser, ControlSuite, DatabaseSuite, Missing, PerlSuite, PythonSuite, Suite,
                    TclSuite, environment)

SOURCE = Path(__file__).resolve().parent.parent.parent
LEAST_ROUNDS = 9  # three to warm up, three to compare with, three to compare
END = "end of the round"

PYTHON = """
import json, random, re, sys, threading, zlib
def work():
    random.seed(7)
    tree = {str(i): [random.random() for _ in range(i % 40)] for i in range(1500)}
    text = json.dumps(tree)
    sums = {}
    def job(n): sums[n] = zlib.crc32(zlib.compress(text.encode() * n))
    threads = [threading.Thread(target=job, args=(n,)) for n in range(1, 4)]
    [t.start() for t in threads]; [t.join() for t in threads]
    return sorted(sums.items()), len(re.findall('[0-9]+', text)), json.loads(text) == tree
kept = []
for line in sys.stdin:
    EXTRA
    print(work()); print('END', flush=True)
"""
EXTRAS = {
    "python3": "pass",
    "control-memory": "kept.append(b'x' * (4 << 20))",
    "control-mappings": "import mmap; kept += [mmap.mmap(-1, 4096 * (1 + i % 2), "
                        "prot=1 + i % 2 * 2) for i in range(40)]",
    "control-threads": "kept.append(threading.Event()); "
                       "threading.Thread(target=kept[-1].wait, daemon=True).start()",
}
PERL = """$| = 1; while (<STDIN>) { my (%n, @l);
for my $i (1 .. 20000) { my $s = ($i * 7919 % 10007) . ('x' x ($i % 60));
    $n{length $s}++; push @l, [split //, substr($s, 0, 5)] }
print join(',', map { "$_=$n{$_}" } sort { $a <=> $b } keys %n), "\\n";
print join('', map { $_->[0] } (sort { "@$a" cmp "@$b" } @l)[0 .. 99]), "\\nEND\\n" }"""
NODE = """require('readline').createInterface({input: process.stdin}).on('line', () => {
const m = new Map(); for (let i = 0; i < 50000; i++) m.set('k' + i % 3000, 'x'.repeat(i % 99));
const b = []; for (let i = 1; i < 100; i++) b.push(Buffer.alloc(i * 1000, i));
const z = require('zlib').deflateSync(Buffer.concat(b)).length; global.gc();
console.log(m.size, z); console.log('END'); });"""
SQL = """create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, 'text ' || i * 7919 % 1000, i / 3.0 from n; create index i on t(b);
select b, count(*), sum(c) from t group by b order by 2 desc, 1 limit 20;
delete from t where a % 3 = 0; select count(*), total(c) from t; drop table t; vacuum;
.print END
"""


def family(pid):
    """A process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid] + [one for child in children for one in family(int(child))]


def sample(pid):
    """Resident memory in KiB, mappings and threads, of a process and its descendants."""
    total = [0, 0, 0]
    for one in family(pid):
        lines = Path(f"/proc/{one}/status").read_text(encoding="utf-8").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        total[0] += int(fields["VmRSS"].split()[0])
        total[1] += len(Path(f"/proc/{one}/maps").read_text(encoding="utf-8").splitlines())
        total[2] += int(fields["Threads"])
    return total


class Talker:
    """A program that does one round of work for every text it is sent."""

    def __init__(self, name, command, text):
        self.name, self.command, self.text, self.expected = name, command, text, None
        self.process = None

    def programs(self):
        return [self.command[0]]

    def open(self, library):
        return subprocess.Popen(self.command, env=environment(library), text=True, bufsize=1,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, process):
        process.stdin.write(self.text)
        process.stdin.flush()
        answer = []
        for line in process.stdout:
            if line.strip() == END:
                return "".join(answer)
            answer.append(line)
        raise RuntimeError(f"{self.name} ended, exit code {process.wait()}")

    def begin(self, library):
        with self.open(None) as reference:
            self.expected = self.ask(reference)
            reference.stdin.close()
        self.process = self.open(library)

    def round(self):
        answer = self.ask(self.process)
        if answer != self.expected:
            raise RuntimeError(f"{self.name} answers\n{answer}\nbut under the C library's malloc\n"
                               f"{self.expected}")

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()


class Builder:
    """gcc building this project: many short processes, of which only what they write can be
    compared. Some files each round, all of them in turn."""

    name, process = "gcc", None
    FILES_EACH_ROUND = 2

    def __init__(self):
        self.sources = sorted(Path(SOURCE, "src").glob("**/*.c"))
        self.expected, self.next, self.library = {}, 0, None

    def programs(self):
        return ["gcc"]

    def compile(self, source, library):
        return subprocess.run(["gcc", "-O2", "-S", "-D_GNU_SOURCE", f"-I{SOURCE}/include",
                               "-o", "-", source], check=True, env=environment(library),
                              stdout=subprocess.PIPE).stdout

    def begin(self, library):
        self.library = library

    def round(self):
        for _ in range(self.FILES_EACH_ROUND):
            source = self.sources[self.next % len(self.sources)]
            self.next += 1
            if source not in self.expected:
                self.expected[source] = self.compile(source, None)
            if self.compile(source, self.library) != self.expected[source]:
                raise RuntimeError(f"gcc writes other code for {source.name} than under the C "
                                   "library's malloc")

    def end(self):
        pass


class Server:
    """A server, and the commands that put load on it; `wrong` must not be in what they say."""

    def __init__(self, name, command, loads, wrong):
        self.name, self.command, self.loads, self.wrong = name, command, loads, wrong
        self.process = None

    def programs(self):
        return [self.command[0]] + [load[0] for load in self.loads]

    def begin(self, library):
        self.process = subprocess.Popen(self.command, env=environment(library),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def round(self):
        for load in self.loads:
            done = subprocess.run(load, env=environment(None), text=True, check=False,
                                  capture_output=True)
            said = done.stdout + done.stderr
            if done.returncode != 0 or any(word in said for word in self.wrong):
                raise RuntimeError(f"{' '.join(load)}: exit code {done.returncode}\n{said}")

    def end(self):
        pass


def redis(folder):
    path = f"{folder}/redis"
    program = shutil.which("redis-server")
    if program is None and shutil.which("redis-check-rdb") is not None:
        # Debian's redis-tools has the server's program under the name of its checker.
        Path(folder, "redis-server").symlink_to(shutil.which("redis-check-rdb"))
        program = f"{folder}/redis-server"
    return Server("redis-server", [program or "redis-server", "--port", "0", "--unixsocket", path,
                                   "--save", "", "--dir", folder,
                                   "--logfile", f"{folder}/redis.log"],
                  [["redis-benchmark", "-s", path, "-q", "-n", "6000", "-c", "20", "-r", "5000",
                    "-d", "300", "-t", "set,get,lpush,lrange_100,zadd,hset"],
                   ["redis-cli", "-s", path, "flushall"]], ("Error", "ERR"))


def nginx(folder):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    Path(folder, "page").write_text("a line of a page\n" * 2000, encoding="utf-8")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    Path(folder, "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''} worker_processes 2; daemon off;"
        f"pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 256; }}"
        f"http {{ access_log off; gzip on; gzip_types *; gzip_min_length 1; {paths}"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}", encoding="utf-8")
    return Server("nginx", ["nginx", "-c", f"{folder}/nginx.conf", "-p", folder],
                  [["wrk", "-t1", "-c20", "-d1s", "-H", "Accept-Encoding: gzip",
                    f"http://127.0.0.1:{port}/page"]], ("Socket errors", "Non-2xx"))


class MariaDB(Server):
    """A database of its own, made anew."""

    def __init__(self, folder):
        self.data, path = f"{folder}/mariadb-data", f"{folder}/mariadb"
        self.user = ["--user=root"] if os.getuid() == 0 else []
        super().__init__(
            "mariadbd",
            ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}", *self.user,
             f"--socket={path}", "--skip-networking", f"--pid-file={path}.pid",
             f"--log-error={path}.log", "--innodb-buffer-pool-size=8M"],
            [["mariadb-slap", "--no-defaults", f"--socket={path}", "--user=root", "--concurrency=4",
              "--iterations=1", "--number-of-queries=400", "--auto-generate-sql",
              "--auto-generate-sql-load-type=mixed", "--engine=innodb",
              "--auto-generate-sql-add-autoincrement"]], ("ERROR",))

    def programs(self):
        return [*super().programs(), "mariadb-install-db"]

    def begin(self, library):
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", *self.user,
                        "--auth-root-authentication-method=normal", "--skip-test-db"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().begin(library)


def everything(folder, cache):
    def python(name):
        code = PYTHON.replace("EXTRA", EXTRAS[name]).replace("END", END)
        return Talker(name, ["python3", "-c", code], "\n")

    return [python(name) for name in EXTRAS] + [
        Talker("perl", ["perl", "-e", PERL.replace("END", END)], "\n"),
        Talker("node", ["node", "--expose-gc", "-e", NODE.replace("END", END)], "\n"),
        Talker("sqlite3", ["sqlite3", ":memory:"], SQL.replace("END", END)),
        Builder(), PythonSuite(folder), PerlSuite(folder, cache), TclSuite(folder, cache),
        DatabaseSuite(folder), Browser(folder), ControlSuite(folder), redis(folder), nginx(folder),
        MariaDB(folder)]


def growth(samples):
    """What has grown between the middle and the last third, in words; "" if nothing has."""
    third = len(samples) // 3
    grown = []
    for column, (name, slack) in enumerate((("resident KiB", 2048), ("mappings", 8),
                                            ("threads", 1))):
        middle = statistics.median(row[column] for row in samples[third:2 * third])
        last = statistics.median(row[column] for row in samples[-third:])
        if last > middle + slack + middle * (0.08 if column == 0 else 0):
            grown.append(f"{name} {middle:.0f} -> {last:.0f}")
    return ", ".join(grown)


def warm_up(subject):
    """The first round, once a server listens, and proof that lucid is in use."""
    for attempt in range(100):
        try:
            subject.round()
            break
        except RuntimeError:
            if (attempt == 99 or not isinstance(subject, Server)
                    or subject.process.poll() is not None):
                raise
            time.sleep(0.1)
    if subject.process is not None:
        maps = Path(f"/proc/{subject.process.pid}/maps").read_text(encoding="utf-8")
        if "liblucid" not in maps:
            raise RuntimeError(f"{subject.name} does not run under lucid")


def report(subject, rounds, samples):
    if not samples:
        print(f"soak: {subject.name:18} {rounds:5} rounds, the same output")
        return True
    grown = growth(samples)
    first, last = samples[len(samples) // 3], samples[-1]
    print(f"soak: {subject.name:18} {rounds:5} rounds, resident {first[0]} -> {last[0]} KiB, "
          f"mappings {first[1]} -> {last[1]}, threads {first[2]} -> {last[2]}: "
          f"{'grows: ' + grown if grown else 'flat'}")
    return not grown


def stop(subject):
    if subject.process is not None and subject.process.poll() is None:
        subject.process.terminate()
        subject.process.wait(30)


def soak(subjects, library, seconds):
    samples = {subject.name: [] for subject in subjects}
    rounds = 0
    until = time.monotonic() + seconds
    for subject in subjects:
        subject.begin(library)
        warm_up(subject)
    while rounds < LEAST_ROUNDS or time.monotonic() < until:
        rounds += 1
        for subject in subjects:
            subject.round()
            if subject.process is not None:
                samples[subject.name].append(sample(subject.process.pid))
    for subject in subjects:
        subject.end()
    return all([report(subject, rounds, samples[subject.name]) for subject in subjects])


def is_chosen(subject, names):
    """Whether it is asked for and can run; says why not."""
    if subject.name not in names and (names or subject.name.startswith("control-")):
        return False
    try:
        for program in subject.programs():
            if shutil.which(program) is None:
                raise Missing(f"{program} is not installed")
        if isinstance(subject, Suite):
            subject.prepare()
    except Missing as reason:
        print(f"soak: {subject.name} is left out: {reason}", flush=True)
        return False
    return True


def main(words):
    if len(words) < 2:
        print("usage: soak.py BUILD MINUTES [PROGRAM...]", file=sys.stderr)
        return 64
    library = str(Path(words[0], "liblucid.so").resolve(strict=True))
    with tempfile.TemporaryDirectory(prefix="lucid-soak-") as folder:
        wanted = everything(folder, Path(words[0], "soak"))
        chosen = [subject for subject in wanted if is_chosen(subject, words[2:])]
        if not chosen:
            print(f"soak: no program of {words[2:]} can run", file=sys.stderr)
            return 64
        try:
            return 0 if soak(chosen, library, float(words[1]) * 60) else 1
        except RuntimeError as wrong:
            print(f"soak: {wrong}", file=sys.stderr)
            return 1
        finally:
            for subject in chosen:
                stop(subject)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
