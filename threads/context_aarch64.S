/* As context_x86_64.S, for AArch64 (AAPCS64: x19 to x30 and d8 to d15 are callee-saved). */
#if defined(__aarch64__)
    .macro SAVE_CONTEXT
    stp x19, x20, [x0, #64]
    stp x21, x22, [x0, #80]
    stp x23, x24, [x0, #96]
    stp x25, x26, [x0, #112]
    stp x27, x28, [x0, #128]
    stp x29, x30, [x0, #144]
    stp d8, d9, [x0, #160]
    stp d10, d11, [x0, #176]
    stp d12, d13, [x0, #192]
    stp d14, d15, [x0, #208]
    mov x9, sp
    str x9, [x0, #224]
    .endm

    .macro FUNCTION name, visibility
    .globl \name
    .\visibility \name
    .type \name, %function
    .p2align 4
\name:
    hint #34
    .endm

    .text
    FUNCTION tenure__with_context, hidden
    SAVE_CONTEXT
    mov x9, x1
    mov x1, x2
    br x9
    .size tenure__with_context, .-tenure__with_context

    .macro REGION name, target
    FUNCTION \name, protected
    ldr w9, [x0, #232]
    cbnz w9, 1f
    SAVE_CONTEXT
1:  b \target
    .size \name, .-\name
    .endm
    REGION tenure_enter_blocking, tenure__enter_blocking_saved
    REGION tenure_enter_idle, tenure__enter_idle_saved
    REGION tenure_leave, tenure__leave_saved
    REGION tenure_stack_switch, tenure__stack_switch_saved
#endif
    .section .note.GNU-stack, "", %progbits
