/* SPDX-License-Identifier: MIT */
/*
 * The balloon driver on the real page allocator, against a device that keeps
 * book of every page: it writes over what it is lent, as a host that drops
 * pages would, and looks that nobody touched it meanwhile.
 *
 * There is one thread: the balloon's runs when a test says go(), until the test's
 * condition holds while it waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/clock.h"
#include "kernel/footprint.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/pressure.h"
#include "kernel/timer.h"
#include "lib/base/errno.h"
#include "tests/host/clock.h"
#include "tests/host/cmdline.h"
#include "tests/host/dma.h"
#include "tests/host/driver_thread.h"
#include "tests/host/event.h"
#include "tests/host/fake_transport.h"
#include "tests/host/lies.h"
#include "tests/host/log.h"
#include "tests/host/memory.h"
#include "tests/host/proves.h"

#define MEMORY   (64 * MIB)
#define PAGES    (MEMORY / PAGE_SIZE)
#define INFLATE  0
#define DEFLATE  1
#define STATS    2
#define HINT     3 /* where both are offered */
#define REPORT   4
#define QUEUES   5
#define GARBAGE  0xdd
#define MAX_HELD 64

static struct fake_transport fake;
static unsigned char in_balloon[PAGES];
static bool unheard[PAGES]; /* taken or given back, which the driver may not have heard of */
static uint64_t n_in_balloon;
static struct page_stats before;

/* How the device behaves. */
static bool holds_inflates, holds_deflates; /* finishes no buffers of this kind */
static bool holds_hints, holds_reports;
static uint64_t n_reported; /* pages, in sum */
static uint64_t n_hinted;   /* pages, of the round */
static uint32_t commands[64];
static unsigned n_commands;
static const struct lie *told; /* a lie took a buffer that nobody looked at */
static bool keeps_quiet;       /* does what it is asked to, and does not tell */
static bool is_not_heard;      /* tells it beside a lie */
static bool answers_backwards;
static unsigned idle_rounds, n_writes_of_actual;
static void (*each_round)(void);

/* ---- the device */

static struct virtio_balloon_config *config(void)
{
    return (struct virtio_balloon_config *)fake.config;
}

static unsigned char *page_of(le32 pfn)
{
    uint64_t index = pfn - HOST_MEMORY / PAGE_SIZE;

    assert_in_range(index, 0, PAGES - 1);
    return (unsigned char *)((uint64_t)pfn * PAGE_SIZE);
}

/* true: it is done already, and may be asked for again because that may never have been heard. */
static bool is_repeated(le32 pfn, unsigned done)
{
    uint64_t index = pfn - HOST_MEMORY / PAGE_SIZE;
    bool was = unheard[index] && in_balloon[index] == done;

    unheard[index] = keeps_quiet || is_not_heard;
    return was;
}

static uint32_t told_length; /* as written, of buffers of which nothing can be written */

static void take_page(le32 pfn)
{
    unsigned char *page = page_of(pfn);

    if (is_repeated(pfn, 1)) {
        assert_int_equal(page[17], GARBAGE);
        return;
    }
    assert_int_equal(in_balloon[pfn - HOST_MEMORY / PAGE_SIZE]++, 0);
    memset(page, GARBAGE, PAGE_SIZE);
    n_in_balloon++;
}

static void give_page_back(le32 pfn)
{
    unsigned char *page = page_of(pfn);

    bool must_wait = virtio_has(&fake.device, VIRTIO_BALLOON_F_MUST_TELL_HOST);

    if (is_repeated(pfn, 0)) {
        assert_true(!must_wait || page[17] == GARBAGE); /* not used before the answer */
        return;
    }
    assert_int_equal(in_balloon[pfn - HOST_MEMORY / PAGE_SIZE]--, 1);
    n_in_balloon--;
    if (!must_wait)
        return;
    assert_int_equal(page[0], GARBAGE); /* nobody touched it */
    assert_memory_equal(page, page + 1, PAGE_SIZE - 1);
}

/* What the host may drop: it does so at once. */
static uint64_t drop(const struct fake_piece *piece)
{
    assert_in_range(piece->bytes, 2 * MIB, MEMORY);
    assert_int_equal((uintptr_t)piece->start % (2 * MIB), 0);
    for (uint32_t at = 0; at < piece->bytes; at += PAGE_SIZE) {
        unsigned char *page = page_of((le32)(((uintptr_t)piece->start + at) / PAGE_SIZE));

        assert_int_equal(in_balloon[((uintptr_t)page - HOST_MEMORY) / PAGE_SIZE], 0);
        if (virtio_has(&fake.device, VIRTIO_BALLOON_F_PAGE_POISON))
            memset(page, (int)(config()->poison_val & 0xff), 64);
        else
            memset(page, GARBAGE, 64);
    }
    return piece->bytes / PAGE_SIZE;
}

static void serve_report(struct fake_chain *chain)
{
    assert_int_equal(chain->n_readable, 0);
    for (unsigned i = 0; i < chain->n_writable; i++)
        n_reported += drop(&chain->pieces[i]);
    fake_push(&fake.queues[REPORT].ring, chain, told_length);
}

static void serve_hint(struct fake_chain *chain)
{
    if (chain->n_readable) {
        assert_int_equal(chain->readable_bytes, 4);
        assert_int_equal(chain->n_writable, 0);
        fake_read(chain, 0, &commands[n_commands++ % ARRAY_SIZE(commands)], 4);
    } else {
        assert_int_equal(chain->n_writable, 1);
        assert_true(told || (n_commands && commands[n_commands - 1] > VIRTIO_BALLOON_CMD_ID_DONE));
        n_hinted += drop(&chain->pieces[0]);
    }
    fake_push(&fake.queues[HINT].ring, chain, told_length);
}

static void serve_chain(unsigned queue, struct fake_chain *chain)
{
    static le32 pfns[1024];

    if (queue >= HINT) {
        queue == HINT ? serve_hint(chain) : serve_report(chain);
        return;
    }
    size_t n = fake_read(chain, 0, pfns, sizeof(pfns)) / sizeof(le32);

    assert_int_equal(chain->n_writable, 0);
    assert_int_equal(chain->readable_bytes % sizeof(le32), 0);
    assert_in_range(n, 1, 1023);
    for (size_t i = 0; i < n; i++) {
        if (queue == INFLATE)
            take_page(pfns[i]);
        else
            give_page_back(pfns[i]);
    }
    if (keeps_quiet)
        return;
    fake_push(&fake.queues[queue].ring, chain, told_length);
}

static void serve_queue(unsigned queue)
{
    struct fake_chain *chains[MAX_HELD];
    unsigned n = 0, i;

    if (!fake.queues[queue].live)
        return;
    while (n < MAX_HELD && (chains[n] = fake_pop(&fake.queues[queue].ring)) != NULL)
        n++;
    for (i = 0; i < n; i++)
        serve_chain(queue, chains[answers_backwards ? n - 1 - i : i]);
    if (n)
        fake_transport_interrupt(&fake, queue);
}

static bool (*thread_until)(void);

static void on_idle(void)
{
    idle_rounds++;
    if (!holds_inflates)
        serve_queue(INFLATE);
    if (!holds_deflates)
        serve_queue(DEFLATE);
    if (!holds_hints)
        serve_queue(HINT);
    if (!holds_reports)
        serve_queue(REPORT);
    if (each_round)
        each_round();
    if (thread_until())
        host_thread_leave();
}

