/* SPDX-License-Identifier: MIT */
/* What the boot report and the status page tell about PCI, as `lspci -v` does. */
#include "kernel/report.h"
#include "drivers/pci/pci.h"
#include "lib/base/errno.h"

/* Class and subclass; a subclass of ANY stands for all that have no line of their own. */
#define ANY 0xff

static const struct {
    uint8_t class, subclass;
    const char *text;
} classes[] = {
    { 0x00, ANY, "Unclassified device" },
    { 0x01, 0x00, "SCSI storage controller" },
    { 0x01, 0x01, "IDE interface" },
    { 0x01, 0x06, "SATA controller" },
    { 0x01, 0x08, "NVMe controller" },
    { 0x01, ANY, "Storage controller" },
    { 0x02, 0x00, "Ethernet controller" },
    { 0x02, ANY, "Network controller" },
    { 0x03, 0x00, "VGA compatible controller" },
    { 0x03, ANY, "Display controller" },
    { 0x04, ANY, "Multimedia controller" },
    { 0x05, ANY, "Memory controller" },
    { 0x06, 0x00, "Host bridge" },
    { 0x06, 0x01, "ISA bridge" },
    { 0x06, 0x04, "PCI bridge" },
    { 0x06, ANY, "Bridge" },
    { 0x07, ANY, "Communication controller" },
    { 0x08, ANY, "System peripheral" },
    { 0x09, ANY, "Input device" },
    { 0x0c, 0x03, "USB controller" },
    { 0x0c, 0x05, "SMBus" },
    { 0x0c, ANY, "Serial bus controller" },
    { 0x0d, ANY, "Wireless controller" },
    { 0x10, ANY, "Encryption controller" },
    { 0x12, ANY, "Processing accelerator" },
};

static const struct {
    uint8_t id;
    const char *text;
} capabilities[] = {
    { PCI_CAP_PM, "power-management" },
    { PCI_CAP_AGP, "agp" },
    { PCI_CAP_MSI, "msi" },
    { PCI_CAP_VENDOR, "vendor-specific" },
    { PCI_CAP_HOTPLUG, "hot-plug" },
    { PCI_CAP_SUBSYSTEM, "subsystem" },
    { PCI_CAP_EXPRESS, "express" },
    { PCI_CAP_MSIX, "msi-x" },
    { PCI_CAP_SATA, "sata" },
    { PCI_CAP_AF, "advanced-features" },
};

static const char *class_text(uint32_t class)
{
    for (unsigned i = 0; i < ARRAY_SIZE(classes); i++)
        if (classes[i].class == (class >> 16 & 0xff) &&
            (classes[i].subclass == (class >> 8 & 0xff) || classes[i].subclass == ANY))
            return classes[i].text;
    return "Unknown class";
}

static void tell_bar(struct report *report, struct pci_device *device, unsigned index)
{
    static const char *const kinds[] = { "none", "ports", "memory, 32 bits", "memory, 64 bits" };
    struct pci_bar bar;
    int error = pci_bar(device, index, &bar);

    if (error == -ENOENT || error == -EINVAL)
        return;
    report_open_item(report, "%u", index);
    if (error) {
        report_text(report, "kind", "broken");
    } else {
        report_text(report, "kind", "%s%s", kinds[bar.kind],
                    bar.prefetchable ? ", prefetchable" : "");
        if (bar.address)
            report_text(report, "address", "%#lx", bar.address);
        else
            report_text(report, "address", "unassigned");
        report_number(report, "size_bytes", bar.bytes);
    }
    report_close(report);
}

static void tell_bars(struct report *report, struct pci_device *device)
{
    report_open_list(report, "bar");
    for (unsigned i = 0; i < PCI_BARS; i++)
        tell_bar(report, device, i);
    report_close(report);
}

static void tell_capabilities(struct report *report, struct pci_device *device)
{
    report_open_words(report, "capabilities");
    pci_capability(device, PCI_CAP_VENDOR, 0);
    for (unsigned i = 0; i < device->n_capabilities; i++) {
        const char *name = NULL;
        char number[8];

        for (unsigned j = 0; j < ARRAY_SIZE(capabilities); j++)
            if (capabilities[j].id == device->capability[i].id)
                name = capabilities[j].text;
        if (!name)
            format(number, sizeof(number), "%#x", device->capability[i].id);
        report_word(report, name ? name : number);
    }
    report_close_words(report);
}

static void tell_device(struct report *report, struct pci_device *device)
{
    uint32_t class = pci_read32(device, PCI_REVISION);
    char address[PCI_ADDRESS_TEXT];

    report_open_item(report, "%s", pci_address_text(device->at, address));
    report_text(report, "class", "%s", class_text(class >> 8));
    report_text(report, "class_id", "%06x", class >> 8);
    report_text(report, "id", "%04x:%04x", device->vendor, device->device);
    report_text(report, "revision", "%02x", class & 0xff);
    report_text(report, "driver", "%s", device->driver ? device->driver->name : "none");
    tell_capabilities(report, device);
    tell_bars(report, device);
    report_close(report);
}

static void tell(struct report *report)
{
    report_number(report, "config_accesses", pci_config_accesses);
    report_open_list(report, "function");
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        tell_device(report, device);
    report_close(report);
}

REPORTER(pci_reporter) = { "pci", 40, tell };
