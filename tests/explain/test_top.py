"""lucid top, driven in a terminal: tmux sends the keys, and the screen is looked at."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import time

from onetest import BUILD, LUCID, main

from account import AccountCase

OBSTACLE = BUILD / "tests" / "reader" / "libreader_obstacle.so"

MANY = """
import os, sys, threading
kept = [bytearray(i % 2000) for i in range(50000)]
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("exec"):
        env = {n: v for n, v in os.environ.items() if n != "LD_PRELOAD"}
        os.execvpe("sleep", ["sleep", "1000"], env)
    kept.append(bytearray(30 << 20))
"""

LARGES = """
import select, sys
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for size in range(20):
        kept = bytearray(size << 17)
"""


# Its exit code, and whether the terminal is as before; then nothing more, so that it can be seen.
LEFT_BEHIND = "; code=$?; stty -a | grep -ow -e '-*echo' -e '-*icanon'; echo ended $code; cat"


class Terminal:
    """A command in a tmux of its own. What it leaves behind stays visible after it has ended."""

    def __init__(self, case, *words, size=(100, 30), **env):
        self.case = case
        self.socket = str(case.folder / f"tmux{id(self)}")
        env = {"LC_ALL": "C.UTF-8", **env}
        inside = ["env", *[f"{name}={value}" for name, value in env.items()],
                  *[str(word) for word in words]]
        command = " ".join(shlex.quote(word) for word in inside) + LEFT_BEHIND
        case.addCleanup(self.end)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]),
                  command)

    def tmux(self, *words):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TMUX")}
        clean["LC_ALL"] = "C.UTF-8"
        done = subprocess.run(["tmux", "-u", "-S", self.socket, *words], env=clean, text=True,
                              capture_output=True, check=False, timeout=60)
        self.case.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def end(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True,
                       check=False, timeout=60)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, *patterns, without=None, seconds=60):
        """Until the screen has all of these; returns it."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            there = all(re.search(pattern, screen) for pattern in patterns)
            if there and (without is None or not re.search(without, screen)):
                return screen
            self.case.assertLess(time.monotonic(), end, f"no {patterns} on\n{screen}")
            time.sleep(0.05)


