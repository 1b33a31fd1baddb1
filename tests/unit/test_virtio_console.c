/* SPDX-License-Identifier: MIT */
/*
 * The console driver with the kernel's log and the class of channels above it, against
 * a device that talks nonsense, floods, takes nothing, or lies.
 *
 * There is one thread: the driver's runs when a test says settle(), until it waits
 * and the device has nothing to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/console.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/chardev.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/clock.h"
#include "tests/host/driver_thread.h"
#include "tests/host/fake_transport.h"
#include "tests/host/lies.h"
#include "tests/host/page.h"
#include "tests/host/proves.h"

#define CONTROL_IN  2
#define CONTROL_OUT 3
#define PORTS       3 /* as many as the fake transport has queues for */
#define TEXT_BYTES  (1 << 18)

static struct fake_transport fake;

/* What the host has heard, and how it behaves. */
static char heard[PORTS][TEXT_BYTES];
static size_t n_heard[PORTS];
static struct virtio_console_control told[256];
static unsigned n_told;
static bool takes_nothing[PORTS], takes_no_messages;
static char emergency[TEXT_BYTES];
static size_t n_emergency;

static char on_line[TEXT_BYTES];
static size_t n_on_line;

static unsigned in_queue(unsigned port)
{
    return port ? 2 + 2 * port : 0;
}

static unsigned out_queue(unsigned port)
{
    return in_queue(port) + 1;
}

/* ---- the serial line */

static size_t write_line(const char *bytes, size_t n)
{
    assert_true(n_on_line + n < sizeof(on_line));
    memcpy(on_line + n_on_line, bytes, n);
    n_on_line += n;
    on_line[n_on_line] = '\0';
    return n;
}

static struct console serial = { .name = "ttyS0", .write = write_line };

static void clear_line(void)
{
    n_on_line = 0;
    on_line[0] = '\0';
}

/* ---- the device */

static void hear(unsigned port, struct fake_chain *chain)
{
    assert_int_equal(chain->n_writable, 0);
    n_heard[port] +=
        fake_read(chain, 0, heard[port] + n_heard[port], TEXT_BYTES - n_heard[port] - 1);
    heard[port][n_heard[port]] = '\0';
}

static void take_message(struct fake_chain *chain)
{
    assert_int_equal(chain->n_writable, 0);
    assert_int_equal(chain->readable_bytes, sizeof(told[0]));
    if (n_told < ARRAY_SIZE(told))
        fake_read(chain, 0, &told[n_told++], sizeof(told[0]));
}

static void serve(unsigned queue)
{
    struct fake_chain *chain;
    bool any = false;

    while (fake.queues[queue].live && (chain = fake_pop(&fake.queues[queue].ring)) != NULL) {
        if (queue == CONTROL_OUT)
            take_message(chain);
        else
            hear(queue < 2 ? 0 : queue / 2 - 1, chain);
        fake_push(&fake.queues[queue].ring, chain, 0);
        any = true;
    }
    if (any)
        fake_transport_interrupt(&fake, queue);
}

static bool is_multiport(void)
{
    return virtio_features_have(&fake.accepted, VIRTIO_CONSOLE_F_MULTIPORT);
}

static void serve_all(void)
{
    for (unsigned port = 0; port < (is_multiport() ? PORTS : 1); port++)
        if (!takes_nothing[port])
            serve(out_queue(port));
    if (is_multiport() && !takes_no_messages)
        serve(CONTROL_OUT);
}

static unsigned idle_rounds, idle_limit;

static void on_idle(void)
{
    serve_all();
    if (++idle_rounds > idle_limit)
        host_thread_leave();
}

static void run_for(unsigned rounds)
{
    idle_rounds = 0;
    idle_limit = rounds;
    host_thread_run(on_idle);
    fake_transport_check(&fake);
}

static void settle(void)
{
    run_for(20);
}

/* Into the next buffer of a receive queue, with any length told; false: there is none. */
static bool fill(unsigned queue, const void *from, size_t bytes, uint32_t len)
{
    struct fake_chain *chain = fake.queues[queue].live ? fake_pop(&fake.queues[queue].ring) : NULL;

    if (!chain)
        return false;
    assert_int_equal(chain->n_readable, 0);
    fake_write(chain, 0, from, bytes);
    fake_push(&fake.queues[queue].ring, chain, len);
    fake_transport_interrupt(&fake, queue);
    return true;
}

