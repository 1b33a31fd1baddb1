/* SPDX-License-Identifier: MIT */
/*
 * PCI and PCI Express as drivers see them: configuration space, capabilities,
 * BARs, MSI-X (PCI Local Bus 3.0, PCI Express Base 4.0).
 *
 * Shaped for a short boot: a configuration access leaves the guest and costs
 * the host a microsecond or more, so each register is read once, and only when
 * somebody needs it. BARs are sized when they are asked for.
 *
 * Configuration space comes from outside: whatever it says is bounded and
 * checked before use.
 *
 * Concurrency: kernel thread context, one caller at a time.
 */
#ifndef DRIVERS_PCI_PCI_H
#define DRIVERS_PCI_PCI_H

#include "drivers/pci/spec.h"
#include "kernel/driver.h"
#include "kernel/irq.h"
#include "lib/base/list.h"
#include "lib/base/types.h"

struct pci_driver;
struct pci_device;

/* Where a function is: "0000:00:1f.2". */
struct pci_address {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;   /* 0 to 31 */
    uint8_t function; /* 0 to 7 */
};

#define PCI_ROOTS 16

/*
 * A way to reach the configuration space of some buses. bytes is 1, 2 or 4 and
 * the offset a multiple of it, below 4096 (below 256 where extended is false).
 * What is not there reads as ones.
 */
struct pci_host {
    uint32_t (*read)(const struct pci_host *host, struct pci_address at, unsigned offset,
                     unsigned bytes);
    void (*write)(const struct pci_host *host, struct pci_address at, unsigned offset,
                  unsigned bytes, uint32_t value);
    void (*forget)(struct pci_host *host); /* by pci_forget(): its memory's owner; may be NULL */
    uint16_t segment;
    uint8_t bus_first, bus_last;
    phys_addr_t memory;    /* where configuration space itself is */
    uint64_t memory_bytes; /* 0: it is not in memory */
    bool extended;         /* 4096 bytes a function, else 256 */
    uint8_t n_roots;       /* root buses beside bus_first, in rising order; set by pci_scan() */
    uint8_t roots[PCI_ROOTS];
    struct list link; /* set by pci_add_host() */
};

/* A region that a base address register decodes. */
enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY32, PCI_BAR_MEMORY64 };

struct pci_bar {
    enum pci_bar_kind kind;
    bool prefetchable;
    phys_addr_t address; /* 0: not assigned */
    uint64_t bytes;      /* a power of two; 0 with PCI_BAR_NONE */
};

/* Addresses that a bridge passes on, or that may be given out. start > last: none. */
struct pci_range {
    phys_addr_t start, last;
};

/* Below 4 GiB; wherever 64 bits reach, of a bridge: what may be prefetched; ports. */
enum pci_room { PCI_ROOM_LOW, PCI_ROOM_HIGH, PCI_ROOM_PORTS, PCI_ROOMS };

#define PCI_BARS         6
#define PCI_CAPABILITIES 48 /* as many as fit behind the header */

/* One function that answers. Read by drivers, written by drivers/pci only. */
struct pci_device {
    struct list link;        /* among all devices, in the order they were found */
    struct list bridge_link; /* of a bridge, among those */
    const struct pci_host *host;
    struct pci_address at;
    uint16_t vendor, device;
    uint8_t header;                  /* PCI_HEADER_NORMAL, _BRIDGE or another; without the flag */
    uint8_t secondary, subordinate;  /* of a bridge: buses that are used behind it; 0: none */
    bool unnumbered;                 /* a bridge that has no such numbers yet */
    const struct pci_driver *driver; /* NULL: none has taken it */
    void *driver_state;              /* the driver's own */
    bool gone;                       /* not on its bus any more: remove() asks nothing of it */

    bool command_known; /* command and status were read */
    uint16_t command;   /* as last written */
    uint16_t status;
    bool bars_known;      /* they were sized */
    uint8_t bars_bad;     /* bit n: bar[n] answers nonsense */
    uint8_t bars_claimed; /* bit n: its addresses are known to be nobody else's */
    uint8_t bars_mapped;  /* bit n: somebody uses registers there */
    uint8_t refused;      /* what is not to be decoded: PCI_COMMAND_IO, _MEMORY */
    struct pci_bar bar[PCI_BARS];

    bool windows_known; /* those of a bridge were read */
    struct pci_range windows[PCI_ROOMS];

