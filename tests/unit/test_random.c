/* SPDX-License-Identifier: MIT */
/*
 * Random numbers: the standard constructions against their published vectors,
 * and the generator on sources that the test invents. Includes kernel/random.c,
 * to start each test from nothing.
 */
#define _GNU_SOURCE /* memmem */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/random.c"

#include "tests/host/log.h"

static const char *cpu_name; /* NULL: no such instruction */
static uint64_t (*cpu_gives)(void);
static unsigned cpu_asked;

const char *cpu_random_name(void)
{
    return cpu_name;
}

bool cpu_random_read(uint64_t *value)
{
    cpu_asked++;
    if (!cpu_gives)
        return false;
    *value = cpu_gives();
    return true;
}

static bool is_parallel;

bool thread_is_parallel(void)
{
    return is_parallel;
}

uint64_t clock_realtime_ns(void)
{
    return 0;
}

static uint64_t next_number;

static uint64_t counting(void)
{
    return ++next_number * UINT64_C(0x123456789abcdef1);
}

static uint64_t all_ones(void)
{
    return UINT64_MAX;
}

static uint64_t all_zeros(void)
{
    return 0;
}

static uint64_t constant(void)
{
    return UINT64_C(0x123456789abcdef1);
}

static int start_from_nothing(void **state)
{
    (void)state;
    memset(sources, 0, sizeof(sources));
    memset(key, 0, sizeof(key));
    memset(spare, 0, sizeof(spare));
    pool_open = has_key = false;
    n_spare = 0;
    waiting_bits = 0;
    total_bits = given_bytes = moments = 0;
    list_init(&suppliers);
    generation = NULL;
    generation_changes = 0;
    cpu_name = "RDSEED";
    cpu_gives = counting;
    cpu_asked = 0;
    host_log_clear();
    return 0;
}

static void assert_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    char text[2 * 64 + 1];

    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

