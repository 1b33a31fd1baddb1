; SPDX-License-Identifier: MIT
;
; A call to KVM (Linux, Documentation/virt/kvm/x86/hypercalls.rst). Where ring 0
; is interpreted, KVM writes the instruction anew at each use, and meets pages
; that nobody writes: the fault at these two places means "not possible here"
; (arch/x86_64/trap.c).

bits 64

section .text.hypercall progbits alloc exec nowrite align=16

; int64_t kvm_hypercall(bool by_vmmcall, uint64_t number, uint64_t a, uint64_t b,
;                       uint64_t c, uint64_t d)
global kvm_hypercall, kvm_hypercall_intel, kvm_hypercall_amd
kvm_hypercall:
        push    rbx
        mov     rax, rsi
        mov     rbx, rdx
        mov     rdx, r8                 ; b is in rcx already
        mov     rsi, r9
        test    dil, dil
        jnz     kvm_hypercall_amd
kvm_hypercall_intel:
        vmcall
        pop     rbx
        ret
kvm_hypercall_amd:
        vmmcall
        pop     rbx
        ret
