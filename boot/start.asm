; SPDX-License-Identifier: MIT
;
; The way that all boot paths share: from 32-bit protected mode, paging off,
; interrupts off, to 64-bit C with the final protection of every page of the
; image: text executable, constants read-only, the rest not executable. No C runs
; before that. Page 0 is readable until the kernel has copied what a BIOS leaves
; there, QEMU's memory map among it.
;
; An entry stores the time stamp, what its loader handed over, and the C function
; that understands it, and jumps to boot_start. Who arrives in 64-bit mode jumps to
; boot_start_from_64, which leaves it again: so there is one set of page tables,
; and nothing depends on the loader's.

extern boot_stack_guard, boot_stack_top
extern boot_page_tables
extern boot_gdt_pointer
extern __stack_chk_guard
extern __text_start, __text_end, __data_start
extern __page_tables_count
extern __image_tail

IMAGE_TAIL equ 0x6c696174               ; as linker.ld has it

PTE_PRESENT equ 1 << 0
PTE_WRITE   equ 1 << 1
PTE_LARGE   equ 1 << 7
PTE_NX_HIGH equ 1 << 31                 ; bit 63 of an entry, in its high half

CR0_PE  equ 1 << 0
CR0_MP  equ 1 << 1
CR0_EM  equ 1 << 2
CR0_TS  equ 1 << 3
CR0_NE  equ 1 << 5
CR0_WP  equ 1 << 16
CR0_CD  equ 1 << 30
CR0_NW  equ 1 << 29
CR0_PG  equ 1 << 31
CR4_PAE        equ 1 << 5
CR4_PGE        equ 1 << 7
CR4_OSFXSR     equ 1 << 9
CR4_OSXMMEXCPT equ 1 << 10
CR4_PCIDE      equ 1 << 17

MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8
EFER_NXE equ 1 << 11

CPUID_LM     equ 1 << 29                ; leaf 0x80000001, edx
CPUID_NX     equ 1 << 20
CPUID_RDRAND equ 1 << 30                ; leaf 1, ecx

SELECTOR_CODE64 equ 0x08
SELECTOR_DATA   equ 0x10
SELECTOR_CODE32 equ 0x28

COM1 equ 0x3f8

; A medium that ends too early reads as zeros with some firmware.
%macro check_tail 0
        mov     esi, message_cut_off
        cmp     dword [__image_tail], IMAGE_TAIL
        jne     boot_fail
%endmacro

section .text.boot progbits alloc exec nowrite align=16
bits 64
global boot_start_from_64
boot_start_from_64:
        cli
        check_tail
        mov     rax, cr4
        and     rax, ~CR4_PCIDE         ; paging cannot be left with it
        mov     cr4, rax
        lgdt    [boot_gdt_pointer]
        mov     esp, boot_stack_top
        push    SELECTOR_CODE32
        push    .leave_64
        retfq
bits 32
.leave_64:
        mov     eax, SELECTOR_DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     eax, cr0
        and     eax, ~CR0_PG
        mov     cr0, eax
        mov     ecx, MSR_EFER
        rdmsr
        and     eax, ~EFER_LME
        wrmsr
        xor     eax, eax                ; nothing of the loader's, five-level paging among it
        mov     cr4, eax

global boot_start
boot_start:
        cld
        mov     esp, boot_stack_top
        check_tail

        mov     eax, 0x80000000
        cpuid
        cmp     eax, 0x80000001
        jb      .no_long_mode
        mov     eax, 0x80000001
        cpuid
        and     edx, CPUID_LM | CPUID_NX
        cmp     edx, CPUID_LM | CPUID_NX
        je      .build_tables
.no_long_mode:
        mov     esi, message_no_long_mode
        jmp     boot_fail

; The tables: one PML4, one PDPT and one PD for the first GiB, and page tables
; for as many 2 MiB as the image reaches.
.build_tables:
        mov     edi, boot_page_tables
        lea     eax, [edi + 0x1000 + PTE_PRESENT + PTE_WRITE]
        mov     [edi], eax
        lea     eax, [edi + 0x2000 + PTE_PRESENT + PTE_WRITE]
        mov     [edi + 0x1000], eax

        add     edi, 0x2000             ; the PD: first the page tables ...
        lea     eax, [edi + 0x1000 + PTE_PRESENT + PTE_WRITE]
        mov     ecx, __page_tables_count
        mov     ebx, ecx
