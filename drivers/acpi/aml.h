/* SPDX-License-Identifier: MIT */
/*
 * Facts read out of AML's bytes without interpreting it: patterns that a VMM
 * generates for a name, a device with constant resources, an event method. A
 * pattern that is not there exactly so is not found. ACPI 6.5, section 20.
 *
 * Everything is bounded by the AML given; no pattern can make a scan stand
 * still. Pure functions.
 */
#ifndef DRIVERS_ACPI_AML_H
#define DRIVERS_ACPI_AML_H

#include "drivers/acpi/acpi.h"
#include "lib/base/types.h"

struct aml {
    const uint8_t *at;
    size_t bytes;
};

/* *aml moves to the next place where these bytes stand; false: there is none, *aml stays. */
bool aml_find(struct aml *aml, const void *pattern, size_t bytes);

/* Name(_S5, Package{type, ...}), §7.4.2: the value that the sleep type field takes for power off.
 */
bool aml_sleep_type_s5(struct aml aml, uint8_t *type);

/*
 * The next device in *rest whose first statement gives this _HID string; *body is
 * what follows inside it, *rest moves behind its _HID.
 */
bool aml_next_device(struct aml *rest, const char *hid, struct aml *body);

/* The first fixed memory range and interrupt of a device's constant _CRS. */
bool aml_resources(struct aml body, struct acpi_device *device);

/*
 * The generic event device (§5.6.9) as QEMU writes it: a 32-bit register that
 * tells and clears the events, and the one that notifies \_SB.PWRB.
 */
struct aml_event_device {
    phys_addr_t events;
    uint32_t power_button; /* its bit there */
};

bool aml_event_device(struct aml body, struct aml_event_device *found);

/*
 * Where the VM generation id lies, by the device whose _CID is "VM_Gen_Counter": its
 * Name(ADDR, Package{low, high}), or, as QEMU has it, a method ADDR that adds a
 * constant to Name(VGIA, base).
 */
bool aml_generation_id(struct aml aml, phys_addr_t *address);

/* Each Name(_BBN, constant), the bus that a host bridge leads to: up to max, how many. */
unsigned aml_root_buses(struct aml aml, uint8_t *buses, unsigned max);

/* The host bridge's _CBA, where it returns a constant. */
bool aml_ecam_base(struct aml aml, phys_addr_t *base);

#endif
