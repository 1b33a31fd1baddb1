/* SPDX-License-Identifier: MIT */
/*
 * The console device (§5.3). Each port is a channel of bytes (kernel/chardev.h)
 * with a few slots of one page each way: what nobody reads stays in them, and the
 * host waits. The first port that is a console, and whose host side is open,
 * becomes the kernel's console (kernel/log.h); the others are the application's.
 *
 * One kernel thread looks after all devices: it hears control messages, sorts what
 * has come, and wakes readers and writers, who fill and empty slots themselves.
 * Nothing in it waits for the host. What is to be told to the host is kept as a
 * state, not as a list, so that a host that never listens costs no memory.
 *
 * A device that has to be reset keeps its ports: what was read from it and what it
 * has not acknowledged is kept, and sent again to ports that come back. What the
 * reader of the kernel's console may not have seen is on the serial line, too.
 *
 * Concurrency: kernel threads. The out queue of the kernel's console is used in any
 * context, but only through kernel/log.c, one at a time.
 */
#include "drivers/virtio/spec/console.h"
#include "drivers/virtio/device.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/alloc.h"
#include "kernel/chardev.h"
#include "kernel/clock.h"
#include "kernel/dma.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/patience.h"
#include "kernel/rounds.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define QUEUE_CONTROL_IN  2 /* §5.3.2 */
#define QUEUE_CONTROL_OUT 3

#define PORTS_MAX  8 /* a device may have more; those are refused */
#define SLOTS      4 /* each way */
#define SLOT_BYTES 4096

/*
 * All ports may be announced at once, and a device with no buffer for a message
 * drops it. A name too long for a buffer runs out into memory that all share.
 */
#define CONTROL_BUFFERS  32
#define CONTROL_BYTES    256
#define OVERFLOW_BYTES   4096
#define CONTROL_BATCH    16
#define CONTROL_MESSAGES 16 /* to the device, at once */

#define NONSENSE_TOLD 4 /* messages that make no sense, told in the log */

/* After so many rounds without a pause the thread makes one. */

struct slot {
    struct list link;
    char *at;
    uint32_t bytes; /* in it */
    uint32_t done;  /* of them that were read */
};

struct port;

/* What a user has open; outlives its port. */
struct channel {
    struct chardev chardev;
    struct port *port; /* NULL: it is another's, or no more */
};

struct port {
    struct unit *unit;
    uint32_t id;
    struct virtio_queue in, out;
    struct channel *channel; /* NULL: the device has no such port now */
    struct channel *left;    /* of a port that was taken away, and is open still */
    char *memory;            /* of the slots; NULL: it never had one */
    struct slot in_slots[SLOTS], out_slots[SLOTS];
    struct list in_idle, filled; /* the rest of in_slots is lent */
    struct list out_idle, sent;  /* sent: lent, in order */
    bool announced;              /* since the last reset */
    bool owes_ready, owes_open;  /* messages that are still to be sent */
    bool wants_room;             /* a writer found none */
    bool shown_elsewhere;        /* what it has not acknowledged is on the serial line */
    struct console screen;       /* as the kernel's console */
    char screen_name[40];
};

/* A console device. */
struct unit {
    struct list link; /* in units, retired or lost */
    struct virtio_device *device;
    bool multiport, dead;
    bool owes_ready;
    struct patience patience; /* with resets */
    unsigned nonsense;        /* messages */
    uint32_t n_ports;
    struct port *ports;

    struct virtio_queue control_in, control_out;
    char *control; /* CONTROL_BUFFERS, written by the device, and what runs over */
    struct virtio_console_control *messages;
    struct slot buffers[CONTROL_BUFFERS], outgoing[CONTROL_MESSAGES];
    struct list buffers_idle, outgoing_idle;
};

/* Of the control memory: buffers, what runs over, messages. */
#define OVERFLOW_AT          (CONTROL_BUFFERS * CONTROL_BYTES)
#define MESSAGES_AT          (OVERFLOW_AT + OVERFLOW_BYTES)
#define CONTROL_MEMORY_PAGES 4
#define PORT_MEMORY_PAGES    (2 * SLOTS)

_Static_assert(MESSAGES_AT + CONTROL_MESSAGES * 8 <= CONTROL_MEMORY_PAGES * PAGE_SIZE, "it fits");
_Static_assert(SLOT_BYTES == PAGE_SIZE, "a slot is a page");

_Static_assert(sizeof(struct virtio_console_control) == 8, "of a message");

static const struct virtio_feature features[] = {
    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE),
    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT),
    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_EMERG_WRITE),
};

static struct list units = LIST_INIT(units);
static struct list retired = LIST_INIT(retired);
static struct list lost = LIST_INIT(lost); /* as what was lent to them: no reset ended */
static struct event console_event = EVENT_INIT(console_event);
static struct thread *thread;
static struct port *screen_port; /* which is the kernel's console */

/* ---- slots and buffers */

static void show(struct virtio_queue *queue)
{
    if (virtq_publish(&queue->ring))
        virtq_notify(&queue->ring);
}

static bool lend(struct virtio_queue *queue, struct slot *slot, bool writable, uint32_t bytes)
{
    const struct virtq_elem elem = { .addr = dma_address(slot->at), .len = bytes };
    const struct virtq_buffer buffer = {
        .elem = &elem, .n_readable = !writable, .n_writable = writable, .cookie = slot
    };

    return virtq_add(&queue->ring, &buffer, 1) == 1;
}

/* As many empty slots to the device as its queue holds. */
static void refill(struct port *port)
{
    if (!port->announced)
        return;
    while (!list_empty(&port->in_idle)) {
        struct slot *slot = CONTAINER_OF(port->in_idle.next, struct slot, link);

        if (!lend(&port->in, slot, true, SLOT_BYTES))
            break;
        list_remove(&slot->link);
    }
    show(&port->in);
}

static void let_go_of(struct slot *slot, struct list *idle)
{
    slot->bytes = slot->done = 0;
    list_append(idle, &slot->link);
}

/* What has been sent comes back. The device writes nothing into it, whatever it says of that. */
static void reap(struct port *port)
{
    struct virtq_done done[SLOTS];
    int n = virtq_get(&port->out.ring, done, SLOTS);

    for (int i = 0; i < n; i++) {
        struct slot *slot = done[i].cookie;

        list_remove(&slot->link);
        let_go_of(slot, &port->out_idle);
    }
}

/* The thread asks for an interrupt, or looks. */
static void want_room(struct port *port)
{
    if (port->wants_room)
        return;
    port->wants_room = true;
    event_signal(&console_event);
}

static size_t write_slots(struct port *port, const char *from, size_t bytes)
{
    size_t taken = 0;

    while (taken < bytes && !list_empty(&port->out_idle)) {
        struct slot *slot = CONTAINER_OF(port->out_idle.next, struct slot, link);

        slot->bytes = (uint32_t)MIN(bytes - taken, SLOT_BYTES);
        memcpy(slot->at, from + taken, slot->bytes);
        if (!lend(&port->out, slot, false, slot->bytes))
            break;
        list_remove(&slot->link);
        list_append(&port->sent, &slot->link);
        taken += slot->bytes;
    }
    show(&port->out);
    if (taken < bytes)
        want_room(port);
    return taken;
}

static size_t read_slots(struct port *port, char *to, size_t max)
{
    size_t taken = 0;

    while (taken < max && !list_empty(&port->filled)) {
        struct slot *slot = CONTAINER_OF(port->filled.next, struct slot, link);
        size_t n = MIN(max - taken, slot->bytes - slot->done);

        memcpy(to + taken, slot->at + slot->done, n);
        slot->done += (uint32_t)n;
        taken += n;
        if (slot->done == slot->bytes) {
            list_remove(&slot->link);
            let_go_of(slot, &port->in_idle);
        }
    }
    if (!list_empty(&port->in_idle))
        refill(port);
    return taken;
}

/* ---- the kernel's console */

static size_t screen_write(const char *bytes, size_t n)
{
    size_t taken;

    reap(screen_port);
    taken = write_slots(screen_port, bytes, n);
    if (taken == n)
        screen_port->wants_room = false;
    screen_port->channel->chardev.written_bytes += taken;
    return taken;
}

static size_t unacknowledged(struct port *port)
{
    struct list *link;
    size_t sum = 0;

    reap(port);
    LIST_FOR_EACH (link, &port->sent)
        sum += CONTAINER_OF(link, struct slot, link)->bytes;
    return sum;
}

static size_t screen_pending(void)
{
    return unacknowledged(screen_port);
}

static size_t screen_read(char *to, size_t max)
{
    size_t n = read_slots(screen_port, to, max);

    screen_port->channel->chardev.read_bytes += n;
    return n;
}