/* The balloon's thread runs until the condition holds at one of its waits. */
static void go(bool (*until)(void))
{
    thread_until = until;
    host_thread_run(on_idle);
    fake_transport_check(&fake);
}

static void wish(uint64_t pages)
{
    config()->num_pages = (le32)pages;
    fake_transport_config_changed(&fake);
}

static bool wish_is_met(void)
{
    return config()->actual == config()->num_pages && n_in_balloon == config()->num_pages;
}

static bool idle_for_long(void)
{
    return idle_rounds > 1000;
}

static void go_idle(void)
{
    idle_rounds = 0;
    go(idle_for_long);
}

static void on_config_write(struct fake_transport *transport, uint32_t offset, unsigned bytes)
{
    assert_int_equal(bytes, 4);
    if (offset == offsetof(struct virtio_balloon_config, poison_val)) {
        assert_false(transport->status & VIRTIO_CONFIG_S_DRIVER_OK);
        return;
    }
    assert_int_equal(offset, offsetof(struct virtio_balloon_config, actual));
    n_writes_of_actual++;
}

static struct page_stats pages_now(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats;
}

static void make_device(void)
{
    fake_transport_init(&fake, VIRTIO_ID_BALLOON);
    fake_offer(&fake, VIRTIO_BALLOON_F_STATS_VQ);
    fake.device.config_bytes = sizeof(struct virtio_balloon_config);
    fake.config_written = on_config_write;
    for (unsigned i = 0; i < 3; i++)
        fake.queues[i].size_max = 128;
}

static int plug_in(void **state)
{
    (void)state;
    memset(in_balloon, 0, sizeof(in_balloon));
    memset(unheard, 0, sizeof(unheard));
    keeps_quiet = is_not_heard = false;
    n_in_balloon = 0;
    holds_inflates = holds_deflates = answers_backwards = false;
    holds_hints = holds_reports = false;
    n_reported = n_hinted = n_commands = 0;
    each_round = NULL;
    idle_rounds = n_writes_of_actual = told_length = 0;
    host_dma_low = false;
    host_cmdline_key = NULL;
    page_free(page_alloc(0), 0);
    before = pages_now();
    make_device();
    return 0;
}

static int pull_out(void **state)
{
    struct page_stats now;

    (void)state;
    virtio_remove(&fake.device);
    fake_transport_check(&fake);
    now = pages_now();
    assert_int_equal(now.ballooned, 0);
    assert_int_equal(now.hinted + now.reporting + now.reported, 0);
    assert_int_equal(now.free, before.free);
    assert_true(page_audit());
    return 0;
}

static void add(void)
{
    assert_int_equal(virtio_add(&fake.device), 0);
}

/* ---- tests */

static void it_follows_the_wish_up_and_down(void **state)
{
    PROVES("BAL-OP-01", "BAL-OP-02", "BAL-OP-06", "BAL-OP-11");
    static const unsigned wishes[] = { 1, 2, 512, 513, 8191, 4096, 4097, 4096, 12000, 11999, 3, 0 };

    uint64_t free_pages;

    (void)state;
    add();
    free_pages = pages_now().free;
    for (unsigned i = 0; i < ARRAY_SIZE(wishes); i++) {
        wish(wishes[i]);
        go(wish_is_met);
        assert_int_equal(pages_now().ballooned, wishes[i]);
        assert_true(page_audit());
    }
    assert_int_equal(pages_now().free, free_pages);
}

static void with_must_tell_host_nothing_is_touched_on_its_way_out(void **state)
{
    PROVES("BAL-OP-07");
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    it_follows_the_wish_up_and_down(state);
}

static void packed_rings_do_as_well(void **state)
{
    fake_offer(&fake, VIRTIO_F_RING_PACKED);
    it_follows_the_wish_up_and_down(state);
}

static void answers_may_come_in_any_order(void **state)
{
    answers_backwards = true;
    it_follows_the_wish_up_and_down(state);
}

static void a_queue_of_one_is_enough(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        fake.queues[i].size_max = 1;
    it_follows_the_wish_up_and_down(state);
}

/* With a ring far longer than is used, and lengths as old devices told them. */
static void make_legacy(void)
{
    fake_make_legacy(&fake);
    host_dma_low = true;
    told_length = 512 * sizeof(le32);
    for (unsigned i = 0; i < 3; i++)
        fake.queues[i].size_max = 1024;
}

/* Each write of `actual` is one of four bytes: on_config_write() checks it. */
static void a_legacy_balloon_is_followed_whatever_lengths_it_tells(void **state)
{
    PROVES("BAL-LEGCFG-01", "BAL-LEGOP-01", "BAL-LEGOP-02");
    make_legacy();
    it_follows_the_wish_up_and_down(state);
    assert_true(n_writes_of_actual > 10);
    assert_int_equal(fake.device.recoveries, 0);
}

static void a_wish_from_before_the_start_is_met(void **state)
{
    (void)state;
    config()->num_pages = 2000;
    config()->actual = 77; /* of a guest before us */
    add();
    assert_int_equal(config()->actual, 0);
    go(wish_is_met);
}

static void a_batch_costs_one_notification(void **state)
{
    (void)state;
    add();
    wish(2048);
    go(wish_is_met);
    assert_int_equal(fake.queues[INFLATE].kicks, 1);
    wish(0);
    go(wish_is_met);
    assert_int_equal(fake.queues[DEFLATE].kicks, 1);
}

static bool is_as_large_as_can_be(void)
{
    return n_in_balloon > PAGES / 2 && config()->actual == n_in_balloon && idle_rounds > 100;
}

static phys_addr_t eaten[PAGES];
static unsigned n_eaten;

static void eat(unsigned pages)
{
    while (n_eaten < pages && (eaten[n_eaten] = page_alloc(0)) != 0)
        n_eaten++;
}

static void more_than_there_is_is_given_as_far_as_it_goes(void **state)
{
    uint64_t given;

    (void)state;
    add();
    eat(3000);
    host_log_clear();
    wish(UINT32_MAX);
    idle_rounds = 0;
    go(is_as_large_as_can_be);
    given = n_in_balloon;
    assert_in_range(before.free - 3000 - given, 400, 600); /* the kernel's reserve, and notes */
    assert_int_not_equal(page_alloc(0), 0);                /* the guest goes on */
    before.free--;
    go_idle();
    assert_int_equal(n_in_balloon, given);
    assert_int_equal(config()->actual, given);
    assert_non_null(strstr(host_log_text(), "all there is to give"));

    while (n_eaten > 1000) /* memory becomes free: it goes on by itself */
        page_free(eaten[--n_eaten], 0);
    go_idle();
    assert_in_range(n_in_balloon, given + 1600, given + 2000);
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
    wish(0);
    go(wish_is_met);
}

static void wish_something_else(void)
{
    if (idle_rounds < 300)
        wish((unsigned)random() % 14000);
    if (idle_rounds == 300)
        wish(5555);
}

static bool storm_is_over(void)
{
    return idle_rounds > 300 && wish_is_met();
}

static void a_storm_of_wishes_ends_at_the_last_one(void **state)
{
    (void)state;
    add();
    srandom(5);
    each_round = wish_something_else;
    go(storm_is_over);
    assert_int_equal(n_in_balloon, 5555);
}

static void a_page_is_used_again_only_after_the_acknowledgement(void **state)
{
    PROVES("BAL-OP-07");
    (void)state;
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    add();
    wish(6000);
    go(wish_is_met);
    holds_deflates = true;
    wish(1000);
    go_idle();
    assert_int_equal(pages_now().ballooned, 6000);
    assert_int_equal(config()->actual, 6000);
    holds_deflates = false;
    go(wish_is_met);
}

