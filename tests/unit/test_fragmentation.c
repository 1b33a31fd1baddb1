/* SPDX-License-Identifier: MIT */
/*
 * What a thousand changes of the balloon's size leave of large free blocks, while an
 * application allocates and frees: its malloc, the window, the page allocator and the
 * balloon driver are those of the image, the host is a device that does what it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "drivers/virtio/spec/balloon.h"
#include "drivers/virtio/spec/ids.h"
#include "kernel/footprint.h"
#include "kernel/memory_lock.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/random.h"
#include "kernel/vmem.h"
#include "lib/libc/lock.h"
#include "tests/host/driver_thread.h"
#include "tests/host/fake_transport.h"
#include "tests/host/memory.h"

#define MEMORY        (256 * MIB)
#define PAGES         (MEMORY / PAGE_SIZE)
#define CYCLES        1000
#define LEAST_LEFT    (96 * MIB) /* the balloon leaves */
#define HELD_AT_MOST  (48 * MIB) /* by the application */
#define SLOTS         3000
#define CALLS_A_CYCLE 60
#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1

/* The application's, of build/malloc, by names that leave the C library its own. */
void *ng_malloc(size_t bytes);
void ng_free(void *memory);

int footprint_start(void)
{
    return 0;
}

void kernel_enter(void)
{
}

void kernel_leave(void)
{
}

void malloc_lock(void)
{
}

void malloc_unlock(void)
{
}

void random_bytes(void *to, size_t bytes)
{
    memset(to, 0x5a, bytes);
}

/* ---- the balloon's thread and its device */

static struct fake_transport fake;
static bool in_balloon[PAGES];
static uint64_t n_in_balloon;

static struct virtio_balloon_config *config(void)
{
    return (struct virtio_balloon_config *)fake.config;
}

/* What the host takes it overwrites, as if it were somebody else's. */
static void move_pages(struct fake_chain *chain, bool inflate)
{
    static le32 pfns[1024];
    size_t n = fake_read(chain, 0, pfns, sizeof(pfns)) / sizeof(le32);

    for (size_t i = 0; i < n; i++) {
        uint64_t index = pfns[i] - HOST_MEMORY / PAGE_SIZE;

        assert_in_range(index, 0, PAGES - 1);
        assert_int_equal(in_balloon[index], !inflate);
        in_balloon[index] = inflate;
        memset((void *)((uint64_t)pfns[i] * PAGE_SIZE), 0xdd, 16);
    }
    n_in_balloon += inflate ? n : -n;
}

static void serve(unsigned queue)
{
    struct fake_chain *chain;
    bool any = false;

    while ((chain = fake_pop(&fake.queues[queue].ring)) != NULL) {
        move_pages(chain, queue == QUEUE_INFLATE);
        fake_push(&fake.queues[queue].ring, chain, 0);
        any = true;
    }
    if (any)
        fake_transport_interrupt(&fake, queue);
}

static void on_idle(void)
{
    serve(QUEUE_INFLATE);
    serve(QUEUE_DEFLATE);
    if (config()->actual == config()->num_pages)
        host_thread_leave();
}

static void set_balloon(uint64_t pages)
{
    config()->num_pages = (le32)pages;
    fake_transport_config_changed(&fake);
    host_thread_run(on_idle);
    assert_int_equal(n_in_balloon, pages);
}

/* ---- the application */

static struct {
    uint64_t *words;
    size_t bytes;
} held[SLOTS];
static size_t held_bytes;

