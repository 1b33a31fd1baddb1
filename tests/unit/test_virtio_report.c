/* SPDX-License-Identifier: MIT */
/* What reports tell of virtio devices: one that works, one that was in trouble, one given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/ids.h"
#include "kernel/report.h"
#include "tests/host/fake_transport.h"

static struct fake_transport fake;
static struct virtio_queue queue;
static char buffer[16384];

static int probe(struct virtio_device *dev)
{
    int error = virtio_queue_setup(dev, &queue, 0, 8, 0, NULL);

    return error ? error : virtio_start(dev);
}

static const struct virtio_driver driver LINKER_SET(virtio_drivers) = {
    .name = "virtio-blk",
    .type = VIRTIO_ID_BLOCK,
    .probe = probe,
};

static const char *render(enum report_form form)
{
    struct text text;

    text_init(&text, buffer, sizeof(buffer));
    report_render(form, &text);
    assert_false(text.truncated);
    return buffer;
}

static void assert_told(enum report_form form, const char *what)
{
    if (!strstr(render(form), what))
        fail_msg("\"%s\" is not in:\n%s", what, buffer);
}

static void assert_not_told(enum report_form form, const char *what)
{
    if (strstr(render(form), what))
        fail_msg("\"%s\" is in:\n%s", what, buffer);
}

static int start(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_BLOCK);
    fake.queues[0].size_max = 8;
    return virtio_add(&fake.device);
}

static int stop(void **state)
{
    (void)state;
    virtio_remove(&fake.device);
    return 0;
}

static void a_device_that_never_was_in_trouble_has_no_recoveries(void **state)
{
    (void)state;
    assert_told(REPORT_TEXT, "\n      recoveries           0\n");
    assert_told(REPORT_METRICS, "aerostat_virtio_device_recoveries{device=\"virtio0\"} 0\n");
    assert_told(REPORT_JSON, "\"queue\":[{\"name\":\"0\",\"size\":8,\"in_flight\":0}]");
    assert_not_told(REPORT_JSON, "last_trouble");
    assert_not_told(REPORT_JSON, "failure");
}

static void the_last_trouble_and_how_many_there_were_are_told(void **state)
{
    (void)state;
    virtio_trouble(&fake.device, "the device used an id beyond the ring");
    virtio_trouble(&fake.device, "it asks for a reset");
    assert_told(REPORT_TEXT, "\n      recoveries           2\n"
                             "      last_trouble         it asks for a reset\n");
    assert_told(REPORT_JSON, "\"recoveries\":2,\"last_trouble\":\"it asks for a reset\"");
    assert_told(REPORT_METRICS, "aerostat_virtio_device_recoveries{device=\"virtio1\"} 2\n");
    assert_not_told(REPORT_JSON, "failure");
}

static void a_device_that_was_given_up_says_why(void **state)
{
    (void)state;
    virtio_trouble(&fake.device, "it asks for a reset");
    virtio_fail(&fake.device, "it was reset too often");
    assert_told(REPORT_TEXT, "\n      failure              it was reset too often\n");
    assert_told(REPORT_JSON, "\"failure\":\"it was reset too often\",");
    assert_told(REPORT_JSON, "\"last_trouble\":\"it asks for a reset\"");
    assert_not_told(REPORT_JSON, "\"ring\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_that_never_was_in_trouble_has_no_recoveries),
        TEST(the_last_trouble_and_how_many_there_were_are_told),
        TEST(a_device_that_was_given_up_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