static bool type(unsigned port, const char *text)
{
    return fill(in_queue(port), text, strlen(text), (uint32_t)strlen(text));
}

static void tell_bytes(uint32_t id, uint16_t event, uint16_t value, const void *rest, size_t bytes)
{
    static char message[16384];
    const struct virtio_console_control control = { id, event, value };

    memcpy(message, &control, sizeof(control));
    if (bytes)
        memcpy(message + sizeof(control), rest, bytes);
    assert_true(
        fill(CONTROL_IN, message, sizeof(control) + bytes, (uint32_t)(sizeof(control) + bytes)));
}

static void tell_event(uint32_t id, uint16_t event, uint16_t value)
{
    tell_bytes(id, event, value, NULL, 0);
    settle();
}

static unsigned count_told(uint32_t id, uint16_t event, uint16_t value)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_told; i++)
        n += told[i].id == id && told[i].event == event && told[i].value == value;
    return n;
}

static void write_config(struct fake_transport *transport, uint32_t offset, unsigned bytes)
{
    assert_int_equal(offset, offsetof(struct virtio_console_config, emerg_wr));
    assert_int_equal(bytes, 4);
    assert_true(n_emergency < sizeof(emergency) - 1);
    emergency[n_emergency++] = (char)transport->config[offset];
    emergency[n_emergency] = '\0';
}

static void make_device(bool multiport)
{
    struct virtio_console_config config = { .cols = 80, .rows = 25, .max_nr_ports = 31 };

    fake_transport_init(&fake, VIRTIO_ID_CONSOLE);
    fake_offer(&fake, VIRTIO_CONSOLE_F_SIZE);
    if (multiport)
        fake_offer(&fake, VIRTIO_CONSOLE_F_MULTIPORT);
    memcpy(fake.config, &config, sizeof(config));
    fake.device.config_bytes = sizeof(config);
    fake.config_written = write_config;
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        fake.queues[i].size_max = 64;
}

static void forget_all(void)
{
    memset(n_heard, 0, sizeof(n_heard));
    memset(heard, 0, sizeof(heard));
    memset(takes_nothing, 0, sizeof(takes_nothing));
    takes_no_messages = false;
    n_told = 0;
    n_emergency = 0;
    clear_line();
}

static int plug_in(void **state)
{
    (void)state;
    forget_all();
    make_device(true);
    return 0;
}

static int plug_in_plain(void **state)
{
    (void)state;
    forget_all();
    make_device(false);
    return 0;
}

static int pull_out(void **state)
{
    (void)state;
    virtio_remove(&fake.device);
    fake_transport_check(&fake);
    assert_null(chardev_get(0));
    assert_int_equal(host_pages_taken, 0);
    return 0;
}

static void add(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
    settle();
}

