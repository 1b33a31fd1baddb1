; SPDX-License-Identifier: MIT
;
; Somebody who ran before us and left interrupts in the local APIC: a loader for
; 32-bit mode that lies at AT and goes on to ENTRY, esi untouched. With IN_SERVICE it
; takes an interrupt and never ends it; with PENDING it sends one that is not taken.

bits 32
org AT

CODE equ 0x10                           ; boot/setup.asm's, from the Linux boot protocol

APIC      equ 0xfee00000
APIC_SVR  equ APIC + 0x0f0
APIC_ICR  equ APIC + 0x300
APIC_LVT0 equ APIC + 0x350
MASKED    equ 1 << 16
TO_SELF   equ 1 << 18
ENABLED   equ 1 << 8

start:
        mov     al, 0xff                ; the BIOS's timer shall not come in between
        out     0x21, al
        out     0xa1, al
        mov     dword [APIC_LVT0], MASKED
        mov     dword [APIC_SVR], ENABLED | 0xff
%ifdef IN_SERVICE
        mov     esp, stack_top
        lidt    [idt_pointer]
        mov     dword [APIC_ICR], TO_SELF | IN_SERVICE
        sti
        jmp     $
taken:
%endif
%ifdef PENDING
        mov     dword [APIC_ICR], TO_SELF | PENDING
%endif
        mov     dword [APIC_SVR], 0xff  ; as Linux leaves it
        jmp     ENTRY

%ifdef IN_SERVICE
        times   64 db 0
stack_top:
        align   8
idt_pointer:
        dw IN_SERVICE * 8 + 7
        dd gate - IN_SERVICE * 8        ; what lies before the one gate is not looked at
gate:
        dw taken - $$ + (AT & 0xffff)
        dw CODE, 0x8e00
        dw AT >> 16
%endif
