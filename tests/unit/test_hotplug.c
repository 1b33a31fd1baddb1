/* SPDX-License-Identifier: MIT */
/*
 * Slots of PCI Express ports against one that a test holds in its hand: it
 * presses buttons, pulls cards, fails power and completes commands or does not.
 * The thread runs until the test's script has nothing more to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci/pci.h"
#include "kernel/clock.h"
#include "kernel/event.h"
#include "kernel/thread.h"
#include "lib/base/errno.h"
#include "tests/host/alloc.h"
#include "tests/host/log.h"

#define EXPRESS  0x40
#define STATUS   (EXPRESS + PCI_EXPRESS_SLOT_STATUS)
#define CONTROL  (EXPRESS + PCI_EXPRESS_SLOT_CTRL)
#define ROUNDS   2000
#define ALL_ONES 0xffff

extern const struct driver __start_drivers[], __stop_drivers[];

/* ---- the slot */

static struct {
    uint16_t status, control;
    bool completes, link, gone;
    bool restless; /* something has changed at each look */
    unsigned commands, power_ups;
} slot;

static struct pci_device port = { .header = PCI_HEADER_BRIDGE };
static struct pci_device *listed; /* what is found behind the port */
static unsigned scans, forgotten, forgotten_gone;
static void (*script)(unsigned round); /* while the thread waits */
static void (*while_letting_go)(void);
static uint64_t now_ns;
static unsigned rounds;
static jmp_buf end_of_script;
static void (*thread)(void *);

enum irq_mode irq_mode = IRQ_MODE_POLL;

struct pci_device *pci_next(const struct pci_device *device)
{
    return device ? NULL : &port;
}

unsigned pci_capability(struct pci_device *device, uint8_t id, unsigned after)
{
    (void)device;
    return id == PCI_CAP_EXPRESS && !after ? EXPRESS : 0;
}

/* Whatever comes; the same in each run. */
static uint16_t restless_status(void)
{
    static uint32_t looks;
    uint32_t any = ++looks * 2654435761u >> 24;

    return (uint16_t)((any & 1 ? PCI_SLOT_PRESENT : 0) | (any & 2 ? PCI_SLOT_PRESENCE : 0) |
                      PCI_SLOT_PRESSED | PCI_SLOT_COMPLETED);
}

uint16_t pci_read16(struct pci_device *device, unsigned offset)
{
    (void)device;
    if (slot.gone)
        return ALL_ONES;
    switch (offset) {
    case EXPRESS + PCI_EXPRESS_FLAGS:
        return PCI_EXPRESS_SLOT | PCI_EXPRESS_ROOT_PORT << 4;
    case STATUS:
        if (slot.restless)
            slot.status = restless_status();
        return slot.status;
    case CONTROL:
        return slot.control;
    case EXPRESS + PCI_EXPRESS_LINK_STATUS:
        return slot.link ? PCI_LINK_STATUS_ACTIVE : 0;
    default:
        return 0;
    }
}

uint32_t pci_read32(struct pci_device *device, unsigned offset)
{
    (void)device;
    if (offset == EXPRESS + PCI_EXPRESS_LINK_CAP)
        return PCI_LINK_CAP_REPORTS;
    return offset == EXPRESS + PCI_EXPRESS_SLOT_CAP
               ? PCI_SLOT_CAP_BUTTON | PCI_SLOT_CAP_POWER | PCI_SLOT_CAP_HOTPLUG | 7u << 19
               : 0;
}

void pci_write16(struct pci_device *device, unsigned offset, uint16_t value)
{
    (void)device;
    if (offset == STATUS)
        slot.status &= (uint16_t) ~(value & PCI_SLOT_EVENTS);
    if (offset != CONTROL)
        return;
    slot.power_ups += slot.control & PCI_SLOT_POWER_OFF && !(value & PCI_SLOT_POWER_OFF);
    slot.control = value;
    slot.commands++;
    if (slot.completes)
        slot.status |= PCI_SLOT_COMPLETED;
}

int pci_scan_behind(struct pci_device *bridge)
{
    assert_null(listed);
    listed = bridge;
    scans++;
    return 2;
}

void pci_forget_behind(struct pci_device *bridge, bool gone)
{
    (void)bridge;
    if (while_letting_go)
        while_letting_go();
    listed = NULL;
    forgotten++;
    forgotten_gone += gone;
}

/* The port's messages; without any the clock looks after the slot. */
static struct {
    int msi, msix; /* what starting them answers */
    irq_handler handler;
    bool freed, master;
    uint32_t told; /* the message that the port was given */
} messages;

static bool signalled; /* the thread is to wake */

int pci_msi_start(struct pci_device *device, struct irq_message message)
{
    (void)device;
    if (messages.msi == 0)
        messages.told = message.data;
    return messages.msi;
}