static struct chardev *add_port(unsigned id, const char *name)
{
    tell_event(id, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    assert_int_equal(count_told(id, VIRTIO_CONSOLE_PORT_READY, 1), 1);
    tell_bytes(id, VIRTIO_CONSOLE_PORT_NAME, 1, name, strlen(name));
    tell_event(id, VIRTIO_CONSOLE_PORT_OPEN, 1);
    return chardev_find(name);
}

static void assert_read(struct chardev *dev, const char *text)
{
    char read[256] = "";
    size_t n = 0;
    long more;

    while ((more = chardev_read(dev, read + n, sizeof(read) - 1 - n, false)) > 0)
        n += (size_t)more;
    assert_string_equal(read, text);
}

/* ---- a plain console */

static void a_plain_console_is_the_kernels_at_once(void **state)
{
    PROVES("CON-OP-01", "CON-OP-02");
    (void)state;
    log_info("before it");
    add();
    assert_non_null(strstr(heard[0], "before it\n"));
    assert_non_null(strstr(heard[0], "console: goes on at virtio"));
    clear_line();
    log_info("after it");
    settle();
    assert_non_null(strstr(heard[0], "\nafter it\n"));
    assert_string_equal(on_line, "");
    assert_int_equal(chardev_get(0)->columns, 80);
    assert_int_equal(chardev_get(0)->rows, 25);
    assert_int_equal(chardev_open(chardev_get(0)), -EBUSY);
}

static void what_is_typed_there_is_read(void **state)
{
    char text[16];

    (void)state;
    add();
    assert_true(type(0, "hello"));
    assert_true(type(0, " there"));
    settle();
    assert_int_equal(console_read(text, 3), 3);
    assert_memory_equal(text, "hel", 3);
    assert_int_equal(console_read(text, sizeof(text)), 8);
    assert_memory_equal(text, "lo there", 8);
}

static void its_size_is_followed(void **state)
{
    (void)state;
    add();
    ((struct virtio_console_config *)fake.config)->cols = 132;
    fake_transport_config_changed(&fake);
    settle();
    assert_int_equal(chardev_get(0)->columns, 132);
    ((struct virtio_console_config *)fake.config)->cols = 0;
    fake_transport_config_changed(&fake);
    settle();
    assert_int_equal(chardev_get(0)->columns, 0);
}

static void a_console_without_configuration_works(void **state)
{
    (void)state;
    fake.device.config_bytes = 0;
    add();
    log_info("after it");
    settle();
    assert_non_null(strstr(heard[0], "after it\n"));
    assert_int_equal(chardev_get(0)->columns, 0);
}

static void a_console_that_takes_nothing_keeps_nobody_from_writing(void **state)
{
    (void)state;
    takes_nothing[0] = true;
    add();
    for (unsigned i = 0; i < 5000; i++)
        log_info("record %u of many", i);
    settle();
    assert_non_null(strstr(on_line, "record 4 of many\n")); /* those before are in slots */
    assert_non_null(strstr(on_line, "record 3000 of many\n"));
    takes_nothing[0] = false;
    settle();
    run_for(100);
    assert_non_null(strstr(heard[0], "bytes are missing here]"));
    assert_non_null(strstr(heard[0], "record 4999 of many\n"));
}

static void after_a_lie_nothing_is_missing_on_either(void **state)
{
    (void)state;
    add();
    takes_nothing[0] = true;
    clear_line();
    log_info("not yet taken");
    fake_lie_used(&fake.queues[1].ring, 77, 0, 1);
    fake_transport_interrupt_always(&fake, 1);
    log_info("after the lie");
    run_for(3);
    takes_nothing[0] = false;
    settle();
    assert_non_null(strstr(on_line, "not yet taken\n"));
    assert_non_null(strstr(on_line, "after the lie\n"));
    assert_non_null(strstr(heard[0], "\nnot yet taken\nafter the lie\n"));
    assert_null(strstr(strstr(heard[0], "not yet taken\n") + 1, "not yet taken\n")); /* once */
    assert_non_null(strstr(heard[0], "reset and started again\n"));
    clear_line();
    log_info("at the end");
    settle();
    assert_string_equal(on_line, "");
    assert_non_null(strstr(heard[0], "\nat the end\n"));
}

/* ---- ports */

static void the_driver_says_that_it_is_ready_and_answers_for_each_port(void **state)
{
    PROVES("CON-MP-01");
    (void)state;
    add();
    assert_int_equal(n_told, 1);
    assert_int_equal(told[0].event, VIRTIO_CONSOLE_DEVICE_READY);
    assert_int_equal(told[0].value, 1);
    assert_null(chardev_get(0));
    assert_non_null(add_port(1, "one"));
    assert_non_null(add_port(2, "two"));
    assert_ptr_equal(chardev_get(0), chardev_find("one"));
    assert_ptr_equal(chardev_find(chardev_find("two")->id), chardev_find("two"));
    assert_null(chardev_get(2));
}

static void a_console_port_is_opened_and_becomes_the_kernels(void **state)
{
    PROVES("CON-MP-02", "CON-MP-03", "CON-MP-04");
    (void)state;
    add();
    log_info("before it");
    add_port(1, "other");
    tell_event(0, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    tell_event(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    assert_int_equal(count_told(0, VIRTIO_CONSOLE_PORT_OPEN, 1), 1);
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1), 0);
    assert_string_equal(heard[0], ""); /* nobody is there */
    tell_event(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_non_null(strstr(heard[0], "before it\n"));
    clear_line();
    tell_event(0, VIRTIO_CONSOLE_PORT_OPEN, 0);
    log_info("on the line");
    assert_non_null(strstr(on_line, "console: back from"));
    assert_non_null(strstr(on_line, "on the line\n"));
    tell_event(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_non_null(strstr(heard[0], "on the line\n"));
    tell_event(0, VIRTIO_CONSOLE_DEVICE_REMOVE, 0);
    clear_line();
    log_info("on the line again");
    assert_string_equal(on_line, "on the line again\n");
}

static void a_second_console_port_is_an_applications(void **state)
{
    (void)state;
    add();
    for (unsigned id = 0; id < 2; id++) {
        tell_event(id, VIRTIO_CONSOLE_DEVICE_ADD, 0);
        tell_event(id, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
        tell_event(id, VIRTIO_CONSOLE_PORT_OPEN, 1);
    }
    assert_int_equal(chardev_open(chardev_get(0)), -EBUSY);
    assert_int_equal(chardev_open(chardev_get(1)), 0);
    chardev_close(chardev_get(1));
}

static void opening_and_closing_is_told(void **state)
{
    struct chardev *dev;

    (void)state;
    add();
    dev = add_port(1, "one");
    assert_int_equal(chardev_open(dev), 0);
    assert_int_equal(chardev_open(dev), -EBUSY);
    settle();
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1), 1);
    chardev_close(dev);
    settle();
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0), 1);
}