static bool screen_arm(void)
{
    return virtq_arm(&screen_port->out.ring, 1);
}

/* §5.3.5: at any time, whatever has become of the queues. */
static void screen_emergency(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        virtio_config_write(screen_port->unit->device,
                            offsetof(struct virtio_console_config, emerg_wr), (uint8_t)bytes[i],
                            sizeof(le32));
}

static bool can_be_screen(const struct port *port)
{
    const struct channel *channel = port->channel;

    return channel && port->announced && channel->chardev.is_console &&
           channel->chardev.connected && !port->unit->dead &&
           (port == screen_port || !channel->chardev.used);
}

static void become_screen(struct port *port)
{
    struct virtio_device *device = port->unit->device;

    format(port->screen_name, sizeof(port->screen_name), "virtio%u, port %u", device->number,
           port->id);
    port->screen.name = port->screen_name;
    port->screen.write = screen_write;
    port->screen.pending = screen_pending;
    port->screen.arm = screen_arm;
    port->screen.read = screen_read;
    port->screen.emergency =
        virtio_has(device, VIRTIO_CONSOLE_F_EMERG_WRITE) ? screen_emergency : NULL;
    port->channel->chardev.used = true;
    log_info("console: goes on at %s", port->screen_name);
    screen_port = port;
    console_move(&port->screen);
    event_signal(&console_input); /* it may have been typed at before */
}

static void cease_to_be_screen(struct port *port)
{
    console_leave(&port->screen);
    port->channel->chardev.used = false;
    screen_port = NULL;
    log_info("console: back from %s", port->screen_name);
}

static void choose_screen(void)
{
    struct list *link;

    if (screen_port)
        return;
    LIST_FOR_EACH (link, &units) {
        struct unit *unit = CONTAINER_OF(link, struct unit, link);

        for (uint32_t i = 0; i < unit->n_ports; i++)
            if (can_be_screen(&unit->ports[i])) {
                become_screen(&unit->ports[i]);
                return;
            }
    }
}

/* ---- channels */

static struct port *port_of(const struct chardev *dev)
{
    return CONTAINER_OF(dev, struct channel, chardev)->port;
}

static size_t read_channel(struct chardev *dev, void *to, size_t max)
{
    return port_of(dev) ? read_slots(port_of(dev), to, max) : 0;
}

static size_t write_channel(struct chardev *dev, const void *from, size_t bytes)
{
    return port_of(dev) ? write_slots(port_of(dev), from, bytes) : 0;
}

static bool has_input(const struct chardev *dev)
{
    return port_of(dev) && !list_empty(&port_of(dev)->filled);
}

static bool has_room(const struct chardev *dev)
{
    struct port *port = port_of(dev);

    if (!port)
        return false;
    if (list_empty(&port->out_idle))
        want_room(port);
    return !list_empty(&port->out_idle);
}

static bool is_sent(const struct chardev *dev)
{
    struct port *port = port_of(dev);

    if (!port || list_empty(&port->sent))
        return true;
    want_room(port);
    return false;
}

static void set_used(struct chardev *dev, bool used)
{
    (void)used; /* as it is when the message goes out */
    if (!port_of(dev))
        return;
    port_of(dev)->owes_open = port_of(dev)->unit->multiport;
    event_signal(&console_event);
}

static void release(struct chardev *dev)
{
    struct channel *channel = CONTAINER_OF(dev, struct channel, chardev);

    if (channel->port && channel->port->left == channel)
        channel->port->left = NULL;
    kfree(channel);
}

static const struct chardev_ops channel_ops = {
    .read = read_channel,
    .write = write_channel,
    .has_input = has_input,
    .has_room = has_room,
    .is_sent = is_sent,
    .set_used = set_used,
    .release = release,
};

/* ---- ports come and go */

static bool make_slots(struct port *port)
{
    if (port->memory)
        return true;
    port->memory = (char *)page_alloc_run(PORT_MEMORY_PAGES); /* cleared by nobody */
    if (!port->memory)
        return false;
    for (unsigned i = 0; i < SLOTS; i++) {
        port->in_slots[i].at = port->memory + i * SLOT_BYTES;
        port->out_slots[i].at = port->memory + (SLOTS + i) * SLOT_BYTES;
        list_append(&port->in_idle, &port->in_slots[i].link);
        list_append(&port->out_idle, &port->out_slots[i].link);
    }
    return true;
}