int pci_msix_start(struct pci_device *device)
{
    (void)device;
    return messages.msix;
}

void pci_msix_set(struct pci_device *device, unsigned entry, struct irq_message message)
{
    (void)device;
    assert_int_equal(entry, 0);
    messages.told = message.data;
}

void pci_command(struct pci_device *device, uint16_t set, uint16_t clear)
{
    (void)device;
    (void)clear;
    messages.master |= set & PCI_COMMAND_MASTER;
}

const char *pci_address_text(struct pci_address at, char text[PCI_ADDRESS_TEXT])
{
    (void)at;
    text[0] = '\0';
    return text;
}

int irq_alloc(irq_handler handler, void *argument, const char *name)
{
    (void)argument;
    (void)name;
    messages.handler = handler;
    return 77;
}

void irq_free(int vector)
{
    assert_int_equal(vector, 77);
    messages.freed = true;
}

struct irq_message irq_message(int vector)
{
    return (struct irq_message){ 0xfee00000, (uint32_t)vector };
}

/* ---- the kernel */

uint64_t clock_monotonic_ns(void)
{
    return now_ns;
}

void thread_sleep_until(uint64_t deadline_ns)
{
    assert_true(deadline_ns > now_ns);
    now_ns = deadline_ns;
}

void event_signal(struct event *event)
{
    (void)event;
    signalled = true;
}

/* As the port does where something has changed and its interrupt is on. */
static void interrupt_if_wanted(void)
{
    if (messages.told && slot.control & PCI_SLOT_INTERRUPT_ON &&
        slot.status & (PCI_SLOT_EVENTS & ~PCI_SLOT_COMPLETED))
        messages.handler(NULL);
}

int event_wait(struct event *event, uint64_t deadline_ns)
{
    (void)event;
    assert_true(deadline_ns > now_ns); /* else it would never rest */
    assert_true(deadline_ns != CLOCK_NEVER || messages.told);
    signalled = false;
    while (!signalled && now_ns < deadline_ns) {
        if (rounds == ROUNDS)
            longjmp(end_of_script, 1);
        now_ns = messages.told ? MIN(deadline_ns, now_ns + NSEC_PER_SEC / 4) : deadline_ns;
        script(rounds++);
        interrupt_if_wanted();
    }
    return signalled ? 0 : -ETIMEDOUT;
}

struct thread *thread_create(const char *name, void (*entry)(void *argument), void *argument)
{
    (void)name;
    (void)argument;
    thread = entry;
    return (struct thread *)&thread;
}

/* ---- tests */

static void run(void (*what)(unsigned round))
{
    script = what;
    rounds = 0;
    if (!setjmp(end_of_script))
        thread(NULL);
}

static int begin(void **state)
{
    (void)state;
    memset(&slot, 0, sizeof(slot));
    slot.control = PCI_SLOT_POWER_OFF | PCI_SLOT_LAMP_OFF;
    slot.completes = slot.link = true;
    messages.told = 0;
    host_log_clear();
    listed = NULL;
    scans = forgotten = forgotten_gone = 0;
    while_letting_go = NULL;
    return 0;
}

static void insert(void)
{
    slot.status |= PCI_SLOT_PRESENT | PCI_SLOT_PRESENCE | PCI_SLOT_LINK;
}

static void pull(void)
{
    slot.status = (uint16_t)((slot.status & ~PCI_SLOT_PRESENT) | PCI_SLOT_PRESENCE);
}

static void press(void)
{
    slot.status |= PCI_SLOT_PRESSED;
}

static void insert_at_1(unsigned round)
{
    if (round == 1)
        insert();
}

static void a_card_that_comes_is_powered_and_found(void **state)
{
    (void)state;
    run(insert_at_1);
    assert_int_equal(scans, 1);
    assert_int_equal(slot.power_ups, 1);
    assert_int_equal(slot.control & PCI_SLOT_LAMP, PCI_SLOT_LAMP_ON);
    assert_int_equal(forgotten, 0);
}

static uint64_t pressed_ns;

static void press_at_100(unsigned round)
{
    insert_at_1(round);
    if (round != 100)
        return;
    press();
    pressed_ns = now_ns;
}

static void note_five_seconds(void)
{
    assert_true(now_ns >= pressed_ns + 5 * NSEC_PER_SEC);
    assert_int_equal(slot.control & PCI_SLOT_LAMP, PCI_SLOT_LAMP_BLINKS);
}

static void a_pressed_button_lets_go_after_five_seconds_and_turns_off(void **state)
{
    (void)state;
    while_letting_go = note_five_seconds;
    run(press_at_100);
    assert_int_equal(forgotten, 1);
    assert_int_equal(forgotten_gone, 0);
    assert_true(slot.control & PCI_SLOT_POWER_OFF);
    assert_int_equal(slot.control & PCI_SLOT_LAMP, PCI_SLOT_LAMP_OFF);
    assert_int_equal(scans, 1); /* the card that is still there stays off */
}

