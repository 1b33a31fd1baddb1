/* SPDX-License-Identifier: MIT */
/*
 * Devices that come and go while the system runs: the slots of PCI Express
 * ports (PCI Express Base 4.0, §6.7, §7.5.3.9 to §7.5.3.11).
 *
 * A pressed attention button announces a change: the power indicator blinks for
 * five seconds, in which a second press takes it back (§6.7.1.5). Then a slot
 * that is on lets its device go and is turned off; one that is off is turned on.
 * A card that comes into an empty slot is used at once; one that is gone without
 * a word is let go without being asked anything.
 *
 * Registers of a slot say whatever they like, as often as they like: each event
 * moves a slot from one state to the next, and a slot that never rests is looked
 * at no more often than LOOK_NS, turned on no more than CARDS_MAX times a minute,
 * and told of in no more than LINES_MAX lines.
 *
 * Concurrency: one kernel thread for all slots; interrupt handlers only wake it.
 */
#include "drivers/pci/pci.h"
#include "kernel/alloc.h"
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/event.h"
#include "kernel/log.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"

#define CANCEL_NS  (5 * NSEC_PER_SEC)    /* §6.7.1.5 */
#define COMMAND_NS NSEC_PER_SEC          /* §6.7.3.2: a command completes within it */
#define LINK_NS    NSEC_PER_SEC          /* §6.7.3.3: the link is up within it */
#define SETTLE_NS  (100 * NSEC_PER_MSEC) /* §6.6.1: from the link on, before a first access */
#define OFF_NS     NSEC_PER_SEC          /* §6.7.1.8: from power off on */
#define LOOK_NS    (10 * NSEC_PER_MSEC)  /* from one look to the next, where there is a wait */
#define ROUND_NS   (250 * NSEC_PER_MSEC) /* the same of slots that cannot interrupt */
#define MINUTE_NS  (60 * NSEC_PER_SEC)
#define CARDS_MAX  20  /* a minute; a button allows twelve */
#define LINES_MAX  100 /* a minute */
#define EVENTS_MAX 8   /* taken from a slot before others have their turn */

enum slot_state { SLOT_OFF, SLOT_ON, SLOT_GOING_ON, SLOT_GOING_OFF };

struct slot {
    struct list link;
    struct pci_device *port;
    unsigned capability; /* PCI Express */
    uint32_t able;       /* slot capabilities */
    bool tells_link;
    uint16_t control; /* as last written */
    enum slot_state state;
    uint64_t act_ns;           /* the end of the five seconds, in the two going states */
    uint64_t off_ns;           /* not turned on again before */
    int vector;                /* 0: looked at by the clock */
    bool faulty;               /* had a power fault; until the card changes */
    bool mute;                 /* did not complete a command, which is told once */
    bool held;                 /* left off until the minute ends */
    unsigned n_cards, n_lines; /* since the minute began */
    uint64_t minute_ns;        /* its end */
};

static struct list slots = LIST_INIT(slots);
static struct event slots_event = EVENT_INIT(slots_event);

/* ---- registers */

static void look_at_the_minute(struct slot *slot)
{
    if (clock_monotonic_ns() < slot->minute_ns)
        return;
    slot->minute_ns = clock_monotonic_ns() + MINUTE_NS;
    slot->n_cards = slot->n_lines = 0;
}

static void say(struct slot *slot, const char *what)
{
    char text[PCI_ADDRESS_TEXT];

    look_at_the_minute(slot);
    if (slot->n_lines++ >= LINES_MAX)
        return;
    if (slot->n_lines == LINES_MAX)
        what = "changes too often: no more is told for a minute";
    log_info("pci %s: slot %u: %s", pci_address_text(slot->port->at, text),
             PCI_SLOT_NUMBER(slot->able), what);
}

static uint16_t slot_status(struct slot *slot)
{
    return pci_read16(slot->port, slot->capability + PCI_EXPRESS_SLOT_STATUS);
}

static void take_events(struct slot *slot, uint16_t events)
{
    pci_write16(slot->port, slot->capability + PCI_EXPRESS_SLOT_STATUS, events);
}

static void rest(uint64_t ns)
{
    thread_sleep_until(clock_monotonic_ns() + ns);
}

/* One that is mute may come late, or never: it is not waited for again. */
static void wait_for_completion(struct slot *slot)
{
    uint64_t end_ns = clock_monotonic_ns() + COMMAND_NS;

    if (slot->able & PCI_SLOT_CAP_SILENT || slot->mute)
        return;
    while (!(slot_status(slot) & PCI_SLOT_COMPLETED)) {
        if (clock_monotonic_ns() >= end_ns) {
            slot->mute = true;
            say(slot, "does not complete commands");
            return;
        }
        rest(LOOK_NS);
    }
    take_events(slot, PCI_SLOT_COMPLETED);
}

/* A write to the register is a command, whatever it changes (§6.7.3.2). */
static void command(struct slot *slot, uint16_t set, uint16_t clear)
{
    uint16_t control = (uint16_t)((slot->control & ~clear) | set);

    if (control == slot->control)
        return;
    slot->control = control;
    take_events(slot, PCI_SLOT_COMPLETED); /* of another command */
    pci_write16(slot->port, slot->capability + PCI_EXPRESS_SLOT_CTRL, control);
    wait_for_completion(slot);
}

static bool link_is_active(struct slot *slot)
{
    uint16_t link = pci_read16(slot->port, slot->capability + PCI_EXPRESS_LINK_STATUS);

    return link != UINT16_MAX && link & PCI_LINK_STATUS_ACTIVE;
}

/* A port that is itself gone reads as ones, and has no card. */
static bool is_present(struct slot *slot)
{
    uint16_t status = slot_status(slot);

    return status != UINT16_MAX && status & PCI_SLOT_PRESENT;
}

/* ---- a card comes */

static bool link_comes(struct slot *slot)
{
    uint64_t end_ns = clock_monotonic_ns() + LINK_NS;

    while (slot->tells_link && !link_is_active(slot)) {
        if (clock_monotonic_ns() >= end_ns || !is_present(slot))
            return false;
        rest(LOOK_NS);
    }
    rest(slot->tells_link ? SETTLE_NS : LINK_NS);
    return is_present(slot);
}

/* Where power is in our hand. */
static bool is_turned_on(const struct slot *slot)
{
    return slot->able & PCI_SLOT_CAP_POWER && !(slot->control & PCI_SLOT_POWER_OFF);
}

static bool is_turned_off(const struct slot *slot)
{
    return slot->able & PCI_SLOT_CAP_POWER && slot->control & PCI_SLOT_POWER_OFF;
}

static void power_off(struct slot *slot)
{
    slot->state = SLOT_OFF;
    if (is_turned_on(slot))
        slot->off_ns = clock_monotonic_ns() + OFF_NS;
    command(slot, PCI_SLOT_LAMP_OFF | (slot->able & PCI_SLOT_CAP_POWER ? PCI_SLOT_POWER_OFF : 0),
            PCI_SLOT_LAMP);
    /* That it went, and what turning off has raised, is known; a card that comes from now on is
     * not. */
    take_events(slot, PCI_SLOT_PRESENCE | PCI_SLOT_LINK);
}

/* A slot that comes and goes without end would keep drivers, and the log, busy for ever. */
static bool is_too_often(struct slot *slot)
{
    look_at_the_minute(slot);
    if (slot->n_cards++ < CARDS_MAX)
        return false;
    if (!slot->held)
        say(slot, "comes and goes too often: left off for a minute");
    slot->held = true;
    return true;
}

static void power_on(struct slot *slot)
{
    int n;

    if (is_too_often(slot)) {
        power_off(slot);
        return;
    }
    if (clock_monotonic_ns() < slot->off_ns)
        thread_sleep_until(slot->off_ns);
    command(slot, PCI_SLOT_LAMP_BLINKS, PCI_SLOT_LAMP | PCI_SLOT_POWER_OFF);
    if (!link_comes(slot)) {
        say(slot, "no link to its card");
        command(slot, PCI_SLOT_ATTENTION_ON, PCI_SLOT_ATTENTION);
        power_off(slot);
        return;
    }
    /* That the card is here now is what these events have told. */
    take_events(slot, PCI_SLOT_PRESENCE | PCI_SLOT_LINK);
    slot->state = SLOT_ON;
    command(slot, PCI_SLOT_LAMP_ON | PCI_SLOT_ATTENTION_NO, PCI_SLOT_LAMP);
    say(slot, "a card has come");
    n = pci_scan_behind(slot->port);
    if (n < 0)
        say(slot, "its card cannot be used");
}

/* ---- a card goes */

