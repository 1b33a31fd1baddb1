; SPDX-License-Identifier: MIT
;
; The kernel's ELF file within the UEFI program.

section .rodata progbits alloc noexec nowrite align=16
global kernel_file, kernel_file_end
kernel_file:
        incbin  KERNEL
kernel_file_end:
