/* SPDX-License-Identifier: MIT */
#include "drivers/virtio/pci_registers.h"

#include "drivers/virtio/spec/pci.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "lib/base/errno.h"

#define FIELD(field) offsetof(struct virtio_pci_cfg_cap, field)

void pci_access_window_found(struct pci_access_window *window, unsigned capability, unsigned bytes)
{
    if (!window->capability && bytes >= sizeof(struct virtio_pci_cfg_cap) &&
        capability + sizeof(struct virtio_pci_cfg_cap) <= PCI_SPACE)
        window->capability = (uint8_t)capability;
}

/* That a BAR cannot be mapped is told by the first who wants it. */
static int map(struct pci_access_window *window, uint8_t bar, uint32_t offset, uint32_t bytes,
               volatile void **at)
{
    char text[PCI_ADDRESS_TEXT];
    int error;

    if (window->unmapped & 1u << bar)
        return -ENXIO;
    error = pci_map(window->pci, bar, offset, bytes, at);
    if (error != -ENXIO)
        return error;
    window->unmapped |= (uint8_t)(1u << bar);
    pci_handlers_access = true;
    if (window->capability)
        log_info("pci %s: BAR %u is used through configuration space",
                 pci_address_text(window->pci->at, text), bar);
    return error;
}

int pci_registers_reach(struct pci_registers *registers, struct pci_access_window *window,
                        uint8_t bar, uint32_t offset, uint32_t bytes)
{
    volatile void *mapped = NULL;
    int error = map(window, bar, offset, bytes, &mapped);

    if (error && (error != -ENXIO || !window->capability))
        return error;
    *registers = (struct pci_registers){
        .mapped = mapped, .window = error ? window : NULL, .offset = offset, .bar = bar
    };
    return 0;
}

/* ---- through the window: bar, offset and length say what its bytes of data stand for */

static void aim(struct pci_access_window *window, const struct pci_registers *registers,
                uint32_t offset, unsigned bytes)
{
    pci_write8(window->pci, window->capability + FIELD(cap.bar), registers->bar);
    pci_write32(window->pci, window->capability + FIELD(cap.offset), registers->offset + offset);
    pci_write32(window->pci, window->capability + FIELD(cap.length), bytes);
}

uint32_t pci_access_window_read(const struct pci_registers *registers, uint32_t offset,
                                unsigned bytes)
{
    struct pci_access_window *window = registers->window;
    unsigned at = window->capability + FIELD(pci_cfg_data);
    bool were_on = irq_lock(&window->lock);
    uint32_t value;

    aim(window, registers, offset, bytes);
    value = bytes == 1   ? pci_read8(window->pci, at)
            : bytes == 2 ? pci_read16(window->pci, at)
                         : pci_read32(window->pci, at);
    irq_unlock(&window->lock, were_on);
    return value;
}

void pci_access_window_write(const struct pci_registers *registers, uint32_t offset, unsigned bytes,
                             uint32_t value)
{
    struct pci_access_window *window = registers->window;
    unsigned at = window->capability + FIELD(pci_cfg_data);
    bool were_on = irq_lock(&window->lock);

    aim(window, registers, offset, bytes);
    if (bytes == 1)
        pci_write8(window->pci, at, (uint8_t)value);
    else if (bytes == 2)
        pci_write16(window->pci, at, (uint16_t)value);
    else
        pci_write32(window->pci, at, value);
    irq_unlock(&window->lock, were_on);
}
