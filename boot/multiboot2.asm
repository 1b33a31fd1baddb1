; SPDX-License-Identifier: MIT
;
; The Multiboot2 entry (Multiboot2 Specification 2.0, §3.1 and §3.3): GRUB loads
; the ELF image and starts here, in 32-bit protected mode, paging off, interrupts
; off, ebx holding the address of the boot information.

%include "boot/entry.inc"

extern multiboot2_main

MAGIC        equ 0xe85250d6
ARCHITECTURE equ 0                      ; i386, 32-bit protected mode
STARTED_BY   equ 0x36d76289             ; what eax then holds

TAG_END           equ 0
TAG_REQUEST       equ 1
TAG_ENTRY_ADDRESS equ 3
TAG_OPTIONAL      equ 1

INFO_CMDLINE equ 1
INFO_MMAP    equ 6
INFO_ACPI    equ 15

; Within the first 32 KiB of the file, at a multiple of 8: linker.ld puts it there.
section .boot.multiboot2 progbits alloc exec nowrite align=8
header:
        dd MAGIC, ARCHITECTURE
        dd header_end - header
        dd -(MAGIC + ARCHITECTURE + (header_end - header)) & 0xffffffff

request:                                ; without these there is no starting
        dw TAG_REQUEST, 0
        dd request_end - request
        dd INFO_CMDLINE, INFO_MMAP
request_end:

entry_address:                          ; else it is the ELF file's, which is Linux's
        dw TAG_ENTRY_ADDRESS, 0
        dd entry_address_end - entry_address
        dd multiboot2_start
entry_address_end:
        align   8, db 0

        dw TAG_END, 0
        dd 8
header_end:

section .text.boot progbits alloc exec nowrite align=16
bits 32
multiboot2_start:
        cmp     eax, STARTED_BY
        jne     .stranger
        begin_32 multiboot2_main, ebx
        jmp     boot_start
.stranger:
        mov     esi, message_stranger
        jmp     boot_fail

section .rodata.boot progbits alloc noexec nowrite align=8
message_stranger:
        db "aerostat: not started by a Multiboot2 loader", 13, 10
        db "aerostat: exit 102", 13, 10, 0
