/* SPDX-License-Identifier: MIT */
/*
 * One PCI function whose configuration space and registers are the input's:
 * capability list, BARs, MSI-X, virtio capabilities, and a common configuration
 * that answers as it likes. It is scanned, probed by the virtio transport and a
 * driver with three queues, reset, brought up again and let go.
 *
 * Each load and store of a register is seen (tests/host/registers.h): it must
 * lie in what was mapped, and what is mapped must lie in a BAR of the function.
 * A function of the old kind may have the legacy register set in the ports of
 * BAR 0: each access must lie there too.
 */
#include "drivers/pci/pci.h"

#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "drivers/virtio/spec/pci.h"
#include "kernel/irq.h"
#include "kernel/mmio.h"
#include "lib/base/errno.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/memory.h"
#include "tests/host/event.h"
#include "tests/host/fake_pci.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"
#include "tests/host/ports.h"
#include "tests/host/registers.h"

#include <sys/mman.h>

#define WINDOW         UINT64_C(0x80000000) /* where the host has registers */
#define ELSEWHERE      0xe0000000u          /* where it has none */
#define RAM_END        UINT64_C(0x8000000)
#define GUARD_BYTES    (1 << 20)
#define QUEUES         3
#define MAPPINGS_MAX   16
#define DOORBELL_BYTES 2 /* 4 with NOTIFICATION_DATA */
#define COMMON_BYTES   offsetof(struct virtio_pci_common_cfg, queue_notif_config_data)
#define COMMON_MAX     offsetof(struct virtio_pci_common_cfg, admin_queue_index)
#define LEGACY_MASK \
    ((UINT64_C(1) << 44) - 1) /* addresses of which a legacy device knows the page */

/* More accesses than a device that never ends its resets can cause: somebody loops. */
#define ACCESSES_MAX 30000

enum {
    FEATURES_REFUSED = 1,
    NOISE = 2, /* registers answer with the rest of the input, as long as there is any */
    NEEDS_RESET = 4,
    QUEUES_IN_USE = 8,
    ODD_BARS = 16, /* of sizes that are no power of two */
    PLACES = 32,   /* there is a window for BARs that nobody has placed */
    POLLED = 64,
    UNSETTLED = 128, /* another generation at every look */
};

/* How an input begins; tests/fuzz/make-seeds knows it too. */
struct script {
    uint8_t id, header, flags, first_capability;
    uint8_t bar[PCI_BARS];        /* kind: 2 bits; place: 3 bits; its size is apart */
    uint8_t bar_log[PCI_BARS];    /* 4 bits of size, as a power of two above 16; 4 bits for flags */
    uint8_t vectors, reset_polls; /* polls: 255: for ever */
    uint16_t queue_size[QUEUES], notify_off[QUEUES];
    uint32_t features[VIRTIO_FEATURE_WORDS];
    uint8_t capabilities[PCI_SPACE - PCI_CAP_MIN];
} __attribute__((packed));

static struct script script;
static struct input noise;
static struct fake_pci *fake;
static struct fake_function *function;
static uint8_t *page;
static unsigned accesses;

/* ---- what was mapped */

static struct {
    size_t offset, bytes;
} mappings[MAPPINGS_MAX];
static unsigned n_mappings;
static size_t common_at; /* of the page; SIZE_MAX: not mapped yet */
static uint64_t common_bytes;

static uint64_t bar_address(unsigned i)
{
    uint64_t base = 0;

    memcpy(&base, function->space + PCI_BAR0 + 4 * i,
           function->bar_kind[i] == PCI_BAR_MEMORY64 ? 8 : 4);
    return base & ~UINT64_C(15);
}

static bool is_in_a_bar(phys_addr_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint64_t base = bar_address(i), size = function->bar_bytes[i];

        if (function->bar_kind[i] == PCI_BAR_NONE || function->bar_kind[i] == PCI_BAR_IO)
            continue;
        if (start >= base && bytes <= size && start - base <= size - bytes)
            return true;
    }
    return false;
}

