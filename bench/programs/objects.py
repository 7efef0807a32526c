"""Objects, strings, dictionaries and lists that come and go, in an interpreter whose own
allocator is switched off (PYTHONMALLOC=malloc). Argument: ROUNDS"""
import sys
import zlib


class Node:
    def __init__(self, key, left, right):
        self.key, self.left, self.right = key, left, right


def tree(depth, key):
    if depth == 0:
        return None
    return Node(key, tree(depth - 1, 2 * key), tree(depth - 1, 2 * key + 1))


def weigh(node):
    return 0 if node is None else node.key + weigh(node.left) + weigh(node.right)


def words(seed, count):
    state, text = seed, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        text.append("w%x" % (state % 5000) + "y" * (state % 23))
    return text


def count(text):
    table = {}
    for word in text:
        table.setdefault(word, []).append(len(table))
    return sorted((len(where), word) for word, where in table.items())


def main():
    rounds = int(sys.argv[1])
    total, kept = 0, []
    for i in range(rounds):
        total += weigh(tree(10, i + 1))
        table = count(words(i, 4000))
        kept.append(table[: 400])
        if len(kept) > 12:
            kept.pop(i % 12)
        joined = " ".join(word for _, word in table)
        total += zlib.crc32(joined.upper().encode()) + (3 ** (i + 900)) % 1000003
    print("checksum", total)


main()
