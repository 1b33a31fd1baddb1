/* SPDX-License-Identifier: MIT */
/*
 * Off, reset and the power button, §4.8.3, §4.8.4 and §7.4. Fixed hardware has
 * its registers in ports and tells of the button by the SCI; a hardware-reduced
 * machine has a sleep control register, and a generic event device for the
 * button.
 *
 * Concurrency: off and reset run in any context, also in a panic, so that what
 * they need is mapped at the start; the DSDT is read only when _S5 is wanted.
 */
#include "kernel/power.h"
#include "drivers/acpi/acpi.h"
#include "drivers/acpi/tables.h"
#include "kernel/driver.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define PM1_PWRBTN         (1u << 8) /* in status and in enable */
#define PM1_SCI_EN         (1u << 0)
#define PM1_SLP_TYP(type)  ((uint32_t)(type) << 10)
#define PM1_SLP_EN         (1u << 13)
#define SLEEP_TYPE(type)   ((uint8_t)((type) << 2))
#define SLEEP_ENABLE       (1u << 5)
#define RESET_CONTROL      0xcf9 /* of the PC's chip sets */
#define RESET_CONTROL_HARD 0x02
#define RESET_CONTROL_CPU  0x04
#define KEYBOARD_COMMAND   0x64
#define KEYBOARD_RESET     0xfe
#define DELAY_PORT         0x80 /* a write takes about a microsecond and does nothing */

/* Long enough for a VMM to act on what was written, about 0.1 s. */
#define REACTION_WRITES 100000
#define ENABLE_WRITES   100000

/* An SCI that stays asserted for something we do not know would never let the CPU go. */
#define MAX_UNKNOWN_SCIS 1000

static uint16_t read16(const struct acpi_register *from)
{
    if (from->space == ACPI_SPACE_PORT)
        return port_read16((uint16_t)from->address);
    if (from->space == ACPI_SPACE_MEMORY)
        return mmio_read16((const volatile void *)(uintptr_t)from->address);
    return 0;
}

static void write16(const struct acpi_register *to, uint16_t value)
{
    if (to->space == ACPI_SPACE_PORT)
        port_write16((uint16_t)to->address, value);
    else if (to->space == ACPI_SPACE_MEMORY)
        mmio_write16((volatile void *)(uintptr_t)to->address, value);
}

static void write8(const struct acpi_register *to, uint8_t value)
{
    if (to->space == ACPI_SPACE_PORT)
        port_write8((uint16_t)to->address, value);
    else if (to->space == ACPI_SPACE_MEMORY)
        mmio_write8((volatile void *)(uintptr_t)to->address, value);
}

/* What is used later, perhaps in a panic. */
static struct {
    bool hardware_reduced;
    struct acpi_register status[2], enable[2], control[2]; /* PM1a, PM1b */
    struct acpi_register sleep_control, reset;
    uint8_t reset_value, acpi_enable;
    uint16_t smi_port;
    bool has_8042;
    unsigned unknown_scis;     /* in a row */
    struct acpi_irq sci;       /* when the button is in use */
    volatile void *ged_events; /* hardware-reduced */
    uint32_t ged_power_button;
} power = { .has_8042 = true };

static void await_reaction(void)
{
    for (unsigned i = 0; i < REACTION_WRITES; i++)
        port_write8(DELAY_PORT, 0);
}

/* Fixed hardware belongs to the firmware until it is told otherwise, §4.8.2.5. */
static bool enter_acpi_mode(void)
{
    if (read16(&power.control[0]) & PM1_SCI_EN)
        return true;
    if (!power.smi_port || !power.acpi_enable)
        return false;
    port_write8(power.smi_port, power.acpi_enable);
    for (unsigned i = 0; i < ENABLE_WRITES; i++) {
        if (read16(&power.control[0]) & PM1_SCI_EN)
            return true;
        port_write8(DELAY_PORT, 0);
    }
    log_error("acpi: the firmware does not hand over the hardware");
    return false;
}

static void sleep(const struct acpi_register *control, uint8_t type)
{
    uint16_t value = read16(control) & (uint16_t) ~(PM1_SLP_TYP(7) | PM1_SLP_EN);

    write16(control, (uint16_t)(value | PM1_SLP_TYP(type)));
    write16(control, (uint16_t)(value | PM1_SLP_TYP(type) | PM1_SLP_EN));
}

static void acpi_off(void)
{
    uint8_t type;

    if (!aml_sleep_type_s5(acpi_dsdt(), &type)) {
        log_error("acpi: no _S5 in the DSDT, the machine can not be switched off");
        return;
    }
    if (power.hardware_reduced) {
        write8(&power.sleep_control, SLEEP_TYPE(type) | SLEEP_ENABLE);
    } else {
        enter_acpi_mode();
        sleep(&power.control[0], type);
        if (power.control[1].space != ACPI_SPACE_NONE)
            sleep(&power.control[1], type);
    }
    await_reaction();
}

static void acpi_reset(void)
{
    if (power.reset.space != ACPI_SPACE_NONE) {
        write8(&power.reset, power.reset_value);
        await_reaction();
    }
    port_write8(RESET_CONTROL, RESET_CONTROL_HARD);
    port_write8(RESET_CONTROL, RESET_CONTROL_HARD | RESET_CONTROL_CPU);
    await_reaction();
    if (power.has_8042) {
        port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET);
        await_reaction();
    }
}

/* Registers in memory are mapped; what can not be is as good as not there. */
static struct acpi_register reach(struct acpi_register wanted, unsigned bytes)
{
    if (wanted.space == ACPI_SPACE_MEMORY && !mmio_map(wanted.address, bytes))
        wanted.space = ACPI_SPACE_NONE;
    return wanted;
}

static void reach_events(unsigned i, struct acpi_register event, unsigned event_bytes)
{
    event = reach(event, event_bytes);
    power.status[i] = event;
    power.enable[i] = event;
    power.enable[i].address += event_bytes / 2;
}

static int start_power(void)
{
    static const struct power_control control = { "acpi", acpi_off, acpi_reset };
    static const struct power_control without_acpi = { "chip set", NULL, acpi_reset };
    const struct acpi_fadt *fadt = acpi_fadt();

    if (!fadt)
        return power_register(&without_acpi);
    power.hardware_reduced = fadt->hardware_reduced;
    power.has_8042 = fadt->has_8042;
    power.reset = reach(fadt->reset, 1);
    power.reset_value = fadt->reset_value;
    power.sleep_control = reach(fadt->sleep_control, 1);
    power.acpi_enable = fadt->acpi_enable;
    power.smi_port = fadt->smi_port;
    power.control[0] = reach(fadt->pm1a_control, 2);
    power.control[1] = reach(fadt->pm1b_control, 2);
    reach_events(0, fadt->pm1a_event, fadt->pm1_event_bytes);
    reach_events(1, fadt->pm1b_event, fadt->pm1_event_bytes);
    return power_register(&control);
}

static void on_sci(void *argument)
{
    uint16_t status = read16(&power.status[0]) | read16(&power.status[1]);

    (void)argument;
    if (status & PM1_PWRBTN) {
        write16(&power.status[0], PM1_PWRBTN); /* one clears */
        write16(&power.status[1], PM1_PWRBTN);
        power.unknown_scis = 0;
        power_button_pressed();
    } else if (++power.unknown_scis == MAX_UNKNOWN_SCIS) {
        irq_unroute(power.sci.gsi);
        log_error("acpi: SCI without a cause we know, switched off; the power button too");
    }
}

/* Reading tells which events came, and clears them (QEMU, docs/specs/acpi_hw_reduced_hotplug). */
static void on_generic_event(void *argument)
{
    (void)argument;
    if (mmio_read32(power.ged_events) & power.ged_power_button)
        power_button_pressed();
}

static int start_irq(irq_handler handler, struct acpi_irq pin)
{
    int vector = irq_alloc(handler, NULL, "acpi"), error;

    if (vector < 0)
        return vector;
    error = irq_route(pin.gsi, vector, pin.level_triggered, pin.active_low);
    if (error)
        irq_free(vector);
    return error;
}

static int start_fixed_button(void)
{
    int error;

    if (power.status[0].space == ACPI_SPACE_NONE || !enter_acpi_mode())
        return -ENODEV;
    write16(&power.enable[0], 0);
    write16(&power.enable[1], 0);
    write16(&power.status[0], PM1_PWRBTN);
    power.sci = acpi_sci();
    error = start_irq(on_sci, power.sci);
    if (!error)
        write16(&power.enable[0], PM1_PWRBTN);
    return error;
}

static int start_generic_button(void)
{
    struct aml rest = acpi_dsdt(), body;
    struct aml_event_device events;
    struct acpi_device device;

    if (!aml_next_device(&rest, "ACPI0013", &body) || !aml_resources(body, &device) ||
        !device.has_irq || !aml_event_device(body, &events))
        return -ENODEV;
    power.ged_events = mmio_map(events.events, sizeof(uint32_t));
    if (!power.ged_events)
        return -ENODEV;
    power.ged_power_button = events.power_button;
    return start_irq(on_generic_event, device.irq);
}

static int start_button(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();
    int error = -ENODEV;

    if (fadt && fadt->hardware_reduced)
        error = start_generic_button();
    else if (fadt && fadt->has_power_button)
        error = start_fixed_button();
    if (error == -ENODEV) {
        log_debug("acpi: no power button");
        return 0;
    }
    return error;
}

DRIVER(acpi_power) = { "acpi-power", DRIVER_PLATFORM, start_power };
DRIVER(acpi_button) = { "acpi-button", DRIVER_BUS, start_button };