class Top(AccountCase):
    def setUp(self):
        super().setUp()
        self.need("tmux")

    def many(self):
        return self.python(MANY, env={"PYTHONMALLOC": "malloc"})

    def top(self, subject, *words, **more):
        return Terminal(self, LUCID, "top", "--interval", "0.2", *words, subject.pid, **more)

    def quit(self, terminal):
        terminal.keys("q")
        self.check_left_behind(terminal)

    def check_left_behind(self, terminal):
        screen = terminal.wait(r"(?m)^ended 0$")
        self.assertRegex(screen, r"(?m)^icanon$")
        self.assertRegex(screen, r"(?m)^echo$")

    # ---- tabs, keys, size --------------------------------------------------------------------

    def test_top_shows_four_tabs(self):
        subject = self.many()
        terminal = self.top(subject)
        screen = terminal.wait(r"\[1 summary\]", r"LAST [2-9] READINGS")
        for text in ("live blocks", "thread caches", "counted by the kernel", "residue",
                     f"process {subject.pid}", "q quit"):
            self.assertIn(text, screen)
        shown = float(re.search(r"live blocks +([\d.]+)M", screen)[1]) * (1 << 20)
        live = self.ask("stats", subject.pid)["resident"]["live"]
        self.assertAlmostEqual(shown, live, delta=live * 0.05)
        terminal.keys("2")
        terminal.wait(r"\[2 classes\]", "by held", r"SIZE +HELD", r"\b2048\b")
        terminal.keys("Tab")
        terminal.wait(r"\[3 threads\]", rf"{subject.pid} +python3? +S")
        terminal.keys("Right")
        terminal.wait(r"\[4 map\]", "a cell is", "█")
        terminal.keys("h")
        terminal.wait("the tabs; also Tab", "quit")
        terminal.keys("h")
        terminal.wait(r"\[4 map\]")
        terminal.keys("Left")
        terminal.wait(r"\[3 threads\]")
        # A slow line may deliver the first byte of an arrow by itself.
        terminal.keys("Escape", "2")
        terminal.wait(r"\[2 classes\]")
        self.quit(terminal)
        self.finish(subject)

    def test_top_follows_the_target(self):
        subject = self.many()
        terminal = self.top(subject)

        def live():  # what is resident may go down meanwhile: the start's memory goes back
            pattern = r"live blocks +([\d.]+)M"
            return float(re.search(pattern, terminal.wait(pattern))[1])

        def grow():
            before = self.rollup(subject.pid)
            subject.process.stdin.write("more\n")
            subject.process.stdin.flush()
            self.wait_until(lambda: self.rollup(subject.pid) > before + (20 << 20), "the memory")

        first = live()
        grow()
        self.wait_until(lambda: live() > first + 29, "what was allocated")
        terminal.keys("p")
        terminal.wait(r"\(paused\)")
        second = live()
        grow()
        time.sleep(0.5)
        self.assertEqual(live(), second)
        terminal.keys("r")
        self.wait_until(lambda: live() > second + 29, "what was allocated")
        terminal.keys("p", "+")
        terminal.wait(r"every 0.4 s", without="paused")
        terminal.keys("-", "-", "-")
        terminal.wait(r"every 0.1 s")
        self.quit(terminal)

    def test_top_sorts_and_scrolls(self):
        subject = self.many()
        terminal = self.top(subject, "--tab", "classes", size=(100, 12))
        terminal.wait("by held", "rows 1 to 8 of")
        terminal.keys("Down", "Down")
        terminal.wait("rows 3 to 10 of")
        terminal.keys("NPage")
        terminal.wait("rows 11 to 18 of")
        terminal.keys("Home", "s")
        screen = terminal.wait("by size", "rows 1 to")
        sizes = [int(size) for size in re.findall(r"(?m)^ +(\d+) +[\d.]+[KM]? ", screen)]
        self.assertEqual(sizes, sorted(sizes))
        self.assertGreater(len(sizes), 4)
        terminal.keys("End")
        terminal.wait(r"rows (\d+) to (\d+) of \2")
        self.quit(terminal)

    def test_top_resizes(self):
        subject = self.many()
        terminal = self.top(subject)
        terminal.wait("h help")
        for columns, rows in ((60, 15), (132, 43), (24, 6), (200, 60), (40, 10)):
            terminal.resize(columns, rows)
            screen = terminal.wait(rf"(?s)\A(?:[^\n]*\n){{{rows - 1}}}q quit",
                                   f"process {subject.pid}")
            self.assertLessEqual(max(len(line) for line in screen.splitlines()), columns)
        terminal.resize(20, 4)
        terminal.wait("too small")
        terminal.resize(100, 30)
        terminal.wait("counted by the kernel", without="too small")
        self.quit(terminal)

    # ---- ends --------------------------------------------------------------------------------

    def test_top_survives_the_end_of_the_target(self):
        subject = self.many()
        terminal = self.top(subject)
        before = terminal.wait("LAST [2-9] READINGS")
        self.finish(subject)
        screen = terminal.wait("it has ended; what is shown was its last moment")
        self.assertIn("live blocks", screen)
        part = r"files +[\d.]+M"
        self.assertEqual(re.search(part, before)[0], re.search(part, screen)[0])
        for key, text in (("2", "SIZE +HELD"), ("3", "TID"), ("4", "a cell is"), ("r", "a cell")):
            terminal.keys(key)
            terminal.wait(text, "it has ended")
        self.quit(terminal)

    def test_top_survives_a_kill(self):
        subject = self.many()
        terminal = self.top(subject)
        terminal.wait("LAST [2-9] READINGS")
        subject.process.kill()
        subject.process.wait()
        terminal.wait("it has ended")
        self.quit(terminal)

    def test_top_notices_an_exec(self):
        subject = self.many()
        terminal = self.top(subject)
        terminal.wait("LAST [2-9] READINGS")
        subject.process.stdin.write("exec\n")
        subject.process.stdin.flush()
        terminal.wait("it runs another program now, without lucid")
        subject.process.kill()
        terminal.wait("it has ended")
        self.quit(terminal)

    def test_top_gives_the_terminal_back(self):
        subject = self.many()
        for number in (signal.SIGTERM, signal.SIGINT):
            terminal = self.top(subject)
            terminal.wait("h help")
            found = self.succeed("pgrep", "-f", f"{LUCID} top --interval 0.2 {subject.pid}")
            for pid in found.split():
                with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                    if comm.read().strip() == "lucid":
                        os.kill(int(pid), number)
            self.check_left_behind(terminal)
            terminal.end()

    def test_top_ends_by_a_signal_that_comes_before_it_sleeps(self):
        """It waited for a key then, when it was paused or the process had ended."""
        terminal = self.top(self.many(), LD_PRELOAD=OBSTACLE, OBSTACLE_WAIT=1)
        terminal.wait("h help")
        terminal.keys("p")
        self.check_left_behind(terminal)

    # ---- terminals ---------------------------------------------------------------------------

    def test_top_needs_no_colours_and_no_utf8(self):
        subject = self.many()
        terminal = self.top(subject, TERM="vt100", LC_ALL="C", size=(80, 24))
        screen = terminal.wait(r"\[1 summary\]", "LAST [2-9] READINGS", "###")
        self.assertTrue(screen.isascii(), screen)
        terminal.keys("4")
        screen = terminal.wait("a cell is", r"#####")
        self.assertTrue(screen.isascii(), screen)
        colours = terminal.tmux("capture-pane", "-p", "-e")
        self.assertNotRegex(colours, r"\x1b\[3[0-7]m")
        terminal.resize(50, 12)
        terminal.wait(r"(?s)\A(?:[^\n]*\n){11}q quit")
        self.quit(terminal)

    def test_top_uses_colours(self):
        subject = self.many()
        terminal = self.top(subject)
        terminal.wait("LAST [2-9] READINGS")
        self.assertRegex(terminal.tmux("capture-pane", "-p", "-e"), r"\x1b\[3[0-7]m")
        self.quit(terminal)
        terminal.end()
        terminal = self.top(subject, NO_COLOR="1")
        terminal.wait("LAST [2-9] READINGS")
        self.assertNotRegex(terminal.tmux("capture-pane", "-p", "-e"), r"\x1b\[3[0-7]m")

    def in_a_terminal(self, *words, **env):
        """Exit code and what was said; the output is a terminal, the sentence goes elsewhere."""
        master, slave = pty.openpty()
        clean = {name: value for name, value in os.environ.items() if name != "TERM"}
        try:
            done = subprocess.run([LUCID, *[str(word) for word in words]], stdin=slave,
                                  stdout=slave, stderr=subprocess.PIPE, text=True, check=False,
                                  env={**clean, **env}, timeout=60)
        finally:
            os.close(slave)
            os.close(master)
        return done.returncode, done.stderr

    def test_top_refuses_what_cannot_show_it(self):
        subject = self.many()
        self.refuse("top", subject.pid, says=["no terminal", "--batch"], code=64)
        for env, text in (({"TERM": "dumb"}, "cannot move its cursor"),
                          ({"TERM": "no-such-terminal"}, "TERM=no-such-terminal) is not known"),
                          ({}, "is not known")):
            code, said = self.in_a_terminal("top", subject.pid, **env)
            self.assertEqual(code, 64, said)
            self.assertIn(text, said)
            self.assertEqual(len(said.splitlines()), 1)

    # ---- without a terminal ------------------------------------------------------------------

    def test_top_once(self):
        subject = self.many()
        text = self.lucid("top", "--once", subject.pid).stdout
        for part in ("\nsummary\n", "\nclasses\n", "\nthreads\n", "\nmap\n", "live blocks"):
            self.assertIn(part, text)
        self.assertNotRegex(text, r"(?m) $")
        self.assertNotIn("\x1b", text)
        text = self.lucid("top", "--once", "--tab", "threads", subject.pid).stdout
        self.assertNotIn("live blocks", text)
        plain = self.lucid("top", "--once", subject.pid, env={"LC_ALL": "C"}).stdout
        self.assertTrue(plain.isascii(), plain)
        self.assertIn("live: # x + - most to least", plain)
        self.assertRegex(plain, r"(?m)^#$")
        text = self.lucid("top", "--once", subject.pid, env={"LC_ALL": "C.UTF-8"}).stdout
        self.assertIn("live: █ ▓ ▒ ░ most to least", text)
        answer = self.ask("top", "--once", subject.pid)
        self.check_identity(answer)
        self.assertEqual(answer["threads"][0]["tid"], subject.pid)

    def test_top_batch(self):
        subject = self.many()
        text = self.lucid("top", "--batch", "--count", 3, "--interval", "100ms",
                          subject.pid).stdout
        lines = text.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("RESIDENT", lines[0])
        done = self.lucid("top", "--batch", "--json", "--count", 2, "--interval", 0.1, subject.pid)
        decoder = json.JSONDecoder()
        rest = done.stdout
        for reading in (1, 2):
            answer, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip()
            self.assertEqual(answer["reading"], reading)
            self.check_identity(answer)
        self.assertEqual(rest, "")

    def test_top_counts_large_blocks(self):
        subject = self.python(LARGES, env={"PYTHONMALLOC": "malloc"})
        done = self.lucid("top", "--batch", "--json", "--count", 2, "--interval", 0.5, subject.pid)
        decoder = json.JSONDecoder()
        _, end = decoder.raw_decode(done.stdout)
        answer, _ = decoder.raw_decode(done.stdout[end:].lstrip())
        mine, = [thread for thread in answer["threads"] if thread["tid"] == subject.pid]
        self.assertGreater(mine["larges"], 20)
        self.assertGreaterEqual(answer["per_second"]["larges"], mine["larges"])
        counted = {thread["tid"]: thread["larges"]
                   for thread in self.ask("arena", subject.pid)["threads"]}
        self.assertGreater(counted[subject.pid], 20)

    def test_top_batch_ends_with_the_target(self):
        subject = self.many()
        with subprocess.Popen([LUCID, "top", "--batch", "--interval", "0.1", str(subject.pid)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
            self.assertIn("RESIDENT", batch.stdout.readline())
            batch.stdout.readline()
            self.finish(subject)
            _, said = batch.communicate(timeout=60)
            self.assertEqual(batch.returncode, 0, said)
            self.assertRegex(said, r"^lucid top: process \d+ \(.*\) has ended\n$")

    def test_top_batch_ends_before_the_target_is_a_zombie(self):
        subject, kill = self.start_to_linger("demo")
        with subprocess.Popen([LUCID, "top", "--batch", "--interval", "0.1", str(subject.pid)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
            self.assertIn("RESIDENT", batch.stdout.readline())
            batch.stdout.readline()
            kill()
            _, said = batch.communicate(timeout=60)
            self.assertEqual(batch.returncode, 0, said)
            self.assertRegex(said, r"^lucid top: process \d+ \(.*\) has ended\n$")

    def test_top_refuses(self):
        self.refuse("top", 4194304, says="there is no process")
        subject = self.start("demo")
        for words, says in ((("--interval", "0"), "from 0.1 to 3600"),
                            (("--interval", "1x"), "from 0.1 to 3600"),
                            (("--tab", "colours"), "summary, classes, threads and map"),
                            (("--batch", "--count", "0"), "from 1 on"),
                            (("--count", "3"), "--count is for --batch"),
                            (("--once", "--batch"), "take one"),
                            (("--json",), "--json is for"),
                            (("--once", "--freeze"), "leave out --freeze")):
            self.refuse("top", *words, subject.pid, says=says, code=64)
        self.refuse("top", "--", "true", says="lucid run", code=64)
        self.refuse("top", "--once", self.start("demo", library=None).pid,
                    says="does not run on lucid")


main(Top)
