// Where the root is, as an ELF note of owner "lucid", type 2: its distance from the note's own
// body. A note survives strip, static linking and gcore, and needs no symbol table; it lies in
// a page that every core file has. Readers fall back on the symbol lucid_root, then on the magic.
#include "root.h"

// In C the distance between two objects is no constant; for the linker it is.
__asm__(".pushsection .note.lucid, \"a\", @note\n"
        ".balign 4\n"
        ".long 6, 8, 2\n"
        ".asciz \"lucid\"\n"
        ".balign 4\n"
        "1: .quad root - 1b\n"
        ".popsection\n");