static void chacha20_gives_the_blocks_of_rfc_8439(void **state)
{
    static const uint8_t nonce[] = { 0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0 };
    static const uint8_t zeros[CHACHA20_KEY_BYTES];
    uint8_t ascending[CHACHA20_KEY_BYTES], block[CHACHA20_BLOCK_BYTES];

    (void)state;
    for (unsigned i = 0; i < sizeof(ascending); i++)
        ascending[i] = (uint8_t)i;
    chacha20_block(ascending, 1, nonce, block); /* 2.3.2 */
    assert_hex(block, sizeof(block),
               "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
               "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
    chacha20_block(zeros, 0, zeros, block); /* A.1, 1 and 2 */
    assert_hex(block, sizeof(block),
               "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
               "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
    chacha20_block(zeros, 1, zeros, block);
    assert_hex(block, sizeof(block),
               "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
               "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
}

static void blake2s_gives_the_digest_of_rfc_7693(void **state)
{
    uint8_t digest[BLAKE2S_DIGEST_BYTES];
    struct blake2s hash;

    (void)state;
    blake2s_init(&hash); /* appendix B */
    blake2s_update(&hash, "abc", 3);
    blake2s_final(&hash, digest);
    assert_hex(digest, sizeof(digest),
               "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

/* Bytes 0, 1, 2 ...; digests by Python's hashlib. */
static void blake2s_pads_and_splits_right_around_a_block(void **state)
{
    static const struct {
        unsigned bytes;
        const char *digest;
    } vectors[] = {
        { 0, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9" },
        { 1, "e34d74dbaf4ff4c6abd871cc220451d2ea2648846c7757fbaac82fe51ad64bea" },
        { 63, "e57cb79487dd57902432b250733813bd96a84efce59f650fac26e6696aefafc3" },
        { 64, "56f34e8b96557e90c1f24b52d0c89d51086acf1b00f634cf1dde9233b8eaaa3e" },
        { 65, "1b53ee94aaf34e4b159d48de352c7f0661d0a40edff95a0b1639b4090e974472" },
        { 128, "1fa877de67259d19863a2a34bcc6962a2b25fcbf5cbecd7ede8f1fa36688a796" },
        { 129, "5bd169e67c82c2c2e98ef7008bdf261f2ddf30b1c00f9e7f275bb3e8a28dc9a2" },
        { 255, "f03f5789d3336b80d002d59fdf918bdb775b00956ed5528e86aa994acb38fe2d" },
    };
    uint8_t text[256], digest[BLAKE2S_DIGEST_BYTES];

    (void)state;
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)i;
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        for (unsigned piece = 1; piece <= 256; piece = piece * 3 + 1) {
            struct blake2s hash;

            blake2s_init(&hash);
            for (unsigned at = 0; at < vectors[i].bytes; at += piece)
                blake2s_update(&hash, text + at, MIN(piece, vectors[i].bytes - at));
            blake2s_final(&hash, digest);
            assert_hex(digest, sizeof(digest), vectors[i].digest);
        }
}

static void nothing_is_asked_before_the_first_number(void **state)
{
    (void)state;
    random_note_moment();
    assert_int_equal(cpu_asked, 0);
    assert_null(random_source(0));
    assert_false(random_is_seeded());
    random_u32();
    assert_int_equal(cpu_asked, CPU_WORDS);
    assert_true(random_is_seeded());
    assert_string_equal(random_source(0)->name, "RDSEED");
    assert_int_equal(random_source(0)->entropy_bits, 256);
    assert_null(random_source(1));
    assert_null(random_source(1000));
}

static void exactly_the_bytes_asked_for_are_written(void **state)
{
    static const size_t sizes[] = { 0, 1, 3, 31, 32, 33, 63, 64, 65, 127, 1000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t n = sizes[i];
        uint8_t *buffer = malloc(n + 1); /* the sanitizer watches its end */
        unsigned changed_last = 0;

        for (unsigned again = 0; again < 64; again++) {
            memset(buffer, 0xa5, n + 1);
            random_bytes(buffer, n);
            assert_int_equal(buffer[n], 0xa5);
            changed_last += n && buffer[n - 1] != 0xa5;
        }
        assert_true(n == 0 || changed_last > 50);
        free(buffer);
    }
}

static void numbers_do_not_repeat(void **state)
{
    static uint64_t numbers[2000];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        random_bytes(&numbers[i], sizeof(numbers[i]));
        for (unsigned before = 0; before < i; before++)
            assert_true(numbers[i] != numbers[before]);
    }
}

static void bits_are_set_as_often_as_not(void **state)
{
    static uint8_t bytes[100000];
    unsigned ones = 0;

    (void)state;
    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        ones += (unsigned)__builtin_popcount(bytes[i]);
    assert_in_range(ones, 400000 - 3200, 400000 + 3200); /* 7 standard deviations */
}

static void what_was_given_out_is_kept_nowhere(void **state)
{
    uint8_t given[24];

    (void)state;
    random_bytes(given, sizeof(given));
    assert_null(memmem(spare, sizeof(spare), given, 8));
    assert_null(memmem(key, sizeof(key), given, 8));
}

static void every_refill_replaces_the_key(void **state)
{
    uint8_t before[CHACHA20_KEY_BYTES], given[SPARE_BYTES];

    (void)state;
    random_u32();
    memcpy(before, key, sizeof(key));
    random_bytes(given, sizeof(given));
    assert_memory_not_equal(before, key, sizeof(key));
}

static void a_cpu_without_the_instruction_leaves_jitter(void **state)
{
    (void)state;
    cpu_name = NULL;
    random_u32();
    assert_int_equal(cpu_asked, 0);
    assert_false(random_is_seeded());
    assert_string_equal(random_source(0)->name, "jitter");
    assert_int_equal(random_source(0)->entropy_bits, 0);
}

static void a_cpu_that_does_not_deliver_counts_for_nothing(void **state)
{
    (void)state;
    cpu_gives = NULL;
    random_u32();
    assert_false(random_is_seeded());
    assert_string_equal(random_source(0)->name, "jitter");
}

static void a_cpu_that_repeats_itself_is_not_believed(void **state)
{
    static uint64_t (*const liars[])(void) = { all_ones, all_zeros, constant };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(liars); i++) {
        const uint64_t words[CPU_WORDS] = { liars[i](), liars[i](), liars[i](), liars[i]() };

        assert_false(is_plausible(words));
    }
    cpu_gives = all_ones;
    random_u32();
    assert_false(random_is_seeded());
    assert_non_null(strstr(host_log_text(), "RDSEED repeats itself"));
}

static void small_portions_wait_until_they_are_worth_a_key(void **state)
{
    uint8_t before[CHACHA20_KEY_BYTES];

    (void)state;
    cpu_name = NULL;
    random_u32();
    memcpy(before, key, sizeof(key));
    for (unsigned i = 0; i < 7; i++)
        random_add("four", 4, 32, "virtio-rng");
    assert_memory_equal(before, key, sizeof(key));
    assert_false(random_is_seeded());
    random_add("four", 4, 32, "virtio-rng");
    assert_memory_not_equal(before, key, sizeof(key));
    assert_true(random_is_seeded());
    assert_string_equal(random_source(1)->name, "virtio-rng");
    assert_int_equal(random_source(1)->entropy_bits, 256);
}

static void more_sources_than_are_listed_are_still_mixed_in(void **state)
{
    static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        random_add("x", 1, 1000000, names[i]);
    random_u32();
    assert_null(random_source(MAX_SOURCES));
    assert_string_equal(random_source(MAX_SOURCES - 1)->name, "h");
}

static void fresh_entropy_is_asked_for_after_64_kib(void **state)
{
    static uint8_t bytes[RESEED_AFTER_BYTES];

    (void)state;
    random_bytes(bytes, sizeof(bytes) - 1);
    assert_int_equal(cpu_asked, CPU_WORDS);
    random_bytes(bytes, 1);
    random_bytes(bytes, 1);
    assert_int_equal(cpu_asked, 2 * CPU_WORDS);
}

/* ---- sources that answer later */

static unsigned asked, looked;

static void note_ask(struct random_supplier *supplier)
{
    asked++;
    supplier->awaited = true;
}

static void answer_at_the_third_look(struct random_supplier *supplier)
{
    if (++looked == 3) {
        supplier->awaited = false;
        random_add("0123456789abcdef0123456789abcdef", 32, 256, "virtio-rng");
    }
}

static void a_supplier_is_asked_at_once_and_looked_at_until_it_answers(void **state)
{
    struct random_supplier supplier = { .ask = note_ask, .look = answer_at_the_third_look };
    static uint8_t bytes[RESEED_AFTER_BYTES];
    uint8_t before[CHACHA20_KEY_BYTES];

    (void)state;
    asked = looked = 0;
    random_join(&supplier);
    assert_int_equal(asked, 1);
    assert_int_equal(looked, 0);
    random_bytes(bytes, 1); /* and gathers, for the first key */
    assert_int_equal(asked, 2);
    random_bytes(bytes, 1);
    memcpy(before, key, sizeof(key));
    random_bytes(bytes, 1);
    assert_int_equal(looked, 3);
    assert_memory_not_equal(before, key, sizeof(key)); /* it is worth a key, at once */
    random_bytes(bytes, 1);
    assert_int_equal(looked, 3);
    random_bytes(bytes, sizeof(bytes));
    random_bytes(bytes, 1);
    assert_int_equal(asked, 3);
    random_part(&supplier);
    random_bytes(bytes, sizeof(bytes));
    random_bytes(bytes, 1);
    assert_int_equal(asked, 3);
}

/* ---- the VM's generation */

static void a_parallel_thread_draws_numbers_and_calls_no_supplier(void **state)
{
    struct random_supplier supplier = { .ask = note_ask, .look = answer_at_the_third_look };
    uint8_t drawn[64] = { 0 };
    unsigned before;

    (void)state;
    asked = looked = 0;
    random_join(&supplier);
    before = asked;
    spin_several = is_parallel = true;
    for (unsigned i = 0; i < 3 * RESEED_AFTER_BYTES / sizeof(drawn); i++)
        random_bytes(drawn, sizeof(drawn));
    assert_int_equal(asked, before);
    assert_int_equal(looked, 0);
    is_parallel = false;
    random_bytes(drawn, sizeof(drawn));
    assert_true(looked > 0);
    spin_several = false;
    random_part(&supplier);
}

#define DRAWERS 4
#define DRAWN   20000

static uint64_t drawn_by[DRAWERS][DRAWN];

static void *draw(void *cpu)
{
    for (unsigned i = 0; i < DRAWN; i++)
        random_bytes(&drawn_by[(uintptr_t)cpu][i], sizeof(drawn_by[0][i]));
    return NULL;
}

static int compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return a < b ? -1 : a > b;
}

static void no_two_cpus_draw_the_same_number(void **state)
{
    pthread_t drawers[DRAWERS];
    uint64_t *all = &drawn_by[0][0];

    (void)state;
    spin_several = true;
    for (uintptr_t i = 0; i < DRAWERS; i++)
        assert_int_equal(pthread_create(&drawers[i], NULL, draw, (void *)i), 0);
    for (unsigned i = 0; i < DRAWERS; i++)
        pthread_join(drawers[i], NULL);
    spin_several = false;
    qsort(all, (size_t)DRAWERS * DRAWN, sizeof(*all), compare);
    for (unsigned i = 1; i < DRAWERS * DRAWN; i++)
        assert_true(all[i] != all[i - 1] && all[i] != 0);
}

static void a_new_generation_has_a_new_key_at_once(void **state)
{
    static uint8_t id[RANDOM_GENERATION_BYTES];
    uint8_t before[CHACHA20_KEY_BYTES], given[8], spare_before[SPARE_BYTES];
    unsigned asked_before;

    (void)state;
    assert_int_equal(random_generation_changes(), -1);
    random_watch_generation(id);
    random_bytes(given, 1);
    assert_int_equal(random_generation_changes(), 0);
    memcpy(before, key, sizeof(key));
    memcpy(spare_before, spare, sizeof(spare));
    asked_before = cpu_asked;
    random_bytes(given, 1); /* the same generation goes on with what it has */
    assert_memory_equal(before, key, sizeof(key));
    assert_int_equal(cpu_asked, asked_before);
    for (unsigned i = 0; i < sizeof(id); i++) { /* any byte of it counts */
        memcpy(before, key, sizeof(key));
        id[i]++;
        random_bytes(given, 1);
        assert_int_equal(random_generation_changes(), i + 1);
        assert_memory_not_equal(before, key, sizeof(key));
        assert_memory_not_equal(spare_before, spare, SPARE_BYTES - 1);
    }
    assert_true(cpu_asked > asked_before);
    assert_non_null(strstr(host_log_text(), "generation has changed"));
}

#define TEST(name) cmocka_unit_test_setup(name, start_from_nothing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chacha20_gives_the_blocks_of_rfc_8439),
        TEST(blake2s_gives_the_digest_of_rfc_7693),
        TEST(blake2s_pads_and_splits_right_around_a_block),
        TEST(nothing_is_asked_before_the_first_number),
        TEST(exactly_the_bytes_asked_for_are_written),
        TEST(numbers_do_not_repeat),
        TEST(bits_are_set_as_often_as_not),
        TEST(what_was_given_out_is_kept_nowhere),
        TEST(every_refill_replaces_the_key),
        TEST(a_cpu_without_the_instruction_leaves_jitter),
        TEST(a_cpu_that_does_not_deliver_counts_for_nothing),
        TEST(small_portions_wait_until_they_are_worth_a_key),
        TEST(more_sources_than_are_listed_are_still_mixed_in),
        TEST(fresh_entropy_is_asked_for_after_64_kib),
        TEST(a_supplier_is_asked_at_once_and_looked_at_until_it_answers),
        TEST(a_parallel_thread_draws_numbers_and_calls_no_supplier),
        TEST(no_two_cpus_draw_the_same_number),
        TEST(a_new_generation_has_a_new_key_at_once),
        TEST(a_cpu_that_repeats_itself_is_not_believed), /* for good, so it comes last */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
