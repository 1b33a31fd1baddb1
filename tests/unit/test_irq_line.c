/* SPDX-License-Identifier: MIT */
/* Interrupt lines that several listen to: kernel/irq_line.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/irq_line.h"
#include "lib/base/errno.h"
#include "tests/host/irq.h"
#include "tests/host/log.h"

static struct device {
    struct irq_listener listener;
    unsigned pending, asked, lost;
} devices[3];

static bool handle(void *argument)
{
    struct device *device = argument;

    device->asked++;
    if (!device->pending)
        return false;
    device->pending--;
    return true;
}

static void lose(void *argument)
{
    ((struct device *)argument)->lost++;
}

static int set_up(void **state)
{
    (void)state;
    memset(devices, 0, sizeof(devices));
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        devices[i].listener = (struct irq_listener){
            .handler = handle, .lost = lose, .argument = &devices[i], .name = "test"
        };
    host_log_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        irq_line_detach(&devices[i].listener);
    assert_int_equal(host_irqs_free, HOST_IRQS);
    assert_int_equal(host_lines[20].vector, 0);
    return 0;
}

static int attach(unsigned device, bool level)
{
    struct irq_line line = { .gsi = 20, .level_triggered = level };

    return irq_line_attach(&line, &devices[device].listener);
}

static void all_who_listen_are_asked(void **state)
{
    (void)state;
    assert_int_equal(attach(0, true), 0);
    assert_int_equal(attach(1, true), 0);
    assert_int_equal(host_irqs_free, HOST_IRQS - 1);
    devices[0].pending = devices[1].pending = 1;
    assert_true(host_line_raise(20));
    assert_int_equal(devices[0].asked, 1);
    assert_int_equal(devices[1].asked, 1);
    irq_line_detach(&devices[0].listener);
    assert_true(host_line_raise(20));
    assert_int_equal(devices[0].asked, 1);
    assert_int_equal(devices[1].asked, 2);
}

static void an_edge_is_asked_about_until_nobody_claims_it(void **state)
{
    (void)state;
    assert_int_equal(attach(0, false), 0);
    assert_int_equal(attach(1, false), 0);
    devices[1].pending = 3; /* it raised the line again while it was up */
    assert_true(host_line_raise(20));
    assert_int_equal(devices[1].pending, 0);
    devices[0].pending = UINT32_MAX; /* a lie ends as well */
    assert_true(host_line_raise(20));
    assert_true(devices[0].asked < 1000);
}

static void a_line_that_nobody_claims_is_switched_off_and_told(void **state)
{
    unsigned n = 0;

    (void)state;
    assert_int_equal(attach(0, true), 0);
    assert_int_equal(attach(1, true), 0);
    for (unsigned i = 0; i < 200; i++)
        host_line_raise(20);
    devices[0].pending = 1;
    host_line_raise(20); /* one that is claimed counts them anew */
    assert_int_equal(devices[0].lost, 0);
    while (host_line_raise(20))
        n++;
    assert_int_equal(n, 256);
    assert_int_equal(devices[0].lost, 1);
    assert_int_equal(devices[1].lost, 1);
    assert_non_null(strstr(host_log_text(), "nobody claims"));

    irq_line_retry(&devices[0].listener);
    devices[1].pending = 1;
    assert_true(host_line_raise(20));
    assert_int_equal(devices[1].pending, 0);
}

static void a_line_comes_back_when_one_leaves(void **state)
{
    (void)state;
    assert_int_equal(attach(0, true), 0);
    assert_int_equal(attach(1, true), 0);
    while (host_line_raise(20))
        ;
    irq_line_detach(&devices[1].listener);
    assert_true(host_line_raise(20));
}

static void what_cannot_be_had_is_told(void **state)
{
    static const struct irq_line nowhere = { .gsi = HOST_LINES, .level_triggered = true };

    (void)state;
    assert_int_equal(irq_line_attach(&nowhere, &devices[0].listener), -ENODEV);
    assert_int_equal(irq_route(20, 40, false, false), 0); /* somebody's own */
    assert_int_equal(attach(0, true), -EBUSY);
    irq_unroute(20);
    assert_int_equal(attach(0, true), 0);
    assert_int_equal(attach(1, false), -EINVAL);
    host_irqs_free = 0;
    assert_int_equal(attach(1, true), 0); /* that one needs none of its own */
    irq_line_detach(&devices[0].listener);
    irq_line_detach(&devices[1].listener);
    host_irqs_free = 0;
    assert_int_equal(attach(2, true), -ENOSPC);
    host_irqs_free = HOST_IRQS;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(all_who_listen_are_asked),
        TEST(an_edge_is_asked_about_until_nobody_claims_it),
        TEST(a_line_that_nobody_claims_is_switched_off_and_told),
        TEST(a_line_comes_back_when_one_leaves),
        TEST(what_cannot_be_had_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
