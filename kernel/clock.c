/* SPDX-License-Identifier: MIT */
/*
 * The clock is a line through a counter's values: ns = base_ns + (count -
 * base_count) * mul / 2^32. Changing source or rate moves the base onto the line
 * as it is at that count, so that time has no steps, only bends.
 *
 * Where the machine gives no rate for the TSC, the clock starts on a slower
 * counter and measures the TSC against it while everything else goes on. The
 * error of a rate is the jitter of two readings divided by the time between
 * them: 1 us over 100 ms makes 10 ppm, so the TSC takes over then, and the rate
 * is refined over ever longer times. What the early rate got wrong is bent back
 * gently.
 *
 * Concurrency: readers in any context, on any CPU, take the line by a sequence count.
 * The first CPU alone changes it, with interrupts off, and others stop meanwhile.
 */
#include "kernel/clock.h"

#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "lib/base/barrier.h"
#include "lib/base/errno.h"
#include "lib/base/latest.h"
#include "lib/base/string.h"

#define FRACTION_BITS 32
#define MAX_SOURCES   8

#define MEASURE_STEP_NS    (50 * NSEC_PER_MSEC) /* between readings until the first rate */
#define TAKE_OVER_NS       (100 * NSEC_PER_MSEC)
#define TAKE_OVER_SEGMENTS 3 /* that agree */
#define TAKE_OVER_PPM      50
#define LONGEST_STEP_NS    (60 * NSEC_PER_SEC)
#define MAX_BEND           (1u << 11) /* at most 1/2048 (488 ppm) faster or slower than measured */

/* Segments disagree beyond these parts of the rate: something stood still or a wrap was missed. */
#define ROUGH_AGREEMENT 64
#define FINE_AGREEMENT  1024

#define SAMPLE_TRIES       3
#define MAX_STANDING_READS 1000

static struct line {
    uint32_t sequence; /* odd while the rest changes */
    const struct clock_source *source;
    uint64_t base_count, base_ns;
    uint64_t mul; /* ns per count, in 2^-32 */
} line;

static uint64_t last_ns; /* the latest time given out, where a reading may be earlier */
static bool cpus_differ; /* their TSCs */

static const struct clock_source *sources[MAX_SOURCES];
static unsigned n_sources;
static const struct clock_wall *best_wall;

static struct {
    uint64_t at_zero_ns; /* wall clock at monotonic 0; 0: not known */
    const char *from;
} realtime;

static uint64_t tsc_hz;
static uint64_t next_work_ns = CLOCK_NEVER;

/* Both counters at one moment; fast may be wrong by half of width. */
struct sample {
    uint64_t fast, reference, width;
};

/* The fast counter's measurement against the reference; segments lie between two samples. */
static struct {
    const struct clock_source *fast, *reference; /* fast NULL: nothing is measured */
    bool taken_over;
    unsigned agreed;           /* segments in a row */
    struct sample first, last; /* last.reference is raw */
    uint64_t reference_ticks;  /* from first to last, wraps counted */
    uint64_t first_ns;         /* what the clock said at first */
    uint64_t mul;              /* ns per fast count in 2^-32; 0: not known */
    uint64_t step_ns;
} measure;

static uint64_t scale(uint64_t count, uint64_t mul)
{
    return (uint64_t)((unsigned __int128)count * mul >> FRACTION_BITS);
}

/* ns per count in 2^-32, to 31 bits of precision, without a wider division than the CPU's own. */
static uint64_t ratio(uint64_t ns, uint64_t counts)
{
    while (ns >> FRACTION_BITS) {
        ns >>= 1;
        counts >>= 1;
    }
    return counts ? (ns << FRACTION_BITS) / counts : 0;
}

static uint64_t mul_of_hz(uint64_t hz)
{
    return (NSEC_PER_SEC << FRACTION_BITS) / hz;
}

static bool wraps(const struct clock_source *source)
{
    return source->mask != UINT64_MAX;
}

/* Where a reading may be earlier than one before: a wrap that nobody saw, or by another CPU's TSC.
 */
static bool may_go_back(const struct clock_source *source)
{
    return wraps(source) || UNLIKELY(load_once(&cpus_differ));
}

/* How long until the counter starts again; for sources that do. */
static uint64_t wrap_ns(const struct clock_source *source)
{
    return scale(source->mask + 1, mul_of_hz(source->hz));
}