static bool is_in_a_notify_structure(phys_addr_t start, uint64_t bytes)
{
    for (unsigned at = PCI_CAP_MIN; at + sizeof(struct virtio_pci_notify_cap) <= PCI_SPACE; at++) {
        struct virtio_pci_cap cap;
        uint64_t offset;

        memcpy(&cap, function->space + at, sizeof(cap));
        if (cap.cfg_type != VIRTIO_PCI_CAP_NOTIFY_CFG || cap.bar >= PCI_BARS)
            continue;
        offset = start - bar_address(cap.bar) - cap.offset;
        if (offset <= cap.length && bytes <= cap.length - offset)
            return true;
    }
    return false;
}

/* As was negotiated; what else is mapped so small is mapped before that. */
static unsigned doorbell_bytes(void)
{
    const struct virtio_device *dev = virtio_next(NULL);

    return dev && virtio_has(dev, VIRTIO_F_NOTIFICATION_DATA) ? 2 * DOORBELL_BYTES : DOORBELL_BYTES;
}

bool mmio_meets_ram(phys_addr_t start, uint64_t bytes)
{
    return start < RAM_END && bytes;
}

volatile void *mmio_map(phys_addr_t start, uint64_t bytes)
{
    size_t offset = start - WINDOW;

    expect(is_in_a_bar(start, bytes), "what is mapped lies in a BAR of the device");
    expect(bytes != doorbell_bytes() || is_in_a_notify_structure(start, bytes),
           "a doorbell lies in a notify structure");
    if (start < WINDOW || bytes > HOST_REGISTERS_BYTES || offset > HOST_REGISTERS_BYTES - bytes)
        return NULL;
    expect(n_mappings < MAPPINGS_MAX, "a device's registers are mapped in a few pieces");
    mappings[n_mappings].offset = offset;
    mappings[n_mappings++].bytes = bytes;
    if (bytes >= COMMON_BYTES && bytes <= COMMON_MAX && common_at == SIZE_MAX) {
        common_at = offset;
        common_bytes = bytes;
    }
    return page + offset;
}

static void check_access(size_t offset, unsigned bytes)
{
    expect(++accesses < ACCESSES_MAX, "bringing up a device comes to an end");
    expect(offset % bytes == 0, "registers are accessed where they are aligned");
    for (unsigned i = 0; i < n_mappings; i++)
        if (offset >= mappings[i].offset &&
            offset + bytes <= mappings[i].offset + mappings[i].bytes)
            return;
    expect(false, "only registers that were mapped are touched");
}

/* ---- the device behind the registers */

static struct {
    uint8_t status, generation;
    unsigned polls_left;
    bool resetting;
    uint32_t device_select;
    uint16_t select, config_vector;
    struct {
        uint16_t size, vector, enable;
        uint32_t pfn; /* legacy */
    } queues[QUEUES];
} device;

static void put(size_t field, uint64_t value, unsigned bytes)
{
    memcpy(page + common_at + field, &value, bytes);
}

static uint32_t get(size_t field, unsigned bytes)
{
    uint32_t value = 0;

    memcpy(&value, page + common_at + field, bytes);
    return value;
}

static void end_reset(void)
{
    memset(&device, 0, sizeof(device));
    device.config_vector = VIRTIO_MSI_NO_VECTOR;
    for (unsigned i = 0; i < QUEUES; i++) {
        device.queues[i].size = script.queue_size[i];
        device.queues[i].vector = VIRTIO_MSI_NO_VECTOR;
        device.queues[i].enable = script.flags & QUEUES_IN_USE ? 1 : 0;
        device.queues[i].pfn = device.queues[i].enable;
    }
}

static uint8_t status(void)
{
    if (device.resetting && script.reset_polls != 255 && device.polls_left-- == 0)
        end_reset();
    if (device.resetting)
        return device.status | VIRTIO_CONFIG_S_ACKNOWLEDGE;
    if (script.flags & NEEDS_RESET && device.status & VIRTIO_CONFIG_S_DRIVER_OK)
        return device.status | VIRTIO_CONFIG_S_NEEDS_RESET;
    return device.status;
}

#define FIELD(name) offsetof(struct virtio_pci_common_cfg, name)

