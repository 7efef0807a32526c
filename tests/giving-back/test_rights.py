"""A program gives rights up, or restricts itself, while the helper is there."""

import os
import re
import unittest

from onetest import BUILD, LIBRARY, Case, main

RIGHTS = BUILD / "tests" / "giving-back" / "rights"


class Rights(Case):
    def under_lucid(self, what, options=""):
        said = self.succeed(RIGHTS, what, env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})
        threads = re.match(r"threads (\d+)\n", said)
        self.assertEqual(threads[1], "2", "no helper came: this test sees nothing")
        return said[threads.end():]

    def is_as_without(self, what):
        self.assertEqual("threads 1\n" + self.under_lucid(what), self.succeed(RIGHTS, what))

    @unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
    def test_a_helper_of_a_process_with_rights_can_do_nothing_with_them(self):
        """It keeps the identity the process had, as the C library does not know it; with this
        option it is there for as long as the program."""
        tasks = self.under_lucid("setuid", "purge_age=1000s").splitlines()
        self.assertEqual(len(tasks), 2, tasks)
        for task in tasks:
            if not re.match(r"Uid:\s+65534\s", task):
                self.assertRegex(task, r"CapEff:\s+0+ NoNewPrivs:\s+1 Seccomp:\s+2 ")

    def test_a_new_user_namespace(self):
        self.is_as_without("user")

    def test_memory_of_its_own(self):
        self.is_as_without("memory")

    def test_another_mount_namespace(self):
        self.is_as_without("mount")

    def test_a_filter_that_ends_the_process(self):
        self.assertEqual(self.under_lucid("filter"), "filter: done\n")

    def test_a_filter_of_a_program_with_threads(self):
        self.assertEqual(self.under_lucid("threads"), "threads: done\n")

    def test_a_child_that_restricts_itself_at_once(self):
        self.is_as_without("child")

    def test_a_child_of_vfork_restricts_itself_alone(self):
        self.assertEqual(self.under_lucid("vfork"), "vfork: 0, then threads 2\n")


main(Rights)