static void without_must_tell_host_a_page_is_used_again_once_the_device_is_told(void **state)
{
    PROVES("BAL-OP-06", "BAL-OP-08");
    (void)state;
    add();
    wish(6000);
    go(wish_is_met);
    holds_deflates = true;
    wish(4500);
    go_idle();
    assert_in_range(pages_now().ballooned, 4500, 4999); /* whole blocks */
    assert_int_equal(fake.queues[DEFLATE].kicks, 1);
    wish(6000); /* its next batch waits for the answer */
    go_idle();
    assert_int_equal(config()->actual, 6000);
    assert_in_range(pages_now().ballooned, 4500, 4999);
    holds_deflates = false;
    go(wish_is_met);
    assert_int_equal(pages_now().ballooned, 6000);
}

static void a_page_is_in_the_balloon_only_after_the_acknowledgement(void **state)
{
    PROVES("BAL-OP-09", "BAL-OP-10");
    (void)state;
    add();
    holds_inflates = true;
    wish(5000);
    go_idle();
    assert_int_equal(config()->actual, 0);
    wish(0); /* not deflated before its inflation was acknowledged */
    go_idle();
    assert_int_equal(fake.queues[DEFLATE].ring.popped, 0);
    holds_inflates = false;
    go(wish_is_met);
    assert_int_equal(n_in_balloon, 0);
}

static void single_pages_can_be_had_and_come_back(void **state)
{
    (void)state;
    add();
    eat(PAGES);
    for (unsigned i = 0; i < n_eaten; i += 2) {
        page_free(eaten[i], 0);
        eaten[i] = 0;
    }
    wish(6000); /* 6000 blocks: a dozen pages of notes */
    go(wish_is_met);
    wish(3210);
    go(wish_is_met);
    wish(0);
    go(wish_is_met);
    while (n_eaten--) {
        if (eaten[n_eaten])
            page_free(eaten[n_eaten], 0);
    }
    n_eaten = 0;
}

static struct fake_chain *stats_chain;

static uint64_t stat(unsigned tag)
{
    struct virtio_balloon_stat stats[16];
    size_t n = fake_read(stats_chain, 0, stats, sizeof(stats)) / sizeof(stats[0]);

    for (size_t i = 0; i < n; i++) {
        if (stats[i].tag == tag)
            return stats[i].val;
    }
    fail_msg("no statistic %u", tag);
    return 0;
}

static void ask_for_stats(void)
{
    if (stats_chain)
        fake_push(&fake.queues[STATS].ring, stats_chain, told_length);
    fake_transport_interrupt(&fake, STATS);
    go_idle();
    stats_chain = fake_pop(&fake.queues[STATS].ring);
    assert_non_null(stats_chain);
    assert_null(fake_pop(&fake.queues[STATS].ring)); /* one at a time */
    assert_int_equal(stats_chain->readable_bytes, 12 * sizeof(struct virtio_balloon_stat));
    assert_int_equal(stats_chain->readable_bytes % 6, 0);
    for (unsigned tag = 0; tag < 12; tag++)
        stat(tag); /* the same ones each time */
}

static void statistics_tell_the_truth(void **state)
{
    PROVES("BAL-STAT-01", "BAL-STAT-02", "BAL-STAT-03", "BAL-STAT-04", "BAL-STAT-05",
           "BAL-STAT-08");
    uint64_t total = pages_now().total * PAGE_SIZE, free_bytes;

    (void)state;
    stats_chain = NULL;
    add();
    free_bytes = pages_now().free * PAGE_SIZE;
    ask_for_stats();
    assert_int_equal(stat(VIRTIO_BALLOON_S_MEMTOT), total);
    assert_int_equal(stat(VIRTIO_BALLOON_S_MEMFREE), free_bytes);
    wish(4096);
    go(wish_is_met);
    ask_for_stats();
    assert_int_equal(stat(VIRTIO_BALLOON_S_MEMTOT), total - 16 * MIB);
    assert_in_range(free_bytes - stat(VIRTIO_BALLOON_S_MEMFREE), 16 * MIB,
                    16 * MIB + 4 * PAGE_SIZE);
    assert_true(stat(VIRTIO_BALLOON_S_AVAIL) <= stat(VIRTIO_BALLOON_S_MEMFREE));
    assert_int_equal(stat(VIRTIO_BALLOON_S_SWAP_OUT), 0);
}

static void a_legacy_balloon_gets_statistics_too(void **state)
{
    PROVES("BAL-LEGST-01");
    make_legacy();
    statistics_tell_the_truth(state);
    assert_int_equal(fake.device.recoveries, 0);
}