static void let_go(struct slot *slot, bool gone)
{
    say(slot, gone ? "the card is gone" : "the card goes");
    pci_forget_behind(slot->port, gone);
    power_off(slot);
}

/* ---- events */

static void start_blinking(struct slot *slot, enum slot_state next)
{
    say(slot, next == SLOT_GOING_OFF ? "button pressed: off in five seconds, unless pressed again"
                                     : "button pressed: on in five seconds, unless pressed again");
    slot->state = next;
    slot->act_ns = clock_monotonic_ns() + CANCEL_NS;
    command(slot, PCI_SLOT_LAMP_BLINKS, PCI_SLOT_LAMP);
}

static void button(struct slot *slot)
{
    switch (slot->state) {
    case SLOT_ON:
        start_blinking(slot, SLOT_GOING_OFF);
        break;
    case SLOT_OFF:
        slot->faulty = false;
        if (is_present(slot))
            start_blinking(slot, SLOT_GOING_ON);
        break;
    case SLOT_GOING_ON:
    case SLOT_GOING_OFF:
        say(slot, "button pressed again: it stays as it is");
        slot->state = slot->state == SLOT_GOING_OFF ? SLOT_ON : SLOT_OFF;
        command(slot, slot->state == SLOT_ON ? PCI_SLOT_LAMP_ON : PCI_SLOT_LAMP_OFF, PCI_SLOT_LAMP);
        break;
    }
}

/* Whatever is there now is another card, or the same one without its state. */
static void changed(struct slot *slot)
{
    slot->faulty = false;
    if (slot->state == SLOT_ON || slot->state == SLOT_GOING_OFF)
        let_go(slot, true);
    slot->state = SLOT_OFF;
    if (is_present(slot))
        power_on(slot);
}

static void fault(struct slot *slot)
{
    say(slot, "power fault");
    slot->faulty = true;
    if (slot->state == SLOT_ON || slot->state == SLOT_GOING_OFF)
        let_go(slot, true);
    else
        power_off(slot);
    command(slot, PCI_SLOT_ATTENTION_ON, PCI_SLOT_ATTENTION);
}

/* true: there was something. A change of presence counts more than the button that came with it. */
static bool handle(struct slot *slot)
{
    uint16_t status = slot_status(slot);
    uint16_t events = status & (PCI_SLOT_PRESSED | PCI_SLOT_FAULT | PCI_SLOT_PRESENCE |
                                (slot->tells_link ? PCI_SLOT_LINK : 0));

    if (status == UINT16_MAX) { /* the port is gone, and all behind it */
        if (slot->state != SLOT_OFF)
            let_go(slot, true);
        return false;
    }
    if (!events)
        return false;
    take_events(slot, events);
    if (is_turned_off(slot))
        events &= (uint16_t)~PCI_SLOT_LINK; /* which went with the power, sooner or later */
    if (events & PCI_SLOT_FAULT && !slot->faulty)
        fault(slot);
    else if (events & (PCI_SLOT_PRESENCE | PCI_SLOT_LINK))
        changed(slot);
    else if (events & PCI_SLOT_PRESSED)
        button(slot);
    return true;
}

static void end_hold(struct slot *slot)
{
    slot->held = false;
    if (slot->state == SLOT_OFF && is_present(slot))
        power_on(slot);
}

static void act_if_due(struct slot *slot)
{
    if (slot->held && clock_monotonic_ns() >= slot->minute_ns)
        end_hold(slot);
    if ((slot->state != SLOT_GOING_ON && slot->state != SLOT_GOING_OFF) ||
        clock_monotonic_ns() < slot->act_ns)
        return;
    if (slot->state == SLOT_GOING_OFF)
        let_go(slot, false);
    else if (is_present(slot))
        power_on(slot);
    else
        power_off(slot);
}

/* When the slot wants to be looked at next, interrupts aside. */
static uint64_t serve(struct slot *slot)
{
    unsigned n = 0;

    while (n < EVENTS_MAX && handle(slot))
        n++;
    act_if_due(slot);
    if (n == EVENTS_MAX)
        return clock_monotonic_ns() + LOOK_NS;
    if (!slot->vector)
        return clock_monotonic_ns() + ROUND_NS;
    if (slot->state == SLOT_GOING_ON || slot->state == SLOT_GOING_OFF)
        return slot->act_ns;
    return slot->held ? slot->minute_ns : CLOCK_NEVER;
}

