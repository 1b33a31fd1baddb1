; SPDX-License-Identifier: MIT
;
; The entries of the Linux/x86 boot protocol (Linux, Documentation/arch/x86/
; boot.rst), esi or rsi holding the address of struct boot_params:
;
;   32-bit, protected mode, paging off   at the image's first byte, where tools/mkbzimage
;                                        puts a jump to linux_start_32
;   64-bit, long mode, identity mapping  0x200 bytes after it, and at the ELF file's entry
;
; The image must lie where it was linked to, at 1 MiB. Who loaded it elsewhere is
; told so.

%include "boot/entry.inc"

extern linux_main

SCRATCH_END equ 0x1e8                   ; in boot_params: the end of room for a small stack

section .boot.linux64 progbits alloc exec nowrite align=1
bits 64
global linux_start_64
linux_start_64:
        lea     rax, [rel linux_start_64]
        cmp     rax, linux_start_64
        jne     .elsewhere
        begin_64 linux_main, rsi
        jmp     boot_start_from_64
.elsewhere:
        lea     rsi, [rel message_elsewhere]
        jmp     boot_fail

section .text.boot progbits alloc exec nowrite align=16
bits 32
global linux_start_32
linux_start_32:
        lea     esp, [esi + SCRATCH_END]
        call    .here
.here:
        pop     eax
        cmp     eax, .here
        jne     .elsewhere
        begin_32 linux_main, esi
        jmp     boot_start
.elsewhere:
        lea     esi, [eax + message_elsewhere - .here]
        jmp     boot_fail

section .rodata.boot progbits alloc noexec nowrite align=8
message_elsewhere:
        db "aerostat: the image must lie at 1 MiB, its loader put it elsewhere", 13, 10
        db "aerostat: exit 102", 13, 10, 0
