"""Programs that the command starts itself and leads over points in their code: what they do with
threads, signals and children goes on as without it."""

from onetest import LIBRARY, main
from target import ReaderCase


class Launched(ReaderCase):
    def test_long_list_of_preloaded_libraries(self):
        """All that the caller preloads is preloaded, behind lucid."""
        libraries = ":".join([str(LIBRARY)] * (10000 // len(str(LIBRARY))))
        for words in (("arena",), ("bench", "--rounds", 1, "--peers", "", "--show-output")):
            done = self.lucid(*words, "--", "printenv", "LD_PRELOAD",
                              env={"LD_PRELOAD": libraries})
            self.assertIn(f"{LIBRARY}:{libraries}\n", done.stdout + done.stderr)

    def test_threads_of_a_launched_program_meet_points_at_once(self):
        """A trap that one of them met is gone before it is heard of."""
        program = self.compile("""
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            static pthread_barrier_t all;
            static void *busy(void *argument) {
                pthread_barrier_wait(&all);
                for (unsigned i = 0; i < 2000; i++) {
                    if (malloc(20) == NULL) abort();
                }
                return argument;
            }
            int main(void) {
                pthread_t threads[3];
                pthread_barrier_init(&all, NULL, 4);
                for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, busy, NULL);
                busy(NULL);
                for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
                fputs("all well\\n", stderr);
                return 0;
            }""", "-pthread")
        self.assertEqual(self.lucid("tour", program).stderr, "all well\n")

    def test_signals_to_a_launched_program(self):
        """None is lost because it came while the program was led over a point."""
        program = self.compile("""
            #define _GNU_SOURCE
            #include <signal.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            static volatile unsigned seen;
            static void count(int signal) { seen += signal != 0; }
            static void send(pid_t parent) {
                for (int i = 0; i < 1000; i++) {
                    while (sigqueue(parent, SIGRTMIN, (union sigval){0}) != 0) usleep(100);
                    usleep(20);
                }
                _exit(0);
            }
            int main(void) {
                signal(SIGRTMIN, count);
                pid_t parent = getpid(), child = fork();
                if (child == 0) send(parent);
                while (seen == 0) {}
                while (waitpid(child, NULL, WNOHANG) == 0) {
                    if (malloc(20) == NULL) abort();
                }
                if (malloc(20) == NULL) abort();
                fprintf(stderr, "seen=%u\\n", seen);
                return 0;
            }""")
        self.assertEqual(self.lucid("tour", program).stderr, "seen=1000\n")

    def test_children_of_a_launched_program(self):
        """They call what the command waits for, with the program's memory or a copy of it: they
        live, and it still stops where the program itself calls it."""
        program = self.compile("""
            #define _GNU_SOURCE
            #include <sched.h>
            #include <signal.h>
            #include <spawn.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <sys/wait.h>
            #include <unistd.h>
            char *kept;
            __attribute__((noinline)) void here(void) { __asm__ volatile(""); }
            static int child(void *nothing) { here(); here(); _exit(nothing != NULL); }
            static pid_t cloned(int flags) {
                static char stack[1 << 16] __attribute__((aligned(16)));
                return clone(child, stack + sizeof(stack), flags, NULL);
            }
            static void await(const char *how, pid_t pid) {
                int status = -1;
                waitpid(pid, &status, __WALL);
                fprintf(stderr, "%s=%x\\n", how, status);
            }
            static pid_t spawned(void) {
                char *words[] = {"true", NULL};
                pid_t pid = -1;
                return posix_spawnp(&pid, "true", NULL, NULL, words, words + 1) == 0 ? pid : -1;
            }
            int main(void) {
                pid_t pid = vfork();
                if (pid == 0) child(NULL);
                await("vfork", pid);
                await("vfork with a copy", cloned(CLONE_VFORK | SIGCHLD));
                await("shared", cloned(CLONE_VM | SIGCHLD));
                await("shared without a signal", cloned(CLONE_VM));
                await("copied without a signal", cloned(0));
                if ((pid = fork()) == 0) child(NULL);
                await("fork", pid);
                await("spawn", spawned());
                kept = strdup("look here");
                here();
                return 0;
            }""")
        ways = ("vfork", "vfork with a copy", "shared", "shared without a signal",
                "copied without a signal", "fork", "spawn")
        fine = "".join(f"{way}=0\n" for way in ways)
        done = self.lucid("find", "--string", "look here", "--break", "here", "--", program)
        self.assertEqual(done.stderr, fine)
        self.assertIn("used", done.stdout)
        # What posix_spawn's child executes itself.
        done = self.lucid("arena", "--break", "execve", "--", program)
        self.assertTrue(done.stderr.startswith(fine), done.stderr)
        self.assertIn("without calling execve", done.stderr)

    def test_launched_script_without_a_first_line(self):
        """The shell has it, as under lucid run and from a shell's prompt."""
        script = self.write("script", "echo hello; exit 3\n")
        script.chmod(0o755)
        done = self.lucid("heap", "--", script)
        self.assertIn("hello", done.stderr)
        self.assertIn("exit code 3", done.stderr)

    def test_launched_program_and_options_that_do_not_suit(self):
        self.refuse("heap", "--break", "", "--", "true", says="--break needs the name", code=64)
        self.refuse("bins", "--libc", "--", "true", says="because of --libc")
        self.refuse("block", "--bytes", "x", "0x10", "--", "true", says="--bytes x", code=64)



main(Launched)