static void bytes_go_both_ways_in_order(void **state)
{
    static char text[100000];
    struct chardev *dev;

    (void)state;
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i * 7 % 26);
    for (size_t at = 0; at < sizeof(text);) {
        long n = chardev_write(dev, text + at, MIN(sizeof(text) - at, 7777u), false);

        assert_true(n > 0 || n == -EAGAIN);
        at += n > 0 ? (size_t)n : 0;
        settle();
    }
    assert_int_equal(n_heard[1], sizeof(text));
    assert_memory_equal(heard[1], text, sizeof(text));
    assert_true(type(1, "one "));
    assert_true(type(1, "two "));
    assert_int_equal(chardev_read(dev, text, 1, false), -EAGAIN); /* the thread has not looked */
    settle();
    assert_true(type(1, "three"));
    settle();
    assert_read(dev, "one two three");
    assert_int_equal(chardev_read(dev, text, 1, false), -EAGAIN);
    tell_event(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    assert_int_equal(chardev_read(dev, text, 1, false), 0);
    chardev_close(dev);
}

static void a_flood_without_a_reader_stops_and_is_all_there_later(void **state)
{
    static char page[4096];
    char text[512];
    struct chardev *dev;
    unsigned given = 0, taken = 0;

    (void)state;
    add();
    dev = add_port(2, "flood");
    chardev_open(dev);
    for (unsigned round = 0; round < 100; round++) {
        memset(page, 'A' + (int)(given % 26), sizeof(page));
        given += fill(in_queue(2), page, sizeof(page), sizeof(page));
        settle();
    }
    assert_in_range(given, 1, 8);
    for (long n; (n = chardev_read(dev, text, sizeof(text), false)) > 0; taken += (unsigned)n)
        assert_int_equal(text[0], 'A' + (int)(taken / sizeof(page) % 26));
    assert_int_equal(taken, given * sizeof(page));
    settle();
    assert_true(type(2, "more"));
    settle();
    assert_read(dev, "more");
    chardev_close(dev);
}

static void empty_buffers_are_no_input(void **state)
{
    struct chardev *dev;

    (void)state;
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    for (unsigned i = 0; i < 50; i++) {
        fill(in_queue(1), "", 0, 0);
        settle();
        assert_int_equal(chardev_wait(dev, CHARDEV_READABLE, host_clock_ns), 0);
    }
    assert_true(type(1, "x"));
    settle();
    assert_read(dev, "x");
    chardev_close(dev);
}

