/* SPDX-License-Identifier: MIT */
/* RDSEED gives what the noise source gives, RDRAND the output of a generator seeded by it. */
#include "arch/x86_64/cpu_random.h"

#include "arch/x86_64/cpu.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define CPUID_7_EBX_RDSEED (1u << 18)
#define LEAF_STRUCTURED    7u

/* Intel's guide says ten for RDRAND; RDSEED may run dry when all CPUs draw on it. */
#define RDRAND_TRIES 10
#define RDSEED_TRIES 100

static bool rdrand(uint64_t *value)
{
    bool valid;

    __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(valid));
    return valid;
}

static bool rdseed(uint64_t *value)
{
    bool valid;

    __asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(valid));
    return valid;
}

static bool has_rdrand(void)
{
    return cpuid(1, 0).c & CPUID_1_ECX_RDRAND;
}

static bool has_rdseed(void)
{
    return cpuid(0, 0).a >= LEAF_STRUCTURED && cpuid(LEAF_STRUCTURED, 0).b & CPUID_7_EBX_RDSEED;
}

static const struct instruction {
    const char *name;
    bool (*present)(void);
    bool (*read)(uint64_t *value);
    unsigned tries;
} instructions[] = {
    { "RDSEED", has_rdseed, rdseed, RDSEED_TRIES },
    { "RDRAND", has_rdrand, rdrand, RDRAND_TRIES },
};

/* CPUID leaves the guest: asked once. */
static const struct instruction *best(void)
{
    static const struct instruction *found;
    static bool searched;

    for (unsigned i = 0; !searched && !found && i < ARRAY_SIZE(instructions); i++)
        if (instructions[i].present())
            found = &instructions[i];
    searched = true;
    return found;
}

const char *cpu_random_name(void)
{
    return best() ? best()->name : NULL;
}

bool cpu_random_read(uint64_t *value)
{
    const struct instruction *instruction = best();

    for (unsigned i = 0; instruction && i < instruction->tries; i++) {
        if (instruction->read(value))
            return true;
        cpu_pause();
    }
    return false;
}
