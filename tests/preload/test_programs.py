#!/usr/bin/env python3
"""Real programs under lucid: the same output and exit code as under the C library's malloc."""

import gzip
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import onetest

LINES = "".join(f"{(i * 7919) % 100003} line {i} {'x' * (i % 90)}\n" for i in range(30000))


class Programs(onetest.Case):
    def need(self, *programs):
        for program in programs:
            if shutil.which(program) is None:
                self.skipTest(f"{program} is not installed")

    def same(self, *command, lines=None, env=None, cwd=None):
        """Runs it twice; output, complaints and exit code must be the same."""
        results = []
        for preload in (None, onetest.LIBRARY):
            full = dict(env or {})
            if preload:
                full["LD_PRELOAD"] = preload
            more = {"input": lines, "stdin": None} if lines is not None else {}
            done = self.run_command(*command, env=full, cwd=cwd or self.folder, **more)
            results.append((done.returncode, done.stdout, done.stderr))
        self.assertEqual(results[0], results[1], f"{command}")
        self.assertEqual(results[1][0], 0, f"{command}\n{results[1][2]}")
        self.assertNotIn("lucid", results[1][2])
        return results[1][1]

    def test_python(self):
        code = ("import json, re, zlib, threading, random\n"
                "random.seed(5)\n"
                "tree = {str(i): [random.random() for _ in range(i % 50)] for i in range(3000)}\n"
                "text = json.dumps(tree)\n"
                "def work(n): out[n] = zlib.crc32(zlib.compress(text.encode() * n))\n"
                "out = {}\n"
                "threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]\n"
                "[t.start() for t in threads]; [t.join() for t in threads]\n"
                "print(sorted(out.items()), len(re.findall(r'\\d+', text)))\n"
                "print(json.loads(text) == tree, "
                "sum(map(len, [str(10**n) for n in range(2000)])))\n")
        self.same("python3", "-c", code)
        self.same("python3", "-c", code, env={"PYTHONMALLOC": "malloc"})

    def test_perl(self):
        self.need("perl")
        self.same("perl", "-e", 'while (<STDIN>) { $n{length $_}++; push @l, [split / /] }'
                  'print "$_ $n{$_}\n" for sort { $a <=> $b } keys %n;'
                  'print join(",", map { $_->[0] } '
                  '(sort { $a->[0] <=> $b->[0] } @l)[0..500]), "\n"',
                  lines=LINES)

    def test_git(self):
        self.need("git")
        env = {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        for name in ("AUTHOR", "COMMITTER"):
            env.update({f"GIT_{name}_NAME": "a", f"GIT_{name}_EMAIL": "a@b",
                        f"GIT_{name}_DATE": "2024-01-01T00:00:00Z"})
        script = ("rm -rf repo && git init -q -b main repo && cd repo && for i in $(seq 40); do "
                  "for j in 1 2 3; do seq $((i * j)) > f$j; done; git add . && "
                  "git commit -q -m \"$i\"; done && git log --stat --oneline && git gc -q && "
                  "git blame f3 && git diff HEAD~20 && git fsck 2>/dev/null")
        self.same("sh", "-c", script, env=env)

    def test_compiler(self):
        self.need("gcc")
        source = self.folder / "text.c"
        functions = "".join(f"int f{i}(int a) {{ int s = {i}; for (int i = 0; i < a; i++) "
                            f"s += i * {i} ^ s; return s; }}\n" for i in range(400))
        source.write_text("#include <stdio.h>\n#include <math.h>\n" + functions, encoding="utf-8")
        self.same("gcc", "-O2", "-S", "-o", "-", source)

    def test_sort(self):
        self.same("sort", "-k2", "--parallel=2", "-S", "1M", lines=LINES * 4)
        self.same("sort", "-n", "--parallel=2", lines=LINES * 4)

    def test_compressor(self):
        self.need("xz")
        (self.folder / "text").write_text(LINES * 5, encoding="utf-8")
        self.same("sh", "-c", "xz -T2 -6 --block-size=1MiB -k -c text | tee x.xz | cksum && "
                              "xz -d -c x.xz | cksum")

    def test_database(self):
        self.need("sqlite3")
        self.same("sqlite3", ":memory:", lines=(
            "create table t(a integer primary key, b text, c real);"
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)"
            " insert into t select i, 'text ' || i * 7919 % 1000, i / 3.0 from n;"
            "create index i on t(b);"
            "select b, count(*), sum(c) from t group by b order by 2 desc, 1 limit 50;"
            "select count(*) from t x join t y on x.b = y.b where x.a < 500;"
            "delete from t where a % 3 = 0; vacuum; select count(*), total(c) from t;"))

    def test_node(self):
        self.need("node")
        self.same("node", "-e", "const m = new Map();"
                  "for (let i = 0; i < 200000; i++) "
                  "m.set('k' + i % 5000, {i, s: 'x'.repeat(i % 99)});"
                  "const b = []; for (let i = 1; i < 200; i++) b.push(Buffer.alloc(i * 1000, i));"
                  "const z = require('zlib').deflateSync(Buffer.concat(b));"
                  "console.log(m.size, [...m.values()].reduce((a, v) => a + v.s.length, 0), "
                  "z.length);")

    def test_gdb(self):
        self.need("gdb", "gcc")
        program = self.compile("#include <stdio.h>\nint main(void) { puts(\"x\"); return 3; }\n")
        self.same("gdb", "-nx", "-batch", "-ex", "set startup-with-shell off",
                  "-ex", "set exec-wrapper env -u LD_PRELOAD", "-ex", "break main", "-ex", "run",
                  "-ex", "info line", "-ex", "next", "-ex", "continue",
                  "-ex", "python print(sum(range(10000)))", program)

    def free_port(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return str(listener.getsockname()[1])

    def serve(self, command, port, lucid=True):
        """Starts a server, under lucid or not, and waits until it listens."""
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
        if lucid:
            clean["LD_PRELOAD"] = onetest.LIBRARY
        with open(self.folder / "server.log", "w", encoding="utf-8") as log:
            server = subprocess.Popen(command, env=clean, cwd=self.folder, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(self.end, server)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            if server.poll() is not None:
                break
            time.sleep(0.05)
        else:
            self.fail("the server does not listen")
        self.assertIsNone(server.poll(), (self.folder / "server.log").read_text())
        maps = open(f"/proc/{server.pid}/maps", encoding="utf-8").read()
        self.assertEqual("liblucid.so" in maps, lucid, "what the server runs under")
        return server

    def end(self, server):
        if server.poll() is None:
            server.terminate()
            server.wait(30)

    def key_value_server(self, lucid):
        port = self.free_port()
        # Debian's redis-tools has the server's program under the name of its checker.
        program = self.folder / "redis-server"
        program.unlink(missing_ok=True)
        program.symlink_to(shutil.which("redis-check-rdb"))
        server = self.serve([str(program), "--port", port, "--save", "", "--dir", str(self.folder),
                             "--enable-debug-command", "yes"], port, lucid)

        def ask(*words):
            return self.succeed("redis-cli", "-e", "-p", port, *words)

        return port, server, ask

    def test_key_value_server(self):
        self.need("redis-check-rdb", "redis-benchmark", "redis-cli")
        port, server, ask = self.key_value_server(lucid=True)
        out = self.succeed("redis-benchmark", "-p", port, "-q", "-n", "20000", "-c", "20", "-r",
                           "5000", "-d", "200", "-t", "set,get,lpush,lrange_100,mset,zadd")
        self.assertIn("SET", out)
        ask("debug", "reload")  # forks nothing, frees everything
        self.assertGreater(int(ask("dbsize")), 1000)
        ask("bgsave")           # forks
        while "rdb_bgsave_in_progress:1" in ask("info", "persistence"):
            time.sleep(0.1)
        self.assertIn("rdb_last_bgsave_status:ok", ask("info", "persistence"))
        ask("flushall")
        self.end(server)
        self.assertEqual(server.returncode, 0, (self.folder / "server.log").read_text())

    def test_key_value_server_answers(self):
        """The same commands leave the same data, and get the same answers."""
        self.need("redis-check-rdb", "redis-cli")
        script = ("for i = 1, 5000 do redis.call('set', 'k' .. i, string.rep('x', i % 700))"
                  " redis.call('zadd', 'z', i * 7919 % 10007, 'm' .. i)"
                  " redis.call('hset', 'h' .. i % 50, 'f' .. i, i)"
                  " redis.call('lpush', 'l' .. i % 9, i)"
                  " if i % 3 == 0 then redis.call('del', 'k' .. i - 1) end end"
                  " return redis.call('zrange', 'z', 0, 200)")
        seen = []
        for lucid in (False, True):
            _, server, ask = self.key_value_server(lucid)
            ask("flushall")  # what the other one left in the folder
            seen.append([ask("eval", script, "0"), ask("dbsize"), ask("lrange", "l3", "0", "-1"),
                         ask("hgetall", "h7"), ask("debug", "digest"), ask("debug", "reload"),
                         ask("debug", "digest")])
            self.end(server)
        self.assertEqual(seen[0], seen[1])

    def test_web_server(self):
        self.need("nginx", "wrk")
        port = self.free_port()
        (self.folder / "www").mkdir()
        (self.folder / "www" / "page").write_text(LINES[:20000], encoding="utf-8")
        user = "user root;" if os.getuid() == 0 else ""
        self.write("nginx.conf", f"""{user} worker_processes 2; daemon off; pid {self.folder}/pid;
            error_log {self.folder}/error.log; events {{ worker_connections 256; }}
            http {{ access_log off; gzip on; gzip_types *; gzip_min_length 1;
                    client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;
                    fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;
                    scgi_temp_path {self.folder}/s;
                    server {{ listen 127.0.0.1:{port}; root {self.folder}/www; }} }}""")
        server = self.serve(["nginx", "-c", str(self.folder / "nginx.conf"), "-p",
                             str(self.folder)], port)
        url = f"http://127.0.0.1:{port}/page"
        for coding in ("identity", "gzip"):
            request = urllib.request.Request(url, headers={"Accept-Encoding": coding})
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = answer.read()
            body = gzip.decompress(body) if coding == "gzip" else body
            self.assertEqual(body.decode(), LINES[:20000])
        for _ in range(2):
            out = self.succeed("wrk", "-t2", "-c20", "-d2s", "-H", "Accept-Encoding: gzip", url)
            self.assertNotIn("Socket errors", out)
            self.assertNotIn("Non-2xx", out)
            server.send_signal(1)  # new workers, the old ones end
            time.sleep(0.5)
        self.end(server)
        self.assertEqual(server.returncode, 0, (self.folder / "server.log").read_text())
        self.assertNotIn("signal", (self.folder / "error.log").read_text())


if __name__ == "__main__":
    onetest.main(Programs)