static void answer(size_t field)
{
    unsigned i = device.select;

    if (field == FIELD(device_status))
        put(field, status(), 1);
    if (script.flags & UNSETTLED)
        device.generation++;
    put(FIELD(config_generation), device.generation, 1);
    put(FIELD(device_feature),
        device.device_select < VIRTIO_FEATURE_WORDS ? script.features[device.device_select] : 0, 4);
    put(FIELD(config_msix_vector), device.config_vector, 2);
    put(FIELD(num_queues), QUEUES, 2);
    put(FIELD(queue_size), i < QUEUES ? device.queues[i].size : 0, 2);
    put(FIELD(queue_msix_vector), i < QUEUES ? device.queues[i].vector : 0, 2);
    put(FIELD(queue_enable), i < QUEUES ? device.queues[i].enable : 0, 2);
    put(FIELD(queue_notify_off), i < QUEUES ? script.notify_off[i] : 0, 2);
}

static bool is_common(size_t offset)
{
    return common_at != SIZE_MAX && offset >= common_at && offset - common_at < common_bytes;
}

static void fill(size_t offset, unsigned bytes)
{
    check_access(offset, bytes);
    if (script.flags & NOISE && noise.left)
        take(&noise, page + offset, bytes);
    else if (is_common(offset))
        answer(offset - common_at);
}

static uint16_t vector_taken(uint16_t vector)
{
    return vector < script.vectors ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void set_status(uint8_t value)
{
    if (value == 0) {
        device.resetting = true;
        device.polls_left = script.reset_polls;
        return;
    }
    device.status = value;
    if (script.flags & FEATURES_REFUSED)
        device.status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
}

static void act(size_t offset, unsigned bytes)
{
    size_t field = offset - common_at;
    unsigned i = device.select;

    check_access(offset, bytes);
    if (!is_common(offset))
        return;
    if (field == FIELD(device_status))
        set_status((uint8_t)get(field, 1));
    else if (field == FIELD(device_feature_select))
        device.device_select = get(field, 4);
    else if (field == FIELD(config_msix_vector))
        device.config_vector = vector_taken((uint16_t)get(field, 2));
    else if (field == FIELD(queue_select))
        device.select = (uint16_t)get(field, 2);
    else if (field == FIELD(queue_msix_vector) && i < QUEUES)
        device.queues[i].vector = vector_taken((uint16_t)get(field, 2));
    else if (field == FIELD(queue_size) && i < QUEUES)
        device.queues[i].size = (uint16_t)get(field, 2);
    else if (field == FIELD(queue_enable) && i < QUEUES)
        device.queues[i].enable = (uint16_t)get(field, 2);
}

/* ---- the same device behind ports */

static size_t check_port(uint16_t port, unsigned bytes)
{
    const struct virtio_device *dev = virtio_next(NULL);
    uint64_t start = bar_address(0);

    expect(++accesses < ACCESSES_MAX, "bringing up a device comes to an end");
    expect(dev && dev->legacy, "only a legacy device has ports");
    expect(function->bar_kind[0] == PCI_BAR_IO && port >= start &&
               port + bytes <= start + function->bar_bytes[0],
           "only the ports of BAR 0 are touched");
    expect(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_IO, "the function decodes its ports");
    expect((port - start) % bytes == 0, "registers are accessed where they are aligned");
    return port - start;
}

static uint32_t read_port(uint16_t port, unsigned bytes)
{
    size_t offset = check_port(port, bytes);
    unsigned i = device.select;
    uint32_t value = 0;

    if (script.flags & NOISE && noise.left) {
        take(&noise, &value, bytes);
        return value;
    }
    switch (offset) {
    case VIRTIO_PCI_HOST_FEATURES:
        return script.features[0];
    case VIRTIO_PCI_QUEUE_PFN:
        return i < QUEUES ? device.queues[i].pfn : 0;
    case VIRTIO_PCI_QUEUE_NUM:
        return i < QUEUES ? device.queues[i].size : 0;
    case VIRTIO_PCI_STATUS:
        return status();
    case VIRTIO_PCI_MSI_QUEUE_VECTOR:
        return i < QUEUES ? device.queues[i].vector : VIRTIO_MSI_NO_VECTOR;
    case VIRTIO_PCI_MSI_CONFIG_VECTOR:
        return device.config_vector;
    default:
        return script.flags & UNSETTLED ? ++device.generation : 0;
    }
}

static void write_port(uint16_t port, unsigned bytes, uint32_t value)
{
    size_t offset = check_port(port, bytes);
    unsigned i = device.select;

    if (offset == VIRTIO_PCI_GUEST_FEATURES)
        expect(!(value & 1u << 30), "the trap among the features is never accepted");
    else if (offset == VIRTIO_PCI_STATUS)
        set_status((uint8_t)value);
    else if (offset == VIRTIO_PCI_QUEUE_SEL)
        device.select = (uint16_t)value;
    else if (offset == VIRTIO_PCI_QUEUE_PFN && i < QUEUES)
        device.queues[i].pfn = value;
    else if (offset == VIRTIO_PCI_MSI_QUEUE_VECTOR && i < QUEUES)
        device.queues[i].vector = vector_taken((uint16_t)value);
    else if (offset == VIRTIO_PCI_MSI_CONFIG_VECTOR)
        device.config_vector = vector_taken((uint16_t)value);
}

/* ---- a driver with three queues */

static struct virtio_queue queues[QUEUES];
static struct event events[QUEUES], config_event;

static void read_config(struct virtio_device *dev)
{
    static const uint8_t widths[] = { 1, 2, 4, 8, 6, 0 };
    uint8_t field[8];

    for (unsigned i = 0; i < sizeof(widths); i++) {
        uint32_t offset = i ? take16(&noise) & ~7u : 0;
        int error = virtio_config_read(dev, offset, field, widths[i]);

        expect(error == 0 || error == -ERANGE || error == -EIO, "a field is read, or why not");
        expect(error == -ERANGE || offset + widths[i] <= dev->config_bytes,
               "no field is read beyond the configuration");
    }
    virtio_config_read(dev, dev->config_bytes - 1, field, 1); /* its last byte; -1: it has none */
    virtio_config_write(dev, 0, 0, 1);
    virtio_config_write(dev, dev->config_bytes - 2, 0, 4);
}

static int probe(struct virtio_device *dev)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        int error = virtio_queue_setup(dev, &queues[i], (uint16_t)i, 16, 4, &events[i]);

        if (error)
            return error;
    }
    virtio_config_watch(dev, &config_event);
    read_config(dev);
    return virtio_start(dev);
}