static void a_host_that_takes_nothing_holds_its_writer_back(void **state)
{
    static char text[65536];
    struct chardev *dev;
    long n;

    (void)state;
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    takes_nothing[1] = true;
    n = chardev_write(dev, text, sizeof(text), false);
    assert_in_range(n, 4096, 32768);
    assert_int_equal(chardev_write(dev, text, 1, false), -EAGAIN);
    settle();
    assert_int_equal(chardev_wait(dev, CHARDEV_WRITABLE, host_clock_ns), 0);
    assert_int_equal(chardev_wait(dev, CHARDEV_SENT, host_clock_ns), 0);
    takes_nothing[1] = false;
    settle();
    assert_int_equal(chardev_wait(dev, CHARDEV_SENT | CHARDEV_WRITABLE, host_clock_ns),
                     CHARDEV_SENT | CHARDEV_WRITABLE);
    assert_int_equal(n_heard[1], n);
    chardev_close(dev);
}

static void a_port_that_is_taken_away_is_read_to_its_end(void **state)
{
    struct chardev *dev, *again;
    char text[16];

    (void)state;
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    type(1, "the rest");
    settle();
    tell_event(1, VIRTIO_CONSOLE_DEVICE_REMOVE, 0);
    assert_null(chardev_get(0));
    assert_int_equal(chardev_write(dev, "x", 1, true), -ENODEV);
    assert_int_equal(chardev_wait(dev, CHARDEV_WRITABLE, CLOCK_NEVER), CHARDEV_GONE);
    assert_read(dev, "the rest");
    assert_int_equal(chardev_read(dev, text, 1, true), -ENODEV);
    tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0); /* another of the same number */
    tell_event(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    again = chardev_get(0);
    assert_ptr_not_equal(again, dev);
    chardev_open(again);
    type(1, "new");
    settle();
    assert_int_equal(chardev_read(dev, text, 1, true), -ENODEV);
    assert_read(again, "new");
    chardev_close(dev);
    chardev_close(again);
}

static void a_device_that_is_removed_leaves_what_is_open_without_it(void **state)
{
    struct chardev *dev;
    char text[16];

    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    type(1, "lost");
    settle();
    virtio_remove(&fake.device);
    assert_int_equal(chardev_read(dev, text, 1, true), -ENODEV);
    assert_int_equal(chardev_write(dev, text, 1, true), -ENODEV);
    chardev_close(dev);
    assert_int_equal(host_pages_taken, 0);
    plug_in(state);
    add();
}

/* ---- nonsense */

static void nonsense_is_told_a_few_times_and_ignored(void **state)
{
    static const uint32_t ids[] = { 0, 1, PORTS, 8, 31, 0x7fffffff, UINT32_MAX };
    static const uint16_t events[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 255, UINT16_MAX };

    (void)state;
    add();
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
            for (unsigned k = 0; k < ARRAY_SIZE(events); k++) {
                tell_bytes(ids[i], events[k], (uint16_t)(i & 1), "xyz", k % 4);
                settle();
            }
    assert_null(fake.device.failure);
    assert_int_equal(fake.resets, 1);
    assert_true(n_on_line < 4096); /* the log is not flooded */
    assert_true(count_told(UINT32_MAX, VIRTIO_CONSOLE_PORT_READY, 0) > 0);
    n_told = 0;
    tell_event(2, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    assert_int_equal(count_told(2, VIRTIO_CONSOLE_PORT_READY, 1), 1);
}

static void messages_cut_anywhere_are_ignored(void **state)
{
    const struct virtio_console_control message = { 1, VIRTIO_CONSOLE_DEVICE_ADD, 0 };

    (void)state;
    add();
    for (uint32_t n = 0; n < sizeof(message); n++) {
        assert_true(fill(CONTROL_IN, &message, n, n));
        settle();
        assert_null(chardev_get(0));
    }
    assert_true(fill(CONTROL_IN, &message, sizeof(message), sizeof(message)));
    settle();
    assert_non_null(chardev_get(0));
}

static void a_port_added_twice_is_there_once(void **state)
{
    (void)state;
    add();
    add_port(1, "one");
    tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_READY, 1), 1);
    assert_string_equal(chardev_get(0)->name, "one");
    assert_null(chardev_get(1));
    tell_event(1, VIRTIO_CONSOLE_DEVICE_REMOVE, 0);
    tell_event(1, VIRTIO_CONSOLE_DEVICE_REMOVE, 0);
    assert_null(chardev_get(0));
}

