"""A program gives rights up, or restricts itself, while the helper is there."""

import os
import re
import unittest

from onetest import BUILD, LIBRARY, Case, main

RIGHTS = BUILD / "tests" / "giving-back" / "rights"


class Rights(Case):
    def under_lucid(self, what):
        said = self.succeed(RIGHTS, what, env={"LD_PRELOAD": LIBRARY})
        threads = re.match(r"threads (\d+)\n", said)
        self.assertEqual(threads[1], "2", "no helper came: this test sees nothing")
        return said[threads.end():]

    def is_as_without(self, what):
        self.assertEqual("threads 1\n" + self.under_lucid(what), self.succeed(RIGHTS, what))

    @unittest.skipUnless(os.geteuid() == 0, "only root has rights to give up")
    def test_a_helper_of_a_process_with_rights_can_do_nothing_with_them(self):
        """It may keep the identity the process had, as the C library does not know it."""
        tasks = self.under_lucid("setuid").splitlines()
        self.assertGreater(len(tasks), 0)
        for task in tasks:
            if re.match(r"Uid:\s+0\s", task):
                self.assertRegex(task, r"NoNewPrivs:\s+1 Seccomp:\s+2 ")

    def test_a_new_user_namespace(self):
        self.is_as_without("user")

    def test_memory_of_its_own(self):
        self.is_as_without("memory")

    def test_another_mount_namespace(self):
        self.is_as_without("mount")

    def test_a_filter_that_ends_the_process(self):
        self.assertEqual(self.under_lucid("filter"), "filter: done\n")


main(Rights)
