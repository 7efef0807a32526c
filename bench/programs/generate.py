#!/usr/bin/python3
"""Writes the input of a whole program, always the same for the same arguments.

usage: generate.py KIND SCALE > FILE        KIND: c, sql, smt, lines, bytes
"""
import random
import sys


def make_c(scale, draw):
    """A C file: structures, functions with loops and switches that call each other."""
    yield "struct s { long a, b; struct s *next; double d[4]; };\n"
    for i in range(scale):
        yield f"static long f{i}(struct s *p, long n)\n{{\n    long t = {draw.randrange(99)};\n"
        yield f"    for (long k = 0; k < n + {i % 7}; k++) {{\n        switch (k & 7) {{\n"
        for case in range(6):
            yield (f"        case {case}: t += p->a * {draw.randrange(1, 50)} - (p->b >> {case});"
                   f" p->d[{case % 4}] += (double)t / {draw.randrange(2, 9)}; break;\n")
        callee = f"f{draw.randrange(i)}(p, k - 1)" if i else "k"
        yield f"        default: t ^= {callee}; if (p->next) p = p->next;\n        }}\n    }}\n"
        yield "    return t;\n}\n"
    calls = " + ".join(f"f{i}(p, {i})" for i in range(scale))
    yield f"long all(struct s *p);\nlong all(struct s *p)\n{{\n    return {calls};\n}}\n"


def make_sql(scale, draw):
    """Tables, indexes, inserts, joins, updates and deletes."""
    yield "pragma journal_mode = off; begin;\n"
    yield "create table a(id integer primary key, name text, body text, n int);\n"
    yield "create table b(id integer primary key, a int, tag text);\n"
    yield "create index a_name on a(name); create index b_tag on b(tag, a);\n"
    for i in range(scale):
        body = "x" * int(min(900, 8 / (draw.random() + 0.005)))
        name, n = draw.randrange(scale), draw.randrange(999)
        yield f"insert into a values({i},'n{name}','{body}',{n});\n"
        yield f"insert into b values({i},{draw.randrange(scale)},'t{draw.randrange(50)}');\n"
        if i % 10 == 9:
            yield f"update a set body = body || name where id = {draw.randrange(i)};\n"
            yield f"delete from b where id = {draw.randrange(i)};\n"
        if i % 50 == 49:
            yield ("select tag, count(*), sum(length(body)) from a join b on b.a = a.id"
                   f" where tag = 't{draw.randrange(50)}' group by tag;\n")
    yield ("select name, count(*) c, max(body) from a group by name"
           " order by c desc, name limit 20;\n")
    yield "select group_concat(substr(body, 1, 3) || n, '') from a order by n;\ncommit;\n"


def make_smt(scale, draw):
    """Satisfiable linear constraints, bit vectors and arrays for a theorem prover."""
    for i in range(scale):
        yield f"(declare-const x{i} Int)\n(declare-const v{i} (_ BitVec 16))\n"
    yield "(declare-const m (Array Int Int))\n"
    for i in range(scale):
        j, k = draw.randrange(scale), draw.randrange(scale)
        yield f"(assert (and (>= x{i} 0) (<= x{i} {draw.randrange(50, 400)})))\n"
        yield f"(assert (or (< (+ x{i} x{j}) (+ x{k} 90)) (= (select m x{i}) x{j})))\n"
        yield f"(assert (distinct (bvadd v{i} (bvmul v{j} #x0003)) (bvor v{k} #x{i:04x})))\n"
    yield "(check-sat)\n"


def make_lines(scale, draw):
    """Lines of words for sort and the like."""
    for _ in range(scale):
        yield " ".join(f"{draw.randrange(10 ** 6):x}" for _ in range(draw.randrange(1, 12))) + "\n"


def make_bytes(scale, draw):
    """Text of middling entropy, SCALE times a kibibyte, for a compressor."""
    words = [f"{draw.randrange(16 ** 6):x}" for _ in range(4000)]
    for _ in range(scale):
        yield " ".join(draw.choice(words) for _ in range(150))[:1023] + "\n"


MAKERS = {"c": make_c, "sql": make_sql, "smt": make_smt, "lines": make_lines, "bytes": make_bytes}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in MAKERS or not sys.argv[2].isdigit():
        sys.stderr.write(__doc__)
        return 64
    for piece in MAKERS[sys.argv[1]](int(sys.argv[2]), random.Random(2024)):
        sys.stdout.write(piece)
    return 0


if __name__ == "__main__":
    sys.exit(main())
