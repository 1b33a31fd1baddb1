/* SPDX-License-Identifier: MIT */
/* kernel/vmem and kernel/dma above the real allocators; page faults are real ones. */
#include "kernel/vmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/paging.h"
#include "kernel/dma.h"
#include "kernel/event.h"
#include "kernel/page.h"
#include "kernel/page_audit.h"
#include "tests/host/memory.h"
#include "tests/host/panic.h"

#define MEMORY (64 * MIB)
#define LARGE  (2 * MIB)

static uint64_t free_at_start;

void event_signal(struct event *event)
{
    (void)event;
}

static struct page_stats pages_now(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats;
}

static uint64_t resident(void)
{
    struct vmem_stats stats;

    vmem_get_stats(&stats);
    return stats.resident_bytes;
}

static int remember(void **state)
{
    (void)state;
    page_free(page_alloc(0), 0);
    free_at_start = pages_now().free;
    return 0;
}

static int nothing_is_left(void **state)
{
    struct vmem_stats stats;

    (void)state;
    vmem_get_stats(&stats);
    assert_int_equal(stats.ranges, 0);
    assert_int_equal(stats.reserved_bytes, 0);
    assert_int_equal(stats.resident_bytes, 0);
    assert_int_equal(host_memory_tables(), 0);
    assert_int_equal(pages_now().free, free_at_start);
    assert_int_equal(pages_now().promised, 0);
    assert_true(page_audit());
    return 0;
}

static bool is_zero(const char *start, size_t bytes)
{
    return bytes == 0 || (start[0] == 0 && memcmp(start, start + 1, bytes - 1) == 0);
}

static void what_nobody_touches_costs_only_a_promise(void **state)
{
    uint64_t before = pages_now().free;
    char *range = vmem_alloc(1 * MIB);

    (void)state;
    assert_true((uintptr_t)range >= PAGING_IDENTITY_END);
    assert_int_equal(before - pages_now().free, 1); /* the kernel's note */
    assert_in_range(pages_now().promised, 256, 258);
    range[5 * PAGE_SIZE] = 1;
    assert_int_equal(resident(), PAGE_SIZE);
    vmem_free(range);
}

static void memory_is_zero_also_the_second_time(void **state)
{
    unsigned round;

    (void)state;
    for (round = 0; round < 3; round++) {
        char *range = vmem_alloc(3 * MIB), *large = vmem_alloc(8 * MIB);

        assert_true(is_zero(range, 3 * MIB));
        assert_true(is_zero(large, 8 * MIB));
        memset(range, 0xaa, 3 * MIB);
        memset(large, 0xaa, 8 * MIB);
        vmem_free(range);
        vmem_free(large);
    }
}

static void guard_pages_lie_at_both_ends(void **state)
{
    char *ranges[20];
    unsigned i;

    (void)state;
    for (i = 0; i < 20; i++)
        ranges[i] = vmem_alloc(i % 3 ? 1 + i * PAGE_SIZE / 2 : 5 * MIB / 2 + i);
    for (i = 0; i < 20; i++) {
        size_t bytes = ALIGN_UP(i % 3 ? 1 + i * PAGE_SIZE / 2 : 5 * MIB / 2 + i, PAGE_SIZE);

        assert_false(vmem_fault((uintptr_t)ranges[i] - 1));
        assert_false(vmem_fault((uintptr_t)ranges[i] - PAGE_SIZE));
        assert_false(vmem_fault((uintptr_t)ranges[i] + bytes));
        assert_false(vmem_fault((uintptr_t)ranges[i] + bytes + PAGE_SIZE - 1));
        assert_true(vmem_fault((uintptr_t)ranges[i] + bytes - 1));
        assert_true(vmem_fault((uintptr_t)ranges[i] + bytes - 1)); /* twice does no harm */
        vmem_free(ranges[i]);
    }
    assert_false(vmem_fault(0));
    assert_false(vmem_fault(UINTPTR_MAX));
    assert_false(vmem_fault(PAGING_IDENTITY_END));
}

static void nonsense_sizes_are_refused(void **state)
{
    char *range = vmem_alloc(1);

    (void)state;
    assert_null(vmem_alloc(0));
    assert_null(vmem_alloc(SIZE_MAX));
    assert_null(vmem_alloc(SIZE_MAX - 4095));
    assert_null(vmem_alloc(UINT64_C(1) << 45));
    assert_null(vmem_alloc(MEMORY));
    assert_null(vmem_resize(range, 0));
    assert_null(vmem_resize(range, SIZE_MAX));
    assert_null(vmem_resize(range, MEMORY));
    range[0] = 1;
    vmem_free(range);
    vmem_free(NULL);
}