static const struct virtio_driver net_driver LINKER_SET(virtio_drivers) = { .name = "test-net",
                                                                            .type = VIRTIO_ID_NET,
                                                                            .probe = probe };
static const struct virtio_driver blk_driver LINKER_SET(virtio_drivers) = { .name = "test-blk",
                                                                            .type = VIRTIO_ID_BLOCK,
                                                                            .probe = probe };

static void work(struct virtio_device *dev)
{
    uint8_t memory[16] = { 0 };
    struct virtq_elem elem = { (uintptr_t)memory, sizeof(memory) };
    struct virtq_buffer buffer = { &elem, 0, 1, memory };
    void *cookie;

    for (unsigned i = 0; i < QUEUES; i++) {
        virtq_add(&queues[i].ring, &buffer, 1);
        virtq_publish(&queues[i].ring);
        virtq_notify(&queues[i].ring);
    }
    virtio_config_changed(dev);
    if (virtio_reset(dev)) {
        virtio_fail(dev, "it does not answer a reset");
        return;
    }
    for (unsigned i = 0; i < QUEUES; i++)
        expect(virtq_drain(&queues[i].ring, &cookie, 1) == 1, "what was lent comes back");
    if (virtio_reinit(dev) == 0)
        virtio_start(dev);
}

/* ---- through the window in configuration space (§4.1.4.9) */

#define CFG(field) offsetof(struct virtio_pci_cfg_cap, field)