/* A counter that was set back counts as standing, until it has come by its old value. */
static uint64_t time_at(uint64_t count)
{
    uint64_t passed = (count - line.base_count) & line.source->mask;

    return passed > INT64_MAX ? line.base_ns : line.base_ns + scale(passed, line.mul);
}

uint64_t clock_monotonic_ns(void)
{
    bool may_be_early;
    uint32_t sequence;
    uint64_t ns;

    if (UNLIKELY(!load_acquire(&line.source)))
        return 0;
    do {
        sequence = load_acquire(&line.sequence);
        ns = time_at(line.source->read());
        may_be_early = may_go_back(line.source);
        barrier_compiler();
    } while (UNLIKELY(sequence & 1 || load_once(&line.sequence) != sequence));
    return may_be_early ? latest(&last_ns, ns) : ns;
}

void clock_cpus_differ(void)
{
    store_once(&cpus_differ, true);
}

/*
 * Others may have read the old line after the moment that the new one was made for: the
 * new one starts no earlier than what they were given.
 */
static void set_line(const struct clock_source *source, uint64_t count, uint64_t ns, uint64_t mul)
{
    uint64_t given_ns = 0, now_ns;

    store_once(&line.sequence, line.sequence + 1);
    barrier_full(); /* pairs with the reader's second look: no reading beyond given_ns counts */
    if (UNLIKELY(spin_several) && line.source)
        given_ns = MAX(time_at(line.source->read()), load_once(&last_ns));
    line.base_count = count;
    line.base_ns = ns;
    line.mul = mul;
    line.source = source;
    if (UNLIKELY(spin_several)) {
        now_ns = time_at(source->read());
        line.base_ns += given_ns > now_ns ? given_ns - now_ns : 0;
    }
    barrier_compiler();
    store_once(&line.sequence, line.sequence + 1);
}

void clock_register(const struct clock_source *source)
{
    if (n_sources < MAX_SOURCES)
        sources[n_sources++] = source;
    else
        log_error("clock: no room for %s", source->name);
}

void clock_register_wall(const struct clock_wall *wall)
{
    if (!best_wall || wall->rating > best_wall->rating)
        best_wall = wall;
}

void clock_set_tsc_hz(uint64_t hz)
{
    tsc_hz = hz;
}

uint64_t clock_tsc_hz(void)
{
    return tsc_hz;
}

/* ---- Choosing */

static const struct clock_source *find_source(const char *name)
{
    for (unsigned i = 0; i < n_sources; i++)
        if (strcmp(sources[i]->name, name) == 0)
            return sources[i];
    return NULL;
}

static void forget(const struct clock_source *source)
{
    for (unsigned i = 0; i < n_sources; i++)
        if (sources[i] == source)
            sources[i] = sources[--n_sources];
}

/* A counter that is there but stands still would make everything wait for ever. */
static bool counts(const struct clock_source *source)
{
    uint64_t first = source->read();

    for (unsigned i = 0; i < MAX_STANDING_READS; i++)
        if (source->read() != first)
            return true;
    log_error("clock: %s does not count", source->name);
    return false;
}

static bool start_source(const struct clock_source *source)
{
    return (!source->start || source->start() == 0) && counts(source);
}

static const struct clock_source *best_source(bool rate_unknown)
{
    const struct clock_source *best = NULL;

    for (unsigned i = 0; i < n_sources; i++)
        if (sources[i]->rate_unknown == rate_unknown && sources[i]->rating > 0 &&
            (!best || sources[i]->rating > best->rating))
            best = sources[i];
    return best;
}

/* The best that works; NULL: none does. */
static const struct clock_source *start_best(bool rate_unknown)
{
    const struct clock_source *best;

    while ((best = best_source(rate_unknown)) != NULL && !start_source(best))
        forget(best);
    return best;
}

static const char *source_of_word(const char *word)
{
    static const struct {
        const char *word, *source;
    } words[] = {
        { "kvm", "kvm-clock" }, { "tsc", "tsc" }, { "hpet", "hpet" },
        { "pm", "acpi_pm" },    { "pit", "pit" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(words[i].word, word) == 0)
            return words[i].source;
    return NULL;
}

/* Best of three: an interrupt or a busy host between the readings shows as width. */
static struct sample take_sample(void)
{
    struct sample best = { .width = UINT64_MAX };

    for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
        uint64_t before = measure.fast->read();
        uint64_t reference = measure.reference->read();
        uint64_t width = measure.fast->read() - before;

        if (width < best.width)
            best = (struct sample){ before + width / 2, reference, width };
    }
    return best;
}

