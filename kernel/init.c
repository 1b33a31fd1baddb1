/* SPDX-License-Identifier: MIT */
/*
 * The boot as a story, and the only file of the kernel that knows everybody.
 * From the first C function to main(): each step stands on those before it.
 */
#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/kvm_pv.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "boot/boot_info.h"
#include "drivers/acpi/acpi.h"
#include "drivers/serial.h"
#include "drivers/virtio/virtq.h"
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/driver.h"
#include "kernel/exit.h"
#include "kernel/hypervisor.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/power.h"
#include "kernel/smp.h"
#include "kernel/system.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "lib/libc/start.h"

#define MAIN_STACK_MAX (1 * MIB)
#define MAIN_STACK_MIN (16 * KIB)

extern const char __image_start[], __image_end[];
extern const struct driver __start_drivers[], __stop_drivers[];

/* The user asked for what can not be, or the machine lacks what nothing works without. */
static _Noreturn void start_failed(const char *why)
{
    log_error("start failed: %s", why);
    kernel_exit(EXIT_START_FAILED);
}

static void take_cmdline(const struct boot_info *boot)
{
    static const char *const log_levels[] = { "error", "info", "debug" };
    static const char *const irq_modes[] = { "msix", "intx", "poll" };
    int choice;

    cmdline_parse(boot->cmdline);
    if (boot->cmdline_truncated)
        log_error("command line: cut at %d bytes", BOOT_MAX_CMDLINE);
    choice = cmdline_choice("log", log_levels, ARRAY_SIZE(log_levels));
    if (choice >= 0)
        log_level = (enum log_level)choice;
    choice = cmdline_choice("irq", irq_modes, ARRAY_SIZE(irq_modes));
    if (choice == -EINVAL)
        start_failed("no such interrupt mode");
    if (choice >= 0)
        irq_mode = (enum irq_mode)choice;
}

static void take_memory(const struct boot_info *boot)
{
    phys_addr_t start_page;

    paging_init(boot);
    for (uint32_t i = 0; i < boot->n_ranges; i++)
        if (boot->ranges[i].type == BOOT_RANGE_RAM)
            page_add_range(boot->ranges[i].start, boot->ranges[i].bytes);
    for (uint32_t i = 0; i < boot->n_ranges; i++) /* where ranges overlap, RAM yields */
        if (boot->ranges[i].type != BOOT_RANGE_RAM)
            page_exclude_range(boot->ranges[i].start, boot->ranges[i].bytes);
    page_exclude_range((uintptr_t)__image_start, (uintptr_t)(__image_end - __image_start));
    for (uint32_t i = 0; i < boot->n_modules; i++)
        page_exclude_range(boot->modules[i].start, boot->modules[i].bytes);
    start_page = smp_find_start_page(boot);
    if (start_page)
        page_exclude_range(start_page, PAGE_SIZE);
    if (boot->n_ranges_dropped)
        log_error("memory map: %u ranges beyond the first %d ignored", boot->n_ranges_dropped,
                  BOOT_MAX_RANGES);
    if (!page_available())
        start_failed("no memory: the memory map names no RAM");
}

static void start_drivers(enum driver_stage stage)
{
    for (const struct driver *driver = __start_drivers; driver < __stop_drivers; driver++) {
        int error = driver->stage == stage ? driver->start() : 0;

        if (error)
            log_error("%s: not started (error %d)", driver->name, -error);
    }
}

static void start_clock(void)
{
    const char *wanted = cmdline_value("clock");

    if (clock_start(wanted) == 0)
        return;
    log_error("clock=%s: no such clock here", wanted ? wanted : "auto");
    if (clock_start(NULL))
        start_failed("no clock");
}

static void keep_time(struct timer *timer)
{
    uint64_t next_ns = clock_work();

    if (next_ns != CLOCK_NEVER)
        timer_start(timer, next_ns);
}

static void start_interrupts(const struct boot_info *boot)
{
    static struct timer clock_timer;
    static struct acpi_madt madt;

    if (cmdline_value("kvm-off"))
        kvm_pv_turn_off(cmdline_value("kvm-off"));
    if (apic_init(irq_mode == IRQ_MODE_POLL))
        start_failed("this CPU has no local APIC");
    if (acpi_madt(&madt) == 0)
        for (unsigned i = 0; i < madt.n_ioapics; i++)
            ioapic_add(madt.ioapics[i].address, madt.ioapics[i].gsi_base);
    else
        ioapic_add(IOAPIC_DEFAULT_ADDRESS, 0);
    system_set_facts(boot, MAX(madt.n_cpus, 1u));
    if (timer_start_hardware())
        start_failed("no vector for the timer");
    timer_init(&clock_timer, keep_time);
    keep_time(&clock_timer);
    irq_restore(true);
    smp_start(madt.apic_ids, madt.n_cpus);
}

static void run_application(void *argument)
{
    uint64_t cycles = tsc_read() - boot_tsc;

    (void)argument;
    log_info("boot: main() after %lu TSC cycles, the first of ours was at %lu", cycles, boot_tsc);
    app_start(cmdline_argc(), cmdline_argv());
}

static void start_application(void)
{
    uint64_t stack_bytes =
        ALIGN_DOWN(MIN(page_available() * PAGE_SIZE / 8, MAIN_STACK_MAX), PAGE_SIZE);

    if (!thread_create_application(0, "main", run_application, NULL,
                                   MAX(stack_bytes, MAIN_STACK_MIN)))
        start_failed("no memory for the application");
}

/* The boot thread's last duty: whoever presses the power button gets an orderly end. */
static _Noreturn void wait_for_power_button(void)
{
    event_wait(&power_button, CLOCK_NEVER);
    log_info("power button: shutting down");
    kernel_exit(0);
}

_Noreturn void kernel_main(const struct boot_info *boot)
{
    cpu_init_first();
    thread_init();
    serial_start();
    log_info("aerostat %s, started by %s", AEROSTAT_VERSION, boot->path);
    take_cmdline(boot);
    take_memory(boot);

    acpi_set_rsdp(boot->rsdp, boot->has_bios);
    start_drivers(DRIVER_PLATFORM);
    start_clock();
    start_interrupts(boot);

    virtq_use_strong_barrier(hypervisor_is_tcg());
    start_drivers(DRIVER_BUS);
    start_drivers(DRIVER_CLASS);
    start_application();
    wait_for_power_button();
}