static void wrong_addresses_panic(void **state)
{
    char *range = vmem_alloc(3 * PAGE_SIZE);

    (void)state;
    assert_true(PANICS(vmem_free(range + PAGE_SIZE)));
    assert_true(PANICS(vmem_free(range - PAGE_SIZE)));
    assert_true(PANICS(vmem_resize(range + 1, 5)));
    assert_true(PANICS(vmem_discard(range, 3 * PAGE_SIZE + 1)));
    assert_true(PANICS(vmem_discard(range - 1, 1)));
    vmem_free(range);
    assert_true(PANICS(vmem_free(range)));
}

static void large_ranges_get_large_pages_and_small_ones_none(void **state)
{
    char *large = vmem_alloc(5 * MIB), *small = vmem_alloc(4 * MIB - PAGE_SIZE);

    (void)state;
    assert_true(IS_ALIGNED((uintptr_t)large, LARGE));
    large[LARGE + 5] = 1;
    assert_int_equal(resident(), LARGE);
    large[5 * MIB - 1] = 1; /* the last MiB has no room for one */
    assert_int_equal(resident(), LARGE + PAGE_SIZE);
    small[3 * MIB] = 1;
    assert_int_equal(resident(), LARGE + 2 * PAGE_SIZE);
    vmem_free(large);
    vmem_free(small);
}

static void discarded_pages_come_back_as_zeros_and_stay_promised(void **state)
{
    char *range = vmem_alloc(16 * PAGE_SIZE);
    uint64_t promised;

    (void)state;
    memset(range, 0x55, 16 * PAGE_SIZE);
    promised = pages_now().promised;
    vmem_discard(range + 1, 3 * PAGE_SIZE); /* two whole pages */
    assert_int_equal(resident(), 14 * PAGE_SIZE);
    assert_int_equal(pages_now().promised, promised + 2);
    vmem_discard(range + 5, 10);
    vmem_discard(range + PAGE_SIZE, 2 * PAGE_SIZE); /* nothing is there */
    assert_int_equal(resident(), 14 * PAGE_SIZE);
    assert_int_equal(range[PAGE_SIZE - 1], 0x55);
    assert_true(is_zero(range + PAGE_SIZE, 2 * PAGE_SIZE));
    assert_int_equal(range[3 * PAGE_SIZE], 0x55);
    vmem_free(range);
}

static void a_part_of_a_large_page_can_be_discarded(void **state)
{
    char *range = vmem_alloc(6 * MIB);

    (void)state;
    memset(range, 0x66, 6 * MIB);
    vmem_discard(range + MIB, 3 * MIB); /* half of one, and a whole one */
    assert_int_equal(resident(), 3 * MIB);
    assert_int_equal(range[MIB - 1], 0x66);
    assert_true(is_zero(range + MIB, 3 * MIB));
    assert_int_equal(range[4 * MIB], 0x66);
    vmem_free(range);
}

static void touching_never_fails_whatever_the_kernel_takes(void **state)
{
    char *range = vmem_alloc(20 * MIB), *other = vmem_alloc(3 * MIB);
    phys_addr_t pages[MEMORY / PAGE_SIZE];
    unsigned n = 0;

    (void)state;
    while ((pages[n] = page_alloc(0)) != 0)
        n++;
    assert_null(vmem_alloc(PAGE_SIZE));
    memset(range, 1, 20 * MIB);
    memset(other, 1, 3 * MIB);
    vmem_discard(range + 1, 10 * MIB);
    memset(range, 1, 20 * MIB);
    while (n--)
        page_free(pages[n], 0);
    vmem_free(range);
    vmem_free(other);
}

static void touching_never_fails_in_fragmented_memory(void **state)
{
    phys_addr_t pages[MEMORY / PAGE_SIZE];
    unsigned n = 0, i;
    char *range;

    (void)state;
    while ((pages[n] = page_alloc(0)) != 0)
        n++;
    for (i = 0; i < n; i += 2)
        page_free(pages[i], 0);
    range = vmem_alloc(20 * MIB);
    assert_non_null(range);
    for (i = 1; i < n; i += 2) {
        if (i % 1024 == 1) /* other kernel allocations go on */
            assert_int_not_equal(page_alloc(0), 0);
    }
    memset(range, 1, 20 * MIB);
    vmem_free(range);
    for (i = 1; i < n; i += 2)
        page_free(pages[i], 0);
    free_at_start -= (n + 1022) / 1024;
}