static void begin_measuring(struct sample first, uint64_t now_ns)
{
    measure.first = measure.last = first;
    measure.first_ns = now_ns;
    measure.reference_ticks = 0;
    measure.agreed = 0;
    measure.mul = 0;
    measure.step_ns = MEASURE_STEP_NS;
    if (wraps(measure.reference))
        measure.step_ns = MIN(measure.step_ns, wrap_ns(measure.reference) / 4);
}

static void start_measuring(const struct clock_source *fast)
{
    struct sample first;

    measure.fast = fast;
    measure.reference = line.source;
    measure.taken_over = false;
    first = take_sample();
    begin_measuring(first, time_at(first.reference));
    set_line(line.source, first.reference, measure.first_ns, line.mul);
    next_work_ns = measure.first_ns + measure.step_ns;
}

static void read_wall(void)
{
    uint64_t before_ns = clock_monotonic_ns();
    uint64_t wall_ns = best_wall ? best_wall->read_ns() : 0;

    if (wall_ns)
        clock_set_realtime(wall_ns, before_ns + (clock_monotonic_ns() - before_ns) / 2,
                           best_wall->name);
}

static void run_on(const struct clock_source *source)
{
    set_line(source, source->read(), 0, mul_of_hz(source->hz));
    if (wraps(source))
        next_work_ns = wrap_ns(source) / 4;
    log_info("clocksource: %s, %llu Hz", source->name, (unsigned long long)source->hz);
}

static int start_named(const char *word)
{
    const char *name = source_of_word(word);
    const struct clock_source *named = name ? find_source(name) : NULL;
    const struct clock_source *source = named;

    if (!named || !start_source(named))
        return -ENODEV;
    if (named->rate_unknown)
        source = start_best(false);
    if (!source)
        return -ENODEV;
    run_on(source);
    if (named->rate_unknown)
        start_measuring(named);
    return 0;
}

static int start_auto(void)
{
    const struct clock_source *source = start_best(false), *better;

    if (!source)
        return -ENODEV;
    run_on(source);
    better = start_best(true);
    if (better && better->rating > source->rating)
        start_measuring(better);
    return 0;
}

int clock_start(const char *name)
{
    bool is_auto = !name || strcmp(name, "auto") == 0;
    int error = is_auto ? start_auto() : start_named(name);

    if (!error)
        read_wall();
    return error;
}

/* ---- Measuring, and the change to the TSC */

/* Reference ticks since the last sample: the fast counter tells how often it wrapped. */
static uint64_t segment_ticks(const struct sample *now)
{
    uint64_t mask = measure.reference->mask;
    uint64_t ticks = (now->reference - measure.last.reference) & mask;
    uint64_t reference_mul = mul_of_hz(measure.reference->hz);
    uint64_t expected_ns, lap_ns;

    if (!measure.mul || !wraps(measure.reference))
        return ticks;
    expected_ns = scale(now->fast - measure.last.fast, measure.mul);
    lap_ns = wrap_ns(measure.reference);
    if (expected_ns > scale(ticks, reference_mul))
        ticks += (expected_ns - scale(ticks, reference_mul) + lap_ns / 2) / lap_ns * (mask + 1);
    return ticks;
}

/* Within a part of the rate, and what the two samples may be wrong by. */
static bool agrees(uint64_t segment_mul, const struct sample *now)
{
    unsigned part = measure.taken_over ? FINE_AGREEMENT : ROUGH_AGREEMENT;
    uint64_t jitter = now->width + measure.last.width + 1;
    uint64_t sharpness = MAX((now->fast - measure.last.fast) / jitter, UINT64_C(1));
    uint64_t apart =
        segment_mul > measure.mul ? segment_mul - measure.mul : measure.mul - segment_mul;

    return !measure.mul || apart <= measure.mul / part + measure.mul / sharpness;
}

static bool rate_is_good(uint64_t reference_ns)
{
    uint64_t jitter = measure.first.width / 2 + measure.last.width / 2;

    return measure.mul && measure.agreed >= TAKE_OVER_SEGMENTS && reference_ns >= TAKE_OVER_NS &&
           jitter < (measure.last.fast - measure.first.fast) / (1000000 / TAKE_OVER_PPM);
}

