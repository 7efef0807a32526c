"""Starting the reader's subject in its many forms, and asking the command about it."""

import json
import os
import re
import signal
import subprocess
import threading

from onetest import BUILD, LIBRARY, LUCID, Case

NOBODY = 65534
SUBJECT = str(BUILD / "tests" / "reader" / "reader_subject")


class Subject:
    """A subject that is ready, and what it said about itself."""

    def __init__(self, process, line):
        self.process = process
        self.pid = process.pid
        self.facts = {}
        for name, value in re.findall(r"(\w+)=(\S+)", line):
            self.facts[name] = value
        if "pid" in self.facts:
            self.pid = int(self.facts["pid"])

    def address(self, name):
        return int(self.facts[name], 16)


class ReaderCase(Case):
    def start(self, *words, library=LIBRARY, program=None, first=(), env=None, **more):
        """Starts a subject and waits for its line. It ends with the test at the latest."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
        environment.update(env or {})
        if library:
            environment["LD_PRELOAD"] = str(library)
        command = [*first, str(program or SUBJECT), *[str(word) for word in words]]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **more)
        self.addCleanup(self.stop, process)
        line = process.stdout.readline()
        self.assertIn("ready", line, f"{command} did not get ready")
        return Subject(process, line)

    def start_to_linger(self, *words, **more):
        """A subject that will have lost its memory when it is killed, and be no zombie yet: it is
        the first process of a namespace, and waits for another of which nobody takes note."""
        if self.run_command("unshare", "--pid", "--fork", "true").returncode != 0:
            self.skipTest("no right to make a PID namespace")
        subject = self.start(*words, first=("unshare", "--pid", "--fork"), **more)
        subject.pid = int(self.succeed("pgrep", "-P", subject.process.pid))
        holder = subprocess.Popen(["nsenter", "--pid", "--target", str(subject.pid),
                                   "sh", "-c", "echo ready; exec sleep 100"],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), "ready\n")
        holder.send_signal(signal.SIGSTOP)

        def kill():
            os.kill(subject.pid, signal.SIGKILL)
            with open(f"/proc/{subject.pid}/statm", encoding="ascii") as pages:
                while not pages.read().startswith("0 "):
                    pages.seek(0)
            with open(f"/proc/{subject.pid}/stat", encoding="ascii") as state:
                self.assertNotIn(") Z ", state.read())

        return subject, kill

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        if process.poll() is None and process.stdin and not process.stdin.closed:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        process.stdout.close()

    def finish(self, subject):
        """Lets it end by itself; its results must be right."""
        subject.process.stdin.close()
        code = subject.process.wait(60)
        self.assertEqual(code, 0, "the subject did not end well after it was read")

    def gcore(self, subject):
        self.succeed("gcore", "-o", self.folder / "core", subject.pid)
        return self.folder / f"core.{subject.pid}"

    def start_to_dump(self, mode, **more):
        """A subject of which the kernel can write a core, and what makes it do so."""
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as pattern:
            if pattern.read().strip() != "core":
                self.skipTest("cores do not go into the working directory here")
        subject = self.start(mode, first=("sh", "-c", "ulimit -c unlimited; exec \"$@\"", "sh"),
                             cwd=self.folder, **more)

        def dump():
            os.kill(subject.pid, signal.SIGABRT)
            subject.process.wait()
            cores = list(self.folder.glob("core*"))
            if not cores:
                self.skipTest("the kernel wrote no core")
            return cores[0]

        return subject, dump

    def lucid(self, command, *words, code=0, **more):
        done = self.run_command(LUCID, command, *words, **more)
        self.assertEqual(done.returncode, code, f"{command} {words}\n{done.stdout}{done.stderr}")
        return done

    def ask(self, command, *words, code=0, **more):
        """The answer as JSON."""
        answer = json.loads(self.lucid(command, "--json", *words, code=code, **more).stdout)
        self.assertEqual(answer["schema"], "lucid.heap/1")
        self.assertEqual(answer["command"], command)
        return answer

    def refuse(self, command, *words, says, code=2, **more):
        """One sentence that says these things, and the exit code."""
        done = self.run_command(LUCID, command, *words, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(f"lucid {command}: "), done.stderr)
        return done

    def blocks(self, *target, **more):
        """All blocks by address."""
        heap = self.ask("heap", *target, **more)
        return {int(block["address"], 16): block for block in heap["blocks"]}, heap

    def check_demo(self, subject, *target, **more):
        """The demo's blocks are where it says, in the states they have."""
        target = target or (subject.pid,)
        blocks, heap = self.blocks(*target, **more)
        large = blocks[subject.address("large")]["size"]  # whole units, of 16 or of 64 KiB
        self.assertIn(large, (114688, 131072))
        expected = {"a": ("used", 16), "b": ("used", 16), "large": ("used", large),
                    "mapping": ("used", 64 << 20), "freed": ("cached", 3072)}
        for name, (state, size) in expected.items():
            block = blocks[subject.address(name)]
            self.assertEqual(block["state"], state, name)
            self.assertEqual(block["size"], size, name)
        self.assertEqual(blocks[subject.address("large")]["asked"], 100000)
        top = heap["top"]
        self.assertGreater(int(top["address"], 16), subject.address("a"))
        self.assertGreater(top["size"], 0)
        self.assertEqual(heap["heap"]["allocator"], "lucid")
        return heap

    def in_parallel(self, work, count):
        """Runs work() in threads; the first failure fails the test."""
        failures = []

        def guarded():
            try:
                work()
            except AssertionError as failure:
                failures.append(failure)

        threads = [threading.Thread(target=guarded) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