static unsigned times_logged(const char *text)
{
    const char *at = host_log_text();
    unsigned n = 0;

    for (; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

/* The rest goes on; what the device has comes back when it is removed, in pull_out(). */
static void assert_only_the_balloon_waits(const char *wanted)
{
    phys_addr_t page;

    host_log_clear();
    go_idle();
    assert_int_equal(times_logged(wanted), 1);
    stats_chain = NULL;
    ask_for_stats(); /* those of the start */
    ask_for_stats();
    assert_int_equal(stat(VIRTIO_BALLOON_S_MEMFREE), pages_now().free * PAGE_SIZE);
    page = page_alloc(0);
    assert_int_not_equal(page, 0);
    page_free(page, 0);
    assert_int_equal(times_logged("no answer"), 1); /* once */
    assert_true(page_audit());
    stats_chain = NULL;
}

static void an_inflation_that_is_never_answered_is_told_and_only_the_balloon_waits(void **state)
{
    (void)state;
    add();
    holds_inflates = true;
    wish(5000);
    assert_only_the_balloon_waits("no answer from the device for 5 s about 8192 KiB");
    assert_int_equal(pages_now().ballooned, 2048);
    assert_int_equal(config()->actual, 0);
}

static void a_deflation_that_is_never_answered_is_told_and_only_the_balloon_waits(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    add();
    wish(3000);
    go(wish_is_met);
    holds_deflates = true;
    wish(2560); /* the last blocks that it took */
    assert_only_the_balloon_waits("no answer from the device for 5 s about 1760 KiB");
    assert_int_equal(pages_now().ballooned, 3000); /* not used before the answer */
    assert_int_equal(config()->actual, 3000);
}

static void without_statistics_there_is_no_third_queue(void **state)
{
    (void)state;
    fake_withdraw(&fake, VIRTIO_BALLOON_F_STATS_VQ);
    fake.queues[STATS].size_max = 0;
    add();
    wish(100);
    go(wish_is_met);
}

static bool is_reset_and_met(void)
{
    return fake.resets >= 2 && wish_is_met();
}

static void offer_everything(void)
{
    for (unsigned bit = 0; bit < 24; bit++)
        fake_offer(&fake, bit);
    fake.queues[HINT].size_max = fake.queues[REPORT].size_max = 32;
}

/* ---- reporting */

static bool is_all_reported(void)
{
    return n_reported && pages_now().reporting == 0 && idle_rounds > 200;
}

static void report_what_is_free(void)
{
    idle_rounds = 0;
    go(is_all_reported);
}

static void free_memory_is_reported_when_it_has_rested(void **state)
{
    PROVES("BAL-FPR-01", "BAL-FPR-04", "BAL-FPR-05", "BAL-FPR-06");
    uint64_t began_ns = host_clock_ns, reported;
    phys_addr_t block;

    (void)state;
    offer_everything();
    add();
    assert_int_equal(fake.queues[REPORT].kicks, 0);
    report_what_is_free();
    assert_in_range(pages_now().free - n_reported, 0, 1024); /* what is no whole 2 MiB */
    assert_int_equal(pages_now().reported, n_reported);
    assert_in_range(fake.queues[REPORT].kicks, 1, 8);
    assert_true(host_clock_ns - began_ns >= 500 * NSEC_PER_MSEC);
    reported = n_reported;
    go_idle();
    assert_int_equal(n_reported, reported); /* and not again */
    block = page_alloc(PAGE_ORDER_2M + 2);
    for (unsigned i = 0; i < 2048; i++) /* nobody has touched it */
        assert_int_equal(*(unsigned char *)(block + i * PAGE_SIZE), GARBAGE);
    page_free(block, PAGE_ORDER_2M + 2);
    go_idle();
    assert_int_equal(n_reported, reported + 2048);
    wish(4096); /* reported memory goes into the balloon like any other */
    go(wish_is_met);
    wish(0);
    go(wish_is_met);
}

static void reporting_may_start_from_larger_blocks_or_not_at_all(void **state)
{
    (void)state;
    host_cmdline_key = "reporting";
    host_cmdline_value = "off";
    offer_everything();
    add();
    go_idle();
    assert_int_equal(n_reported, 0);
    virtio_remove(&fake.device);
    host_cmdline_value = "16M";
    make_device();
    offer_everything();
    add();
    report_what_is_free();
    assert_int_equal(n_reported % 4096, 0);
    assert_int_equal(pages_now().reported, n_reported);
}

static bool is_held(void)
{
    for (unsigned queue = HINT; queue <= REPORT; queue++) {
        if (fake.queues[queue].live && fake_available(&fake.queues[queue].ring))
            return true;
    }
    return false;
}

/* What nobody may be given is marked in a list of all that can be had. */
static bool can_be_had(const struct fake_chain *chain)
{
    bool can = false;

    eat(PAGES);
    for (unsigned i = 0; i < n_eaten; i++) {
        for (unsigned j = 0; j < chain->n_writable; j++)
            can |= eaten[i] - (uintptr_t)chain->pieces[j].start < chain->pieces[j].bytes;
    }
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
    return can;
}

static void what_is_being_reported_is_not_used_until_the_answer(void **state)
{
    PROVES("BAL-FPR-03");
    struct fake_chain *chain;

    (void)state;
    offer_everything();
    add();
    holds_reports = true;
    go(is_held);
    chain = fake_pop(&fake.queues[REPORT].ring);
    assert_false(can_be_had(chain));
    assert_in_range(pages_now().reporting, 1024, PAGES / 2);
    serve_report(chain);
    fake_transport_interrupt(&fake, REPORT);
    holds_reports = false;
    report_what_is_free();
    assert_int_equal(pages_now().reporting, 0);
}

static void a_report_cut_off_by_a_reset_is_begun_anew(void **state)
{
    (void)state;
    offer_everything();
    add();
    wish(1000);
    go(wish_is_met);
    holds_reports = true;
    go(is_held);
    fake_transport_ask_for_reset(&fake);
    holds_reports = false;
    report_what_is_free();
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(pages_now().reported, n_reported);
    assert_int_equal(pages_now().ballooned, 1000);
}

/* ---- hinting */

static void command(uint32_t id)
{
    config()->free_page_hint_cmd_id = id;
    fake_transport_config_changed(&fake);
}

static bool round_is_over(void)
{
    return n_commands && commands[n_commands - 1] == VIRTIO_BALLOON_CMD_ID_STOP;
}

static void hint(uint32_t id)
{
    n_commands = 0;
    n_hinted = 0;
    command(id);
    go(round_is_over);
}

static void offer_hints(void)
{
    offer_everything();
    fake_withdraw(&fake, VIRTIO_BALLOON_F_PAGE_REPORTING);
    add();
}

static void free_memory_is_hinted_between_the_id_and_stop_and_held_until_done(void **state)
{
    PROVES("BAL-FPH-01", "BAL-FPH-02", "BAL-FPH-03", "BAL-FPH-04", "BAL-FPH-06", "BAL-FPH-10");
    uint64_t free_pages;

    (void)state;
    offer_hints();
    free_pages = pages_now().free;
    hint(7);
    assert_int_equal(n_commands, 2);
    assert_int_equal(commands[0], 7);
    assert_in_range(n_hinted, PAGES / 2, PAGES);
    assert_int_equal(pages_now().hinted, n_hinted);
    go_idle();
    assert_int_equal(n_commands, 2); /* one round for an id */
    command(VIRTIO_BALLOON_CMD_ID_STOP);
    go_idle();
    assert_int_equal(pages_now().hinted, n_hinted);
    command(VIRTIO_BALLOON_CMD_ID_DONE);
    go_idle();
    assert_int_equal(pages_now().hinted, 0);
    assert_int_equal(pages_now().free, free_pages);
    hint(7); /* the same once more, for another migration */
    assert_int_equal(n_commands, 2);
    command(VIRTIO_BALLOON_CMD_ID_DONE);
    go_idle();
}

static void a_legacy_balloon_hints_too(void **state)
{
    PROVES("BAL-LEGFPH-01");
    make_legacy();
    free_memory_is_hinted_between_the_id_and_stop_and_held_until_done(state);
    assert_int_equal(fake.device.recoveries, 0);
}

static uint32_t next_command;

static void interrupt_the_round(void)
{
    if (n_hinted && next_command != UINT32_MAX) {
        command(next_command);
        next_command = UINT32_MAX;
    }
}

static void stop_in_the_middle_ends_a_round(void **state)
{
    PROVES("BAL-FPH-05");
    (void)state;
    fake.queues[HINT].size_max = 4; /* a few at a time */
    offer_everything();
    fake.queues[HINT].size_max = 4;
    fake_withdraw(&fake, VIRTIO_BALLOON_F_PAGE_REPORTING);
    add();
    each_round = interrupt_the_round;
    next_command = VIRTIO_BALLOON_CMD_ID_STOP;
    hint(9);
    assert_in_range(n_hinted, 1, PAGES / 4);
    go_idle();
    assert_int_equal(n_commands, 2);
    assert_int_equal(pages_now().hinted, n_hinted);
    next_command = 11; /* another id in the middle: STOP for the old, then the new */
    n_hinted = 0;
    command(10);
    go_idle();
    assert_int_equal(n_commands, 6);
    assert_int_equal(commands[2], 10);
    assert_int_equal(commands[3], VIRTIO_BALLOON_CMD_ID_STOP);
    assert_int_equal(commands[4], 11);
    assert_int_equal(commands[5], VIRTIO_BALLOON_CMD_ID_STOP);
    command(VIRTIO_BALLOON_CMD_ID_DONE);
    go_idle();
    assert_int_equal(pages_now().hinted, 0);
}

static void a_hint_queue_of_one_ends_each_round_at_once(void **state)
{
    (void)state;
    offer_everything();
    fake.queues[HINT].size_max = 1;
    fake_withdraw(&fake, VIRTIO_BALLOON_F_PAGE_REPORTING);
    add();
    hint(3);
    assert_int_equal(n_commands, 2);
    assert_int_equal(n_hinted, 0);
}

/* Everything that can be had: none of it holds what a host wrote that dropped it. */
static void assert_no_garbage(void)
{
    eat(PAGES);
    for (unsigned i = 0; i < n_eaten; i++)
        assert_int_not_equal(*(unsigned char *)eaten[i], GARBAGE);
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
}

static void clean_memory(void)
{
    eat(PAGES);
    for (unsigned i = 0; i < n_eaten; i++)
        memset((void *)eaten[i], 0, 64);
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
}

static void hints_cut_off_by_a_reset_are_written_over_before_use(void **state)
{
    PROVES("BAL-FPH-08", "BAL-FPH-09");
    (void)state;
    clean_memory();
    offer_hints();
    hint(7);
    config()->free_page_hint_cmd_id = VIRTIO_BALLOON_CMD_ID_STOP;
    fake_transport_ask_for_reset(&fake);
    go_idle();
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(pages_now().hinted, 0);
    assert_no_garbage();
}

/* ---- automation */

static unsigned n_footprint_starts;

int footprint_start(void)
{
    n_footprint_starts++;
    return 0;
}

static unsigned starts_with(const char *word, bool reporting)
{
    n_footprint_starts = 0;
    host_cmdline_key = "balloon";
    host_cmdline_value = word;
    if (reporting)
        offer_everything();
    add();
    return n_footprint_starts;
}

static void the_footprint_is_looked_after_where_the_host_is_told_of_free_memory(void **state)
{
    (void)state;
    assert_int_equal(starts_with("auto", true), 1);
}

static void without_reporting_nothing_looks_after_the_footprint(void **state)
{
    (void)state;
    assert_int_equal(starts_with("auto", false), 0);
}

static void follow_follows_the_wish_and_does_no_more(void **state)
{
    (void)state;
    assert_int_equal(starts_with("follow", true), 0);
    wish(1000);
    go(wish_is_met);
    wish(0);
    go(wish_is_met);
}

/* ---- when memory is short */

static bool (*until_in_thread)(void);

/* While somebody waits for memory the balloon's thread runs. */
static void run_the_thread(void)
{
    idle_rounds = 0;
    go(until_in_thread);
    host_idle = run_the_thread;
}

static uint64_t pages_wanted;

static bool it_came_or_never_will(void)
{
    return !page_missing(pages_wanted) || idle_rounds > 20;
}

static bool relieve(uint64_t pages)
{
    bool came;

    pages_wanted = pages;
    until_in_thread = it_came_or_never_will;
    host_idle = run_the_thread;
    came = pressure_relieve(pages);
    host_idle = NULL;
    return came;
}

static void memory_that_is_needed_comes_out_of_the_balloon(void **state)
{
    PROVES("BAL-OP-05", "BAL-OP-06", "BAL-OP-11");
    uint64_t given;

    (void)state;
    offer_everything();
    add();
    wish(UINT32_MAX);
    idle_rounds = 0;
    go(is_as_large_as_can_be);
    given = n_in_balloon;
    assert_true(relieve(3000));
    assert_int_equal(page_missing(3000), 0);
    assert_in_range(given - n_in_balloon, 2500, 3100);
    assert_int_equal(config()->actual, n_in_balloon);
    assert_int_equal(page_promise(3000), 0);
    go_idle();
    assert_in_range(given - n_in_balloon, 2500, 3100); /* it does not take it away again */
    given = n_in_balloon;
    assert_false(relieve(PAGES)); /* more than there is: nothing is taken back in vain */
    assert_int_equal(n_in_balloon, given);
    page_unpromise(3000); /* enough is free again: after a while the wish counts */
    go_idle();
    host_clock_ns += 2 * NSEC_PER_SEC;
    go_idle();
    assert_in_range(n_in_balloon, given + 2500, given + 3100);
    wish(0);
    go(wish_is_met);
}

/* As the kernel, which does not wait, takes pages for its buffers. */
static unsigned take_half_of_the_reserve(phys_addr_t *taken)
{
    uint64_t reserve = page_missing(page_available());
    unsigned n = 0;

    while (page_available() >= reserve / 2)
        taken[n++] = page_alloc(0);
    return n;
}

static void the_kernels_reserve_is_filled_up_from_the_balloon(void **state)
{
    PROVES("BAL-OP-05", "BAL-OP-06");
    phys_addr_t taken[1024];
    uint64_t given;
    unsigned n;

    (void)state;
    offer_everything();
    add();
    wish(UINT32_MAX);
    idle_rounds = 0;
    go(is_as_large_as_can_be);
    given = n_in_balloon;
    n = take_half_of_the_reserve(taken);
    go_idle();
    assert_int_equal(page_missing(0), 0);
    assert_in_range(given - n_in_balloon, 1, 2 * n);
    given = n_in_balloon;
    host_clock_ns += 3 * NSEC_PER_SEC;
    go_idle();
    assert_int_equal(n_in_balloon, given); /* it does not go back and forth */
    while (n)
        page_free(taken[--n], 0);
    go_idle();
    assert_true(n_in_balloon > given); /* what the kernel has no more need of is lent again */
    wish(0);
    go(wish_is_met);
}

static void without_the_feature_nothing_leaves_a_balloon_that_the_host_wants(void **state)
{
    PROVES("BAL-OP-04");
    phys_addr_t taken[1024];
    unsigned n;

    (void)state;
    add();
    wish(UINT32_MAX);
    idle_rounds = 0;
    go(is_as_large_as_can_be);
    assert_false(relieve(3000));
    n = take_half_of_the_reserve(taken);
    go_idle();
    assert_int_equal(fake.queues[DEFLATE].ring.popped, 0);
    while (n)
        page_free(taken[--n], 0);
    wish(0);
    go(wish_is_met);
}

static void hinted_memory_that_is_needed_is_written_over_and_given(void **state)
{
    PROVES("BAL-FPH-07", "BAL-FPH-09");
    uint64_t hinted;

    (void)state;
    clean_memory();
    offer_hints();
    hint(7);
    hinted = n_hinted;
    assert_true(relieve(5000));
    assert_in_range(hinted - pages_now().hinted, 3000, 8000);
    assert_no_garbage();
    command(VIRTIO_BALLOON_CMD_ID_DONE);
    go_idle();
    assert_int_equal(pages_now().hinted, 0);
}

static void a_device_that_keeps_what_is_needed_is_reset(void **state)
{
    (void)state;
    clean_memory();
    offer_hints();
    holds_hints = true;
    command(7);
    go(is_held);
    assert_true(pages_now().hinted > 0);
    assert_true(relieve(page_available() + 500));
    assert_true(fake.device.recoveries > 0);
    config()->free_page_hint_cmd_id = 0;
}

static void a_report_under_way_is_waited_for(void **state)
{
    (void)state;
    offer_everything();
    add();
    holds_reports = true;
    go(is_held);
    assert_true(page_missing(PAGES / 2 + 3000) > 0);
    holds_reports = false;
    assert_true(relieve(PAGES / 2 + 3000));
    assert_int_equal(fake.device.recoveries, 0);
}

/* ---- poison: the kernel's word goes on for ever, so this is the last but one */

static bool is_poisoned(phys_addr_t page)
{
    const unsigned char *bytes = (const unsigned char *)page;

    return bytes[0] == 0xaa && !memcmp(bytes, bytes + 1, PAGE_SIZE - 1);
}

static void poison_on_fills_what_comes_back_and_what_is_reported(void **state)
{
    PROVES("BAL-FEAT-02", "BAL-POIS-01", "BAL-POIS-02", "BAL-POIS-03", "BAL-FPR-02");
    phys_addr_t page;
    struct fake_chain *chain;

    (void)state;
    host_cmdline_key = "poison";
    host_cmdline_value = "on";
    offer_everything();
    add();
    assert_true(virtio_has(&fake.device, VIRTIO_BALLOON_F_PAGE_POISON));
    assert_int_equal(config()->poison_val, 0xaaaaaaaa);
    holds_reports = true;
    go(is_held);
    chain = fake_pop(&fake.queues[REPORT].ring);
    for (unsigned i = 0; i < chain->n_writable; i++)
        assert_true(is_poisoned((phys_addr_t)chain->pieces[i].start));
    holds_reports = false;
    fake_push(&fake.queues[REPORT].ring, chain, 0);
    fake_transport_interrupt(&fake, REPORT);
    go_idle();
    wish(PAGES);
    idle_rounds = 0;
    go(is_as_large_as_can_be);
    wish(0);
    go(wish_is_met);
    fake_transport_ask_for_reset(&fake); /* written before each DRIVER_OK, see on_config_write() */
    go_idle();
    while ((page = page_alloc(PAGE_ORDER_2M)) != 0) {
        assert_true(is_poisoned(page + 5 * PAGE_SIZE));
        eaten[n_eaten++] = page;
    }
    assert_in_range(n_eaten, 10, 32);
    while (n_eaten)
        page_free(eaten[--n_eaten], PAGE_ORDER_2M);
}

static void it_takes_must_tell_host_and_promises_nothing_about_contents(void **state)
{
    PROVES("BAL-FEAT-01", "BAL-FEAT-02", "BAL-FEAT-03");
    (void)state;
    offer_everything();
    add();
    assert_true(virtio_has(&fake.device, VIRTIO_BALLOON_F_MUST_TELL_HOST));
    assert_false(virtio_has(&fake.device, VIRTIO_BALLOON_F_PAGE_POISON));
    assert_true(virtio_has(&fake.device, VIRTIO_BALLOON_F_PAGE_REPORTING));
    wish(100);
    go(wish_is_met);
    wish(0);
    go(wish_is_met);
}

static void a_reset_in_the_middle_loses_no_page(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    add();
    wish(5000);
    go(wish_is_met);
    fake.resets = 1;
    holds_deflates = true;
    wish(2000);
    go_idle();
    fake_transport_ask_for_reset(&fake);
    go_idle();
    holds_deflates = false;
    go(is_reset_and_met);
    assert_int_equal(fake.resets, 2);
    assert_int_equal(pages_now().ballooned, 2000);
}

/* The device had not looked at what it was lent: the host would never have had those pages. */
static void an_inflation_cut_off_by_a_reset_is_repeated(void **state)
{
    PROVES("BAL-OP-10", "CORE-STAT-04");
    (void)state;
    add();
    holds_inflates = true;
    wish(1500);
    go_idle();
    wish(200); /* a deflation comes after the whole inflation */
    fake_transport_ask_for_reset(&fake);
    go_idle();
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(config()->actual, 0);
    assert_int_equal(pages_now().ballooned, 1500);
    assert_int_equal(fake.queues[DEFLATE].ring.popped, 0);
    holds_inflates = false;
    go(wish_is_met);
    assert_int_equal(pages_now().ballooned, 200);
}

static void an_inflation_that_was_done_but_not_told_is_repeated_untouched(void **state)
{
    PROVES("BAL-OP-09");
    (void)state;
    add();
    keeps_quiet = true;
    wish(1500);
    go_idle();
    assert_int_equal(n_in_balloon, 1500);
    assert_int_equal(config()->actual, 0);
    fake_transport_ask_for_reset(&fake);
    keeps_quiet = false;
    go(wish_is_met);
    wish(0);
    go(wish_is_met);
}

static void a_deflation_that_was_done_but_not_told_is_repeated_untouched(void **state)
{
    PROVES("BAL-OP-06", "BAL-OP-07");
    (void)state;
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    add();
    wish(3000);
    go(wish_is_met);
    keeps_quiet = true;
    wish(1000);
    go_idle();
    assert_in_range(n_in_balloon, 1000, 2000); /* its first batch */
    assert_int_equal(pages_now().ballooned, 3000);
    keeps_quiet = false;
    fake_transport_ask_for_reset(&fake);
    go(wish_is_met);
    assert_int_equal(pages_now().ballooned, 1000);
}

/* Its pages are in use, and the host may not know. */
static void a_deflation_whose_pages_are_free_is_told_again_after_a_reset(void **state)
{
    PROVES("BAL-OP-06", "BAL-OP-08");
    (void)state;
    add();
    wish(3000);
    go(wish_is_met);
    holds_deflates = true;
    wish(1500);
    go_idle();
    wish(3000);
    fake_transport_ask_for_reset(&fake);
    go_idle();
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(n_in_balloon, 3000);
    assert_in_range(pages_now().ballooned, 1500, 1999);
    holds_deflates = false;
    go(wish_is_met);
    assert_int_equal(pages_now().ballooned, 3000);
}

static void ask_for_a_reset_in_the_fifth_round(void)
{
    if (idle_rounds != 5)
        return;
    holds_deflates = false;
    fake_transport_ask_for_reset(&fake);
}

/* It slept with a smaller wish before it, until somebody woke it for something else. */
static void a_deflation_goes_on_by_itself_after_a_reset(void **state)
{
    (void)state;
    add();
    wish(3000);
    go(wish_is_met);
    holds_deflates = true;
    idle_rounds = 0;
    each_round = ask_for_a_reset_in_the_fifth_round;
    wish(1000);
    go(wish_is_met);
    assert_int_equal(fake.device.recoveries, 1);
}

static void a_deflation_cut_off_by_a_reset_that_is_wished_no_more_stays(void **state)
{
    (void)state;
    fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    add();
    wish(3000);
    go(wish_is_met);
    holds_deflates = true;
    wish(1000);
    go_idle();
    wish(3000);
    fake_transport_ask_for_reset(&fake);
    go_idle();
    assert_int_equal(fake.queues[DEFLATE].ring.popped, 0);
    assert_int_equal(config()->actual, 3000);
    assert_int_equal(pages_now().ballooned, 3000);
}

static void a_device_that_lies_is_reset_and_at_last_given_up(void **state)
{
    (void)state;
    add();
    wish(1000);
    go(wish_is_met);
    fake.resets = 1;
    for (unsigned i = 0; i < 8; i++) {
        fake_lie_used(&fake.queues[INFLATE].ring, 5, 0, 1);
        fake_transport_interrupt_always(&fake, INFLATE);
        go_idle();
        assert_int_equal(fake.resets, 2 + i);
        assert_null(fake.device.failure);
        wish(1000 + i);
        go(wish_is_met);
    }
    fake_lie_used(&fake.queues[INFLATE].ring, 5, 0, 1);
    fake_transport_interrupt_always(&fake, INFLATE);
    go_idle();
    assert_non_null(fake.device.failure);
    wish(5);
    go_idle();
    assert_int_equal(pages_now().ballooned, 1007);
}

static void a_device_without_a_deflate_queue_is_refused(void **state)
{
    (void)state;
    fake.queues[DEFLATE].size_max = 0;
    assert_int_not_equal(virtio_add(&fake.device), 0);
}

static void a_device_without_configuration_is_left_at_zero(void **state)
{
    (void)state;
    fake.device.config_bytes = 0;
    add();
    go_idle();
    assert_int_equal(n_in_balloon, 0);
}

static void off_leaves_the_device_alone(void **state)
{
    (void)state;
    host_cmdline_key = "balloon";
    host_cmdline_value = "off";
    add();
    assert_false(fake.status & VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(n_writes_of_actual, 0);
}

static void what_nobody_can_give_is_tried_again_without_spinning(void **state)
{
    unsigned pops;

    (void)state;
    add();
    eat(PAGES);
    wish(100);
    go_idle();
    pops = fake.queues[INFLATE].ring.popped;
    go_idle();
    assert_int_equal(pops, 0);
    assert_int_equal(fake.queues[INFLATE].ring.popped, 0);
    assert_true(idle_rounds > 1000); /* the thread slept in all of them */
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
    go(wish_is_met);
}

static void a_device_that_needs_a_reset_now_and_then_is_never_given_up(void **state)
{
    (void)state;
    add();
    for (unsigned i = 0; i < 40; i++) {
        host_clock_ns += 601 * NSEC_PER_SEC;
        wish(100 + i);
        fake_transport_ask_for_reset(&fake);
        go(wish_is_met);
        assert_int_equal(fake.device.recoveries, i + 1);
    }
    assert_null(fake.device.failure);
}

static struct timer a_pause;
static unsigned n_stats_asked;
static bool somebody_ran;

static void run_somebody(struct timer *timer)
{
    (void)timer;
    somebody_ran = true;
}

/* Each answer is another question, at once and without end; each takes a while. */
static void ask_at_once(struct fake_transport *transport, unsigned queue)
{
    struct fake_chain *chain;

    if (queue != STATS)
        return;
    chain = fake_pop(&transport->queues[STATS].ring);
    if (somebody_ran)
        return;
    assert_in_range(n_stats_asked++, 0, 100000); /* else it runs for ever */
    host_clock_ns += 1000;
    fake_push(&transport->queues[STATS].ring, chain, 0);
    fake_want_notification(&transport->queues[STATS].ring);
}

static void questions_without_end_leave_time_for_others(void **state)
{
    (void)state;
    somebody_ran = false;
    n_stats_asked = 0;
    fake.kicked = ask_at_once;
    timer_init(&a_pause, run_somebody);
    timer_start(&a_pause, host_clock_ns + 20 * NSEC_PER_MSEC);
    add();
    go_idle();
    assert_true(somebody_ran);
    assert_in_range(n_stats_asked, 500, 5000);
}

static unsigned n_kicks_before;

/* Its work is done while it is notified, and takes a while. */
static void take_at_once(struct fake_transport *transport, unsigned queue)
{
    if (queue != INFLATE)
        return;
    host_clock_ns += 8 * NSEC_PER_MSEC;
    n_kicks_before += !somebody_ran;
    serve_queue(INFLATE);
    fake_want_notification(&transport->queues[INFLATE].ring);
}

static void a_device_that_works_while_it_is_notified_leaves_time_for_others(void **state)
{
    (void)state;
    somebody_ran = false;
    n_kicks_before = 0;
    fake.kicked = take_at_once;
    timer_init(&a_pause, run_somebody);
    timer_start(&a_pause, host_clock_ns + 12 * NSEC_PER_MSEC);
    add();
    wish(15000); /* eight batches */
    go(wish_is_met);
    assert_in_range(n_kicks_before, 1, 4);
}

static void remove_it(struct timer *timer)
{
    (void)timer;
    virtio_remove(&fake.device);
}

static void a_device_removed_while_it_is_reset_lets_go(void **state)
{
    (void)state;
    add();
    wish(1000);
    go(wish_is_met);
    holds_deflates = true;
    wish(500);
    go_idle();
    fake.reset_polls = 100;
    timer_init(&a_pause, remove_it);
    timer_start(&a_pause, host_clock_ns + NSEC_PER_MSEC);
    fake_transport_ask_for_reset(&fake);
    go_idle();
    assert_int_equal(fake.status, 0);
    assert_int_equal(pages_now().ballooned, 0);
    make_device();
    add();
}

/* ---- each lie, with each aftermath */

static const struct aftermath *followed;
static unsigned lying_queue;

/* Where a case ended early, its name is what one wants to know. */
static int name_the_case(void **state)
{
    (void)state;
    if (told)
        print_message("in the case: \"%s\" in queue %u, then it \"%s\"\n", told->name, lying_queue,
                      followed->name);
    told = NULL;
    return 0;
}

static void finish_honestly(struct fake_transport *transport, unsigned queue,
                            struct fake_chain *chain)
{
    is_not_heard = true;
    if (queue == STATS)
        fake_push(&transport->queues[queue].ring, chain, 0);
    else
        serve_chain(queue, chain);
    is_not_heard = !followed->survives;
}

/* Something is under way in the queue. */
static void lend_something(unsigned queue)
{
    add();
    wish(64);
    go(wish_is_met);
    holds_inflates = queue == INFLATE;
    holds_deflates = queue == DEFLATE;
    holds_hints = queue == HINT;
    holds_reports = queue == REPORT;
    if (queue < STATS)
        wish(queue == INFLATE ? 90 : 40);
    if (queue == HINT)
        command(7);
    idle_rounds = 950;
    go(queue < HINT ? idle_for_long : is_held);
}

/* A device whose every second word is true may have lent all before it lies too often. */
static bool is_settled(void)
{
    assert_in_range(idle_rounds, 0, 20000); /* it hangs */
    if (followed->survives || (followed->lies_again && idle_rounds > 1000))
        return fake.device.recoveries && wish_is_met();
    return fake.device.failure != NULL;
}

static void assert_works(void)
{
    assert_null(fake.device.failure);
    assert_int_equal(fake.device.recoveries, 1);
    assert_int_equal(pages_now().ballooned, config()->num_pages);
    stats_chain = fake_pop(&fake.queues[STATS].ring);
    ask_for_stats();
    host_assert_queues_idle_but(&fake, STATS);
    wish(0);
    go(wish_is_met);
    wish(5);
    go(wish_is_met);
    assert_int_equal(fake.device.recoveries, 1);
}

/* What the device may have is nobody's, but for a deflation that it need not have heard of. */
static void assert_is_dead(void)
{
    bool must_wait =
        lying_queue != DEFLATE || virtio_has(&fake.device, VIRTIO_BALLOON_F_MUST_TELL_HOST);
    unsigned resets = fake.resets;

    assert_non_null(fake.device.failure);
    assert_non_null(strstr(host_log_text(), fake.device.failure));
    assert_in_range(fake.device.recoveries, 1, 9);
    if (must_wait)
        assert_true(pages_now().ballooned >= n_in_balloon);
    if (!followed->stuck)
        assert_int_equal(pages_now().hinted + pages_now().reporting, 0);
    eat(PAGES);
    for (unsigned i = 0; must_wait && i < n_eaten; i++)
        assert_int_equal(in_balloon[(eaten[i] - HOST_MEMORY) / PAGE_SIZE], 0);
    while (n_eaten)
        page_free(eaten[--n_eaten], 0);
    wish(3);
    idle_rounds = 950;
    go(idle_for_long);
    assert_int_equal(fake.resets, resets);
}

static void run_case(bool packed, bool event_idx, unsigned queue)
{
    struct host_left left = host_left();
    uint64_t free_before = before.free;

    plug_in(NULL);
    assert_int_equal(before.free, free_before);
    if (packed)
        fake_offer(&fake, VIRTIO_F_RING_PACKED);
    if (queue >= HINT)
        offer_everything();
    if (event_idx)
        fake_offer(&fake, VIRTIO_BALLOON_F_MUST_TELL_HOST); /* each lie with and without */
    else
        fake_withdraw(&fake, VIRTIO_F_EVENT_IDX);
    host_log_clear();
    lend_something(queue);
    is_not_heard = !followed->survives; /* more resets may come at any time */
    host_honest = finish_honestly;
    host_arrange(&fake, followed, told, queue);
    host_tell(&fake, told, queue);
    if (!followed->lies_again)
        holds_inflates = holds_deflates = holds_hints = holds_reports = false;
    idle_rounds = 0;
    go(is_settled);
    if (followed->survives)
        assert_works();
    else if (fake.device.failure)
        assert_is_dead();
    assert_non_null(fake.device.last_trouble);
    assert_non_null(strstr(host_log_text(), fake.device.last_trouble));
    fake.reset_never_ends = false; /* all that it holds is lost else, see the next test */
    assert_int_equal(pull_out(NULL), 0);
    host_assert_nothing_left(left, 0); /* the last one's struct has gone, this one's stays */
}

static void run_all_cases(bool packed)
{
    plug_in(NULL);
    add();
    pull_out(NULL);
    for (unsigned i = 0; i < host_n_lies * host_n_aftermaths * 2 * QUEUES; i++) {
        told = &host_lies[i / 2 / QUEUES % host_n_lies];
        followed = &host_aftermaths[i / 2 / QUEUES / host_n_lies];
        lying_queue = i / 2 % QUEUES;
        if (packed && (lying_queue == STATS || lying_queue == REPORT) && told->two_entries)
            continue; /* a report has several descriptors: the second entry lies where nobody looks
                       */
        if (host_lie_fits(told, packed))
            run_case(packed, i & 1, lying_queue);
    }
    told = NULL;
}

static void no_lie_loses_a_page_or_has_it_twice(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02", "BAL-STAT-01", "BAL-STAT-02");
    (void)state;
    run_all_cases(false);
}

static void no_lie_on_a_packed_ring_loses_a_page_or_has_it_twice(void **state)
{
    PROVES("CORE-STAT-04", "CORE-CLEAN-02", "BAL-STAT-01", "BAL-STAT-02");
    (void)state;
    run_all_cases(true);
}

static void what_a_stuck_device_holds_is_lost_for_ever(void **state)
{
    (void)state;
    lend_something(INFLATE);
    fake.reset_never_ends = true;
    fake_transport_ask_for_reset(&fake);
    idle_rounds = 950;
    go(idle_for_long);
    assert_true(fake.cut_off);
    virtio_remove(&fake.device);
    host_take_away(&fake);
    assert_int_equal(pages_now().ballooned, 90);
    n_in_balloon = 0; /* the next one's; which pages are taken stays in the book */
    holds_inflates = false;
    make_device();
    add();
    wish(10);
    go(wish_is_met);
    virtio_remove(&fake.device);
    assert_int_equal(pages_now().ballooned, 90);
    assert_in_range(before.free - pages_now().free, 91,
                    94); /* with the book and the list of them */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, plug_in, pull_out)

#define CASES(test) cmocka_unit_test_setup_teardown(test, NULL, name_the_case)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_follows_the_wish_up_and_down),
        TEST(packed_rings_do_as_well),
        TEST(with_must_tell_host_nothing_is_touched_on_its_way_out),
        TEST(answers_may_come_in_any_order),
        TEST(a_queue_of_one_is_enough),
        TEST(a_legacy_balloon_is_followed_whatever_lengths_it_tells),
        TEST(a_legacy_balloon_gets_statistics_too),
        TEST(a_wish_from_before_the_start_is_met),
        TEST(a_batch_costs_one_notification),
        TEST(more_than_there_is_is_given_as_far_as_it_goes),
        TEST(a_storm_of_wishes_ends_at_the_last_one),
        TEST(a_page_is_used_again_only_after_the_acknowledgement),
        TEST(without_must_tell_host_a_page_is_used_again_once_the_device_is_told),
        TEST(a_page_is_in_the_balloon_only_after_the_acknowledgement),
        TEST(single_pages_can_be_had_and_come_back),
        TEST(statistics_tell_the_truth),
        TEST(an_inflation_that_is_never_answered_is_told_and_only_the_balloon_waits),
        TEST(a_deflation_that_is_never_answered_is_told_and_only_the_balloon_waits),
        TEST(without_statistics_there_is_no_third_queue),
        TEST(it_takes_must_tell_host_and_promises_nothing_about_contents),
        TEST(a_reset_in_the_middle_loses_no_page),
        TEST(an_inflation_cut_off_by_a_reset_is_repeated),
        TEST(an_inflation_that_was_done_but_not_told_is_repeated_untouched),
        TEST(a_deflation_that_was_done_but_not_told_is_repeated_untouched),
        TEST(a_deflation_whose_pages_are_free_is_told_again_after_a_reset),
        TEST(a_deflation_goes_on_by_itself_after_a_reset),
        TEST(a_deflation_cut_off_by_a_reset_that_is_wished_no_more_stays),
        TEST(a_device_that_needs_a_reset_now_and_then_is_never_given_up),
        TEST(questions_without_end_leave_time_for_others),
        TEST(a_device_that_works_while_it_is_notified_leaves_time_for_others),
        TEST(a_device_removed_while_it_is_reset_lets_go),
        TEST(a_device_that_lies_is_reset_and_at_last_given_up),
        TEST(a_device_without_a_deflate_queue_is_refused),
        TEST(a_device_without_configuration_is_left_at_zero),
        TEST(off_leaves_the_device_alone),
        TEST(what_nobody_can_give_is_tried_again_without_spinning),
        TEST(free_memory_is_reported_when_it_has_rested),
        TEST(reporting_may_start_from_larger_blocks_or_not_at_all),
        TEST(what_is_being_reported_is_not_used_until_the_answer),
        TEST(a_report_cut_off_by_a_reset_is_begun_anew),
        TEST(free_memory_is_hinted_between_the_id_and_stop_and_held_until_done),
        TEST(a_legacy_balloon_hints_too),
        TEST(stop_in_the_middle_ends_a_round),
        TEST(a_hint_queue_of_one_ends_each_round_at_once),
        TEST(hints_cut_off_by_a_reset_are_written_over_before_use),
        TEST(memory_that_is_needed_comes_out_of_the_balloon),
        TEST(the_footprint_is_looked_after_where_the_host_is_told_of_free_memory),
        TEST(without_reporting_nothing_looks_after_the_footprint),
        TEST(follow_follows_the_wish_and_does_no_more),
        TEST(the_kernels_reserve_is_filled_up_from_the_balloon),
        TEST(without_the_feature_nothing_leaves_a_balloon_that_the_host_wants),
        TEST(hinted_memory_that_is_needed_is_written_over_and_given),
        TEST(a_device_that_keeps_what_is_needed_is_reset),
        TEST(a_report_under_way_is_waited_for),
        CASES(no_lie_loses_a_page_or_has_it_twice),
        CASES(no_lie_on_a_packed_ring_loses_a_page_or_has_it_twice),
        TEST(poison_on_fills_what_comes_back_and_what_is_reported),
        cmocka_unit_test_setup(what_a_stuck_device_holds_is_lost_for_ever,
                               plug_in), /* the last one */
    };

    host_memory_init(MEMORY);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