.next_table:
        mov     [edi], eax
        add     edi, 8
        add     eax, 0x1000
        loop    .next_table
        mov     ecx, 512                ; ... then the rest of the GiB in 2 MiB pages, from its end
        sub     ecx, ebx
        lea     ebx, [edi + ecx * 8]
        mov     eax, (511 << 21) + PTE_PRESENT + PTE_WRITE + PTE_LARGE
        mov     edx, PTE_NX_HIGH
.next_large:
        mov     [edi + ecx * 8 - 8], eax
        mov     [edi + ecx * 8 - 4], edx
        sub     eax, 1 << 21
        loop    .next_large
        mov     edi, ebx

        xor     eax, eax                ; the page tables follow
        mov     ebx, PTE_PRESENT
        mov     edx, PTE_NX_HIGH
        mov     ecx, 0x1000
        call    fill_until
        mov     ebx, PTE_PRESENT | PTE_WRITE
        mov     ecx, __text_start
        call    fill_until
        mov     ebx, PTE_PRESENT
        xor     edx, edx
        mov     ecx, __text_end
        call    fill_until
        mov     edx, PTE_NX_HIGH
        mov     ecx, __data_start
        call    fill_until
        mov     ebx, PTE_PRESENT | PTE_WRITE
        mov     ecx, __page_tables_count
        shl     ecx, 21
        call    fill_until
        mov     eax, boot_stack_guard
        shr     eax, 12
        mov     dword [boot_page_tables + 0x3000 + eax * 8], 0

        mov     eax, cr4
        or      eax, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT
        mov     cr4, eax
        mov     eax, boot_page_tables
        mov     cr3, eax
        mov     ecx, MSR_EFER
        rdmsr
        or      eax, EFER_LME | EFER_NXE
        wrmsr
        mov     eax, cr0
        and     eax, ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW)
        or      eax, CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG
        mov     cr0, eax
        lgdt    [boot_gdt_pointer]
        jmp     SELECTOR_CODE64:.long_mode

bits 64
.long_mode:
        mov     eax, SELECTOR_DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     eax, eax
        mov     fs, eax
        mov     gs, eax
        mov     esp, boot_stack_top

; A canary from the start: the hardware's random number where there is one,
; else the time stamp spread by a multiplication. Its lowest byte is zero, so
; that no string read over the end reveals or restores it.
        mov     eax, 1
        cpuid
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        mov     rdx, 0x9e3779b97f4a7c15
        imul    rax, rdx
        test    ecx, CPUID_RDRAND
        jz      .have_canary
        rdrand  rdx
        jnc     .have_canary
        xor     rax, rdx
.have_canary:
        xor     al, al
        mov     [__stack_chk_guard], rax

        mov     rdi, [boot_handed_over]
        xor     ebp, ebp                ; where backtraces end
        call    [boot_function]
        ud2

bits 32
; Page table entries from [edi] for the pages [eax, ecx), flags in ebx (low) and
; edx (high). Moves edi and eax on.
fill_until:
        add     ecx, ebx
        add     eax, ebx
        jmp     .until
.next:
        mov     [edi], eax
        mov     [edi + 4], edx
        add     edi, 8
        add     eax, 0x1000
.until:
        cmp     eax, ecx
        jb      .next
        sub     eax, ebx
        ret

; Says why (esi) on the serial line, then resets by a fault nobody handles. Works
; wherever it lies, and in 64-bit mode as well: the instructions are the same bytes.
global boot_fail
boot_fail:
        cld                             ; entries leave the flag as the loader had it
        mov     dx, COM1
.next:
        lodsb
        test    al, al
        jz      .reset
        out     dx, al
        jmp     .next
.reset:
        push    0
        push    0
        lidt    [esp]
        int3

; In the image's first page, for what lies further on may not be there.
section .boot.messages progbits alloc noexec nowrite align=1
message_cut_off:
        db "aerostat: the image was not loaded to its end", 13, 10
        db "aerostat: exit 102", 13, 10, 0

section .bss.boot_entry nobits alloc noexec write align=8
global boot_tsc, boot_handed_over, boot_function
boot_tsc:                               ; the time stamp at our first instruction
        resq 1
boot_handed_over:                       ; the function's argument
        resq 1
boot_function:
        resq 1

section .rodata.boot progbits alloc noexec nowrite align=8
message_no_long_mode:
        db "aerostat: this CPU has no 64-bit mode or no NX bit", 13, 10
        db "aerostat: exit 102", 13, 10, 0