/* Each word of a block says which slot and place it is. */
static uint64_t word_at(unsigned slot, size_t i)
{
    return (slot + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ i;
}

static void let_go(unsigned slot)
{
    for (size_t i = 0; i < held[slot].bytes / 8; i += 64)
        assert_int_equal(held[slot].words[i], word_at(slot, i));
    ng_free(held[slot].words);
    held_bytes -= held[slot].bytes;
    held[slot].words = NULL;
    held[slot].bytes = 0;
}

/* 16 bytes to 4 MiB, small ones mostly: as many of each power of two. */
static size_t some_size(void)
{
    size_t top = (size_t)16 << random() % 19;

    return top + (size_t)random() % top;
}

static void call_malloc(void)
{
    unsigned slot = (unsigned)random() % SLOTS;
    size_t bytes = some_size();

    if (held[slot].words)
        let_go(slot);
    else if (held_bytes + bytes <= HELD_AT_MOST) {
        held[slot].words = ng_malloc(bytes);
        assert_non_null(held[slot].words);
        held[slot].bytes = bytes;
        held_bytes += bytes;
        for (size_t i = 0; i < bytes / 8; i += 64)
            held[slot].words[i] = word_at(slot, i);
    }
}

/* ---- what is left */

static bool is_free[PAGES];

static void mark_free(enum page_place place, phys_addr_t start, uint64_t pages)
{
    if (place == PAGE_FREE || place == PAGE_REPORTED)
        memset(&is_free[(start - HOST_MEMORY) / PAGE_SIZE], true, pages);
}

/* Pages that lie free together, the most. */
static uint64_t largest_run(void)
{
    uint64_t run = 0, largest = 0;

    memset(is_free, false, sizeof(is_free));
    page_visit_section(HOST_MEMORY, mark_free);
    for (uint64_t i = 0; i < PAGES; i++) {
        run = is_free[i] ? run + 1 : 0;
        largest = MAX(largest, run);
    }
    return largest;
}

/* The largest block of the buddy allocator's that lies in [start, end), in pages. */
static uint64_t largest_block(uint64_t start, uint64_t end)
{
    uint64_t pages = PAGES;

    while (ALIGN_UP(start, pages) + pages > end)
        pages /= 2;
    return pages;
}

/* In per cent of what it would be if all that is free lay together between the others' and the
 * balloon's pages. */
static struct outcome {
    uint64_t run, block;
} worst;

static void compare(void)
{
    struct page_stats stats;
    uint64_t end = PAGES - n_in_balloon, run, block;

    page_get_stats(&stats);
    run = largest_run() * 100 / stats.free;
    block = stats.largest_free / PAGE_SIZE * 100 / largest_block(end - stats.free, end);
    worst.run = MIN(worst.run, run);
    worst.block = MIN(worst.block, block);
}

/* ---- tests */

static int plug_in(void **state)
{
    (void)state;
    fake_transport_init(&fake, VIRTIO_ID_BALLOON);
    fake.device.config_bytes = sizeof(struct virtio_balloon_config);
    for (unsigned i = 0; i < 2; i++)
        fake.queues[i].size_max = 128;
    return virtio_add(&fake.device);
}

static int pull_out(void **state)
{
    struct page_stats stats;

    (void)state;
    virtio_remove(&fake.device);
    page_get_stats(&stats);
    assert_int_equal(stats.ballooned, 0);
    return page_audit() ? 0 : -1;
}

static void a_thousand_cycles_beside_an_application_leave_large_blocks(void **state)
{
    const char *wanted = getenv("SEED");
    unsigned seed = wanted ? (unsigned)strtoul(wanted, NULL, 0) : (unsigned)time(NULL);

    (void)state;
    print_message("SEED=%u repeats this\n", seed);
    host_memory_catch_faults();
    srandom(seed);
    worst = (struct outcome){ 100, 100 };
    for (unsigned cycle = 0; cycle < CYCLES; cycle++) {
        set_balloon((uint64_t)random() % ((MEMORY - LEAST_LEFT) / PAGE_SIZE));
        for (unsigned i = 0; i < CALLS_A_CYCLE; i++)
            call_malloc();
        compare();
        if (cycle % 50 == 0)
            assert_true(page_audit());
    }
    set_balloon(0);
    compare();
    print_message("at the worst %u %% of what is free lay together, and the largest block had "
                  "%u %% of its best\n",
                  (unsigned)worst.run, (unsigned)worst.block);
    assert_in_range(worst.run, 90, 100);
    assert_in_range(worst.block, 90, 100);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (held[slot].words)
            let_go(slot);
    }
    assert_int_equal(held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_thousand_cycles_beside_an_application_leave_large_blocks,
                                        plug_in, pull_out),
    };

    host_memory_init(MEMORY);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