static void press_twice(unsigned round)
{
    insert_at_1(round);
    if (round == 100 || round == 105)
        press();
}

static void a_second_press_takes_the_first_one_back(void **state)
{
    (void)state;
    run(press_twice);
    assert_int_equal(forgotten, 0);
    assert_int_equal(slot.control & PCI_SLOT_LAMP, PCI_SLOT_LAMP_ON);
}

static void press_always(unsigned round)
{
    insert_at_1(round);
    if (round > 10)
        press();
}

static void a_storm_of_presses_ends_as_on_or_off_and_lets_the_thread_rest(void **state)
{
    (void)state;
    run(press_always);
    assert_int_equal(scans, forgotten + (listed != NULL));
}

static void flap(unsigned round)
{
    if (round % 2)
        insert();
    else
        pull();
}

static void presence_that_flaps_finds_and_forgets_in_turn(void **state)
{
    (void)state;
    run(flap);
    assert_true(scans > 20);
    assert_int_equal(scans, forgotten + (listed != NULL));
    assert_int_equal(forgotten, forgotten_gone);
}

static unsigned lines(void)
{
    unsigned n = 0;

    for (const char *at = host_log_text(); (at = strchr(at, '\n')) != NULL; at++)
        n++;
    return n;
}

/* Another state at each look. */
static void flap_without_end(unsigned round)
{
    (void)round;
    if (slot.status & PCI_SLOT_PRESENT)
        pull();
    else
        insert();
    slot.status |= PCI_SLOT_PRESSED;
}

static void a_slot_that_flaps_without_end_is_left_off_and_fills_no_log(void **state)
{
    uint64_t minutes;

    (void)state;
    now_ns += 120 * NSEC_PER_SEC; /* a minute of its own */
    minutes = now_ns;
    run(flap_without_end);
    minutes = (now_ns - minutes) / (60 * NSEC_PER_SEC) + 1;
    assert_true(minutes > 2);
    assert_true(scans >= 20 && scans <= 20 * minutes);
    assert_int_equal(scans, forgotten + (listed != NULL));
    assert_true(lines() <= 100 * minutes);
    assert_non_null(strstr(host_log_text(), "comes and goes too often: left off for a minute"));
}

static void flap_and_stay(unsigned round)
{
    if (round < 60)
        flap_without_end(round);
    else if (round == 60)
        insert();
}

static void a_slot_that_has_flapped_is_used_again_when_it_rests(void **state)
{
    (void)state;
    now_ns += 120 * NSEC_PER_SEC;
    run(flap_and_stay);
    assert_non_null(listed);
    assert_int_equal(slot.control & PCI_SLOT_LAMP, PCI_SLOT_LAMP_ON);
}

static void no_event_however_frequent_fills_the_log(void **state)
{
    uint64_t from_ns;

    (void)state;
    now_ns += 120 * NSEC_PER_SEC;
    from_ns = now_ns;
    slot.restless = true;
    run(insert_at_1);
    assert_in_range(lines(), 100, 100 * ((now_ns - from_ns) / (60 * NSEC_PER_SEC) + 1));
    assert_non_null(strstr(host_log_text(), "changes too often: no more is told for a minute"));
    assert_int_equal(scans, forgotten + (listed != NULL));
}

/* ---- by message: these come last, as a slot keeps its vector */

static void with_messages(int msi, int msix)
{
    irq_mode = IRQ_MODE_MSIX;
    messages.msi = msi;
    messages.msix = msix;
    messages.freed = messages.master = false;
}

static void a_slot_without_messages_is_looked_at_by_the_clock(void **state)
{
    (void)state;
    with_messages(-EIO, 4);
    run(insert_at_1);
    assert_int_equal(scans, 1);
    assert_true(messages.freed);
    assert_int_equal(messages.told, 0);
    assert_false(slot.control & PCI_SLOT_INTERRUPT_ON);
}

static void a_slot_interrupts_by_msix_where_it_has_no_msi(void **state)
{
    (void)state;
    with_messages(-ENODEV, 1);
    run(press_at_100);
    assert_int_equal(messages.told, 77);
    assert_true(messages.master);
    assert_true(slot.control & PCI_SLOT_INTERRUPT_ON);
    assert_int_equal(scans, 1);
    assert_int_equal(forgotten, 1);
}

/* Nothing but the interrupt wakes the thread, and the end of the five seconds. */
static void a_slot_interrupts_by_msi(void **state)
{
    (void)state;
    with_messages(0, -ENODEV);
    while_letting_go = note_five_seconds;
    run(press_at_100);
    assert_int_equal(messages.told, 77);
    assert_false(messages.freed);
    assert_int_equal(scans, 1);
    assert_int_equal(forgotten, 1);
}

