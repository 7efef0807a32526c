// In C: try { return function(size, alignment); } catch (...) { return NULL; }
// The program's own C++ library does the catching, so that ours needs none: this is the code and
// the table that a compiler of C++ would make of it, and what they refer to are weak symbols. Where
// the program was not linked with a C++ library the function is called as it is; what plugins that
// bring one later throw is not caught.
#include "attempt.h"

#if LUCID_OVERRIDE && (defined(__x86_64__) || defined(__aarch64__))

void *attempt_catching(attempt_function *function, size_t size, size_t alignment);
void *attempt_failed(void *exception);
extern const uintptr_t attempt_personality; // as read by the unwinder; 0: no C++ library

extern void *__cxa_begin_catch(void *exception) __attribute__((weak));
extern void __cxa_end_catch(void) __attribute__((weak));

// The exception ends here: it is destroyed and its memory freed.
__attribute__((used)) void *attempt_failed(void *exception) {
    (void)__cxa_begin_catch(exception);
    __cxa_end_catch();
    return NULL;
}

COLD void *attempt(attempt_function *function, size_t size, size_t alignment) {
    bool catches =
        attempt_personality != 0 && &__cxa_begin_catch != NULL && &__cxa_end_catch != NULL;
    return catches ? attempt_catching(function, size, alignment) : function(size, alignment);
}

#ifdef __x86_64__
#define ENTER "pushq %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\n"
#define CALL_FUNCTION "movq %rdi, %rax\nmovq %rsi, %rdi\nmovq %rdx, %rsi\ncall *%rax\n"
#define CALL_FAILED "movq %rax, %rdi\ncall attempt_failed\n"
#define LEAVE "popq %rbp\n.cfi_def_cfa_offset 8\nret\n"
#else
#define ENTER                                                                 \
    "stp x29, x30, [sp, -16]!\n.cfi_def_cfa_offset 16\n.cfi_offset 29, -16\n" \
    ".cfi_offset 30, -8\n"
#define CALL_FUNCTION "mov x3, x0\nmov x0, x1\nmov x1, x2\nblr x3\n"
#define CALL_FAILED "bl attempt_failed\n" // the exception is where the argument goes
#define LEAVE \
    "ldp x29, x30, [sp], 16\n.cfi_def_cfa_offset 0\n.cfi_restore 29\n.cfi_restore 30\nret\n"
#endif

// 0x9b: the distance to a pointer to what is meant; 0x1b: the distance to it.
__asm__(".pushsection .text.unlikely.attempt_catching, \"ax\", %progbits\n"
        ".hidden attempt_catching\n"
        ".globl attempt_catching\n"
        ".type attempt_catching, %function\n"
        ".balign 16\n"
        "attempt_catching:\n"
        ".cfi_startproc\n"
        ".cfi_personality 0x9b, attempt_personality\n"
        ".cfi_lsda 0x1b, .Lattempt_table\n"
        // clang-format off
        ENTER
        ".Lattempt_call:\n"
        CALL_FUNCTION
        ".Lattempt_called:\n"
        ".cfi_remember_state\n"
        LEAVE
        ".cfi_restore_state\n"
        ".Lattempt_landing:\n"
        CALL_FAILED
        LEAVE
        // clang-format on
        ".cfi_endproc\n"
        ".size attempt_catching, . - attempt_catching\n"
        ".popsection\n");

// One call, where to go on when it ends with an exception, and that any exception will do.
__asm__(".pushsection .gcc_except_table.attempt_catching, \"a\", %progbits\n"
        ".balign 4\n"
        ".Lattempt_table:\n"
        ".byte 0xff\n" // distances are from the begin of the function
        ".byte 0x9b\n"
        ".uleb128 .Lattempt_types - .Lattempt_after_this\n"
        ".Lattempt_after_this:\n"
        ".byte 0x01\n" // what follows are numbers of variable length
        ".uleb128 .Lattempt_sites_end - .Lattempt_sites\n"
        ".Lattempt_sites:\n"
        ".uleb128 .Lattempt_call - attempt_catching\n"
        ".uleb128 .Lattempt_called - .Lattempt_call\n"
        ".uleb128 .Lattempt_landing - attempt_catching\n"
        ".uleb128 1\n" // the first action
        ".Lattempt_sites_end:\n"
        ".byte 1, 0\n" // catches the first type; no other action
        ".balign 4\n"
        ".long 0\n" // the first type: any
        ".Lattempt_types:\n"
        ".popsection\n");

__asm__(".weak __gxx_personality_v0\n"
        ".pushsection .data.rel.ro.attempt_personality, \"aw\", %progbits\n"
        ".hidden attempt_personality\n.globl attempt_personality\n"
        ".type attempt_personality, %object\n"
        ".size attempt_personality, 8\n"
        ".balign 8\n"
        "attempt_personality:\n"
        ".quad __gxx_personality_v0\n"
        ".popsection\n");

#elif LUCID_OVERRIDE

void *attempt(attempt_function *function, size_t size, size_t alignment) {
    return function(size, alignment);
}

#endif
