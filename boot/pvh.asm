; SPDX-License-Identifier: MIT
;
; The PVH entry: a VMM that finds the note below loads the ELF image and starts
; here, in 32-bit protected mode, paging off, interrupts off, ebx holding the
; address of an hvm_start_info.

%include "boot/entry.inc"

extern pvh_main

section .note.pvh note alloc noexec nowrite align=4
        dd 4                            ; bytes of the name
        dd 4                            ; bytes of the descriptor
        dd 18                           ; XEN_ELFNOTE_PHYS32_ENTRY
        db "Xen", 0
        dd pvh_start

section .text.boot progbits alloc exec nowrite align=16
bits 32
global pvh_start
pvh_start:
        begin_32 pvh_main, ebx
        jmp     boot_start