static void growing_keeps_the_contents(void **state)
{
    char *range = vmem_alloc(PAGE_SIZE), *wall = vmem_alloc(PAGE_SIZE), *grown;
    size_t bytes = PAGE_SIZE, i;

    (void)state;
    memset(range, 1, bytes);
    while (bytes < 20 * MIB) {
        grown = vmem_resize(range, bytes * 2);
        assert_non_null(grown);
        for (i = 0; i < bytes; i += 512)
            assert_int_equal(grown[i], 1);
        assert_true(is_zero(grown + bytes, bytes));
        bytes *= 2;
        memset(grown, 1, bytes);
        range = grown;
    }
    assert_null(vmem_resize(range, 62 * MIB));
    assert_int_equal(range[bytes - 1], 1);
    grown = vmem_resize(range, 3 * MIB + 5);
    assert_ptr_equal(grown, range);
    assert_int_equal(grown[3 * MIB + 4], 1);
    assert_false(vmem_fault((uintptr_t)grown + 3 * MIB + PAGE_SIZE));
    assert_ptr_equal(vmem_resize(range, 3 * MIB + 6), range); /* the same page */
    vmem_free(range);
    vmem_free(wall);
}

/* Runs what unmaps; the fake page tables see to it that nothing is reused before the word. */
static unsigned words_for(void (*run)(char *range), char *range)
{
    unsigned before = host_memory_hidden.words;

    run(range);
    assert_int_equal(host_memory_hidden.pages, 0);
    assert_int_equal(host_memory_hidden.tables, 0);
    return host_memory_hidden.words - before;
}

static void free_all(char *range)
{
    vmem_free(range);
}

static void discard_most(char *range)
{
    vmem_discard(range + PAGE_SIZE, 3 * LARGE);
}

static void shrink_to_a_page(char *range)
{
    assert_ptr_equal(vmem_resize(range, PAGE_SIZE), range);
}

static void move_away(char *range)
{
    char *behind = vmem_alloc(4 * LARGE), *moved = vmem_resize(range, 9 * LARGE);

    assert_ptr_not_equal(moved, range);
    assert_int_equal(moved[5 * PAGE_SIZE], 5);
    vmem_free(behind);
    vmem_free(moved);
}

static char *touched(size_t bytes)
{
    char *range = vmem_alloc(bytes);

    for (size_t at = 0; at < bytes; at += PAGE_SIZE)
        range[at] = (char)(at / PAGE_SIZE);
    return range;
}

static void other_cpus_get_one_word_for_all_that_is_unmapped_at_once(void **state)
{
    char *range;

    (void)state;
    assert_int_equal(words_for(free_all, touched(100 * PAGE_SIZE)), 1);
    assert_int_equal(words_for(free_all, touched(5 * LARGE)), 1);
    assert_int_equal(words_for(free_all, vmem_alloc(100 * PAGE_SIZE)), 0);
    range = touched(5 * LARGE);
    assert_int_equal(words_for(discard_most, range), 1);
    assert_int_equal(words_for(shrink_to_a_page, range), 1);
    assert_int_equal(words_for(free_all, range), 1);
    assert_true(words_for(move_away, touched(7 * LARGE)) <= 3);
}

/* What malloc() does with pieces of a MiB: one page more each, so none has a table of its own. */
static void tables_go_with_the_last_range_in_them_and_leave_memory_whole(void **state)
{
    char *ranges[40];

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        ranges[i] = touched(MIB + PAGE_SIZE);
    for (unsigned i = 1; i < 40; i++)
        vmem_free(ranges[i]);
    assert_int_equal(host_memory_tables(), 1);
    assert_int_equal(ranges[0][3 * PAGE_SIZE], 3);
    assert_true(pages_now().largest_free >= 32 * MIB);
    vmem_free(ranges[0]);
}

static void growing_into_free_space_stays_in_place(void **state)
{
    char *range = vmem_alloc(PAGE_SIZE);

    (void)state;
    assert_ptr_equal(vmem_resize(range, MIB), range);
    range[MIB - 1] = 1;
    vmem_free(range);
}