static void a_slot_that_flaps_by_message_is_woken_again_after_a_minute(void **state)
{
    (void)state;
    now_ns += 120 * NSEC_PER_SEC;
    with_messages(0, -ENODEV);
    run(flap_and_stay);
    assert_non_null(listed);
    assert_true(slot.control & PCI_SLOT_INTERRUPT_ON);
}

static void pull_at_100(unsigned round)
{
    insert_at_1(round);
    if (round == 100)
        pull();
}

static void a_card_that_is_pulled_is_gone_and_nothing_is_asked_of_it(void **state)
{
    (void)state;
    run(pull_at_100);
    assert_int_equal(forgotten_gone, 1);
    assert_true(slot.control & PCI_SLOT_POWER_OFF);
}

static void a_command_that_never_completes_delays_once_and_does_no_harm(void **state)
{
    uint64_t before_ns = now_ns;

    (void)state;
    slot.completes = false;
    run(press_at_100);
    assert_int_equal(scans, 1);
    assert_int_equal(forgotten, 1);
    /* Each round is looked at after a quarter of a second; the waits are few beside them. */
    assert_true(now_ns - before_ns < (ROUNDS / 4 + 3) * NSEC_PER_SEC);
}

static void fault_at_100(unsigned round)
{
    insert_at_1(round);
    if (round >= 100)
        slot.status |= PCI_SLOT_FAULT;
}

static void a_power_fault_ends_the_card_and_is_not_tried_again(void **state)
{
    (void)state;
    run(fault_at_100);
    assert_int_equal(forgotten_gone, 1);
    assert_int_equal(slot.power_ups, 1);
    assert_true(slot.control & PCI_SLOT_POWER_OFF);
}

static void no_link(unsigned round)
{
    slot.link = false;
    insert_at_1(round);
}

static void a_card_without_a_link_is_turned_off_again(void **state)
{
    (void)state;
    run(no_link);
    assert_int_equal(scans, 0);
    assert_true(slot.control & PCI_SLOT_POWER_OFF);
}

static void port_leaves(unsigned round)
{
    insert_at_1(round);
    if (round == 100)
        slot.gone = true;
}

static void a_port_that_reads_as_ones_is_gone_with_all_behind_it(void **state)
{
    (void)state;
    run(port_leaves);
    assert_int_equal(forgotten_gone, 1);
    assert_int_equal(forgotten, 1);
}

static void insert_while_letting_go(void)
{
    while_letting_go = NULL;
    pull();
    insert();
}

static void a_card_that_comes_while_another_goes_is_found_after_it(void **state)
{
    (void)state;
    while_letting_go = insert_while_letting_go;
    run(pull_at_100);
    assert_int_equal(forgotten, 1);
    assert_int_equal(scans, 2);
    assert_non_null(listed);
}

/* The slot is made once; the thread begins anew with each test, as it would after a boot. */
static int find_slot(void **state)
{
    (void)state;
    slot.control = PCI_SLOT_POWER_OFF | PCI_SLOT_LAMP_OFF;
    assert_int_equal(__stop_drivers - __start_drivers, 1);
    return __start_drivers[0].start();
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_card_that_comes_is_powered_and_found),
        TEST(a_pressed_button_lets_go_after_five_seconds_and_turns_off),
        TEST(a_second_press_takes_the_first_one_back),
        TEST(a_storm_of_presses_ends_as_on_or_off_and_lets_the_thread_rest),
        TEST(presence_that_flaps_finds_and_forgets_in_turn),
        TEST(a_card_that_is_pulled_is_gone_and_nothing_is_asked_of_it),
        TEST(a_command_that_never_completes_delays_once_and_does_no_harm),
        TEST(a_power_fault_ends_the_card_and_is_not_tried_again),
        TEST(a_card_without_a_link_is_turned_off_again),
        TEST(a_port_that_reads_as_ones_is_gone_with_all_behind_it),
        TEST(a_card_that_comes_while_another_goes_is_found_after_it),
        TEST(a_slot_that_flaps_without_end_is_left_off_and_fills_no_log),
        TEST(a_slot_that_has_flapped_is_used_again_when_it_rests),
        TEST(no_event_however_frequent_fills_the_log),
        TEST(a_slot_without_messages_is_looked_at_by_the_clock),
        TEST(a_slot_interrupts_by_msix_where_it_has_no_msi),
        TEST(a_slot_interrupts_by_msi),
        TEST(a_slot_that_flaps_by_message_is_woken_again_after_a_minute),
    };

    return cmocka_run_group_tests(tests, find_slot, NULL);
}
