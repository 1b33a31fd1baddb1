/* SPDX-License-Identifier: MIT */
/* Free page reporting, see balloon_report.h. */
#include "drivers/virtio/balloon_report.h"

#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/dma.h"
#include "lib/base/errno.h"

#define REST_NS      (500 * NSEC_PER_MSEC)
#define REPORT_PAGES (256 * MIB / PAGE_SIZE) /* out of use at a time, at most */

static bool taken; /* a device reports */

/* The smallest blocks to report, by `reporting=`. -ENOENT: none. */
static int wanted_order(void)
{
    static const char *const names[] = { "2M", "4M", "8M", "16M", "32M", "off" };
    int choice = cmdline_choice("reporting", names, ARRAY_SIZE(names));

    if (choice == ARRAY_SIZE(names) - 1)
        return -ENOENT;
    return PAGE_ORDER_2M + MAX(choice, 0);
}

static void rest_is_over(struct timer *timer)
{
    struct balloon_report *report = CONTAINER_OF(timer, struct balloon_report, rest);

    report->rested = true;
    event_signal(report->event);
}

bool balloon_report_wanted(void)
{
    return !taken && wanted_order() >= 0;
}

int balloon_report_init(struct balloon_report *report, struct virtio_device *device, uint16_t index,
                        struct event *event)
{
    int error = virtio_queue_setup(device, &report->queue, index, REPORT_BLOCKS, 0, event);

    if (error)
        return error;
    virtio_queue_ignore_lengths(&report->queue);
    report->event = event;
    timer_init(&report->rest, rest_is_over);
    taken = true;
    page_report_to(event, (unsigned)wanted_order());
    return 0;
}

static void rest(struct balloon_report *report)
{
    report->resting = true;
    report->rested = false;
    timer_start(&report->rest, clock_monotonic_ns() + REST_NS);
}

void balloon_report_begin(struct balloon_report *report)
{
    rest(report);
}

static void take_back(struct balloon_report *report, bool reported)
{
    for (unsigned i = 0; i < report->n; i++) {
        page_put_rested(&report->blocks[i], reported);
        report->reported += reported ? UINT64_C(1) << report->blocks[i].order : 0;
    }
    report->n = 0;
}

/* What rested goes to the device. false: nothing did. */
static bool send(struct balloon_report *report)
{
    struct virtq *ring = &report->queue.ring;
    struct virtq_elem elems[REPORT_BLOCKS];
    const struct virtq_buffer buffer = { .elem = elems, .cookie = report };
    struct virtq_buffer filled = buffer;

    report->n = page_take_rested(report->blocks, MIN(ring->size, REPORT_BLOCKS), REPORT_PAGES);
    if (!report->n)
        return false;
    for (unsigned i = 0; i < report->n; i++) {
        const struct page_block *block = &report->blocks[i];

        page_poison(block->start, block->order);
        elems[i].addr = dma_address((const void *)(uintptr_t)block->start);
        elems[i].len = (uint32_t)PAGE_BYTES(block->order);
    }
    filled.n_writable = (uint16_t)report->n;
    report->since_ns = clock_monotonic_ns();
    virtq_add(ring, &filled, 1);
    if (virtq_publish(ring))
        virtq_notify(ring);
    return true;
}

int balloon_report_work(struct balloon_report *report, bool is_short)
{
    struct virtq_done done;
    int n = virtq_get(&report->queue.ring, &done, 1);

    if (n < 0)
        return n;
    if (n)
        take_back(report, true);
    if (report->n || is_short)
        return 0;
    if (report->resting ? !report->rested : !page_freed_since_rest())
        return 0;
    if (send(report))
        return 0;
    report->resting = false;
    if (page_let_rest())
        rest(report);
    return 0;
}

uint64_t balloon_report_pages(const struct balloon_report *report)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < report->n; i++)
        pages += UINT64_C(1) << report->blocks[i].order;
    return pages;
}

void balloon_report_cut_off(struct balloon_report *report)
{
    take_back(report, false);
}

void balloon_report_end(struct balloon_report *report)
{
    if (!report->event) /* it never began */
        return;
    report->event = NULL;
    timer_cancel(&report->rest);
    page_report_to(NULL, 0);
    taken = false;
}
