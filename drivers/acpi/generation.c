/* SPDX-License-Identifier: MIT */
/*
 * The VM generation id: 16 bytes of memory that the hypervisor changes when the
 * VM goes on from a snapshot, a clone or a backup ("Virtual Machine Generation
 * ID", Microsoft, 2012). Where they lie is told by AML; the event that comes with
 * a change is not needed, because kernel/random compares them whenever it gives
 * out numbers.
 *
 * QEMU has the device in a secondary table of its own. Others have it in the DSDT,
 * which is searched where it is not QEMU's: that one has many KiB.
 *
 * Concurrency: once, at the start.
 */
#include "drivers/acpi/tables.h"
#include "kernel/driver.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "kernel/random.h"
#include "lib/base/string.h"

static struct aml aml_in(const struct acpi_header *table)
{
    return (struct aml){ (const uint8_t *)(table + 1), table->length - sizeof(*table) };
}

static bool find_in_secondary(phys_addr_t *address)
{
    const struct acpi_header *table;

    for (unsigned i = 0; (table = acpi_table_at("SSDT", i)) != NULL; i++)
        if (aml_generation_id(aml_in(table), address))
            return true;
    return false;
}

/* Whose it is, is told by the FADT: not even the DSDT's checksum is worth adding up on QEMU. */
static bool find_in_dsdt(phys_addr_t *address)
{
    const struct acpi_header *fadt = acpi_table("FACP");

    return fadt && memcmp(fadt->oem_id, "BOCHS ", sizeof(fadt->oem_id)) != 0 &&
           aml_generation_id(acpi_dsdt(), address);
}

static int start(void)
{
    phys_addr_t address;
    const void *id;

    if (!find_in_secondary(&address) && !find_in_dsdt(&address))
        return 0;
    id = IS_ALIGNED(address, 8) ? memory_map(address, RANDOM_GENERATION_BYTES) : NULL;
    if (!id) {
        log_error("acpi: the VM generation id at 0x%llx is out of reach",
                  (unsigned long long)address);
        return 0;
    }
    random_watch_generation(id);
    return 0;
}

DRIVER(generation_driver) = { "vm-generation", DRIVER_PLATFORM, start };
