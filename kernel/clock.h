/* SPDX-License-Identifier: MIT */
/*
 * Time. One source at a time, the best that the machine offers (`clock=` picks
 * another); changing from one to a better one never shows outside.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include "lib/base/types.h"

#define CLOCK_NEVER UINT64_MAX /* a deadline that does not come */

/* Nanoseconds since the start of the clock. Never goes backwards; 0 before the start. Any context,
 * any CPU: no CPU sees a time before one that another has seen.
 */
uint64_t clock_monotonic_ns(void);

/* Nanoseconds since 1970-01-01 UTC; 0 while nobody has told us. Any context. */
uint64_t clock_realtime_ns(void);

/*
 * The TSC's rate, in Hz, where it is known to be constant; 0 while it is not
 * known. For the timer hardware and for reports.
 */
uint64_t clock_tsc_hz(void);

/*
 * A counter of constant rate. Described by whoever may have the hardware, kept by
 * it, registered before clock_start(), and touched only once it is chosen.
 */
struct clock_source {
    const char *name;       /* "kvm-clock", "tsc", "hpet", "acpi_pm", "pit" as Linux names them */
    int rating;             /* higher is better; 0: only when asked for by name */
    int (*start)(void);     /* may be NULL; may fill in mask and hz; -ENODEV: not there */
    uint64_t (*read)(void); /* counts up from anywhere; any context */
    uint64_t mask;          /* the bits it has: 2^n - 1, behind which it starts again */
    uint64_t hz;
    bool
        rate_unknown; /* measured against the source in use, and then replaces it if it is better */
};

#define CLOCK_RATING_KVM  400
#define CLOCK_RATING_TSC  300
#define CLOCK_RATING_HPET 250
#define CLOCK_RATING_PM   200
#define CLOCK_RATING_PIT  110

void clock_register(const struct clock_source *source);

/* A clock on the wall: read once, at the start. The best of those registered before clock_start().
 */
struct clock_wall {
    const char *name;
    int rating;
    uint64_t (*read_ns)(void); /* since 1970-01-01 UTC; 0: it does not know */
};

void clock_register_wall(const struct clock_wall *wall);

/* Told by whoever knows the rate of a constant TSC that is not itself the clock. */
void clock_set_tsc_hz(uint64_t hz);

/* The TSCs of two CPUs are apart: what one reads may be earlier than what another has read. Any
 * CPU. */
void clock_cpus_differ(void);

/*
 * Chooses among the registered sources; name as in `clock=`: "kvm", "tsc",
 * "hpet", "pm", "pit"; NULL or "auto": the best. A source asked for by name is
 * kept, however slow. -ENODEV: not there, or no such word.
 */
int clock_start(const char *name);

/* What the wall clock said (ns since 1970) at monotonic time `at_ns`: SNTP, for example. */
void clock_set_realtime(uint64_t realtime_ns, uint64_t at_ns, const char *from);

/* Names for the boot report; "none" where there is none. */
const char *clock_source_name(void);
const char *clock_realtime_name(void);

/*
 * Called by the idle loop and the timer interrupt: does the slow work of the
 * clock, such as promoting the TSC. Returns when it wants to be called again
 * (monotonic ns), CLOCK_NEVER when it does not.
 */
uint64_t clock_work(void);

#endif
