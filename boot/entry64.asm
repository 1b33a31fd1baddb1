; SPDX-License-Identifier: MIT
;
; The entry for loaders of our own, boot/efi/ among them: in long mode, memory
; below 1 GiB mapped to itself, interrupts off, rdi holding the address of a struct
; boot_info below 1 GiB. The ELF note of our name says where it is, and how large
; the struct is that it takes.

%include "boot/entry.inc"

extern handover_main

section .text.boot progbits alloc exec nowrite align=16
bits 64
global entry_64
entry_64:
        begin_64 handover_main, rdi
        jmp     boot_start_from_64
