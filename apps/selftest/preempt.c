/* SPDX-License-Identifier: MIT */
/*
 * What kernel threads must leave alone when they preempt an application that
 * computes: every register, the flags, the red zone below the stack pointer.
 * And what the kernel needs of the application's stack wherever it stands.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"

/* All but rsp, and rcx, which counts. */
struct registers {
    uint64_t general[14]; /* rax rbx rdx rsi rdi rbp r8 ... r15 */
    uint64_t flags;
    uint32_t mxcsr;
    uint16_t x87_control, unused;
    uint64_t x87[8]; /* numbers of double precision */
    uint64_t sse[16][2];
    uint64_t red_zone[16];
};

_Static_assert(offsetof(struct registers, flags) == 112 &&
                   offsetof(struct registers, mxcsr) == 120 &&
                   offsetof(struct registers, x87) == 128 &&
                   offsetof(struct registers, sse) == 192 &&
                   offsetof(struct registers, red_zone) == 448,
               "the offsets below");

/* Loads `wanted`, spins, and stores what is there then. */
void spin_with(const struct registers *wanted, struct registers *found, uint64_t loops);

__asm__(".text\n"
        ".globl spin_with\n"
        "spin_with:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsi, spin_with_found\n"
        "mov %rdx, %rcx\n"
        "fninit; fldcw 124(%rdi); ldmxcsr 120(%rdi)\n"
        ".set i, 0; .rept 8; fldl 128+8*i(%rdi); .set i, i+1; .endr\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15; movups 192+16*\\n(%rdi), %xmm\\n; .endr\n"
        "push 112(%rdi); popfq\n"
        ".set i, 0; .rept 16; mov 448+8*i(%rdi), %rax; mov %rax, -128+8*i(%rsp)\n"
        ".set i, i+1; .endr\n"
        "mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rdx; mov 24(%rdi), %rsi\n"
        "mov 40(%rdi), %rbp\n"
        ".irp n, 8,9,10,11,12,13,14,15; mov 48+8*(\\n-8)(%rdi), %r\\n; .endr\n"
        "mov 32(%rdi), %rdi\n"
        "1: loop 1b\n" /* changes no flag */
        "xchg %rdi, spin_with_found\n"
        "mov %rax, 0(%rdi); mov %rbx, 8(%rdi); mov %rdx, 16(%rdi); mov %rsi, 24(%rdi)\n"
        "mov %rbp, 40(%rdi)\n"
        ".irp n, 8,9,10,11,12,13,14,15; mov %r\\n, 48+8*(\\n-8)(%rdi); .endr\n"
        "mov spin_with_found, %rax; mov %rax, 32(%rdi)\n"
        ".set i, 0; .rept 16; mov -128+8*i(%rsp), %rax; mov %rax, 448+8*i(%rdi)\n"
        ".set i, i+1; .endr\n"
        "pushfq; pop 112(%rdi); cld\n"
        "fnstcw 124(%rdi); stmxcsr 120(%rdi)\n"
        ".set i, 7; .rept 8; fstpl 128+8*i(%rdi); .set i, i-1; .endr\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15; movups %xmm\\n, 192+16*\\n(%rdi); .endr\n"
        "push $0x1f80; ldmxcsr (%rsp); pop %rax; fninit\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".bss\n"
        ".balign 8\n"
        "spin_with_found: .skip 8\n"
        ".text\n");

#define FLAGS_SET      0xed7   /* every arithmetic flag, direction, interrupts on */
#define FLAGS_CLEAR    0x40202 /* none; alignment check, interrupts on */
#define ROUND_TO_ZERO  0x7f80
#define X87_ROUND_DOWN 0x77f

static void fill_registers(struct registers *registers, uint64_t seed)
{
    uint64_t *word = (uint64_t *)registers;

    for (size_t i = 0; i < sizeof(*registers) / sizeof(*word); i++)
        word[i] = (i + seed) * 0x9e3779b97f4a7c15;
    registers->flags = seed % 2 ? FLAGS_SET : FLAGS_CLEAR;
    registers->mxcsr = ROUND_TO_ZERO;
    registers->x87_control = X87_ROUND_DOWN;
    registers->unused = 0;
    for (int i = 0; i < 8; i++)
        registers->x87[i] = 0x3ff0000000000000 | registers->x87[i] >> 12; /* from 1 to 2 */
}

static unsigned long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

int run_registers(int argc, char **argv)
{
    unsigned long long end = now_ms() + number(argc, argv, 1, 1000);
    struct registers wanted, found = { 0 };
    uint64_t rounds = 0;
    bool same = true;
    uint32_t mxcsr;
    uint16_t x87_control;

    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(x87_control));
    report(mxcsr == 0x1f80 && x87_control == 0x37f, "main() begins with the ABI's rounding");
    printf("spinning\n");
    while (same && now_ms() < end) {
        fill_registers(&wanted, rounds++);
        spin_with(&wanted, &found, 5000000);
        same = !memcmp(&wanted, &found, sizeof(wanted));
    }
    for (size_t i = 0; i < sizeof(wanted) / 8; i++) {
        uint64_t is = ((uint64_t *)&found)[i], was = ((uint64_t *)&wanted)[i];

        if (is != was)
            printf("word %zu was %llx and is %llx\n", i, (unsigned long long)was,
                   (unsigned long long)is);
    }
    report(same, "registers kept in %llu rounds", (unsigned long long)rounds);
    return reported();
}

#define BLOCK_BYTES (160 * 1024) /* beyond what malloc takes from smaller pieces */
#define MAX_LEVELS  240

static uint64_t *blocks[MAX_LEVELS];

/*
 * Each level stands elsewhere in a page, with nothing touched below, and goes
 * through all of the memory allocators.
 */
__attribute__((noinline)) static bool descend(unsigned level)
{
    volatile char *untouched;

    blocks[level] = malloc(BLOCK_BYTES);
    if (!blocks[level])
        return false;
    for (size_t i = 0; i < BLOCK_BYTES / 8; i += 512)
        blocks[level][i] = (uintptr_t)&blocks[level][i];
    if (level + 1 == MAX_LEVELS)
        return true;
    untouched = __builtin_alloca(3072 + level * 272 % 1024);
    __asm__ volatile("" : : "r"(untouched) : "memory");
    return descend(level + 1) && untouched != NULL;
}

int run_stack(int argc, char **argv)
{
    bool kept = true;

    (void)argc;
    (void)argv;
    report(descend(0), "the allocators at every depth of the stack");
    for (unsigned level = 0; level < MAX_LEVELS && blocks[level]; level++) {
        for (size_t i = 0; i < BLOCK_BYTES / 8; i += 512)
            kept &= blocks[level][i] == (uintptr_t)&blocks[level][i];
        free(blocks[level]);
    }
    report(kept, "no page was given out twice");
    return reported();
}