    bool capabilities_known; /* the chain was followed */
    uint8_t n_capabilities;
    struct {
        uint8_t id, offset;
    } capability[PCI_CAPABILITIES];

    struct pci_msix {
        uint8_t capability; /* its offset; 0: not in use */
        uint16_t n_vectors;
        volatile uint8_t *table;
    } msix;
};

/*
 * A driver names what it drives; collected by LINKER_SET(pci_drivers).
 * probe: 0: taken; -ENODEV: not mine after all, which is not reported; another
 * errno: reported, the device stays without a driver. While it is called, bus
 * mastering is on and INTx off; unless it returns 0, bus mastering goes off
 * again. remove may be NULL; it leaves the device quiet.
 */
struct pci_match {
    uint16_t vendor;
    uint16_t device_first, device_last;
};

struct pci_driver {
    const char *name;
    const struct pci_match *matches;
    unsigned n_matches;
    int (*probe)(struct pci_device *device);
    void (*remove)(struct pci_device *device);
};

/*
 * Adds buses, before pci_scan(); the host struct stays the caller's and lives
 * as long as its devices. -EINVAL: no bus in it; -EEXIST: the segment already
 * has one of these buses.
 */
int pci_add_host(struct pci_host *host);

/*
 * Configuration space in memory, as the MCFG describes it: base is where bus 0
 * would be. Errors of pci_add_host(), -ENOMEM, -EINVAL: beyond the address
 * space or not aligned to 1 MiB.
 */
int pci_add_ecam(uint16_t segment, phys_addr_t base, uint8_t bus_first, uint8_t bus_last);

/* Ports 0xcf8 and 0xcfc. -ENODEV: nobody answers there. */
int pci_add_ports(void);

/*
 * Buses that host bridges beside the first one lead to, up to max, in any order; how many. Called
 * where the first root bus shows that there are some. NULL: none are known.
 */
extern unsigned (*pci_find_roots)(uint8_t *buses, unsigned max);

/*
 * Finds the functions of all hosts, those behind bridges too, and lets drivers
 * probe them. Returns how many there are, or -ENOMEM.
 */
int pci_scan(void);

/*
 * Finds the functions that have come behind a bridge, those behind its bridges
 * too, and lets drivers probe them. Nothing is listed behind it yet. Returns how
 * many there are now in all, or a negative errno.
 */
int pci_scan_behind(struct pci_device *bridge);

/*
 * Forgets what is behind a bridge, after each driver's remove, which may sleep.
 * gone: it has left already, or is not answered for.
 */
void pci_forget_behind(struct pci_device *bridge, bool gone);

/* Gives back devices and hosts, after each driver's remove. For tests. */
void pci_forget(void);

/* The driver lets go: its remove is called, MSI-X and bus mastering are turned off. */
void pci_release(struct pci_device *device);

/* All devices: the first with NULL; NULL after the last. */
struct pci_device *pci_next(const struct pci_device *device);

/* The same of bridges alone, and of hosts. */
struct pci_device *pci_next_bridge(const struct pci_device *bridge);
const struct pci_host *pci_next_host(const struct pci_host *host);

/* The bridge to the bus that the device is on; NULL: it is a root bus. */
struct pci_device *pci_bridge_above(const struct pci_device *device);

/* Configuration accesses since the start, for the boot's budget. */
extern uint64_t pci_config_accesses;

/* Set for good before the first interrupt handler reads or writes configuration space. */
extern bool pci_handlers_access;

uint8_t pci_read8(struct pci_device *device, unsigned offset);
uint16_t pci_read16(struct pci_device *device, unsigned offset);
uint32_t pci_read32(struct pci_device *device, unsigned offset);
void pci_write8(struct pci_device *device, unsigned offset, uint8_t value);
void pci_write16(struct pci_device *device, unsigned offset, uint16_t value);
void pci_write32(struct pci_device *device, unsigned offset, uint32_t value);

/* Sets and clears bits of the command register, which is written only if that changes it. */
void pci_command(struct pci_device *device, uint16_t set, uint16_t clear);

/*
 * The next capability of this id behind the one at `after` (0: the first one);
 * its offset, 0: there is none. The chain is followed once; one that loops or
 * leaves its bounds ends there, which is reported.
 */
unsigned pci_capability(struct pci_device *device, uint8_t id, unsigned after);

/*
 * A base address register; all of them are sized the first time that one is asked for
 * (decoding is off meanwhile). 0; -ENOENT: not implemented, or the upper half of another;
 * -EINVAL: no such register; -EIO: it answers nonsense. An unassigned one is no
 * error here: bar->address is 0.
 */