static void resizing_for_ever_promises_no_more_than_once(void **state)
{
    char *range = vmem_alloc(16 * MIB);
    uint64_t promised = pages_now().promised;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_ptr_equal(vmem_resize(range, 4 * MIB), range);
        assert_ptr_equal(vmem_resize(range, 16 * MIB), range);
        assert_in_range(pages_now().promised, promised - 4, promised + 4);
    }
    for (uint64_t bytes = 16 * MIB; bytes < 18 * MIB; bytes += PAGE_SIZE)
        assert_ptr_equal(vmem_resize(range, bytes), range);
    assert_in_range(pages_now().promised, promised + 511, promised + 511 + 6);
    for (unsigned i = 0; i < 100; i++) { /* mapped, and with a large page cut */
        range[16 * MIB - 1] = 1;
        assert_ptr_equal(vmem_resize(range, 15 * MIB), range);
        range[15 * MIB - 1] = 1;
        assert_ptr_equal(vmem_resize(range, 16 * MIB), range);
        assert_int_equal(range[15 * MIB - 1], 1);
        assert_int_equal(range[16 * MIB - 1], 0);
    }
    assert_in_range(pages_now().promised + resident() / PAGE_SIZE, promised - 8, promised + 4);
    for (uint64_t at = 0; at < 16 * MIB; at += PAGE_SIZE)
        range[at] = 1;
    vmem_free(range);
}

static void addresses_are_reused_from_the_bottom(void **state)
{
    char *first = vmem_alloc(8 * PAGE_SIZE), *second = vmem_alloc(PAGE_SIZE), *third;

    (void)state;
    vmem_free(first);
    third = vmem_alloc(8 * PAGE_SIZE);
    assert_ptr_equal(third, first);
    vmem_free(third);
    third = vmem_alloc(9 * PAGE_SIZE);
    assert_true(third > second);
    vmem_free(second);
    vmem_free(third);
}

static void devices_see_application_memory_in_contiguous_pieces(void **state)
{
    char *range = vmem_alloc(64 * PAGE_SIZE);
    size_t done, n;
    dma_addr_t addr;

    (void)state;
    range[7 * PAGE_SIZE] = 1;
    for (done = 100; done < 64 * PAGE_SIZE; done += n) {
        n = dma_translate(range + done, 64 * PAGE_SIZE - done, &addr);
        assert_in_range(n, 1, 64 * PAGE_SIZE - done);
        memset((void *)addr, 0x77, n); /* as the device would */
    }
    for (done = 100; done < 64 * PAGE_SIZE; done++)
        assert_int_equal(range[done], 0x77);
    assert_int_equal(range[99], 0);
    assert_int_equal(dma_translate(range, 0, &addr), 0);
    assert_int_equal(dma_translate(range, 5, &addr), 5);
    assert_int_equal(dma_translate(range + 64 * PAGE_SIZE, 1, &addr), 0);
    assert_int_equal(dma_translate(NULL, 1, &addr), 0);
    assert_int_equal(dma_translate((void *)UINTPTR_MAX, 1, &addr), 0);
    vmem_free(range);
}

static void devices_see_kernel_memory_whole(void **state)
{
    dma_addr_t addr, seen;
    char *memory = dma_alloc(5 * PAGE_SIZE + 1, &addr);

    (void)state;
    assert_true(IS_ALIGNED(addr, PAGE_SIZE));
    assert_true(is_zero(memory, 6 * PAGE_SIZE));
    assert_int_equal(dma_translate(memory + 1, 5 * PAGE_SIZE, &seen), 5 * PAGE_SIZE);
    assert_int_equal(seen, addr + 1);
    assert_int_equal(dma_address(memory + 5), addr + 5);
    memset(memory, 1, 6 * PAGE_SIZE);
    dma_free(memory, 5 * PAGE_SIZE + 1);
    dma_free(NULL, 5);
    assert_null(dma_alloc(0, &addr));
    assert_null(dma_alloc(SIZE_MAX, &addr));
}