/* false: no memory. */
static bool make_channel(struct port *port)
{
    struct channel *channel;

    if (!make_slots(port))
        return false;
    channel = kalloc(sizeof(*channel));
    if (!channel)
        return false;
    channel->port = port;
    channel->chardev.ops = &channel_ops;
    format(channel->chardev.id, sizeof(channel->chardev.id), "vport%up%u",
           port->unit->device->number, port->id);
    port->channel = channel;
    chardev_add(&channel->chardev);
    return true;
}

/* Whoever has it open from before has nothing to do with the port any more. */
static void cut_left(struct port *port)
{
    if (port->left)
        port->left->port = NULL;
    port->left = NULL;
}

/* What the one who has it open has not read yet stays until the port is needed again. */
static void remove_channel(struct port *port)
{
    struct channel *channel = port->channel;

    if (screen_port == port)
        cease_to_be_screen(port);
    cut_left(port);
    if (channel->chardev.used)
        port->left = channel;
    port->channel = NULL;
    port->announced = port->owes_ready = port->owes_open = false;
    chardev_remove(&channel->chardev);
}

/* Nobody reads any more what came for whoever had the port before. */
static void forget_input(struct port *port)
{
    struct list *link;

    cut_left(port);
    while ((link = list_pop(&port->filled)))
        let_go_of(CONTAINER_OF(link, struct slot, link), &port->in_idle);
}

/* Slots that were in the device's hands at a reset go out once more, in their order. */
static void send_again(struct port *port)
{
    struct list *link;

    LIST_FOR_EACH (link, &port->sent) {
        struct slot *slot = CONTAINER_OF(link, struct slot, link);

        if (!lend(&port->out, slot, false, slot->bytes))
            break;
    }
    show(&port->out);
}

/* ---- control messages, §5.3.6.2 */

/* false: no message can go out now. */
static bool send_message(struct unit *unit, uint32_t id, uint16_t event, uint16_t value)
{
    struct slot *slot;

    if (list_empty(&unit->outgoing_idle))
        return false;
    slot = CONTAINER_OF(unit->outgoing_idle.next, struct slot, link);
    *(struct virtio_console_control *)slot->at =
        (struct virtio_console_control){ .id = id, .event = event, .value = value };
    if (!lend(&unit->control_out, slot, false, sizeof(struct virtio_console_control)))
        return false;
    list_remove(&slot->link);
    return true;
}

/* What the device has to be told, as far as it takes messages. */
static void send_owed(struct unit *unit)
{
    if (!unit->multiport)
        return;
    if (unit->owes_ready && send_message(unit, 0, VIRTIO_CONSOLE_DEVICE_READY, 1))
        unit->owes_ready = false;
    for (uint32_t i = 0; i < unit->n_ports; i++) {
        struct port *port = &unit->ports[i];

        if (port->owes_ready &&
            send_message(unit, i, VIRTIO_CONSOLE_PORT_READY, port->channel != NULL))
            port->owes_ready = false;
        if (port->owes_open && !port->owes_ready && port->channel &&
            send_message(unit, i, VIRTIO_CONSOLE_PORT_OPEN,
                         port->channel->chardev.used || port->channel->chardev.is_console))
            port->owes_open = false;
    }
    show(&unit->control_out);
}

static void note_nonsense(struct unit *unit, const char *what, uint32_t id)
{
    if (unit->nonsense++ < NONSENSE_TOLD)
        log_error("virtio%u: %s (port %u), ignored", unit->device->number, what, id);
}

/* A port of a device that was reset is the same port again. */
static void add_port(struct port *port)
{
    port->owes_ready = true;
    if (!port->channel) {
        forget_input(port);
        if (!make_channel(port)) {
            log_error("virtio%u: no memory for port %u", port->unit->device->number, port->id);
            return;
        }
    }
    port->announced = true;
    port->owes_open = port->channel->chardev.used;
    port->channel->chardev.is_console = false;
    send_again(port);
    refill(port);
}

static void set_name(struct port *port, const char *name, size_t bytes)
{
    struct chardev *dev = &port->channel->chardev;
    size_t n = 0;

    while (n < MIN(bytes, sizeof(dev->name) - 1) && name[n])
        n++;
    if (n < bytes && name[n])
        log_error("virtio%u: the name of port %u is too long, cut", port->unit->device->number,
                  port->id);
    memcpy(dev->name, name, n);
    dev->name[n] = '\0';
}

static void set_size(struct port *port, const char *bytes, size_t n)
{
    struct virtio_console_resize size;

    if (n < sizeof(size)) {
        note_nonsense(port->unit, "a size is cut short", port->id);
        return;
    }
    memcpy(&size, bytes, sizeof(size));
    port->channel->chardev.columns = size.cols;
    port->channel->chardev.rows = size.rows;
}

static void set_connected(struct port *port, bool connected)
{
    port->channel->chardev.connected = connected;
    if (port == screen_port && !connected)
        cease_to_be_screen(port);
    chardev_changed(&port->channel->chardev);
}

/* To a port that is there. */
static void take_port_message(struct port *port, const struct virtio_console_control *message,
                              const char *rest, size_t bytes)
{
    switch (message->event) {
    case VIRTIO_CONSOLE_DEVICE_REMOVE:
        remove_channel(port);
        break;
    case VIRTIO_CONSOLE_CONSOLE_PORT:
        port->channel->chardev.is_console = true;
        port->owes_open = true; /* with value 1, also while nobody uses it */
        break;
    case VIRTIO_CONSOLE_RESIZE:
        set_size(port, rest, bytes);
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        set_connected(port, message->value);
        break;
    case VIRTIO_CONSOLE_PORT_NAME:
        set_name(port, rest, bytes);
        break;
    default:
        note_nonsense(port->unit, "an unknown message", port->id);
    }
}

/* Which port a message names is the device's word: it may have none of that number. */
static void take_message(struct unit *unit, const struct virtio_console_control *message,
                         const char *rest, size_t bytes)
{
    bool adds = message->event == VIRTIO_CONSOLE_DEVICE_ADD;
    struct port *port;

    if (message->id >= unit->n_ports) {
        note_nonsense(unit, "a message for a port beyond those that are driven", message->id);
        if (adds)
            send_message(unit, message->id, VIRTIO_CONSOLE_PORT_READY, 0);
        return;
    }
    port = &unit->ports[message->id];
    if (adds && port->announced)
        note_nonsense(unit, "a port is added twice", message->id);
    else if (adds)
        add_port(port);
    else if (!port->announced)
        note_nonsense(unit, "a message for a port that is not there", message->id);
    else
        take_port_message(port, message, rest, bytes);
}

/* A copy is judged: the device could change the message meanwhile. */
static void take_buffer(struct unit *unit, const struct slot *slot, uint32_t bytes)
{
    struct {
        struct virtio_console_control message;
        char rest[CONTROL_BYTES - sizeof(struct virtio_console_control)];
    } copy;

    bytes = MIN(bytes, sizeof(copy));
    if (bytes < sizeof(copy.message)) {
        note_nonsense(unit, "a message is cut short", 0);
        return;
    }
    memcpy(&copy, slot->at, bytes);
    take_message(unit, &copy.message, copy.rest, bytes - sizeof(copy.message));
}

/* A legacy device may want one descriptor a buffer, §5.3.6.4. */
static bool runs_over(const struct unit *unit)
{
    return virtio_has(unit->device, VIRTIO_F_VERSION_1) &&
           (unit->control_in.ring.size > 1 || unit->control_in.ring.indirect_max > 1);
}

/* A few idle ones at once; false: there are no more, or no more fit. */
static bool lend_control(struct unit *unit)
{
    struct virtq_elem elems[CONTROL_BATCH][2];
    struct virtq_buffer buffers[CONTROL_BATCH];
    struct list *link = unit->buffers_idle.next;
    unsigned n = 0;
    int lent;

    for (; n < CONTROL_BATCH && link != &unit->buffers_idle; link = link->next, n++) {
        struct slot *slot = CONTAINER_OF(link, struct slot, link);

        elems[n][0] = (struct virtq_elem){ dma_address(slot->at), CONTROL_BYTES };
        elems[n][1] =
            (struct virtq_elem){ dma_address(unit->control + OVERFLOW_AT), OVERFLOW_BYTES };
        buffers[n] = (struct virtq_buffer){ .elem = elems[n],
                                            .n_writable = runs_over(unit) ? 2 : 1,
                                            .cookie = slot };
    }
    lent = n ? virtq_add(&unit->control_in.ring, buffers, n) : 0;
    for (int i = 0; i < lent; i++)
        list_pop(&unit->buffers_idle);
    return lent == CONTROL_BATCH;
}

static void refill_control(struct unit *unit)
{
    while (lend_control(unit))
        ;
    show(&unit->control_in);
}

static void hear(struct unit *unit)
{
    struct virtq_done done[CONTROL_BUFFERS];
    int n = virtq_get(&unit->control_out.ring, done, CONTROL_BUFFERS);

    for (int i = 0; i < n; i++)
        let_go_of(done[i].cookie, &unit->outgoing_idle);
    n = virtq_get(&unit->control_in.ring, done, CONTROL_BUFFERS);
    for (int i = 0; i < n; i++) {
        take_buffer(unit, done[i].cookie, done[i].len);
        let_go_of(done[i].cookie, &unit->buffers_idle);
    }
    if (n > 0) {
        refill_control(unit);
        choose_screen();
    }
}

/* ---- the device as a whole */

/* §5.3.4: of port 0. A device without the fields has no size. */
static void read_size(struct unit *unit)
{
    struct port *port = &unit->ports[0];
    le16 cols = 0, rows = 0;

    if (!virtio_has(unit->device, VIRTIO_CONSOLE_F_SIZE) || !port->channel ||
        virtio_config_read(unit->device, offsetof(struct virtio_console_config, cols), &cols,
                           sizeof(cols)) ||
        virtio_config_read(unit->device, offsetof(struct virtio_console_config, rows), &rows,
                           sizeof(rows)))
        return;
    port->channel->chardev.columns = cols;
    port->channel->chardev.rows = rows;
}

/* Initialization is over, for the first time or again. */
static int begin(struct unit *unit)
{
    int error = virtio_start(unit->device);

    if (error)
        return error;
    if (unit->multiport) {
        refill_control(unit);
        unit->owes_ready = true;
        send_owed(unit);
        return 0;
    }
    add_port(&unit->ports[0]);
    if (!unit->ports[0].announced)
        return -ENOMEM;
    unit->ports[0].channel->chardev.is_console = true;
    set_connected(&unit->ports[0], true);
    read_size(unit);
    return 0;
}

static void drain(struct virtio_queue *queue, struct list *idle)
{
    void *cookie;

    while (virtq_drain(&queue->ring, &cookie, 1) > 0)
        if (idle)
            let_go_of(cookie, idle);
}

/* Nothing of the ports is known until the device says it again. */
static void suspend_ports(struct unit *unit)
{
    for (uint32_t i = 0; i < unit->n_ports; i++) {
        struct port *port = &unit->ports[i];

        port->shown_elsewhere = screen_port == port;
        port->announced = port->owes_ready = port->owes_open = port->wants_room = false;
        if (port->channel)
            set_connected(port, false);
    }
}

static void take_all_back(struct unit *unit)
{
    for (uint32_t i = 0; i < unit->n_ports; i++) {
        struct port *port = &unit->ports[i];
        struct list *link;

        drain(&port->in, &port->in_idle);
        drain(&port->out, NULL); /* they are in the list of sent ones */
        while (port->shown_elsewhere && (link = list_pop(&port->sent)))
            let_go_of(CONTAINER_OF(link, struct slot, link), &port->out_idle);
    }
    if (unit->multiport) {
        drain(&unit->control_in, &unit->buffers_idle);
        drain(&unit->control_out, &unit->outgoing_idle);
    }
}

static void remove_ports(struct unit *unit)
{
    for (uint32_t i = 0; i < unit->n_ports; i++)
        if (unit->ports[i].channel)
            remove_channel(&unit->ports[i]);
}

static void give_up(struct unit *unit, const char *why)
{
    unit->dead = true;
    remove_ports(unit);
    if (!unit->device->failure) /* else the core has told it */
        virtio_fail(unit->device, why);
    choose_screen();
}

static void recover(struct unit *unit, const char *why)
{
    bool answers;

    virtio_trouble(unit->device, why);
    suspend_ports(unit);
    answers = virtio_reset(unit->device) == 0;
    if (unit->dead) /* removed meanwhile: retire() has done the rest */
        return;
    if (!answers) {
        give_up(unit, "the device does not answer a reset, what was lent to it stays lost");
        return;
    }
    take_all_back(unit);
    if (!patience_lasts(&unit->patience)) {
        give_up(unit, "the device was reset too often");
    } else if (virtio_reinit(unit->device) || begin(unit)) {
        give_up(unit, "the device did not come back after a reset");
    } else {
        log_info("virtio%u: reset and started again", unit->device->number);
        choose_screen();
    }
}

/* ---- the thread */

static void take_input(struct port *port)
{
    struct virtq_done done[SLOTS];
    int n = virtq_get(&port->in.ring, done, SLOTS);

    for (int i = 0; i < n; i++) {
        struct slot *slot = done[i].cookie;

        slot->bytes = done[i].len;
        slot->done = 0;
        list_append(slot->bytes ? &port->filled : &port->in_idle, &slot->link);
    }
    if (n <= 0)
        return;
    refill(port);
    if (port == screen_port)
        event_signal(&console_input);
    else if (port->channel)
        event_signal(&port->channel->chardev.readable);
}

static void take_room(struct port *port)
{
    if (port == screen_port) {
        console_resume(&port->screen);
        return;
    }
    reap(port);
    if (port->wants_room && port->channel && !list_empty(&port->out_idle)) {
        port->wants_room = false;
        chardev_changed(&port->channel->chardev);
    }
}

/* Takes in what the device has to tell. NULL; or why it has to be reset. */
static const char *look(struct unit *unit)
{
    const char *why = NULL;

    if (virtio_config_changed(unit->device)) {
        why = virtio_needs_reset(unit->device);
        if (!why)
            read_size(unit);
    }
    if (unit->multiport && !why) {
        hear(unit);
        why = virtq_broken_reason(&unit->control_in.ring);
        if (!why)
            why = virtq_broken_reason(&unit->control_out.ring);
    }
    for (uint32_t i = 0; i < unit->n_ports && !why; i++) {
        struct port *port = &unit->ports[i];

        if (!port->memory)
            continue;
        take_input(port);
        take_room(port);
        why = virtq_broken_reason(&port->in.ring);
        if (!why)
            why = virtq_broken_reason(&port->out.ring);
    }
    return why;
}

/* true: it is safe to sleep, as far as this port's room goes. */
static bool arm_for_room(struct port *port)
{
    if (port == screen_port)
        return !console_arm(&port->screen);
    return !port->wants_room || !virtq_arm(&port->out.ring, 1);
}

static bool arm(struct unit *unit)
{
    bool may_sleep = true;

    if (unit->multiport) {
        may_sleep &= !virtq_arm(&unit->control_in.ring, 1);
        if (list_empty(&unit->outgoing_idle))
            may_sleep &= !virtq_arm(&unit->control_out.ring, 1);
    }
    for (uint32_t i = 0; i < unit->n_ports; i++)
        if (unit->ports[i].memory) {
            may_sleep &= !virtq_arm(&unit->ports[i].in.ring, 1);
            may_sleep &= arm_for_room(&unit->ports[i]);
        }
    return may_sleep;
}

static bool work_on_all(void)
{
    bool may_sleep = true;
    struct list *link;

    LIST_FOR_EACH (link, &units) {
        struct unit *unit = CONTAINER_OF(link, struct unit, link);
        const char *trouble;

        if (unit->dead)
            continue;
        trouble = look(unit);
        if (trouble)
            recover(unit, trouble);
        if (unit->dead) /* and perhaps removed from this list */
            return false;
        send_owed(unit);
        may_sleep &= arm(unit);
    }
    return may_sleep;
}

static void run(void *unused)
{
    struct rounds rounds = { 0 };

    (void)unused;
    for (;;)
        rounds_end(&rounds, &console_event, work_on_all());
}

/* ---- bringing it up */

static int set_up_control(struct unit *unit)
{
    struct virtio_device *device = unit->device;
    int error = virtio_queue_setup(device, &unit->control_in, QUEUE_CONTROL_IN, CONTROL_BUFFERS, 2,
                                   &console_event);

    if (!error)
        error = virtio_queue_setup(device, &unit->control_out, QUEUE_CONTROL_OUT, CONTROL_MESSAGES,
                                   0, &console_event);
    if (error)
        return error;
    virtio_queue_ignore_lengths(&unit->control_out);
    unit->control = (char *)page_alloc_run(CONTROL_MEMORY_PAGES);
    if (!unit->control)
        return -ENOMEM;
    unit->messages = (void *)(unit->control + MESSAGES_AT);
    for (unsigned i = 0; i < CONTROL_BUFFERS; i++) {
        unit->buffers[i].at = unit->control + i * CONTROL_BYTES;
        list_append(&unit->buffers_idle, &unit->buffers[i].link);
    }
    for (unsigned i = 0; i < CONTROL_MESSAGES; i++) {
        unit->outgoing[i].at = (char *)&unit->messages[i];
        list_append(&unit->outgoing_idle, &unit->outgoing[i].link);
    }
    return 0;
}

static int set_up_port(struct unit *unit, uint32_t id)
{
    struct port *port = &unit->ports[id];
    uint16_t index = (uint16_t)(id ? 2 + 2 * id : 0);
    int error;

    port->unit = unit;
    port->id = id;
    list_init(&port->in_idle);
    list_init(&port->filled);
    list_init(&port->out_idle);
    list_init(&port->sent);
    error = virtio_queue_setup(unit->device, &port->in, index, SLOTS, 0, &console_event);
    if (!error)
        error = virtio_queue_setup(unit->device, &port->out, (uint16_t)(index + 1), SLOTS, 0,
                                   &console_event);
    if (!error)
        virtio_queue_ignore_lengths(&port->out);
    return error;
}

/* How many ports are driven, at most; §5.3.4. */
static uint32_t wanted_ports(struct unit *unit)
{
    le32 max = 1;

    if (unit->multiport &&
        virtio_config_read(unit->device, offsetof(struct virtio_console_config, max_nr_ports), &max,
                           sizeof(max)))
        return 1;
    return MAX(MIN(max, (uint32_t)PORTS_MAX), 1u); /* port 0 always exists */
}

static int set_up_queues(struct unit *unit)
{
    uint32_t wanted;
    int error;

    unit->multiport = virtio_has(unit->device, VIRTIO_CONSOLE_F_MULTIPORT);
    list_init(&unit->buffers_idle);
    list_init(&unit->outgoing_idle);
    wanted = wanted_ports(unit);
    unit->ports = kalloc(wanted * sizeof(*unit->ports));
    if (!unit->ports)
        return -ENOMEM;
    error = set_up_port(unit, 0);
    unit->n_ports = 1;
    if (!error && unit->multiport)
        error = set_up_control(unit);
    while (!error && unit->n_ports < wanted) {
        error = set_up_port(unit, unit->n_ports);
        if (error == -ENOENT) /* it promised more ports than it has queues */
            return 0;
        unit->n_ports += !error;
    }
    return error;
}

static int start(struct unit *unit)
{
    int error = set_up_queues(unit);

    if (error)
        return error;
    virtio_config_watch(unit->device, &console_event);
    if (unit->multiport) /* which is the console its host tells later */
        console_expect();
    if (!thread)
        thread = thread_create("console", run, NULL);
    return thread ? begin(unit) : -ENOMEM;
}

/* Whoever has a port open keeps the channel, which leads nowhere now. */
static void cut_channels(struct unit *unit)
{
    remove_ports(unit);
    for (uint32_t i = 0; i < unit->n_ports; i++)
        cut_left(&unit->ports[i]);
}

/* The struct stays until the next probe: the core still has the queues in it. */
static void retire(struct unit *unit)
{
    bool forgotten;

    unit->dead = true; /* before the reset, during which others run */
    cut_channels(unit);
    forgotten = virtio_reset(unit->device) == 0;
    list_append(forgotten ? &retired : &lost, &unit->link);
    if (!forgotten)
        return;
    for (uint32_t i = 0; i < unit->n_ports; i++)
        if (unit->ports[i].memory)
            page_free_run((uintptr_t)unit->ports[i].memory, PORT_MEMORY_PAGES);
    if (unit->control)
        page_free_run((uintptr_t)unit->control, CONTROL_MEMORY_PAGES);
}

static void free_retired(void)
{
    struct list *link;

    while ((link = list_pop(&retired))) {
        struct unit *unit = CONTAINER_OF(link, struct unit, link);

        kfree(unit->ports);
        kfree(unit);
    }
}

static int probe(struct virtio_device *device)
{
    struct unit *unit;
    int error;

    free_retired();
    unit = kalloc(sizeof(*unit));
    if (!unit)
        return -ENOMEM;
    device->driver_state = unit;
    unit->device = device;
    error = start(unit);
    if (error) {
        retire(unit);
        return error;
    }
    list_append(&units, &unit->link);
    choose_screen();
    event_signal(&console_event);
    return 0;
}

static void remove(struct virtio_device *device)
{
    struct unit *unit = device->driver_state;

    list_remove(&unit->link);
    retire(unit);
    choose_screen();
}

const struct virtio_driver virtio_console_driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-console",
    .type = VIRTIO_ID_CONSOLE,
    .features = features,
    .n_features = ARRAY_SIZE(features),
    .probe = probe,
    .remove = remove,
};