static void run(void *unused)
{
    (void)unused;
    for (;;) {
        uint64_t next_ns = CLOCK_NEVER;
        struct list *link;

        LIST_FOR_EACH (link, &slots)
            next_ns = MIN(next_ns, serve(CONTAINER_OF(link, struct slot, link)));
        /* What came meanwhile has marked the event; a slot without end waits its while. */
        if (next_ns <= clock_monotonic_ns())
            next_ns = clock_monotonic_ns() + LOOK_NS;
        event_wait(&slots_event, next_ns);
    }
}

/* ---- start */

static void interrupt(void *unused)
{
    (void)unused;
    event_signal(&slots_event);
}

static void start_interrupt(struct slot *slot)
{
    int vector = irq_mode == IRQ_MODE_POLL ? -ENODEV : irq_alloc(interrupt, NULL, "hotplug");
    int error;

    if (vector < 0)
        return;
    error = pci_msi_start(slot->port, irq_message(vector));
    if (error == -ENODEV && pci_msix_start(slot->port) > 0) {
        pci_msix_set(slot->port, 0, irq_message(vector));
        pci_command(slot->port, PCI_COMMAND_MASTER, 0);
        error = 0;
    }
    if (error)
        irq_free(vector);
    else
        slot->vector = vector;
}

/* 0: the port has a slot that can be changed while the system runs; -ENODEV; -ENOMEM. */
static int add_slot(struct pci_device *port)
{
    unsigned express = pci_capability(port, PCI_CAP_EXPRESS, 0);
    uint16_t flags;
    uint32_t able;
    struct slot *slot;

    if (!express || express + PCI_EXPRESS_SLOT_STATUS + 2 > PCI_SPACE)
        return -ENODEV;
    flags = pci_read16(port, express + PCI_EXPRESS_FLAGS);
    if (!(flags & PCI_EXPRESS_SLOT) || (PCI_EXPRESS_PORT(flags) != PCI_EXPRESS_ROOT_PORT &&
                                        PCI_EXPRESS_PORT(flags) != PCI_EXPRESS_DOWNSTREAM))
        return -ENODEV;
    able = pci_read32(port, express + PCI_EXPRESS_SLOT_CAP);
    if (!(able & PCI_SLOT_CAP_HOTPLUG))
        return -ENODEV;
    slot = kalloc(sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    slot->port = port;
    slot->capability = express;
    slot->able = able;
    slot->tells_link = pci_read32(port, express + PCI_EXPRESS_LINK_CAP) & PCI_LINK_CAP_REPORTS;
    list_append(&slots, &slot->link);
    return 0;
}

/* What firmware has left: a card that is here and on was found by the scan of the bus. */
static void start_slot(struct slot *slot)
{
    bool on;

    slot->control = pci_read16(slot->port, slot->capability + PCI_EXPRESS_SLOT_CTRL);
    on = !(slot->able & PCI_SLOT_CAP_POWER) || !(slot->control & PCI_SLOT_POWER_OFF);
    take_events(slot, PCI_SLOT_EVENTS);
    start_interrupt(slot);
    slot->state = is_present(slot) && on ? SLOT_ON : SLOT_OFF;
    command(slot,
            (uint16_t)(PCI_SLOT_PRESENCE_ON | PCI_SLOT_FAULT_ON |
                       (slot->able & PCI_SLOT_CAP_BUTTON ? PCI_SLOT_BUTTON_ON : 0) |
                       (slot->tells_link ? PCI_SLOT_LINK_ON : 0) |
                       (slot->vector ? PCI_SLOT_INTERRUPT_ON : 0)),
            PCI_SLOT_INTERRUPT_ON);
    if (slot->state == SLOT_OFF && is_present(slot))
        power_on(slot);
}

/* The thread's first work: turning slots on waits, and the boot does not. */
static void start_slots(void *unused)
{
    struct list *link;

    LIST_FOR_EACH (link, &slots)
        start_slot(CONTAINER_OF(link, struct slot, link));
    run(unused);
}

static int start(void)
{
    for (struct pci_device *device = pci_next(NULL); device; device = pci_next(device))
        if (device->header == PCI_HEADER_BRIDGE && add_slot(device) == -ENOMEM)
            return -ENOMEM;
    if (list_empty(&slots))
        return 0;
    return thread_create("hotplug", start_slots, NULL) ? 0 : -ENOMEM;
}

DRIVER(pci_hotplug) = { "hotplug", DRIVER_CLASS, start };
