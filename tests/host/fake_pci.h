/* SPDX-License-Identifier: MIT */
/*
 * A PCI host with functions whose configuration space is in the test's hand:
 * BARs answer to sizing, read-only registers do not change, and what a careful
 * driver never does is kept in `violation`.
 *
 *     struct fake_pci *fake = fake_pci_host(0, 255);
 *     struct fake_function *net = fake_pci_function(fake, 0, 3, 0, 0x1af4, 0x1041);
 *
 *     fake_pci_bar(net, 4, PCI_BAR_MEMORY64, 0x4000, 0xfe000000);
 *     at = fake_pci_capability(net, PCI_CAP_VENDOR, 16);    its offset; fill net->space
 *     pci_add_host(&fake->host);
 *     pci_scan();
 */
#ifndef TESTS_HOST_FAKE_PCI_H
#define TESTS_HOST_FAKE_PCI_H

#include "drivers/pci/pci.h"

#define FAKE_PCI_FUNCTIONS 600

struct fake_function {
    struct pci_address at;       /* its bus: only where `above` is NULL */
    struct fake_function *above; /* the bridge whose numbers and forwarding lead to it */
    uint8_t space[256];
    enum pci_bar_kind bar_kind[PCI_BARS]; /* MEMORY64 takes the next one too */
    uint64_t bar_bytes[PCI_BARS];
    uint8_t last_capability;    /* offset of the newest one; 0: none */
    uint8_t next_free;          /* where the next one goes */
    uint8_t msi;                /* offset of its MSI capability, which may be written; 0: none */
    bool firmware_has_not_seen; /* a bridge: its numbers and windows may be written */
    bool wide;                  /* a bridge: its prefetchable window has upper halves */
    bool all_ones;              /* answers its identity only */
};

struct fake_pci {
    struct pci_host host;
    struct fake_function functions[FAKE_PCI_FUNCTIONS];
    unsigned n_functions;
    uint64_t reads, writes;
    const char *violation;
};

/* Emptied for each test; segment 0. */
struct fake_pci *fake_pci_host(uint8_t bus_first, uint8_t bus_last);

struct fake_function *fake_pci_function(struct fake_pci *fake, unsigned bus, unsigned device,
                                        unsigned function, uint16_t vendor, uint16_t id);

/* A PCI-to-PCI bridge with these bus numbers. */
struct fake_function *fake_pci_bridge(struct fake_pci *fake, unsigned bus, unsigned device,
                                      unsigned secondary, unsigned subordinate);

/* A bridge that no firmware has numbered; above: the one it is behind, or NULL: on bus 0. */
struct fake_function *fake_pci_new_bridge(struct fake_pci *fake, struct fake_function *above,
                                          unsigned device);

/* A function behind a bridge, on the bus that the bridge leads to by then. */
struct fake_function *fake_pci_behind(struct fake_pci *fake, struct fake_function *above,
                                      unsigned device, uint16_t vendor, uint16_t id);

void fake_pci_bar(struct fake_function *function, unsigned index, enum pci_bar_kind kind,
                  uint64_t bytes, uint64_t address);

void fake_pci_prefetchable(struct fake_function *function, unsigned index);

/* Appends a capability of so many bytes to the chain; its offset. */
unsigned fake_pci_capability(struct fake_function *function, uint8_t id, unsigned bytes);

void fake_put16(struct fake_function *function, unsigned offset, uint16_t value);
void fake_put32(struct fake_function *function, unsigned offset, uint32_t value);
uint16_t fake_get16(const struct fake_function *function, unsigned offset);

/* An MSI capability with these flags in its control register. */
unsigned fake_pci_msi(struct fake_function *function, uint16_t control);

/* An MSI-X capability with its table and pending bits in one BAR. */
unsigned fake_pci_msix(struct fake_function *function, unsigned vectors, unsigned bar,
                       uint32_t table_offset, uint32_t pending_offset);

#endif
