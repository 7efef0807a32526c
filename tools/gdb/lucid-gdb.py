"""lucid inside gdb: `lucid heap`, `block`, `arena`, `bins`, `map`, `layout`, `check`, `find` on the
program that is stopped or the core that is loaded.

    (gdb) source lucid-gdb.py
    (gdb) lucid heap
    (gdb) lucid block ptr -C 3
    (gdb) lucid block $rax

The work is done by the lucid command, with the same reader as outside. While gdb traces a program
nobody else may read it, so the command asks this plugin for memory over two pipes; the plugin reads
it with gdb's own API. Nothing is ever called inside the program. The command is found beside this
file, in LUCID, or in PATH.
"""

import os
import re
import shutil
import subprocess

import gdb

# Loaded together with the library: the command is installed near that.
LIBRARY = gdb.current_objfile().filename if gdb.current_objfile() else None
COMMANDS = ("heap", "block", "arena", "bins", "map", "layout", "check", "find")
TAKES_ADDRESS = ("block",)


def find_tool():
    """The lucid command: set by hand, beside this file (build tree or installed), or in PATH."""
    here = os.path.dirname(os.path.realpath(__file__)) if "__file__" in globals() else os.getcwd()
    candidates = [os.environ.get("LUCID")]
    for up in ("", "..", "../..", "../../..", "../../bin", "../../../bin", "../../build"):
        candidates.append(os.path.join(here, up, "lucid"))
    if LIBRARY:
        for up in ("..", "../..", "../../.."):
            candidates.append(os.path.join(os.path.dirname(LIBRARY), up, "bin", "lucid"))
    candidates.append(shutil.which("lucid"))
    for path in candidates:
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.realpath(path)
    raise gdb.GdbError("lucid: the command was not found; set it with LUCID=/path/to/lucid gdb")


def core_path():
    """The core file that gdb has loaded, or None."""
    if "Local core dump file" not in gdb.execute("info files", to_string=True):
        return None
    text = gdb.execute("info files", to_string=True)
    match = re.search(r"Local core dump file:\s*\n\s*`(.*?)', file type", text)
    return match.group(1) if match else None


def read_memory(inferior, address, length):
    """As many bytes as can be read from the front of the range."""
    try:
        return bytes(inferior.read_memory(address, length))
    except gdb.MemoryError:
        pass
    # Some of it cannot be read: halve the distance to the first page that fails.
    page = 4096
    got = bytearray()
    while len(got) < length:
        at = address + len(got)
        step = min(page - at % page, length - len(got))
        try:
            got += bytes(inferior.read_memory(at, step))
        except gdb.MemoryError:
            break
    return bytes(got)


def list_threads(inferior):
    selected = gdb.selected_thread()
    frame = gdb.selected_frame() if selected else None
    lines = []
    for thread in inferior.threads():
        try:
            thread.switch()
            newest = gdb.newest_frame()
            pc = newest.pc()
            sp = int(newest.read_register("sp"))
        except gdb.error:
            pc = sp = 0
        tid = thread.ptid[1] or thread.ptid[0]
        lines.append("%d %x %x %s\n" % (tid, pc, sp, thread.name or ""))
    if selected:
        selected.switch()
        frame.select()
    return "".join(lines).encode()


def list_maps(pid):
    """Who may look at a process may read its maps, whoever traces it."""
    try:
        with open("/proc/%d/maps" % pid, "rb") as maps:
            return maps.read()
    except OSError:
        return b""


def answer(inferior, question):
    words = question.split()
    if words[0] == "read":
        return read_memory(inferior, int(words[1], 16), int(words[2], 16))
    if words[0] == "threads":
        return list_threads(inferior)
    if words[0] == "maps":
        return list_maps(inferior.pid)
    return b""


def serve(inferior, questions, answers):
    """Answers the tool until it ends."""
    for line in questions:
        body = answer(inferior, line.decode())
        answers.write(b"%d\n" % len(body))
        answers.write(body)
        answers.flush()


def run_on_program(arguments):
    inferior = gdb.selected_inferior()
    if not inferior.pid:
        raise gdb.GdbError("lucid: no program is running and no core is loaded; `start` begins one")
    ask_read, ask_write = os.pipe()
    answer_read, answer_write = os.pipe()
    name = os.path.basename(gdb.current_progspace().filename or "?").replace(",", "_")
    pipes = "%d,%d,%d,%s" % (ask_write, answer_read, inferior.pid, name)
    command = [find_tool(), arguments[0], "--gdb-pipe", pipes] + arguments[1:]
    tool = subprocess.Popen(command, pass_fds=(ask_write, answer_read), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(ask_write)
    os.close(answer_read)
    # The tool prints while it asks: a thread empties that pipe, without touching gdb.
    import threading

    printed = []
    reader = threading.Thread(target=lambda: printed.append(tool.stdout.read()))
    reader.start()
    try:
        with os.fdopen(ask_read, "rb") as questions, os.fdopen(answer_write, "wb") as answers:
            serve(inferior, questions, answers)
    except BrokenPipeError:
        pass  # the tool ended early; it has said why
    reader.join()
    tool.wait()
    return printed[0].decode(errors="replace")


def run_on_core(path, arguments):
    command = [find_tool(), arguments[0], path] + arguments[1:]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace")


def as_address(text):
    """ptr, $rax, &variable or a number: whatever gdb can evaluate."""
    value = gdb.parse_and_eval(text)
    return hex(int(value.cast(gdb.lookup_type("unsigned long"))))


class Lucid(gdb.Command):
    """lucid heap|block|arena|bins|map|layout|check|find [OPTIONS]

The same as the lucid command, on the program that gdb has stopped or the core it has loaded.
`lucid block EXPRESSION` takes any expression for the address."""

    def __init__(self):
        super().__init__("lucid", gdb.COMMAND_DATA)

    def complete(self, text, word):
        return [name for name in COMMANDS if name.startswith(word)] if " " not in text else []

    def invoke(self, argument, from_tty):
        arguments = gdb.string_to_argv(argument)
        if not arguments or arguments[0] not in COMMANDS:
            raise gdb.GdbError("usage: lucid %s [OPTIONS]" % "|".join(COMMANDS))
        if arguments[0] in TAKES_ADDRESS and len(arguments) > 1 and arguments[1][0] != "-":
            arguments[1] = as_address(arguments[1])
        core = core_path()
        text = run_on_core(core, arguments) if core else run_on_program(arguments)
        gdb.write(text)


Lucid()
