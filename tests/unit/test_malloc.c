/* SPDX-License-Identifier: MIT */
/*
 * mallocng with our glue on the real vmem and page allocators. Its functions
 * are renamed on the command line (malloc is ng_malloc here), so that cmocka
 * keeps the C library's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "kernel/random.h"
#include "kernel/thread.h"
#include "kernel/vmem.h"
#include "lib/libc/lock.h"
#include "lib/libc/malloc_trim.h"
#include "tests/host/memory.h"
#include "tests/host/panic.h"

#define MEMORY (64 * MIB)

size_t malloc_usable_size(void *memory);

static int depth;

void kernel_enter(void)
{
    depth++;
}

void kernel_leave(void)
{
    assert_true(depth > 0);
    depth--;
}

void malloc_lock(void)
{
    depth++;
}

static bool is_busy; /* another CPU has the lock */

bool malloc_try_lock(void)
{
    depth += !is_busy;
    return !is_busy;
}

void malloc_unlock(void)
{
    assert_true(depth > 0);
    depth--;
}

void event_signal(struct event *event)
{
    (void)event;
}

void random_bytes(void *to, size_t bytes)
{
    memset(to, 0x5a, bytes);
}

/* Pages that nobody else can have. */
static uint64_t pages_held(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.total - stats.free + stats.promised;
}

static uint64_t held_at_start;

static int remember(void **state)
{
    (void)state;
    held_at_start = pages_held();
    return 0;
}

static int nearly_nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(depth, 0);
    /* The notes that mallocng keeps of its groups, and page tables. */
    assert_in_range(pages_held(), 1, held_at_start + MEMORY / PAGE_SIZE / 100);
    assert_true(page_audit());
    return 0;
}

static void a_small_allocation_costs_a_few_pages(void **state)
{
    uint64_t before = pages_held();
    char *memory = malloc(100);

    (void)state;
    memset(memory, 1, 100);
    assert_in_range(pages_held() - before, 1, 8);
    free(memory);
}

static void alignment_is_as_asked(void **state)
{
    volatile size_t no_power_of_two = 48;
    size_t alignment, bytes;
    void *memory;

    (void)state;
    for (alignment = 16; alignment <= MIB; alignment *= 2) {
        for (bytes = 1; bytes < MIB; bytes = bytes * 5 + 1) {
            memory = aligned_alloc(alignment, bytes);
            assert_non_null(memory);
            assert_true(IS_ALIGNED((uintptr_t)memory, alignment));
            assert_int_equal(malloc_usable_size(memory), bytes);
            memset(memory, 1, bytes);
            free(memory);
        }
    }
    assert_null(aligned_alloc(no_power_of_two, 10));
}

static void what_can_not_be_had_is_refused_with_enomem(void **state)
{
    static const size_t sizes[] = { SIZE_MAX,    SIZE_MAX / 2,    SIZE_MAX - 4096,
                                    PTRDIFF_MAX, (size_t)1 << 46, MEMORY };
    char *small = malloc(5), *large = malloc(200000);
    unsigned i;

    (void)state;
    for (i = 0; i < ARRAY_SIZE(sizes); i++) {
        errno = 0;
        assert_null(malloc(sizes[i]));
        assert_int_equal(errno, ENOMEM);
        assert_null(realloc(small, sizes[i]));
        assert_null(realloc(large, sizes[i]));
    }
    small[4] = large[199999] = 1;
    free(small);
    free(large);
    free(NULL);
}

static void growth_keeps_the_contents(void **state)
{
    unsigned char *memory = realloc(NULL, 1);
    size_t bytes = 1, i;

    (void)state;
    memory[0] = 1;
    while (bytes < 16 * MIB) {
        size_t more = bytes + bytes / 2 + 1;

        memory = realloc(memory, more);
        assert_non_null(memory);
        for (i = 0; i < bytes; i += 1 + bytes / 1000)
            assert_int_equal(memory[i], (unsigned char)(i * 7 + 1));
        for (i = 0; i < more; i++)
            memory[i] = (unsigned char)(i * 7 + 1);
        bytes = more;
    }
    memory = realloc(memory, 300000);
    for (i = 0; i < 300000; i++)
        assert_int_equal(memory[i], (unsigned char)(i * 7 + 1));
    memory = realloc(memory, 10);
    assert_int_equal(memory[9], 64);
    free(memory);
}

static void large_blocks_go_back_at_once(void **state)
{
    uint64_t before = pages_held();
    char *memory = malloc(20 * MIB);

    (void)state;
    memset(memory, 1, 20 * MIB);
    assert_true(pages_held() - before >= 20 * MIB / PAGE_SIZE);
    free(memory);
    assert_in_range(pages_held(), 1, before + 8);
}

static void memory_that_ran_out_can_be_used_again(void **state)
{
    static void *blocks[100000];
    unsigned round, n;

    (void)state;
    for (round = 0; round < 3; round++) {
        size_t bytes = (size_t)1000 << round * 4;

        n = 0;
        while ((blocks[n] = malloc(bytes)) != NULL)
            memset(blocks[n++], 1, bytes);
        assert_true(n * bytes > MEMORY * 3 / 4);
        while (n--)
            free(blocks[n]);
    }
}

