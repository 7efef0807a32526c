"""lucid ctl: giving back and setting options in processes that run, and its refusals."""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from onetest import BUILD, LIBRARY, LUCID, SOURCE, main

sys.path.insert(0, str(SOURCE / "tests" / "reader"))
from target import NOBODY, ReaderCase  # noqa: E402: its folder is not on the path by itself

SUBJECT = BUILD / "tests" / "ctl" / "ctl_subject"


def lock_all(folder):
    """Locks a folder and what it may open of the files there. Returns how many."""
    locked = 0
    for name in (".", *os.listdir(folder)):
        try:
            file = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NONBLOCK)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked += 1
        except OSError:
            pass
    return locked


class Ctl(ReaderCase):
    def begin(self, case, options="ctl=1,purge_age=1000s", program=SUBJECT, **more):
        return self.start(case, program=program, env={"LUCID_OPTIONS": options}, **more)

    def status(self, pid, field):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next(line.split()[1] for line in status if line.startswith(field + ":"))

    def resident(self, pid):
        return int(self.status(pid, "VmRSS")) * 1024

    def catches(self, pid):
        return bool(int(self.status(pid, "SigCgt"), 16) >> (signal.SIGURG - 1) & 1)

    def act(self, pid, *words, code=0):
        answer = self.ask("ctl", pid, *words, code=code)
        self.assertEqual(answer["action"], words[0])
        return answer

    def said(self, subject):
        """Ends the subject; what it printed then."""
        subject.process.stdin.close()
        text = subject.process.stdout.read()
        self.assertEqual(subject.process.wait(60), 0)
        return text

    # ---- what it does ------------------------------------------------------------------------

    def test_purge_gives_free_runs_back(self):
        subject = self.begin("idle")
        before = self.resident(subject.pid)
        given = self.act(subject.pid, "purge")
        self.assertGreaterEqual(given["pool_bytes"], 48 << 20)
        self.assertEqual(given["span_bytes"], 0)
        self.assertGreater(before - self.resident(subject.pid), 40 << 20)
        self.assertEqual(self.act(subject.pid, "purge")["pool_bytes"], 0)
        self.finish(subject)

    def test_trim_gives_pages_inside_spans_back_too(self):
        subject = self.begin("idle")
        self.act(subject.pid, "purge")
        before = self.resident(subject.pid)
        given = self.act(subject.pid, "trim")
        self.assertGreater(given["span_bytes"], 8 << 20)
        self.assertGreater(before - self.resident(subject.pid), 8 << 20)
        self.finish(subject)

    def test_threads_that_sleep_give_what_they_have_in_their_bins(self):
        for action in ("purge", "trim"):
            subject = self.begin("sleepers")
            self.assertGreater(self.resident(subject.pid), 50 << 20)
            self.act(subject.pid, action)
            self.assertLess(self.resident(subject.pid), 10 << 20, action)
            self.lucid("check", subject.pid, "--freeze")
            self.finish(subject)

    def test_text_says_how_much(self):
        subject = self.begin("idle")
        self.assertRegex(self.lucid("ctl", subject.pid, "purge").stdout,
                         r"\Aprocess \d+ \(ctl_subject\) gave back [\d.]+M of free runs\n\Z")
        self.assertRegex(self.lucid("ctl", subject.pid, "trim").stdout,
                         r"of free runs and [\d.]+M of free pages inside spans\n\Z")
        self.finish(subject)

    def test_set_changes_options(self):
        subject = self.begin("idle")
        self.act(subject.pid, "set", "purge_age=2s", "mmap_threshold=1M")
        rows = {row["name"]: row for row in self.act(subject.pid, "options")["options"]}
        self.assertEqual((rows["purge_age"]["value"], rows["purge_age"]["from"]),
                         ("2s", "lucid ctl"))
        self.assertEqual(rows["mmap_threshold"]["value"], "1M")
        self.assertEqual((rows["ctl"]["value"], rows["ctl"]["from"]), ("1", "LUCID_OPTIONS"))
        self.assertRegex(self.lucid("ctl", subject.pid, "options").stdout,
                         r"(?m)^purge_age +2s +500ms +lucid ctl ")
        self.finish(subject)

    def test_a_new_age_is_obeyed(self):
        """Nothing goes for a thousand seconds; with the new age it goes by itself."""
        subject = self.begin("idle")
        before = self.resident(subject.pid)
        self.act(subject.pid, "set", "purge_age=10ms")
        self.until(lambda: before - self.resident(subject.pid) > 40 << 20)
        self.finish(subject)

    def test_stats_need_no_permission(self):
        subject = self.begin("idle", options="purge_age=1000s")
        stats = self.act(subject.pid, "stats")
        self.assertGreater(stats["dirty"], 40 << 20)
        self.assertFalse(stats["allowed"])
        self.assertRegex(self.lucid("ctl", subject.pid, "stats").stdout, r"of these dirty +\d+")
        self.assertEqual(self.act(subject.pid, "options")["options"][0]["name"], "mmap_threshold")
        self.finish(subject)

    def test_stats_count_what_went(self):
        subject = self.begin("idle")
        dirty = self.act(subject.pid, "stats")["dirty"]
        trimmed = self.act(subject.pid, "trim")
        stats = self.act(subject.pid, "stats")
        self.assertEqual(stats["dirty"], 0)
        self.assertGreaterEqual(stats["purged"], dirty)
        self.assertEqual(stats["trimmed"], trimmed["span_bytes"])
        self.assertTrue(stats["allowed"])
        self.finish(subject)

    def until(self, true, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), end, "it did not happen")
            time.sleep(0.02)

    # ---- what it leaves alone ----------------------------------------------------------------

    def test_off_means_nothing_is_there(self):
        subject = self.begin("idle", options="purge=0")
        self.assertFalse(self.catches(subject.pid))
        self.assertEqual(len(os.listdir(f"/proc/{subject.pid}/task")), 1)
        self.finish(subject)

    def test_no_thread_stays(self):
        subject = self.begin("idle", options="ctl=1,purge=0")
        self.assertEqual(len(os.listdir(f"/proc/{subject.pid}/task")), 1)
        self.act(subject.pid, "purge")
        self.until(lambda: len(os.listdir(f"/proc/{subject.pid}/task")) == 1)
        self.act(subject.pid, "trim")
        self.finish(subject)

    def test_it_does_not_trace(self):
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        subject = self.begin("idle")
        log = self.folder / "log"
        self.succeed("strace", "-f", "-o", log, LUCID, "ctl", subject.pid, "purge")
        calls = log.read_text(encoding="utf-8")
        self.assertIn("process_vm_writev(", calls)
        self.assertNotIn("ptrace(", calls)
        self.finish(subject)

    def ask_often(self, case, rounds):
        """The subject's blocks stay right while it is asked again and again."""
        subject = self.begin(case, options="ctl=1,purge_age=1ms")
        for _ in range(rounds):
            self.act(subject.pid, "trim")
            self.act(subject.pid, "purge")
        self.lucid("check", subject.pid, "--freeze")
        self.finish(subject)

    def test_a_busy_thread_is_not_harmed(self):
        self.ask_often("alone", 150)

    def test_busy_threads_are_not_harmed(self):
        self.ask_often("threads", 100)

    def test_many_askers_all_get_their_answer(self):
        subject = self.begin("threads")
        self.in_parallel(lambda: [self.act(subject.pid, "trim") for _ in range(10)], 8)
        self.in_parallel(lambda: [self.act(subject.pid, "set", "purge_age=3s")
                                  for _ in range(5)], 4)
        self.finish(subject)

    # ---- signals -----------------------------------------------------------------------------

    def test_an_earlier_handler_gets_its_own_signals_only(self):
        subject = self.begin("earlier")
        self.act(subject.pid, "purge")
        os.kill(subject.pid, signal.SIGURG)
        self.act(subject.pid, "purge")
        self.assertEqual(self.said(subject), "handled=1\n")

    def refuse_signal(self, case, says):
        # With purge=0 no helper is about that could answer without a signal.
        subject = self.begin(case, "ctl=1,purge=0")
        self.refuse("ctl", subject.pid, "purge", "--timeout", 1, says=says)
        self.act(subject.pid, "stats")
        return subject

    def test_a_program_with_its_own_handler(self):
        self.finish(self.refuse_signal("own", "has a handler of its own for SIGURG"))

    def test_a_program_that_ignores_the_signal(self):
        self.finish(self.refuse_signal("ignored", "has put lucid's handler for SIGURG away"))

    def test_a_program_that_blocks_the_signal(self):
        self.finish(self.refuse_signal("blocked", "blocks SIGURG in all of its threads"))

    def test_a_name_is_no_field(self):
        """The name of a thread comes first in its status file."""
        for name in ("State:\tT", "SigCgt:0"):
            program = self.folder / name
            shutil.copy(SUBJECT, program)
            subject = self.begin("blocked", "ctl=1,purge=0", program)
            self.refuse("ctl", subject.pid, "purge", "--timeout", 1,
                        says="blocks SIGURG in all of its threads")
            self.finish(subject)

    def test_a_stopped_program(self):
        subject = self.begin("idle")
        os.kill(subject.pid, signal.SIGSTOP)
        self.until(lambda: self.status(subject.pid, "State") == "T")
        self.refuse("ctl", subject.pid, "purge", "--timeout", 1, says=["is stopped", "kill -CONT"])
        os.kill(subject.pid, signal.SIGCONT)
        self.act(subject.pid, "purge")
        self.finish(subject)

    def test_a_program_that_a_debugger_stopped(self):
        """kill -CONT would not let it go on."""
        subject = self.begin("idle")
        libc = ctypes.CDLL(None, use_errno=True)
        attach, detach = 16, 17
        if libc.ptrace(attach, subject.pid, None, None) != 0:
            self.skipTest("no right to trace it")
        os.waitpid(subject.pid, 0)
        self.refuse("ctl", subject.pid, "purge", "--timeout", 1,
                    says=f"is stopped by process {os.getpid()}, which traces it")
        self.assertEqual(libc.ptrace(detach, subject.pid, None, None), 0)
        self.act(subject.pid, "purge")
        self.finish(subject)

    def test_a_program_that_was_replaced_survives(self):
        """What is asked of a process that calls exec at that moment must not kill it."""
        if shutil.which("sleep") is None:
            self.skipTest("sleep is not installed")
        other = subprocess.Popen(["sleep", "100"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        os.kill(other.pid, signal.SIGURG)
        time.sleep(0.1)
        self.assertIsNone(other.poll())

    # ---- forks -------------------------------------------------------------------------------

    def test_a_child_of_fork_is_asked_once_it_allocates(self):
        subject = self.begin("child")
        child = int(subject.facts["child"])
        self.refuse("ctl", child, "purge", says=["child of a fork", "ask the parent"])
        self.assertGreater(self.act(subject.pid, "purge")["pool_bytes"], 40 << 20)
        subject.process.stdin.write("x")
        subject.process.stdin.flush()
        self.assertEqual(subject.process.stdout.readline(), "woken\n")
        self.assertGreater(self.act(child, "purge")["pool_bytes"], 40 << 20)
        self.act(child, "trim")
        self.finish(subject)

    # ---- refusals ----------------------------------------------------------------------------

    def test_a_program_that_does_not_allow_it(self):
        subject = self.begin("idle", options="purge=1")
        for words in (("purge",), ("trim",), ("set", "purge=0")):
            self.refuse("ctl", subject.pid, *words,
                        says=["does not allow it", "start it with LUCID_OPTIONS=ctl=1"])
        self.finish(subject)

    def test_a_program_without_helper(self):
        for options in ("ctl=1,helper=0", "ctl=1,events=1"):
            subject = self.begin("idle", options=options)
            self.refuse("ctl", subject.pid, "purge", says="can have no helper thread")

    def test_a_program_with_more_rights(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to make a set-user-ID program")
        source = (SOURCE / "tests" / "ctl" / "subject.c").read_text(encoding="utf-8")
        program = self.compile(source, "-D_GNU_SOURCE", BUILD / "liblucid.a", "-pthread")
        os.chown(program, 65534, 65534)
        program.chmod(0o4755)
        subject = self.start("idle", program=program, library=None,
                             env={"LUCID_OPTIONS": "ctl=1"})
        self.refuse("ctl", subject.pid, "purge", says="set-user-ID")
        self.finish(subject)

    def test_a_program_of_another_user(self):
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            self.skipTest("needs root and setpriv")
        subject = self.begin("idle")
        done = self.run_command("setpriv", "--reuid=65534", "--clear-groups", LUCID, "ctl",
                                subject.pid, "purge")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertRegex(done.stderr, "belongs to user.*sudo")
        self.finish(subject)

    def test_a_program_that_vanishes(self):
        subject = self.begin("idle")
        os.kill(subject.pid, signal.SIGSTOP)
        asker = subprocess.Popen([LUCID, "ctl", str(subject.pid), "purge", "--timeout", "60"],
                                 stderr=subprocess.PIPE, text=True)
        self.until(lambda: self.is_locked(subject.pid))
        time.sleep(0.2)
        subject.process.kill()
        subject.process.wait()
        _, said = asker.communicate(timeout=60)
        self.assertEqual(asker.returncode, 2)
        self.assertRegex(said, r"\Alucid ctl: process \d+ \(ctl_subject\) has ended before it "
                               r"could answer\n\Z")

    def is_locked(self, pid):
        maps = os.open(f"/proc/{pid}/maps", os.O_RDONLY)
        try:
            fcntl.flock(maps, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(maps)

    def test_an_asker_that_never_ends_is_not_waited_for(self):
        subject = self.begin("idle")
        maps = os.open(f"/proc/{subject.pid}/maps", os.O_RDONLY)
        self.addCleanup(os.close, maps)
        fcntl.flock(maps, fcntl.LOCK_EX)
        self.refuse("ctl", subject.pid, "purge", "--timeout", 1,
                    says="another lucid ctl has been at work")
        self.finish(subject)

    def test_who_may_not_ask_keeps_nobody_from_asking(self):
        """Another user locks all of the process's files in /proc that let him."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        subject = self.begin("idle")
        ours, theirs = socket.socketpair()
        locker = os.fork()
        if locker == 0:
            subject.process.stdin.close()
            ours.close()
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            theirs.send(bytes([lock_all(f"/proc/{subject.pid}")]))
            theirs.recv(1)
            os._exit(0)
        self.addCleanup(os.waitpid, locker, 0)
        self.addCleanup(ours.close)
        theirs.close()
        self.assertGreater(ours.recv(1)[0], 1, "nothing could be locked")
        self.act(subject.pid, "purge", "--timeout", 1)
        self.finish(subject)

    def test_users_who_may_ask_wait_for_each_other(self):
        """The owner and root: what the one locks, the other finds locked."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        subject = self.begin("idle", user=NOBODY, group=NOBODY, extra_groups=[],
                             program=self.visible(SUBJECT), library=self.visible(LIBRARY))
        command = self.visible(LUCID)
        os.kill(subject.pid, signal.SIGSTOP)
        self.until(lambda: self.status(subject.pid, "State") == "T")
        for first, second in (({"user": NOBODY, "group": NOBODY}, {}),
                              ({}, {"user": NOBODY, "group": NOBODY})):
            asker = subprocess.Popen([command, "ctl", str(subject.pid), "purge", "--timeout",
                                      "60"], stderr=subprocess.DEVNULL, **first)
            self.addCleanup(asker.wait)
            self.addCleanup(asker.kill)
            self.until(lambda: self.is_locked(subject.pid))
            done = self.run_command(command, "ctl", subject.pid, "purge", "--timeout", 1, **second)
            self.assertIn("another lucid ctl has been at work", done.stderr)
            asker.kill()
            asker.wait()
        os.kill(subject.pid, signal.SIGCONT)
        self.act(subject.pid, "purge")
        self.finish(subject)

    def visible(self, file):
        """A copy that other users can see wherever the build is."""
        copy = self.folder / os.path.basename(file)
        shutil.copy(file, copy)
        copy.chmod(0o755)
        return copy

    def test_nothing_else_becomes_a_standard_file_that_was_closed(self):
        subject = self.begin("idle")
        os.kill(subject.pid, signal.SIGSTOP)
        self.until(lambda: self.status(subject.pid, "State") == "T")
        asker = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", LUCID, "ctl",
                                  str(subject.pid), "purge", "--timeout", "60"])
        self.addCleanup(asker.wait)
        self.addCleanup(asker.kill)
        self.until(lambda: self.is_locked(subject.pid))
        for number in range(3):
            self.assertEqual(os.readlink(f"/proc/{asker.pid}/fd/{number}"), "/dev/null")
        os.kill(subject.pid, signal.SIGCONT)
        self.assertEqual(asker.wait(60), 2, "the answer could not be written")
        self.finish(subject)

    def test_wrong_words(self):
        subject = self.begin("idle")
        for words, says in (
                (("burn",), 'no action "burn"; there are purge, trim, stats, options and set'),
                (("purge", "now"), 'takes no argument, but got "now"'),
                (("set",), "Give NAME=VALUE"),
                (("set", "purge_age=soon"), "'soon' is no value for purge_age"),
                (("set", "purge_age"), "'' is no value for purge_age"),
                (("set", "harden=1"), "looks at harden only when it starts"),
                (("set", "prge=1"), "no option is called 'prge'"),
                (("set", "purge=0", "purge_age=-1"), "'-1' is no value"),
                (("purge", "--timeout", "never"), "give seconds"),
                (("purge", "--freeze"), "leave out --freeze")):
            self.refuse("ctl", subject.pid, *words, says=says, code=64)
        rows = {row["name"]: row for row in self.act(subject.pid, "options")["options"]}
        self.assertEqual(rows["purge"]["value"], "1", "half of a wrong command was obeyed")
        self.refuse("ctl", subject.pid, "purge", "--root", 2, says="no --root 2")
        self.finish(subject)

    def test_targets_that_cannot_be_asked(self):
        self.refuse("ctl", 2 ** 22 + 5, "purge", says="there is no process")
        self.refuse("ctl", self.write("core", "no core"), "purge", says="core")
        done = self.run_command(LUCID, "ctl", "purge", "--", "true")
        self.assertEqual(done.returncode, 64)
        self.assertIn("give its number", done.stderr)
        plain = self.begin("idle", library=None)
        self.refuse("ctl", plain.pid, "purge", says="does not run on lucid")

    def test_the_option_is_listed(self):
        shown = self.succeed(LUCID, "options", env={"LUCID_OPTIONS": "ctl=1"})
        self.assertTrue(re.search(r"(?m)^ctl +1 +0 +LUCID_OPTIONS ", shown), shown)


main(Ctl)