int pci_bar(struct pci_device *device, unsigned index, struct pci_bar *bar);

/*
 * Where BARs that no firmware has placed may go. Called once for each room, when the first such
 * BAR is wanted. NULL: nowhere.
 */
extern bool (*pci_find_window)(enum pci_room room, phys_addr_t *start, uint64_t *bytes);

/* Gives a BAR that pci_bar() has sized another address. -ENOSPC: there is none for it. */
int pci_place_bar(struct pci_device *device, unsigned index);

/*
 * Windows for a bridge that no firmware has seen, while what is behind it is found:
 * open, then each device on the far bus, bridges there with their own windows, then close.
 * What was placed in between is what the bridge passes on.
 */
struct pci_window {
    phys_addr_t start[PCI_ROOMS]; /* where it begins */
    bool high_was_closed;         /* by a bridge above that does not pass on such addresses */
};

void pci_open_window(struct pci_device *bridge, struct pci_window *window);
void pci_place_device(struct pci_device *device);
void pci_close_window(struct pci_device *bridge, const struct pci_window *window);

/* What a bridge passes on, PCI_ROOMS of them; read once. */
const struct pci_range *pci_windows(struct pci_device *bridge);

/*
 * Makes sure that the BARs which a device is about to decode, ports or memory, are in nobody's
 * way and can be reached; one that is not gets another address, which is told. -ENXIO: there is
 * none, and the device is not to decode such BARs; -ENOMEM.
 */
int pci_claim_bars(struct pci_device *device, bool is_port);

/* Whether a BAR would be in nobody's way at an address. */
bool pci_bar_fits(struct pci_device *device, unsigned index, phys_addr_t address);

/* Gives a BAR that cannot stay, as `why` says, another address, or tells that there is none: false.
 */
bool pci_move_bar(struct pci_device *device, unsigned index, const char *why);

void pci_unclaim_bars(struct pci_device *device);

/* Parts of pci_forget(). */
void pci_forget_window(void);
void pci_forget_claims(void);

/*
 * Makes [offset, offset + bytes) of a memory BAR reachable, after giving
 * the BAR an address where it has none, and turns memory decoding on. Errors of pci_bar(); -ENXIO:
 * the BAR has no address, or one that cannot be mapped; -ERANGE: beyond its end, or bytes is 0;
 * -EINVAL: a port BAR.
 */
int pci_map(struct pci_device *device, unsigned index, uint64_t offset, uint64_t bytes,
            volatile void **at);

/*
 * The first port of a port BAR, which is given one where it has none; decoding of ports is
 * on then. Errors of pci_bar(); -EINVAL: a memory BAR; -ENXIO: there are no ports for it.
 */
int pci_ports(struct pci_device *device, unsigned index, uint16_t *first);

/*
 * Where the interrupt pin of a function leads. -ENODEV: it has none, or nobody knows.
 * A few accesses for each bridge in between.
 */
int pci_line(struct pci_device *device, struct irq_line *line);

/*
 * What firmware tells of lines, or NULL: the lines that the DSDT's interrupt
 * links are connected to, up to max, in their order, and how many there are; and the line of an
 * ISA interrupt that a PCI device was given.
 */
extern unsigned (*pci_find_links)(struct irq_line *links, unsigned max);
extern struct irq_line (*pci_isa_line)(unsigned irq);

/*
 * MSI-X. Start finds and checks table and pending bits, masks every vector and
 * turns MSI-X on: the number of vectors (1 to 2048), or -ENODEV: the device has
 * none; -EIO: its capability is nonsense; errors of pci_map(). pci_msix_set()
 * gives vector `entry` its message and unmasks it.
 */
int pci_msix_start(struct pci_device *device);
void pci_msix_set(struct pci_device *device, unsigned entry, struct irq_message message);
void pci_msix_mask(struct pci_device *device, unsigned entry);
void pci_msix_stop(struct pci_device *device);

/*
 * MSI, with the one message. -ENODEV: the device has none, -EIO: its capability is
 * nonsense.
 */
int pci_msi_start(struct pci_device *device, struct irq_message message);
void pci_msi_stop(struct pci_device *device);

/* "0000:00:1f.2" */
#define PCI_ADDRESS_TEXT 16
const char *pci_address_text(struct pci_address at, char text[PCI_ADDRESS_TEXT]);

#endif
