; SPDX-License-Identifier: MIT
;
; How every CPU but the first gets to 64-bit C. A startup IPI names a page below
; 1 MiB; what is copied there only enters protected mode and jumps to the image.
; Paging comes on when that page is left: it is never executable, and no page is
; both writable and executable.

extern ap_main
extern cpu_slots
extern boot_gdt_pointer
extern boot_page_tables

CR0_PE  equ 1 << 0
CR0_MP  equ 1 << 1
CR0_NE  equ 1 << 5
CR0_WP  equ 1 << 16
CR0_PG  equ 1 << 31
CR4_PAE        equ 1 << 5
CR4_PGE        equ 1 << 7
CR4_OSFXSR     equ 1 << 9
CR4_OSXMMEXCPT equ 1 << 10

MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8
EFER_NXE equ 1 << 11

SELECTOR_CODE64 equ 0x08
SELECTOR_DATA   equ 0x10
SELECTOR_CODE32 equ 0x28

section .rodata.ap progbits alloc noexec nowrite align=16
bits 16
global ap_trampoline, ap_trampoline_end, ap_trampoline_gdt
ap_trampoline:
        cli
        mov     ax, cs
        mov     ds, ax
        o32 lgdt [ap_trampoline_gdt - ap_trampoline]
        mov     eax, cr0
        or      al, CR0_PE
        mov     cr0, eax
        jmp     dword SELECTOR_CODE32:ap_start
        align   8
ap_trampoline_gdt:                      ; in the copy: what boot_gdt_pointer holds
        times 6 db 0
ap_trampoline_end:

section .text.ap progbits alloc exec nowrite align=16
bits 32
ap_start:
        mov     eax, SELECTOR_DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     eax, eax
        mov     fs, eax
        mov     gs, eax
        mov     eax, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT
        mov     cr4, eax
        mov     eax, boot_page_tables
        mov     cr3, eax
        mov     ecx, MSR_EFER
        rdmsr
        or      eax, EFER_LME | EFER_NXE
        wrmsr
        mov     eax, CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG
        mov     cr0, eax
        jmp     SELECTOR_CODE64:.long_mode

; Who comes finds its struct cpu by its id, as cpus.c has it. Who is not there was not asked
; for, nor was a second one of the same id. The id is the x2APIC's where leaf 0xb tells it,
; else the 8 bits of leaf 1.
LEAF_TOPOLOGY equ 0x0b
CPU_SLOTS     equ 512

bits 64
.long_mode:
        xor     eax, eax
        cpuid
        cmp     eax, LEAF_TOPOLOGY
        jb      .short_id
        mov     eax, LEAF_TOPOLOGY
        xor     ecx, ecx
        cpuid
        test    bx, bx                  ; how many share a core; 0: there is no such leaf
        jnz     .id
.short_id:
        mov     eax, 1
        cpuid
        shr     ebx, 24
        mov     edx, ebx
.id:
        mov     eax, edx
.find:
        and     eax, CPU_SLOTS - 1
        mov     rdi, [cpu_slots + rax * 8]
        test    rdi, rdi
        jz      .unasked
        inc     eax
        cmp     [rdi + 20], edx         ; apic_id
        jne     .find
        lock bts dword [rdi + 24], 0    ; taken
        jc      .unasked
        mov     rsp, [rdi + 8]          ; stack_top
        xor     ebp, ebp                ; where backtraces end
        call    ap_main
.unasked:
        cli
        hlt
        jmp     .unasked