static void small_dma_memory_shares_pages_and_is_aligned_to_what_holds_it(void **state)
{
    static const struct {
        size_t bytes, alignment;
    } sizes[] = { { 1, 16 },      { 17, 32 },     { 150, 256 },
                  { 1000, 1024 }, { 1024, 1024 }, { 1025, PAGE_SIZE } };
    dma_addr_t addr, other;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *memory = dma_alloc(sizes[i].bytes, &addr),
             *second = dma_alloc(sizes[i].bytes, &other);

        assert_non_null(memory);
        assert_int_equal(addr, dma_address(memory));
        assert_int_equal(other, dma_address(second));
        assert_true(IS_ALIGNED(addr | other, sizes[i].alignment));
        assert_true(is_zero(memory, sizes[i].bytes));
        memset(memory, 1, sizes[i].bytes);
        assert_true(is_zero(second, sizes[i].bytes));
        dma_free(memory, sizes[i].bytes);
        memory = dma_alloc(sizes[i].bytes, &addr);
        assert_true(is_zero(memory, sizes[i].bytes));
        dma_free(memory, sizes[i].bytes);
        dma_free(second, sizes[i].bytes);
    }
}

#define HELD 500

static void random_traffic_matches_the_model(void **state)
{
    static struct {
        unsigned char *at;
        size_t bytes;
        unsigned char fill; /* of each page's first and last byte */
    } held[HELD];
    unsigned n = 0, i;
    size_t at;

    (void)state;
    srandom(11);
    for (i = 0; i < 20000; i++) {
        unsigned victim = n ? (unsigned)random() % n : 0, choice = (unsigned)random() % 10;

        if ((choice < 5 && n < HELD) || n == 0) {
            held[n].bytes = 1 + (size_t)random() % (PAGE_SIZE << random() % 11);
            held[n].at = vmem_alloc(held[n].bytes);
            held[n].fill = 0;
            n += held[n].at != NULL;
            continue;
        }
        for (at = 0; at < held[victim].bytes; at += PAGE_SIZE)
            assert_int_equal(held[victim].at[at], held[victim].fill);
        if (choice < 6) {
            vmem_discard(held[victim].at, held[victim].bytes);
            held[victim].at[held[victim].bytes - 1] = 0; /* in a page that is partly ours, say */
            memset(held[victim].at, 0, held[victim].bytes % PAGE_SIZE);
            for (at = 0; at < held[victim].bytes; at += PAGE_SIZE)
                held[victim].at[at] = 0;
            held[victim].fill = 0;
        } else if (choice < 8) {
            held[victim].fill = (unsigned char)random();
            for (at = 0; at < held[victim].bytes; at += PAGE_SIZE)
                held[victim].at[at] = held[victim].fill;
        } else {
            vmem_free(held[victim].at);
            held[victim] = held[--n];
        }
    }
    while (n--)
        vmem_free(held[n].at);
}

static void run(void **state)
{
    void (*test)(void **) = *state;

    host_memory_catch_faults();
    test(state);
}

#define TEST(test)                                    \
    {                                                 \
#test, run, remember, nothing_is_left, (test) \
    }

/* ---- making free memory whole */

#define PIECES      40
#define PIECE_BYTES (300 * KIB)

static uint64_t word_of(unsigned piece, uint64_t n)
{
    return (piece * UINT64_C(0x9e3779b97f4a7c15)) ^ n;
}

static void fill_piece(uint64_t *words, unsigned piece)
{
    for (uint64_t n = 0; n < PIECE_BYTES / sizeof(*words); n++)
        words[n] = word_of(piece, n);
}

static bool piece_is_intact(const uint64_t *words, unsigned piece)
{
    for (uint64_t n = 0; n < PIECE_BYTES / sizeof(*words); n++)
        if (words[n] != word_of(piece, n))
            return false;
    return true;
}

/* One of each eight pieces stays. */
static void leave_holes(uint64_t **pieces, bool may_move)
{
    for (unsigned i = 0; i < PIECES; i++) {
        pieces[i] = vmem_alloc(PIECE_BYTES);
        if (may_move)
            vmem_allow_moves(pieces[i]);
        fill_piece(pieces[i], i);
    }
    for (unsigned i = 0; i < PIECES; i++) {
        if (i % 8 == 7)
            continue;
        vmem_free(pieces[i]);
        pieces[i] = NULL;
    }
}

static void free_pieces(uint64_t **pieces)
{
    for (unsigned i = 0; i < PIECES; i++) {
        assert_true(!pieces[i] || piece_is_intact(pieces[i], i));
        vmem_free(pieces[i]);
    }
}

static uint64_t move_all_down(void)
{
    uintptr_t at = 0;
    uint64_t moved = 0, before;

    do {
        before = moved;
    } while (vmem_move_down(&at, page_dense_end(), &moved) && moved - before <= VMEM_MOVES + 1);
    assert_true(moved - before <= VMEM_MOVES + 1);
    return moved;
}

