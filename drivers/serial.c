/* SPDX-License-Identifier: MIT */
/*
 * Output by polling, at the speed of the VMM: its UART takes a byte at once. The
 * wait for room is bounded, so that a dead line loses text and not the guest. Input by interrupt,
 * from the first read on.
 */
#include "drivers/serial.h"

#include "arch/x86_64/cpu.h"
#include "drivers/acpi/acpi.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "lib/base/io.h"

#define COM1             0x3f8
#define COM1_ISA_IRQ     4
#define UART_TX          (COM1 + 0)
#define UART_RX          (COM1 + 0)
#define UART_INTERRUPTS  (COM1 + 1)
#define UART_FIFO        (COM1 + 2)
#define UART_LINE        (COM1 + 3)
#define UART_MODEM       (COM1 + 4)
#define UART_LINE_STATUS (COM1 + 5)
#define UART_SCRATCH     (COM1 + 7)

#define LINE_8N1        0x03
#define FIFO_ENABLE     0x07
#define MODEM_DTR_RTS   0x03
#define STATUS_RX_READY 0x01
#define STATUS_TX_ROOM  0x20 /* the FIFO is empty */
#define STATUS_TX_IDLE  0x40 /* and the last byte has gone */
#define INTERRUPT_RX    0x01
#define FIFO_BYTES      16
#define PATIENCE_TICKS  (12ull << 30) /* of the TSC, whose rate may not be known: seconds */

static bool has(uint8_t status)
{
    return port_read8(UART_LINE_STATUS) & status;
}

/*
 * A reader on the host may be away for a while; one that never comes back is
 * waited for only once. Not by the clock: a panic may have come amid its change.
 */
static void wait_for(uint8_t status)
{
    static bool dead;
    uint64_t start;

    if (has(status)) {
        dead = false;
        return;
    }
    if (dead)
        return;
    start = tsc_read();
    while (!has(status) && !dead)
        dead = tsc_read() - start > PATIENCE_TICKS;
}

static void write_byte(char byte, unsigned *room)
{
    if (!*room) {
        wait_for(STATUS_TX_ROOM);
        *room = FIFO_BYTES;
    }
    port_write8(UART_TX, (uint8_t)byte);
    --*room;
}

static size_t serial_write(const char *bytes, size_t n)
{
    unsigned room = 0;

    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n')
            write_byte('\r', &room);
        write_byte(bytes[i], &room);
    }
    return n;
}

/* Off until somebody waits again: a line that is no edge would never let the CPU go. */
static void on_interrupt(void *argument)
{
    (void)argument;
    port_write8(UART_INTERRUPTS, 0);
    event_signal(&console_input);
}

/* Without an interrupt to be had, the line is looked at when the CPU idles. */
static void start_input(void)
{
    static bool started;
    struct acpi_irq pin = acpi_isa_irq(COM1_ISA_IRQ);
    int vector;

    if (started)
        return;
    started = true;
    vector = irq_mode == IRQ_MODE_POLL ? -1 : irq_alloc(on_interrupt, NULL, "ttyS0");
    if (vector < 0 || irq_route(pin.gsi, vector, pin.level_triggered, pin.active_low))
        event_poll(&console_input);
}

static size_t serial_read(char *to, size_t max)
{
    size_t n = 0;

    while (n < max && port_read8(UART_LINE_STATUS) & STATUS_RX_READY)
        to[n++] = (char)port_read8(UART_RX);
    return n;
}

static void serial_listen(void)
{
    start_input();
    port_write8(UART_INTERRUPTS, INTERRUPT_RX); /* comes at once for what came meanwhile */
}

static void serial_flush(void)
{
    wait_for(STATUS_TX_IDLE);
}

static struct console serial_console = {
    .name = "ttyS0",
    .write = serial_write,
    .read = serial_read,
    .listen = serial_listen,
    .flush = serial_flush,
};

void serial_start(void)
{
    port_write8(UART_SCRATCH, 0x5a);
    if (port_read8(UART_SCRATCH) != 0x5a)
        return;
    port_write8(UART_LINE, LINE_8N1);
    port_write8(UART_FIFO, FIFO_ENABLE);
    port_write8(UART_MODEM, MODEM_DTR_RTS);
    console_register(&serial_console);
}