static void report_rate(uint64_t over_ns)
{
    uint64_t khz = tsc_hz / 1000;

    log_info("%s: %llu.%03u MHz measured over %llu ms", measure.fast->name,
             (unsigned long long)(khz / 1000), (unsigned)(khz % 1000),
             (unsigned long long)(over_ns / NSEC_PER_MSEC));
}

/* The rate for the next step: as measured, and bent so that the error is gone at its end. */
static uint64_t bend(uint64_t now_ns, uint64_t true_ns)
{
    uint64_t error = true_ns > now_ns ? true_ns - now_ns : now_ns - true_ns;
    uint64_t limit = measure.mul / MAX_BEND;
    uint64_t change;

    if (error >= measure.step_ns / MAX_BEND)
        change = limit;
    else
        change = scale(ratio(error, measure.step_ns), measure.mul);
    return true_ns > now_ns ? measure.mul + change : measure.mul - change;
}

/* The TSC is the only counter that comes without its rate. */
static void follow_reference(const struct sample *now, uint64_t reference_ns)
{
    uint64_t true_ns = measure.first_ns + reference_ns;
    uint64_t now_ns = measure.taken_over ? time_at(now->fast) : true_ns;

    tsc_hz = mul_of_hz(measure.mul); /* its own inverse */
    if (!measure.taken_over) {
        measure.taken_over = true;
        report_rate(reference_ns);
        log_info("clocksource: switched to %s", measure.fast->name);
    }
    measure.step_ns = MIN(measure.step_ns * 2, LONGEST_STEP_NS);
    set_line(measure.fast, now->fast, now_ns, bend(now_ns, true_ns));
}

/*
 * Two readings that do not fit what was known: a wrap was missed, or the machine
 * stood still while one of the counters went on. The line in use stays.
 */
static void measure_anew(const struct sample *now)
{
    log_debug("clock: %s and %s disagree, measuring anew", measure.fast->name,
              measure.reference->name);
    begin_measuring(*now, time_at(measure.taken_over ? now->fast : now->reference));
}

static void take_segment(const struct sample *now)
{
    uint64_t ticks = segment_ticks(now);
    uint64_t reference_mul = mul_of_hz(measure.reference->hz);
    uint64_t ticks_ns = scale(ticks, reference_mul);
    uint64_t segment_mul = ratio(ticks_ns, now->fast - measure.last.fast);
    uint64_t reference_ns;

    if (!measure.taken_over) /* the counter in use is kept from wrapping */
        set_line(line.source, now->reference, line.base_ns + ticks_ns, line.mul);
    if (!segment_mul || !agrees(segment_mul, now)) {
        measure_anew(now);
        return;
    }
    measure.last = *now;
    measure.reference_ticks += ticks;
    measure.agreed++;
    reference_ns = scale(measure.reference_ticks, reference_mul);
    measure.mul = ratio(reference_ns, measure.last.fast - measure.first.fast);
    if (rate_is_good(reference_ns))
        follow_reference(now, reference_ns);
}

static void work(uint64_t now_ns)
{
    if (measure.fast) {
        struct sample now = take_sample();

        take_segment(&now);
        next_work_ns = now_ns + measure.step_ns;
    } else {
        uint64_t count = line.source->read();

        set_line(line.source, count, time_at(count), line.mul);
        next_work_ns = now_ns + wrap_ns(line.source) / 4;
    }
}

uint64_t clock_work(void)
{
    bool were_on;
    uint64_t now_ns;

    if (next_work_ns == CLOCK_NEVER)
        return CLOCK_NEVER;
    were_on = irq_save();
    now_ns = clock_monotonic_ns();
    if (now_ns >= next_work_ns)
        work(now_ns);
    irq_restore(were_on);
    return next_work_ns;
}

/* ---- The date, and names */

void clock_set_realtime(uint64_t realtime_ns, uint64_t at_ns, const char *from)
{
    realtime.at_zero_ns = realtime_ns - at_ns;
    realtime.from = from;
}

uint64_t clock_realtime_ns(void)
{
    return realtime.from ? realtime.at_zero_ns + clock_monotonic_ns() : 0;
}

const char *clock_source_name(void)
{
    return line.source ? line.source->name : "none";
}

const char *clock_realtime_name(void)
{
    return realtime.from ? realtime.from : "none";
}