static void a_double_free_panics(void **state)
{
    char *memory = malloc(40), *other = malloc(40);

    (void)state;
    free(memory);
    assert_true(PANICS(free(memory)));
    assert_true(PANICS(free(other + 8)));
    free(other);
}

#define HELD 3000

/* A round of the footprint's thread: the pages that came back. */
static uint64_t trim(bool *waits)
{
    uint64_t pages = 0;

    *waits = false;
    while (malloc_trim_some(&pages, waits))
        assert_int_equal(depth, 0);
    assert_int_equal(depth, 0);
    return pages;
}

static void move_down(void)
{
    uintptr_t at = 0;
    uint64_t moved = 0;

    while (vmem_move_down(&at, page_dense_end(), &moved))
        ;
}

#define SLOTS      400
#define SLOT_BYTES 10000

static uint64_t resident(void)
{
    struct vmem_stats stats;

    vmem_get_stats(&stats);
    return stats.resident_bytes;
}

static void free_slots_that_rested_give_their_pages_back(void **state)
{
    char *slots[SLOTS];
    uint64_t before, pages;
    bool waits;

    (void)state;
    for (unsigned i = 0; i < SLOTS; i++)
        slots[i] = memset(malloc(SLOT_BYTES), (int)i, SLOT_BYTES);
    trim(&waits);
    for (unsigned i = 0; i < SLOTS; i++)
        if (i % 7)
            free(slots[i]);
    before = resident();
    trim(&waits); /* not at once: they may be used again */
    assert_true(waits);
    assert_in_range(resident(), before - before / 10, before);
    pages = trim(&waits);
    assert_false(waits);
    assert_int_equal(before - resident(), pages * PAGE_SIZE);
    assert_true(resident() < before / 2);
    assert_int_equal(trim(&waits), 0); /* nor twice */
    for (unsigned i = 0; i < SLOTS; i++)
        if (i % 7)
            slots[i] = memset(malloc(SLOT_BYTES), (int)i, SLOT_BYTES);
    assert_int_equal(trim(&waits), 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_memory_equal(slots[i], slots[i] + 1, SLOT_BYTES - 1);
        assert_int_equal(slots[i][0], (char)i);
        free(slots[i]);
    }
}

static void a_round_is_put_off_while_malloc_is_busy(void **state)
{
    bool waits;

    (void)state;
    is_busy = true;
    assert_int_equal(trim(&waits), 0);
    assert_true(waits);
    is_busy = false;
}

static bool gives_back; /* meanwhile */

static void give_back_meanwhile(unsigned step)
{
    bool waits;

    if (!gives_back || step % 500)
        return;
    trim(&waits);
    trim(&waits);
    move_down();
}

static void random_traffic_matches_the_model(void **state)
{
    static struct {
        unsigned char *at;
        size_t bytes;
        unsigned char fill;
    } held[HELD];
    unsigned n = 0, i;
    size_t j;

    (void)state;
    srandom(3);
    for (i = 0; i < 100000; i++) {
        unsigned victim = n ? (unsigned)random() % n : 0, choice = (unsigned)random() % 10;
        size_t bytes = (size_t)1 << random() % (random() % 50 ? 11 : 19);

        give_back_meanwhile(i);

        bytes = (size_t)random() % bytes;
        if (n == 0 || (choice < (i / 10000 % 2 ? 4 : 6) && n < HELD)) {
            held[n].at = malloc(bytes);
            held[n].bytes = 0;
            victim = held[n].at ? n++ : 0;
            if (n == 0)
                continue;
        } else {
            for (j = 0; j < held[victim].bytes; j++)
                assert_int_equal(held[victim].at[j], held[victim].fill);
            if (choice < 8) {
                free(held[victim].at);
                held[victim] = held[--n];
                continue;
            }
            held[victim].at = realloc(held[victim].at, bytes);
            assert_non_null(held[victim].at);
            for (j = 0; j < MIN(bytes, held[victim].bytes); j++)
                assert_int_equal(held[victim].at[j], held[victim].fill);
        }
        held[victim].bytes = bytes;
        held[victim].fill = (unsigned char)random();
        memset(held[victim].at, held[victim].fill, bytes);
    }
    while (n--)
        free(held[n].at);
}

static void random_traffic_does_so_while_memory_is_given_back_and_moved(void **state)
{
    gives_back = true;
    random_traffic_matches_the_model(state);
    gives_back = false;
}

static void run(void **state)
{
    void (*test)(void **) = *state;

    host_memory_catch_faults();
    test(state);
}

#define TEST(test)                                           \
    {                                                        \
#test, run, remember, nearly_nothing_is_left, (test) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_small_allocation_costs_a_few_pages),
        TEST(alignment_is_as_asked),
        TEST(what_can_not_be_had_is_refused_with_enomem),
        TEST(growth_keeps_the_contents),
        TEST(large_blocks_go_back_at_once),
        TEST(memory_that_ran_out_can_be_used_again),
        TEST(a_double_free_panics),
        TEST(free_slots_that_rested_give_their_pages_back),
        TEST(a_round_is_put_off_while_malloc_is_busy),
        TEST(random_traffic_matches_the_model),
        TEST(random_traffic_does_so_while_memory_is_given_back_and_moved),
    };

    host_memory_init(MEMORY);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
