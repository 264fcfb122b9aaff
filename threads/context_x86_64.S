/* The assembly stubs: they store the callee-saved registers and the caller's stack pointer into the record before any
 * C code runs and before the state word is released. No C function could do that: its own frame, where it may have put
 * the caller's registers, is dead as soon as it returns (and setjmp mangles RBP).
 *
 * Offsets: registers 64, stack_pointer 224, depth 232 (threads/mutator.h asserts them). */
#if defined(__x86_64__)
    .macro SAVE_CONTEXT
    movq %rbx, 64(%rdi)
    movq %rbp, 72(%rdi)
    movq %r12, 80(%rdi)
    movq %r13, 88(%rdi)
    movq %r14, 96(%rdi)
    movq %r15, 104(%rdi)
    leaq 8(%rsp), %rax
    movq %rax, 224(%rdi)
    .endm

    .macro FUNCTION name, visibility
    .globl \name
    .\visibility \name
    .type \name, @function
    .p2align 4
\name:
    endbr64
    .endm

    .text
    /* void tenure__with_context(tenure__mutator *, void (*fn)(tenure__mutator *, void *), void *arg) */
    FUNCTION tenure__with_context, hidden
    SAVE_CONTEXT
    movq %rsi, %rax
    movq %rdx, %rsi
    jmp *%rax
    .size tenure__with_context, .-tenure__with_context

    /* Regions: only the outermost saves; inside, the record belongs to whoever scans it. */
    .macro REGION name, target
    FUNCTION \name, protected
    cmpl $0, 232(%rdi)
    jne 1f
    SAVE_CONTEXT
1:  jmp \target
    .size \name, .-\name
    .endm
    REGION tenure_enter_blocking, tenure__enter_blocking_saved
    REGION tenure_enter_idle, tenure__enter_idle_saved
    REGION tenure_leave, tenure__leave_saved
    REGION tenure_stack_switch, tenure__stack_switch_saved
#endif
    .section .note.GNU-stack, "", %progbits