static uint8_t distant[HOST_REGISTERS_BYTES]; /* what is there, whichever BAR it is in */
static uint32_t (*read_space)(const struct pci_host *, struct pci_address, unsigned, unsigned);
static void (*write_space)(const struct pci_host *, struct pci_address, unsigned, unsigned,
                           uint32_t);

/* Where an access by the window is to come next; other registers may overlap it, as the input
 * likes.
 */
static unsigned aimed;

static bool is_window_of(unsigned offset, size_t field)
{
    unsigned at = offset - (unsigned)field;

    return at >= PCI_CAP_MIN && at + sizeof(struct virtio_pci_cfg_cap) <= PCI_SPACE &&
           function->space[at] == PCI_CAP_VENDOR &&
           function->space[at + 3] == VIRTIO_PCI_CAP_PCI_CFG;
}

/* By a capability as it was before anything was written there. */
static bool is_described(uint8_t bar, uint32_t offset, uint32_t bytes)
{
    for (unsigned i = 0; i + sizeof(struct virtio_pci_cap) <= sizeof(script.capabilities); i++) {
        struct virtio_pci_cap cap;

        memcpy(&cap, script.capabilities + i, sizeof(cap));
        if (cap.bar == bar && cap.cfg_type != VIRTIO_PCI_CAP_PCI_CFG && offset >= cap.offset &&
            bytes <= cap.length && offset - cap.offset <= cap.length - bytes)
            return true;
    }
    return false;
}

static uint8_t *aimed_at(unsigned offset, unsigned bytes)
{
    struct virtio_pci_cap cap;

    expect(++accesses < ACCESSES_MAX, "a device that answers slowly is given up");
    memcpy(&cap, function->space + offset - CFG(pci_cfg_data), sizeof(cap));
    expect(cap.length == bytes && cap.offset % bytes == 0, "an access by the window is aligned");
    expect(is_described(cap.bar, cap.offset, bytes), "a capability describes what is reached");
    return distant + (cap.offset & (HOST_REGISTERS_BYTES - 4)) + cap.offset % 4;
}

static uint32_t read_by_window(const struct pci_host *host, struct pci_address at, unsigned offset,
                               unsigned bytes)
{
    uint32_t value = 0;

    if (!aimed || offset != aimed)
        return read_space(host, at, offset, bytes);
    memcpy(&value, aimed_at(offset, bytes), bytes);
    if (script.flags & NOISE)
        take(&noise, &value, bytes);
    aimed = 0;
    return value;
}

static void write_by_window(const struct pci_host *host, struct pci_address at, unsigned offset,
                            unsigned bytes, uint32_t value)
{
    if (aimed && offset == aimed) {
        memcpy(aimed_at(offset, bytes), &value, bytes);
        aimed = 0;
    } else if ((bytes == 1 && is_window_of(offset, CFG(cap.bar))) ||
               (bytes == 4 &&
                (is_window_of(offset, CFG(cap.offset)) || is_window_of(offset, CFG(cap.length))))) {
        memcpy(function->space + offset, &value, bytes);
        if (is_window_of(offset, CFG(cap.length)))
            aimed = offset + sizeof(le32);
    } else {
        write_space(host, at, offset, bytes, value);
    }
}

/* ---- the function */

static void make_bar(unsigned i)
{
    static const uint16_t places[] = { 0, 0, 0x1000, 0x2000, 0x3000 };
    enum pci_bar_kind kind = script.bar[i] & 3;
    uint64_t bytes = UINT64_C(16) << (script.bar_log[i] & 15), address = ELSEWHERE;
    unsigned place = script.bar[i] >> 2 & 7;

    if (kind == PCI_BAR_NONE || (i && function->bar_kind[i - 1] == PCI_BAR_MEMORY64))
        return;
    if (place == 0)
        address = 0;
    else if (place < ARRAY_SIZE(places))
        address = ALIGN_DOWN(WINDOW + places[place], bytes);
    if (kind == PCI_BAR_IO)
        address &= 0xffff;
    if (script.flags & ODD_BARS)
        bytes += bytes / 2;
    fake_pci_bar(function, i, kind, bytes, address);
    function->space[PCI_BAR0 + 4 * i] |= script.bar_log[i] >> 4;
}