static void names_of_any_length_fit(void **state)
{
    static const size_t lengths[] = { 0, 1, 127, 128, 247, 248, 249, 4000, 4096 };
    static char name[5000];

    (void)state;
    add();
    tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    memset(name, 'n', sizeof(name));
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        tell_bytes(1, VIRTIO_CONSOLE_PORT_NAME, 1, name, lengths[i]);
        settle();
        assert_int_equal(strlen(chardev_get(0)->name), MIN(lengths[i], 127u));
    }
    assert_null(fake.device.failure);
    assert_int_equal(fake.resets, 1);
    tell_bytes(1, VIRTIO_CONSOLE_PORT_NAME, 1, "a\0b", 3);
    settle();
    assert_string_equal(chardev_get(0)->name, "a");
}

static void a_device_that_takes_no_messages_costs_no_memory(void **state)
{
    unsigned before;

    (void)state;
    takes_no_messages = true;
    add();
    before = host_allocs_live;
    for (unsigned i = 0; i < 500; i++) {
        tell_bytes(i % 2, i % 4 < 2 ? VIRTIO_CONSOLE_DEVICE_ADD : VIRTIO_CONSOLE_DEVICE_REMOVE, 0,
                   NULL, 0);
        settle();
    }
    assert_in_range(host_allocs_live, before, before + 2);
    takes_no_messages = false;
    settle();
    assert_true(n_told >= 1);
    assert_int_equal(told[0].event, VIRTIO_CONSOLE_DEVICE_READY);
}

static void without_memory_a_port_is_refused(void **state)
{
    (void)state;
    add();
    host_allocs_until_failure = 0;
    tell_bytes(1, VIRTIO_CONSOLE_DEVICE_ADD, 0, NULL, 0);
    settle();
    host_allocs_until_failure = -1;
    settle();
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_READY, 0), 1);
    assert_null(chardev_get(0));
    add_port(1, "now");
}

static void no_ports_at_all_are_one(void **state)
{
    (void)state;
    ((struct virtio_console_config *)fake.config)->max_nr_ports = 0;
    add();
    add_port(0, "zero");
    tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_READY, 0), 1);
}

/* ---- a device that lost its way */

static void ports_that_are_open_survive_a_reset(void **state)
{
    struct chardev *dev;

    (void)state;
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    settle();
    type(1, "before ");
    settle();
    takes_nothing[1] = true;
    chardev_write(dev, "first ", 6, false);
    chardev_write(dev, "second", 6, false);
    fake_transport_ask_for_reset(&fake);
    settle();
    assert_int_equal(fake.resets, 2);
    assert_false(dev->connected);
    n_told = 0;
    tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0);
    takes_nothing[1] = false;
    tell_event(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(count_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1), 1);
    assert_string_equal(heard[1], "first second");
    type(1, "after");
    settle();
    assert_read(dev, "before after");
    assert_ptr_equal(chardev_get(0), dev);
    chardev_close(dev);
}

