; SPDX-License-Identifier: MIT
;
; Where traps and interrupts enter, and where threads change. Every gate has a
; stack of its own (IST): interrupted code may keep live values below its stack
; pointer, as third-party objects do.

extern trap_exception
extern trap_interrupt
extern thread_preempt

bits 64

; The frame handlers see: struct trap_frame of arch/x86_64/trap.h.
%macro push_registers 0
        push    rax
        push    rcx
        push    rdx
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r8
        push    r9
        push    r10
        push    r11
        push    r12
        push    r13
        push    r14
        push    r15
        cld
%endmacro

%macro pop_registers 0
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     r11
        pop     r10
        pop     r9
        pop     r8
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        pop     rdx
        pop     rcx
        pop     rax
        add     rsp, 16                 ; vector and error code
%endmacro

section .text.entry progbits alloc exec nowrite align=16

; Exceptions: 9 bytes each; those without an error code push a zero.
global exception_stubs
exception_stubs:
%assign vector 0
%rep 32
%if vector != 8 && vector != 17 && vector != 21 && vector != 29 && vector != 30 && (vector < 10 || vector > 14)
        push    0
%endif
        push    vector
        jmp     near exception_common
        times 9 * (vector + 1) - ($ - exception_stubs) nop
%assign vector vector + 1
%endrep

exception_common:
        push_registers
        mov     rdi, rsp
        xor     ebp, ebp
        call    trap_exception
        pop_registers
        iretq

; Interrupts: 7 bytes each, vectors 32 to 255, moved down to fit a signed byte.
VECTOR_BIAS equ 160

global interrupt_stubs
interrupt_stubs:
%assign vector 32
%rep 224
        push    byte vector - VECTOR_BIAS
        jmp     near interrupt_common
%assign vector vector + 1
%endrep

; trap_interrupt() gives back the frame to return to: its own, or a copy that it
; put on the stack of the application thread to be preempted. In that case the
; interrupt stack is free again and the thread itself gives way.
interrupt_common:
        push    qword [rsp]             ; the vector; where it lay, an exception has its error code
        add     qword [rsp], VECTOR_BIAS
        push_registers
        mov     rdi, rsp
        xor     ebp, ebp
        call    trap_interrupt
        cmp     rax, rsp
        je      .return
        mov     rsp, rax
        call    thread_preempt
.return:
        pop_registers
        iretq

; void thread_switch(uint64_t *save_rsp, uint64_t load_rsp)
; Interrupts are off on both sides.
global thread_switch
thread_switch:
        push    rbx
        push    rbp
        push    r12
        push    r13
        push    r14
        push    r15
        mov     [rdi], rsp
        mov     rsp, rsi
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbp
        pop     rbx
        ret

; The descriptors a CPU starts with, flat code and data: trap_load() gives it its own.
section .data.gdt progbits alloc noexec write align=16
gdt:
        dq 0
        dq 0x00af9a000000ffff           ; 0x08: 64-bit code
        dq 0x00cf92000000ffff           ; 0x10: data
        dq 0, 0
        dq 0x00cf9a000000ffff           ; 0x28: 32-bit code, for boot/
gdt_end:

section .rodata.gdt progbits alloc noexec nowrite align=8
global boot_gdt_pointer
boot_gdt_pointer:
        dw gdt_end - gdt - 1
        dq gdt                          ; 32-bit code reads its low half

; The first thread's stack, above a page that boot/ leaves unmapped.
section .bss.boot nobits alloc noexec write align=4096
global boot_stack_guard, boot_stack_top
boot_stack_guard:
        resb 4096
        resb 12288
boot_stack_top:
