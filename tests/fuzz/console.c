/* SPDX-License-Identifier: MIT */
/*
 * The console driver, with the log and the class of channels above it, against a
 * device whose every step the input chooses: messages of any content, input, lies, resets;
 * and an application that opens, reads, writes and closes between them.
 *
 * An input is one byte of what is offered, then steps of two bytes: what, and how.
 */
#include "drivers/virtio/spec/console.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/chardev.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "tests/fuzz/input.h"
#include "tests/host/driver_thread.h"
#include "tests/host/fake_transport.h"
#include "tests/host/page.h"

#define PACKED      1
#define MULTIPORT   2
#define EMERGENCY   4
#define CONTROL_IN  2
#define CONTROL_OUT 3
#define STEPS_MAX   64
#define OPEN_MAX    4

static struct fake_transport fake;
static struct chardev *open_devs[OPEN_MAX];

/* ---- the thread */

static unsigned idle_rounds;

static void on_idle(void)
{
    if (++idle_rounds > 3)
        host_thread_leave();
}

static void run_thread(void)
{
    idle_rounds = 0;
    host_thread_run(on_idle);
}

static size_t write_line(const char *bytes, size_t n)
{
    (void)bytes;
    return n;
}

static struct console serial = { .name = "ttyS0", .write = write_line };

/* ---- the device's steps */

static struct fake_chain *pop(unsigned queue)
{
    return fake.queues[queue].live ? fake_pop(&fake.queues[queue].ring) : NULL;
}

static void push(unsigned queue, struct fake_chain *chain, uint32_t len)
{
    fake_push(&fake.queues[queue].ring, chain, len);
    fake_transport_interrupt(&fake, queue);
}

static void send_message(struct input *input, uint8_t how)
{
    struct virtio_console_control message = { how & 3, how >> 2 & 7, how >> 5 & 1 };
    struct fake_chain *chain = pop(CONTROL_IN);
    char rest[300];
    size_t n = how & 0x40 ? take8(input) : 0;

    if (!chain)
        return;
    if (how & 0x80) { /* of any kind */
        message.id = take32(input);
        message.event = take16(input);
    }
    take(input, rest, n);
    fake_write(chain, 0, &message, sizeof(message));
    fake_write(chain, sizeof(message), rest, n);
    push(CONTROL_IN, chain, (uint32_t)(sizeof(message) + n) - (take8(input) == 1));
}

static void send_input(struct input *input, unsigned queue)
{
    struct fake_chain *chain = pop(queue);
    char text[64];
    size_t n = take8(input) % sizeof(text);

    if (!chain)
        return;
    take(input, text, n);
    fake_write(chain, 0, text, n);
    push(queue, chain, (uint32_t)n);
}

static void take_output(unsigned queue)
{
    struct fake_chain *chain;

    while ((chain = pop(queue)) != NULL)
        push(queue, chain, 0);
}

static void lie(struct input *input, unsigned queue)
{
    if (fake.queues[queue].live)
        fake_lie_used(&fake.queues[queue].ring, take8(input), take16(input), 1);
    fake_transport_interrupt_always(&fake, queue);
}

/* ---- the application's steps */

static void use(struct input *input, uint8_t how)
{
    struct chardev **slot = &open_devs[how % OPEN_MAX];
    char text[5000];
    long n;

    if (!*slot) {
        *slot = chardev_get(how / 8 % 4);
        if (*slot && chardev_open(*slot))
            *slot = NULL;
        return;
    }
    switch (how >> 6) {
    case 0:
        chardev_close(*slot);
        *slot = NULL;
        break;
    case 1:
        n = chardev_read(*slot, text, 1 + take16(input) % sizeof(text), false);
        expect(n <= (long)sizeof(text), "no more is read than there is room for");
        break;
    case 2:
        memset(text, 'w', sizeof(text));
        n = chardev_write(*slot, text, take16(input) % sizeof(text), false);
        expect(n <= (long)sizeof(text), "no more is written than there was");
        break;
    default:
        chardev_wait(*slot, how & 31, 0);
    }
}

static void step(struct input *input)
{
    uint8_t what = take8(input), how = take8(input);
    unsigned queue = how % FAKE_QUEUES;

    switch (what % 9) {
    case 0:
    case 1:
        send_message(input, how);
        break;
    case 2:
        if (queue % 2 == 0 && queue != CONTROL_IN)
            send_input(input, queue);
        break;
    case 3:
        take_output(queue | 1);
        break;
    case 4:
    case 5:
        use(input, how);
        break;
    case 6:
        lie(input, queue);
        break;
    case 7:
        fake_transport_ask_for_reset(&fake);
        break;
    case 8:
        log_info("a record of %u", how);
        break;
    }
    if (what & 0x80)
        run_thread();
}

static void make_device(uint8_t offered)
{
    struct virtio_console_config config = { .cols = 80, .rows = 25, .max_nr_ports = offered >> 4 };

    fake_transport_init(&fake, VIRTIO_ID_CONSOLE);
    fake_offer(&fake, VIRTIO_CONSOLE_F_SIZE);
    if (offered & PACKED)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    if (offered & MULTIPORT)
        fake_offer(&fake, VIRTIO_CONSOLE_F_MULTIPORT);
    if (offered & EMERGENCY)
        fake_offer(&fake, VIRTIO_CONSOLE_F_EMERG_WRITE);
    memcpy(fake.config, &config, sizeof(config));
    fake.device.config_bytes = sizeof(config);
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        fake.queues[i].size_max = 8u << (i % 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool has_line;
    struct input input = { bytes, size };

    if (!has_line)
        console_register(&serial);
    has_line = true;
    make_device(take8(&input));
    if (virtio_add(&fake.device) == 0) {
        run_thread();
        for (unsigned i = 0; i < STEPS_MAX && input.left; i++)
            step(&input);
        run_thread();
    }
    virtio_remove(&fake.device);
    for (unsigned i = 0; i < OPEN_MAX; i++) {
        if (open_devs[i])
            chardev_close(open_devs[i]);
        open_devs[i] = NULL;
    }
    expect(!chardev_get(0), "no port outlives its device");
    expect(host_pages_taken == 0, "all pages are given back");
    return 0;
}