static void pages_between_holes_move_down_and_keep_what_they_hold(void **state)
{
    uint64_t *pieces[PIECES], scattered, faults, resident_before;
    struct vmem_stats stats;

    (void)state;
    leave_holes(pieces, true);
    scattered = page_scattered();
    resident_before = resident();
    vmem_get_stats(&stats);
    faults = stats.faults;
    assert_true(move_all_down() > 100);
    assert_true(page_scattered() < scattered / 2);
    assert_int_equal(resident(), resident_before);
    assert_true(page_audit());
    assert_int_equal(move_all_down(), 0);
    for (unsigned i = 7; i < PIECES; i += 8) {
        uint64_t left;

        assert_true(paging_lookup((uintptr_t)pieces[i], &left) < page_dense_end());
        assert_true(piece_is_intact(pieces[i], i));
    }
    vmem_get_stats(&stats);
    assert_int_equal(stats.faults, faults);
    free_pieces(pieces);
}

static void what_may_not_move_stays_where_it_is(void **state)
{
    uint64_t *pieces[PIECES], left;
    phys_addr_t places[PIECES];

    (void)state;
    leave_holes(pieces, false);
    for (unsigned i = 7; i < PIECES; i += 8)
        places[i] = paging_lookup((uintptr_t)pieces[i], &left);
    move_all_down(); /* tables may */
    for (unsigned i = 7; i < PIECES; i += 8) {
        assert_int_equal(paging_lookup((uintptr_t)pieces[i], &left), places[i]);
        vmem_allow_moves(pieces[i]);
    }
    vmem_pins = 1; /* a disk reads into one of them */
    assert_int_equal(move_all_down(), 0);
    vmem_pins = 0;
    assert_true(move_all_down() > 100);
    free_pieces(pieces);
}

static void large_pages_are_passed_over_and_holes_too(void **state)
{
    uint64_t *pieces[PIECES];
    char *large = vmem_alloc(8 * MIB), *sparse = vmem_alloc(3 * MIB);

    (void)state;
    vmem_allow_moves(large);
    vmem_allow_moves(sparse);
    leave_holes(pieces, true);
    memset(large, 0x55, 4 * MIB);
    sparse[700 * PAGE_SIZE] = 5;
    move_all_down();
    assert_true(page_audit());
    assert_int_equal(large[4 * MIB - 1], 0x55);
    assert_int_equal(sparse[700 * PAGE_SIZE], 5);
    assert_true(is_zero(sparse, 700 * PAGE_SIZE));
    sparse = vmem_resize(sparse, 5 * MIB); /* it may still move, wherever it is now */
    assert_int_equal(sparse[700 * PAGE_SIZE], 5);
    move_all_down();
    vmem_free(large);
    vmem_free(sparse);
    free_pieces(pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_between_holes_move_down_and_keep_what_they_hold),
        TEST(what_may_not_move_stays_where_it_is),
        TEST(large_pages_are_passed_over_and_holes_too),
        TEST(what_nobody_touches_costs_only_a_promise),
        TEST(memory_is_zero_also_the_second_time),
        TEST(guard_pages_lie_at_both_ends),
        TEST(nonsense_sizes_are_refused),
        TEST(wrong_addresses_panic),
        TEST(large_ranges_get_large_pages_and_small_ones_none),
        TEST(discarded_pages_come_back_as_zeros_and_stay_promised),
        TEST(a_part_of_a_large_page_can_be_discarded),
        TEST(touching_never_fails_whatever_the_kernel_takes),
        TEST(touching_never_fails_in_fragmented_memory),
        TEST(growing_keeps_the_contents),
        TEST(other_cpus_get_one_word_for_all_that_is_unmapped_at_once),
        TEST(tables_go_with_the_last_range_in_them_and_leave_memory_whole),
        TEST(growing_into_free_space_stays_in_place),
        TEST(resizing_for_ever_promises_no_more_than_once),
        TEST(addresses_are_reused_from_the_bottom),
        TEST(devices_see_application_memory_in_contiguous_pieces),
        TEST(devices_see_kernel_memory_whole),
        TEST(small_dma_memory_shares_pages_and_is_aligned_to_what_holds_it),
        TEST(random_traffic_matches_the_model),
    };

    host_memory_init(MEMORY);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
