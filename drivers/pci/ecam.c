/* SPDX-License-Identifier: MIT */
/*
 * Configuration space in memory (PCI Express Base 4.0, §7.2.2): 4 KiB a
 * function, 1 MiB a bus. Mapped two buses at a time, when one of them is first
 * looked at: that is one page-table entry.
 */
#include "drivers/pci/pci.h"
#include "kernel/alloc.h"
#include "kernel/log.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "lib/base/io.h"

#define BUS_BYTES MIB
#define ALL_ONES  UINT32_MAX

struct ecam {
    struct pci_host host;
    phys_addr_t base; /* of bus 0 */
    uint8_t mapped[256 / 8], failed[256 / 8];
};

static bool bit(const uint8_t *bits, unsigned i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void set_bit(uint8_t *bits, unsigned i)
{
    bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* The bus and the other of its pair, if that is the host's too. Inlined it makes each access save
 * its registers: 20 of 42 instructions. */
static __attribute__((noinline)) bool map_buses(struct ecam *ecam, unsigned bus)
{
    unsigned first = MAX(ALIGN_DOWN(bus, 2u), ecam->host.bus_first);
    unsigned last = MIN(bus | 1u, ecam->host.bus_last);
    bool ok = mmio_map(ecam->base + first * BUS_BYTES, (last - first + 1) * BUS_BYTES) != NULL;

    for (unsigned i = first; i <= last; i++)
        set_bit(ok ? ecam->mapped : ecam->failed, i);
    if (!ok)
        log_error("pci: configuration space of bus %x cannot be mapped", first);
    return ok;
}

/* NULL: nothing can be reached there. */
static volatile void *reach(const struct pci_host *host, struct pci_address at, unsigned offset)
{
    struct ecam *ecam = CONTAINER_OF(host, struct ecam, host);

    if (UNLIKELY(!bit(ecam->mapped, at.bus)) &&
        (bit(ecam->failed, at.bus) || !map_buses(ecam, at.bus)))
        return NULL;
    return (volatile void *)(uintptr_t)(ecam->base + at.bus * BUS_BYTES +
                                        (phys_addr_t)(at.device * 8 + at.function) * 4096 + offset);
}

static uint32_t ecam_read(const struct pci_host *host, struct pci_address at, unsigned offset,
                          unsigned bytes)
{
    volatile void *where = reach(host, at, offset);

    if (!where)
        return ALL_ONES;
    if (bytes == 1)
        return mmio_read8(where);
    return bytes == 2 ? mmio_read16(where) : mmio_read32(where);
}

static void ecam_write(const struct pci_host *host, struct pci_address at, unsigned offset,
                       unsigned bytes, uint32_t value)
{
    volatile void *where = reach(host, at, offset);

    if (!where)
        return;
    if (bytes == 1)
        mmio_write8(where, (uint8_t)value);
    else if (bytes == 2)
        mmio_write16(where, (uint16_t)value);
    else
        mmio_write32(where, value);
}

static void ecam_forget(struct pci_host *host)
{
    kfree(CONTAINER_OF(host, struct ecam, host));
}

int pci_add_ecam(uint16_t segment, phys_addr_t base, uint8_t bus_first, uint8_t bus_last)
{
    struct ecam *ecam;
    int error;

    if (!IS_ALIGNED(base, BUS_BYTES) || !base || base > UINT64_MAX - 256 * BUS_BYTES)
        return -EINVAL;
    ecam = kalloc(sizeof(*ecam));
    if (!ecam)
        return -ENOMEM;
    ecam->base = base;
    ecam->host = (struct pci_host){ .read = ecam_read,
                                    .write = ecam_write,
                                    .forget = ecam_forget,
                                    .segment = segment,
                                    .bus_first = bus_first,
                                    .bus_last = bus_last,
                                    .memory = base + bus_first * BUS_BYTES,
                                    .memory_bytes = (bus_last - bus_first + 1) * BUS_BYTES,
                                    .extended = true };
    error = pci_add_host(&ecam->host);
    if (error)
        kfree(ecam);
    return error;
}