static void make_function(void)
{
    static const uint16_t ids[] = { VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_NET, VIRTIO_TRANS_ID_NET,
                                    VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_BALLOON,
                                    VIRTIO_TRANS_ID_BLOCK };

    fake = fake_pci_host(0, 3);
    function = fake_pci_function(fake, 0, 4, 0, VIRTIO_PCI_VENDOR_ID, ids[script.id & 3]);
    for (unsigned i = 0; i < PCI_BARS; i++)
        make_bar(i);
    function->space[PCI_HEADER] = script.header;
    fake_put16(function, PCI_STATUS, PCI_STATUS_CAP_LIST);
    function->space[PCI_CAP_FIRST] = script.first_capability;
    memcpy(function->space + PCI_CAP_MIN, script.capabilities, sizeof(script.capabilities));
    function->firmware_has_not_seen = true; /* a bridge without numbers is given some */
    read_space = fake->host.read;
    write_space = fake->host.write;
    fake->host.read = read_by_window;
    fake->host.write = write_by_window;
    memset(distant, 0, sizeof(distant));
    aimed = 0;
}

static bool find_window(enum pci_room room, phys_addr_t *start, uint64_t *bytes)
{
    *start = WINDOW;
    *bytes = HOST_REGISTERS_BYTES;
    return room == PCI_ROOM_LOW && script.flags & PLACES;
}

/* ---- all of it */

/* The registers lie between pages that nobody may touch. */
static void map_page(void)
{
    if (!host_registers.page) {
        uint8_t *reserved = mmap(NULL, HOST_REGISTERS_BYTES + 2 * GUARD_BYTES, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        expect(reserved != MAP_FAILED, "there is memory");
        host_registers.page = reserved + GUARD_BYTES;
        host_registers.read = fill;
        host_registers.written = act;
        host_ports.read = read_port;
        host_ports.write = write_port;
        pci_find_window = find_window;
        fuzz_dma_mask = LEGACY_MASK;
    }
    page = host_registers_map();
}

static void begin(struct input *input)
{
    take(input, &script, sizeof(script));
    noise = *input;
    map_page();
    host_log_clear();
    accesses = n_mappings = 0;
    common_at = SIZE_MAX;
    end_reset();
    for (unsigned i = 0; i < QUEUES; i++)
        event_init(&events[i]);
    event_init(&config_event);
    irq_mode = script.flags & POLLED ? IRQ_MODE_POLL : IRQ_MODE_MSIX;
    make_function();
}

static void nothing_is_left(bool stuck)
{
    struct fuzz_memory left = fuzz_memory_left();

    expect(!virtio_next(NULL) && !pci_next(NULL), "no device is listed any more");
    expect(host_irqs_free == HOST_IRQS, "no interrupt vector is left");
    expect(!host_next_timer(UINT64_MAX), "no timer is left");
    for (unsigned i = 0; i < QUEUES; i++)
        expect(!host_event_is_polled(&events[i]), "no event is polled any more");
    expect(!host_event_is_polled(&config_event), "no event is polled any more");
    expect(!(fake_get16(function, PCI_COMMAND) & PCI_COMMAND_MASTER),
           "a device that was let go masters no bus");
    /* What a device that does not end its reset was lent is never used again. */
    expect(stuck || (left.objects == 0 && left.dma == 0), "all memory is given back");
    expect(left.objects <= QUEUES && left.dma <= QUEUES, "nothing but queues stays lent");
    fuzz_memory_drop();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, size };
    struct virtio_device *dev;

    begin(&input);
    expect(pci_add_host(&fake->host) == 0, "the host is added");
    host_registers_watch(true);
    host_ports_watch();
    expect(pci_scan() == 1, "one function is there");
    dev = virtio_next(NULL);
    if (dev && dev->started)
        work(dev);
    pci_forget();
    host_registers_watch(false);
    nothing_is_left(device.resetting);
    if (fake->violation) {
        fprintf(stderr, "fuzz: configuration space: %s\n", fake->violation);
        abort();
    }
    return 0;
}