static void tell_one(const struct lie *lie, const struct aftermath *aftermath, unsigned queue,
                     bool packed)
{
    struct host_left before;
    struct chardev *dev;

    make_device(true); /* what the driver keeps from one device to the next is there now */
    add();
    virtio_remove(&fake.device);
    before = host_left();
    forget_all();
    make_device(true);
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    add();
    dev = add_port(1, "one");
    chardev_open(dev);
    settle();
    if (queue == out_queue(1) || queue == CONTROL_OUT) {
        takes_nothing[1] = takes_no_messages = true;
        chardev_write(dev, "abc", 3, false);
        chardev_write(dev, "def", 3, false);
        tell_bytes(2, VIRTIO_CONSOLE_DEVICE_ADD, 0, NULL, 0);
        tell_bytes(0, VIRTIO_CONSOLE_DEVICE_ADD, 0, NULL, 0);
        settle();
    }
    host_arrange(&fake, aftermath, lie, queue);
    host_tell(&fake, lie, queue);
    takes_nothing[1] = takes_no_messages = false;
    idle_rounds = 0;
    idle_limit = 60;
    host_thread_run(on_idle);
    if (aftermath->survives) {
        assert_null(fake.device.failure);
        n_told = 0;
        if (fake.resets > 1)
            tell_event(1, VIRTIO_CONSOLE_DEVICE_ADD, 0);
        tell_event(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
        n_heard[1] = 0;
        assert_int_equal(chardev_write(dev, "works", 5, false), 5);
        settle();
        assert_string_equal(heard[1] + strlen(heard[1]) - 5, "works");
    }
    chardev_close(dev);
    virtio_remove(&fake.device);
    host_take_away(&fake);
    assert_null(chardev_get(0));
    if (!aftermath->stuck) {
        host_assert_nothing_left(before, 0);
        assert_int_equal(host_pages_taken, 0);
    }
    host_pages_taken = 0;
}

static void honest(struct fake_transport *transport, unsigned queue, struct fake_chain *chain)
{
    fake_push(&transport->queues[queue].ring, chain, 0);
}

static void no_lie_does_any_harm(void **state)
{
    static const unsigned queues[] = { CONTROL_IN, CONTROL_OUT, 4, 5 };

    (void)state;
    host_honest = honest;
    for (unsigned packed = 0; packed < 2; packed++)
        for (unsigned q = 0; q < ARRAY_SIZE(queues); q++)
            for (unsigned i = 0; i < host_n_lies; i++)
                for (unsigned k = 0; k < host_n_aftermaths; k++)
                    if (host_lie_fits(&host_lies[i], packed))
                        tell_one(&host_lies[i], &host_aftermaths[k], queues[q], packed);
}

/* ---- panics: they come last, for nothing is the same after one */

static void a_panic_takes_the_emergency_output_and_the_line(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_CONSOLE_F_EMERG_WRITE);
    add();
    clear_line();
    takes_nothing[0] = true;
    log_info("still in the queue");
    n_heard[0] = 0;
    console_panic();
    log_error("panic: it hurts");
    assert_string_equal(on_line, "still in the queue\npanic: it hurts\n");
    assert_true(n_emergency == 0 || strcmp(emergency, "panic: it hurts\n") == 0);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, plug_in, pull_out)
#define TEST_PLAIN(name) cmocka_unit_test_setup_teardown(name, plug_in_plain, pull_out)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PLAIN(a_plain_console_is_the_kernels_at_once),
        TEST_PLAIN(what_is_typed_there_is_read),
        TEST_PLAIN(its_size_is_followed),
        TEST_PLAIN(a_console_without_configuration_works),
        TEST_PLAIN(a_console_that_takes_nothing_keeps_nobody_from_writing),
        TEST_PLAIN(after_a_lie_nothing_is_missing_on_either),
        TEST(the_driver_says_that_it_is_ready_and_answers_for_each_port),
        TEST(a_console_port_is_opened_and_becomes_the_kernels),
        TEST(a_second_console_port_is_an_applications),
        TEST(opening_and_closing_is_told),
        TEST(bytes_go_both_ways_in_order),
        TEST(a_flood_without_a_reader_stops_and_is_all_there_later),
        TEST(empty_buffers_are_no_input),
        TEST(a_host_that_takes_nothing_holds_its_writer_back),
        TEST(a_port_that_is_taken_away_is_read_to_its_end),
        TEST(a_device_that_is_removed_leaves_what_is_open_without_it),
        TEST(nonsense_is_told_a_few_times_and_ignored),
        TEST(messages_cut_anywhere_are_ignored),
        TEST(a_port_added_twice_is_there_once),
        TEST(names_of_any_length_fit),
        TEST(a_device_that_takes_no_messages_costs_no_memory),
        TEST(without_memory_a_port_is_refused),
        TEST(no_ports_at_all_are_one),
        TEST(ports_that_are_open_survive_a_reset),
        cmocka_unit_test_setup(no_lie_does_any_harm, plug_in),
        TEST_PLAIN(a_panic_takes_the_emergency_output_and_the_line),
    };

    console_register(&serial);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
