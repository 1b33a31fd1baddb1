/* SPDX-License-Identifier: MIT */
/*
 * The FADT, §5.2.9, in every length from ACPI 1.0 on: what a shorter table does
 * not have reads as zero. And the DSDT it points to.
 */
#include "drivers/acpi/acpi.h"
#include "drivers/acpi/tables.h"
#include "lib/base/errno.h"
#include "lib/base/string.h"

struct generic_address {
    uint8_t space, register_bits, register_offset, access_bytes;
    le64 address;
} __attribute__((packed));

#define SPACE_MEMORY 0
#define SPACE_PORT   1

struct fadt_table {
    struct acpi_header header;
    le32 firmware_ctrl, dsdt;
    uint8_t reserved1, preferred_profile;
    le16 sci_int;
    le32 smi_cmd;
    uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
    le32 pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk;
    le32 gpe0_blk, gpe1_blk;
    uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
    uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
    le16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
    le16 iapc_boot_arch;
    uint8_t reserved2;
    le32 flags;
    struct generic_address reset_reg;
    uint8_t reset_value;
    le16 arm_boot_arch;
    uint8_t minor_version;
    le64 x_firmware_ctrl, x_dsdt;
    struct generic_address x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
    struct generic_address x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
    struct generic_address sleep_control_reg, sleep_status_reg;
} __attribute__((packed));

_Static_assert(offsetof(struct fadt_table, flags) == 112, "FADT as in table 5.9");
_Static_assert(offsetof(struct fadt_table, sleep_status_reg) == 256, "FADT as in table 5.9");

#define FADT_PWR_BUTTON       (1u << 4) /* set: not a fixed event */
#define FADT_TMR_VAL_EXT      (1u << 8)
#define FADT_RESET_REG_SUP    (1u << 10)
#define FADT_HW_REDUCED_ACPI  (1u << 20)
#define IAPC_BOOT_8042        (1u << 1)
#define IAPC_BOOT_NO_CMOS_RTC (1u << 5)

/* ACPI 1.0 had neither the boot architecture flags nor anything behind flags. */
#define FADT_REVISION_WITH_BOOT_ARCH 2
#define PM1_EVENT_MIN_BYTES          4

static struct acpi_register register_of(struct generic_address generic)
{
    struct acpi_register none = { ACPI_SPACE_NONE, 0 };

    if (!generic.address)
        return none;
    if (generic.space == SPACE_MEMORY)
        return (struct acpi_register){ ACPI_SPACE_MEMORY, generic.address };
    if (generic.space == SPACE_PORT && generic.address <= UINT16_MAX)
        return (struct acpi_register){ ACPI_SPACE_PORT, generic.address };
    return none;
}

/* The extended field where it is filled, else the old port number. */
static struct acpi_register either(struct generic_address extended, uint32_t port)
{
    struct acpi_register found = register_of(extended);

    if (found.space != ACPI_SPACE_NONE)
        return found;
    return register_of((struct generic_address){ .space = SPACE_PORT, .address = port });
}

static void take_fixed_hardware(struct acpi_fadt *fadt, const struct fadt_table *table)
{
    fadt->has_power_button = !(table->flags & FADT_PWR_BUTTON);
    fadt->pm_timer_32bit = table->flags & FADT_TMR_VAL_EXT;
    fadt->pm_timer = either(table->x_pm_tmr_blk, table->pm_tmr_blk);
    if (table->pm1_evt_len >= PM1_EVENT_MIN_BYTES) {
        fadt->pm1_event_bytes = table->pm1_evt_len;
        fadt->pm1a_event = either(table->x_pm1a_evt_blk, table->pm1a_evt_blk);
        fadt->pm1b_event = either(table->x_pm1b_evt_blk, table->pm1b_evt_blk);
    }
    fadt->pm1a_control = either(table->x_pm1a_cnt_blk, table->pm1a_cnt_blk);
    fadt->pm1b_control = either(table->x_pm1b_cnt_blk, table->pm1b_cnt_blk);
    fadt->smi_port = table->smi_cmd <= UINT16_MAX ? (uint16_t)table->smi_cmd : 0;
    fadt->acpi_enable = table->acpi_enable;
}

static void parse(struct acpi_fadt *fadt, const struct fadt_table *table)
{
    bool has_boot_arch = table->header.revision >= FADT_REVISION_WITH_BOOT_ARCH;

    fadt->hardware_reduced = table->flags & FADT_HW_REDUCED_ACPI;
    fadt->has_8042 = !has_boot_arch || table->iapc_boot_arch & IAPC_BOOT_8042;
    fadt->has_rtc = !has_boot_arch || !(table->iapc_boot_arch & IAPC_BOOT_NO_CMOS_RTC);
    fadt->rtc_century = table->century;
    fadt->sci = table->sci_int;
    fadt->dsdt = table->x_dsdt ? table->x_dsdt : table->dsdt;
    if (table->flags & FADT_RESET_REG_SUP) {
        fadt->reset = register_of(table->reset_reg);
        fadt->reset_value = table->reset_value;
    }
    if (fadt->hardware_reduced) {
        fadt->sleep_control = register_of(table->sleep_control_reg);
        fadt->sleep_status = register_of(table->sleep_status_reg);
    } else {
        take_fixed_hardware(fadt, table);
    }
}

const struct acpi_fadt *acpi_fadt(void)
{
    static struct acpi_fadt fadt;
    static unsigned parsed; /* generation */
    const struct acpi_header *header = acpi_table("FACP");
    struct fadt_table table;

    if (!header)
        return NULL;
    if (parsed != acpi_generation) {
        memset(&table, 0, sizeof(table));
        memcpy(&table, header, MIN(header->length, sizeof(table)));
        memset(&fadt, 0, sizeof(fadt));
        parse(&fadt, &table);
        parsed = acpi_generation;
        acpi_add_table(fadt.dsdt); /* mapped already when it is wanted, perhaps in a panic */
    }
    return &fadt;
}

struct aml acpi_dsdt(void)
{
    const struct acpi_header *dsdt = acpi_fadt() ? acpi_table("DSDT") : NULL;

    if (!dsdt)
        return (struct aml){ NULL, 0 };
    return (struct aml){ (const uint8_t *)(dsdt + 1), dsdt->length - sizeof(*dsdt) };
}

unsigned acpi_find_devices(const char *hid, struct acpi_device *found, unsigned max)
{
    struct aml rest = acpi_dsdt(), body;
    unsigned n = 0;

    while (n < max && aml_next_device(&rest, hid, &body))
        if (aml_resources(body, &found[n]))
            n++;
    return n;
}

int acpi_dsdt_ecam(struct acpi_ecam *regions, unsigned max)
{
    const struct acpi_fadt *fadt = acpi_fadt();
    phys_addr_t base;

    /* Elsewhere PCI is reached by ports, and a DSDT of many KiB is not worth reading. */
    if (!fadt || !fadt->hardware_reduced || !max || !aml_ecam_base(acpi_dsdt(), &base) ||
        !acpi_ecam_is_sane(base, 0, UINT8_MAX))
        return -ENODEV;
    regions[0] = (struct acpi_ecam){ base, 0, 0, UINT8_MAX };
    return 1;
}
