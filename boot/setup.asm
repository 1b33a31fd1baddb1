; SPDX-License-Identifier: MIT
;
; The first sectors of a bzImage: the header by which any loader of Linux knows
; what to load where, and what runs in real mode where a BIOS is there to be asked
; (Linux, Documentation/arch/x86/boot.rst). tools/mkbzimage fills in the fields
; marked so and puts the image behind. Loaders that enter the image itself, in
; 32-bit or 64-bit mode, use the header only.

bits 16
org 0

IMAGE_ADDRESS equ 0x100000

PARAMS       equ 0x1000                 ; struct boot_params, in the memory behind this code
PARAMS_BYTES equ 0x1000
E820_ENTRIES equ PARAMS + 0x1e8
E820_TABLE   equ PARAMS + 0x2d0
E820_BYTES   equ 20
E820_MAX     equ 128
SMAP         equ 0x534d4150

HEADER       equ 0x1f1

COM1 equ 0x3f8

; Who starts the first sector as one of a floppy disk is told that it is none.
        jmp     0x07c0:.in_segment
.in_segment:
        mov     ax, cs
        mov     ds, ax
        mov     si, message_no_loader
        jmp     fail

        times HEADER - ($ - $$) db 0
        db 0                            ; 0x1f1 setup_sects: filled in
        dw 1                            ; root_flags: read-only
        dd 0                            ; 0x1f4 syssize, in 16 bytes: filled in
        dw 0                            ; ram_size
        dw 0xffff                       ; vid_mode: as it is
        dw 0                            ; root_dev
        dw 0xaa55                       ; 0x1fe boot_flag
        jmp     short start             ; 0x200
        db "HdrS"                       ; 0x202
        dw 0x020c                       ; version
        dd 0                            ; realmode_swtch
        dw 0                            ; start_sys_seg
        dw version - 0x200              ; kernel_version
        db 0                            ; 0x210 type_of_loader: by the loader
        db 1                            ; loadflags: LOADED_HIGH
        dw 0                            ; setup_move_size
        dd IMAGE_ADDRESS                ; 0x214 code32_start
        dd 0, 0                         ; ramdisk_image, ramdisk_size: by the loader
        dd 0                            ; bootsect_kludge
        dw 0                            ; 0x224 heap_end_ptr: by the loader
        db 0, 0                         ; ext_loader_ver, ext_loader_type
        dd 0                            ; 0x228 cmd_line_ptr: by the loader
        dd 0x7fffffff                   ; initrd_addr_max
        dd IMAGE_ADDRESS                ; 0x230 kernel_alignment
        db 0                            ; relocatable_kernel: no
        db 20                           ; min_alignment, as a power of two
        dw 1                            ; 0x236 xloadflags: KERNEL_64
        dd 4095                         ; cmdline_size, without the terminating zero
        dd 0                            ; hardware_subarch: a PC
        dq 0                            ; hardware_subarch_data
        dd 0, 0                         ; 0x248 payload_offset, payload_length: not compressed
        dq 0                            ; setup_data
        dq IMAGE_ADDRESS                ; 0x258 pref_address
        dd 0                            ; 0x260 init_size: filled in
        dd 0                            ; handover_offset
header_end:

; ds, es and ss are the segment of the first sector, cs is 0x20 more.
start:
        cld
        push    ds
        push    word .here
        retf
.here:
        mov     si, message_elsewhere
        cmp     dword [0x214], IMAGE_ADDRESS
        jne     fail

; boot_params: zeros, and the header as the loader has left it.
        mov     ax, ds
        mov     es, ax
        mov     di, PARAMS
        xor     eax, eax
        mov     cx, PARAMS_BYTES / 4
        rep     stosd
        mov     si, HEADER
        mov     di, PARAMS + HEADER
        mov     cx, header_end - HEADER
        rep     movsb

; The memory map (int 15h, E820), as far as it goes and there is room.
        xor     ebx, ebx
        mov     di, E820_TABLE
.next_range:
        mov     eax, 0xe820
        mov     edx, SMAP
        mov     ecx, E820_BYTES
        int     0x15
        jc      .have_map
        cmp     eax, SMAP
        jne     .have_map
        add     di, E820_BYTES
        inc     byte [E820_ENTRIES]
        test    ebx, ebx
        jz      .have_map
        cmp     byte [E820_ENTRIES], E820_MAX
        jb      .next_range
.have_map:

; Address line 20, by the BIOS and by the port that most machines have.
        mov     ax, 0x2401
        int     0x15
        in      al, 0x92
        or      al, 2
        and     al, ~1                  ; that would be a reset
        out     0x92, al
        call    is_a20_open
        mov     si, message_a20
        jne     fail

        cli
        mov     eax, ds
        movzx   eax, ax
        shl     eax, 4
        lea     esi, [eax + PARAMS]
        add     [gdt_pointer + 2], eax
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     short .protected
.protected:
        mov     ax, 0x18
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        xor     ebx, ebx
        xor     ebp, ebp
        xor     edi, edi
        jmp     dword 0x10:IMAGE_ADDRESS

; Equal: what is written at 0x200 is not found 1 MiB higher.
is_a20_open:
        xor     ax, ax
        mov     fs, ax
        dec     ax
        mov     gs, ax
        mov     cx, [fs:0x200]
        mov     dx, cx
        not     dx
        mov     [fs:0x200], dx
        cmp     dx, [gs:0x210]
        mov     [fs:0x200], cx          ; flags stay
        sete    al
        test    al, al
        ret

; Says why (si) on screen and serial line, and stops.
fail:
        cld
.next:
        lodsb
        test    al, al
        jz      .stop
        push    ax
        mov     dx, COM1
        out     dx, al
        mov     ah, 0x0e
        mov     bx, 7
        int     0x10
        pop     ax
        jmp     .next
.stop:
        hlt
        jmp     .stop

        align   8, db 0
gdt:
        dq 0, 0
        dq 0x00cf9a000000ffff           ; 0x10: 32-bit code
        dq 0x00cf92000000ffff           ; 0x18: data
gdt_end:
gdt_pointer:
        dw gdt_end - gdt - 1
        dd gdt                          ; and where this segment lies

version:
        db "aerostat ", VERSION, 0
message_no_loader:
        db "aerostat: this image wants a loader", 13, 10, 0
message_elsewhere:
        db "aerostat: the image must lie at 1 MiB, its loader put it elsewhere", 13, 10, "aerostat: exit 102", 13, 10, 0
message_a20:
        db "aerostat: address line 20 does not open", 13, 10, "aerostat: exit 102", 13, 10, 0
