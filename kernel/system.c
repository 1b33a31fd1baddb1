/* SPDX-License-Identifier: MIT */
/* What the kernel itself has to report: how it was started, its memory, its time. */
#include "kernel/system.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/kvm_pv.h"
#include "arch/x86_64/percpu.h"
#include "boot/boot_info.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/footprint.h"
#include "kernel/hypervisor.h"
#include "kernel/irq.h"
#include "kernel/page.h"
#include "kernel/pressure.h"
#include "kernel/random.h"
#include "kernel/report.h"
#include "kernel/smp.h"
#include "kernel/vmem.h"

static const struct boot_info *started_by;
static unsigned n_cpus = 1;

void system_set_facts(const struct boot_info *boot, unsigned cpus)
{
    started_by = boot;
    n_cpus = cpus;
}

/* In all, and where the host tells it, of each CPU. */
static void tell_stolen(struct report *report)
{
    uint64_t all_ns = 0;

    for (unsigned cpu = 0; cpu < cpu_wanted(); cpu++)
        all_ns += apic_stolen_ns(cpu);
    report_number(report, "stolen_ns", all_ns);
    if (!kvm_pv_has(KVM_PV_STEAL_TIME))
        return;
    report_open_list(report, "cpu");
    for (unsigned cpu = 0; cpu < cpu_wanted(); cpu++) {
        report_open_item(report, "%u", cpu);
        report_number(report, "stolen_ns", apic_stolen_ns(cpu));
        report_close(report);
    }
    report_close(report);
}

static void tell_modules(struct report *report)
{
    if (!started_by->n_modules)
        return;
    report_open_list(report, "module");
    for (uint32_t i = 0; i < started_by->n_modules; i++) {
        report_open_item(report, "%u", i);
        report_number(report, "start", started_by->modules[i].start);
        report_number(report, "bytes", started_by->modules[i].bytes);
        report_close(report);
    }
    report_close(report);
}

static void tell_system(struct report *report)
{
    static const char *const modes[] = { "MSI-X", "INTx", "polled" };

    report_text(report, "version", "%s", AEROSTAT_VERSION);
    report_text(report, "image", "%s", image_name);
    report_text(report, "hypervisor", "%s", hypervisor_name());
    report_text(report, "started_by", "%s", started_by->path);
    report_text(report, "interrupts", "%s", modes[irq_mode]);
    report_text(report, "local_apic", "%s", apic_is_x2apic() ? "x2APIC" : "xAPIC");
    report_text(report, "timer", "%s", apic_timer_name());
    report_number(report, "cpus", n_cpus);
    report_number(report, "cpus_up", smp_count());
    report_open_words(report, "paravirtual");
    for (unsigned i = 0; i < KVM_PV_N; i++)
        if (kvm_pv_has((enum kvm_pv_feature)i))
            report_word(report, kvm_pv_name((enum kvm_pv_feature)i));
    report_close_words(report);
    tell_stolen(report);
    tell_modules(report);
}

/* Who listens to vectors of which CPU, and how often they came. */
static void tell_interrupts(struct report *report)
{
    report_open_list(report, "vector");
    for (unsigned cpu = 0; cpu < cpu_wanted(); cpu++) {
        struct irq_seen seen;

        for (unsigned i = 0; irq_seen(cpu, i, &seen); i++) {
            if (!seen.name)
                continue;
            report_open_item(report, "cpu%u-%u", cpu, seen.vector);
            report_text(report, "owner", "%s", seen.name);
            report_number(report, "cpu", cpu);
            report_number(report, "count", seen.count);
            report_close(report);
        }
    }
    report_close(report);
}

REPORTER(interrupts_reporter) = { "interrupts", 32, tell_interrupts };

REPORTER(system_reporter) = { "system", 10, tell_system };

/* As `free` has it: what was never ours, or is lent to the host, is not in the total. */
static void tell_memory(struct report *report)
{
    struct page_stats pages;
    struct vmem_stats window;
    struct footprint_stats footprint;
    uint64_t told;

    footprint_get_stats(&footprint);
    page_get_stats(&pages);
    vmem_get_stats(&window);
    report_number(report, "total_bytes", (pages.total - pages.ballooned) * PAGE_SIZE);
    told = pages.hinted + pages.reporting; /* free, but that the host is being told of it */
    report_number(report, "used_bytes", page_stats_used(&pages) * PAGE_SIZE);
    report_number(report, "free_bytes", (pages.free + told) * PAGE_SIZE);
    report_number(report, "ballooned_bytes", pages.ballooned * PAGE_SIZE);
    report_number(report, "reported_bytes", pages.reported * PAGE_SIZE);
    report_number(report, "hinted_bytes", pages.hinted * PAGE_SIZE);
    report_number(report, "promised_bytes", pages.promised * PAGE_SIZE);
    report_number(report, "largest_free_bytes", pages.largest_free);
    report_number(report, "application_bytes", window.resident_bytes);
    report_number(report, "allocation_stalls", pressure_stalls());
    report_number(report, "trimmed_bytes", footprint.trimmed * PAGE_SIZE);
    report_number(report, "moved_bytes", footprint.moved * PAGE_SIZE);
}

REPORTER(memory_reporter) = { "memory", 20, tell_memory };

static void tell_clock(struct report *report)
{
    report_text(report, "source", "%s", clock_source_name());
    report_text(report, "wall_clock", "%s", clock_realtime_name());
    report_number(report, "tsc_hz", clock_tsc_hz());
    report_number(report, "uptime_ns", clock_monotonic_ns());
    report_number(report, "realtime_ns", clock_realtime_ns());
}

REPORTER(clock_reporter) = { "clock", 30, tell_clock };

static void tell_random(struct report *report)
{
    const struct random_source *source;

    report_text(report, "state", "%s", random_is_seeded() ? "seeded" : "not enough entropy yet");
    report_open_words(report, "sources");
    for (unsigned i = 0; (source = random_source(i)) != NULL; i++)
        report_word(report, source->name);
    report_close_words(report);
    if (random_generation_changes() >= 0)
        report_number(report, "generation_changes", (uint64_t)random_generation_changes());
}

REPORTER(random_reporter) = { "random", 35, tell_random };
