/* SPDX-License-Identifier: MIT */
/*
 * IOMMUs: units that are off, on, slow, deaf or not there, behind registers that
 * see every access; and DMAR tables that lie. Every table lies in an allocation
 * of its own, so that the sanitizer sees each byte read beyond it.
 *
 * Includes drivers/acpi/dmar.c, to start each test from nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi/dmar.c"

#include "tests/host/log.h"
#include "tests/host/mmio.h"
#include "tests/host/proves.h"
#include "tests/host/registers.h"

#define UNITS_AT UINT64_C(0xfed90000)
#define N_UNITS  4 /* a page each */

#define TES  (1u << 31) /* translation */
#define QIES (1u << 26) /* queued invalidation */
#define IRES (1u << 25) /* interrupt remapping */
/* Commands that act once: root pointer, fault log, write buffer, remapping table pointer. */
#define ONE_SHOT ((1u << 30) | (1u << 29) | (1u << 27) | (1u << 24))

/* ---- the units */

static struct unit {
    uint32_t version, status, wanted; /* wanted: what status is to become */
    unsigned slow;                    /* looks at the status until it does */
    unsigned looks, commands;
    bool deaf;
    const char *violation;
} unit[N_UNITS];

static uint32_t *field(size_t offset)
{
    return (uint32_t *)(void *)(host_registers.page + offset);
}

static void read_register(size_t offset, unsigned bytes)
{
    struct unit *u = &unit[offset / UNIT_BYTES];

    assert_int_equal(bytes, 4);
    if (offset % UNIT_BYTES == 0) {
        *field(offset) = u->version;
        return;
    }
    assert_int_equal(offset % UNIT_BYTES, 0x1c);
    if (u->status != u->wanted && ++u->looks > u->slow && !u->deaf)
        u->status = u->wanted;
    *field(offset) = u->status;
}

/* §11.4.4: one state at a time, after the last command is done. */
static void write_register(size_t offset, unsigned bytes)
{
    struct unit *u = &unit[offset / UNIT_BYTES];
    uint32_t command = *field(offset), changed = (command ^ u->status) & ~ONE_SHOT;

    if (offset % UNIT_BYTES != 0x18 || bytes != 4)
        u->violation = "a register that is not the command's was written";
    else if (u->status != u->wanted)
        u->violation = "a command before the last one was done";
    else if (command & ONE_SHOT)
        u->violation = "a command that acts once was given";
    else if (changed != TES && changed != IRES)
        u->violation = "not one state was changed";
    u->wanted = command | (u->status & ONE_SHOT);
    u->commands++;
}

static void turn_on(unsigned i, uint32_t status)
{
    unit[i].status = unit[i].wanted = status;
}

/* ---- the table */

#define TABLE_BYTES 1024

static uint8_t *table;

const struct acpi_header *acpi_table(const char *signature)
{
    assert_memory_equal(signature, "DMAR", 4);
    return (const void *)table;
}

static uint8_t draft[TABLE_BYTES];
static uint32_t draft_bytes;

static void add_structure(uint16_t type, uint16_t bytes, const void *body, uint32_t body_bytes)
{
    memcpy(draft + draft_bytes, &type, sizeof(type));
    memcpy(draft + draft_bytes + 2, &bytes, sizeof(bytes));
    memcpy(draft + draft_bytes + 4, body, body_bytes);
    draft_bytes += 4 + body_bytes;
}

static void add_unit(uint64_t registers)
{
    uint8_t body[12] = { 1 /* all devices */ };

    memcpy(body + 4, &registers, sizeof(registers));
    add_structure(0, 16, body, sizeof(body));
}

/* The draft's first bytes as a table. */
static int start_on(uint32_t bytes)
{
    int result;

    free(table);
    table = malloc(bytes);
    memcpy(table, draft, bytes);
    memcpy(table + 4, &bytes, sizeof(bytes));
    host_registers_watch(true);
    result = start();
    host_registers_watch(false);
    return result;
}

static int run(void)
{
    return start_on(draft_bytes);
}

static int prepare(void **state)
{
    (void)state;
    host_mmio_start = UNITS_AT;
    host_mmio_bytes = N_UNITS * UNIT_BYTES;
    host_mmio_memory = host_registers_map();
    host_registers.read = read_register;
    host_registers.written = write_register;
    memset(unit, 0, sizeof(unit));
    for (unsigned i = 0; i < N_UNITS; i++)
        unit[i].version = 0x10;
    memset(draft, 0, sizeof(draft));
    memcpy(draft, "DMAR", 4);
    draft_bytes = 48;
    n_units = 0;
    dma_is_translated = false;
    host_log_clear();
    return 0;
}

static int finish(void **state)
{
    (void)state;
    host_registers_watch(false);
    free(table);
    table = NULL;
    for (unsigned i = 0; i < N_UNITS; i++)
        if (unit[i].violation)
            fail_msg("unit %u: %s", i, unit[i].violation);
    return 0;
}

static void assert_logged(const char *what)
{
    if (!strstr(host_log_text(), what))
        fail_msg("the log has no \"%s\":\n%s", what, host_log_text());
}

/* ---- units */

static void a_machine_without_the_table_has_nothing_to_turn_off(void **state)
{
    (void)state;
    assert_int_equal(start(), 0);
    assert_false(dma_is_translated);
    assert_string_equal(host_log_text(), "");
}

static void a_unit_that_is_off_is_left_alone(void **state)
{
    (void)state;
    turn_on(0, QIES);
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].commands, 0);
    assert_false(dma_is_translated);
    assert_string_equal(host_log_text(), "");
}

static void translation_is_turned_off_and_nothing_else(void **state)
{
    PROVES("CORE-RSV-04");
    (void)state;
    turn_on(0, TES | ONE_SHOT | QIES);
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].status, ONE_SHOT | QIES);
    assert_int_equal(unit[0].commands, 1);
    assert_false(dma_is_translated);
    assert_logged("iommu at 0xfed90000: turned off");
}

static void interrupt_remapping_is_turned_off(void **state)
{
    (void)state;
    turn_on(0, IRES);
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].status, 0);
    assert_logged("turned off");
}

static void both_are_turned_off_one_after_the_other(void **state)
{
    (void)state;
    turn_on(0, TES | IRES | QIES);
    unit[0].slow = 5;
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].status, QIES);
    assert_int_equal(unit[0].commands, 2);
}

static void a_slow_unit_is_waited_for(void **state)
{
    (void)state;
    turn_on(0, TES);
    unit[0].slow = 3000;
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].status, 0);
    assert_false(dma_is_translated);
}

static void a_unit_that_never_turns_off_is_given_up_and_the_others_are_not(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        turn_on(i, TES);
        add_unit(UNITS_AT + i * UNIT_BYTES);
    }
    unit[1].deaf = true;
    assert_int_equal(run(), 0);
    assert_true(dma_is_translated);
    assert_int_equal(unit[0].status, 0);
    assert_int_equal(unit[1].status, TES);
    assert_int_equal(unit[2].status, 0);
    assert_logged("iommu at 0xfed91000: stays on");
}

static void remapping_that_stays_on_is_told(void **state)
{
    (void)state;
    turn_on(0, IRES);
    unit[0].deaf = true;
    add_unit(UNITS_AT);
    assert_int_equal(run(), 0);
    assert_true(dma_is_translated);
    assert_logged("stays on");
}

/* ---- register bases */

static void assert_out_of_reach(uint64_t registers)
{
    draft_bytes = 48;
    dma_is_translated = false;
    host_log_clear();
    add_unit(registers);
    assert_int_equal(run(), 0);
    assert_true(dma_is_translated); /* who knows what it does */
    assert_logged("out of reach");
}

static void registers_at_impossible_places_are_not_touched(void **state)
{
    const uint64_t places[] = { 0,
                                1,
                                UNITS_AT + 4,
                                UNITS_AT + 0x800,
                                UNITS_AT - UNIT_BYTES,
                                UNITS_AT + N_UNITS * UNIT_BYTES,
                                UINT64_MAX,
                                UINT64_MAX << 12 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        assert_out_of_reach(places[i]);
}

static void registers_that_are_no_units_are_not_written(void **state)
{
    const uint32_t versions[] = { 0, UINT32_MAX, 0x100, 0x01060015 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        unit[0].version = versions[i];
        turn_on(0, UINT32_MAX);
        assert_out_of_reach(UNITS_AT);
        assert_int_equal(unit[0].commands, 0);
    }
}

/* ---- tables */

static void structures_of_other_types_are_passed_over(void **state)
{
    const uint8_t body[28] = { 0 };

    (void)state;
    turn_on(1, TES);
    add_structure(1, 24, body, 20);    /* reserved memory */
    add_structure(2, 8, body, 4);      /* root ports with ATS */
    add_structure(0xffff, 4, body, 0); /* not invented yet */
    add_structure(0, 15, body, 11);    /* too short for a unit */
    add_unit(UNITS_AT + UNIT_BYTES);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[1].status, 0);
    assert_false(dma_is_translated);
}

static void a_unit_with_device_scopes_is_longer_and_the_next_one_follows_it(void **state)
{
    uint8_t body[12 + 8] = { 0 };
    uint64_t registers = UNITS_AT;

    (void)state;
    memcpy(body + 4, &registers, sizeof(registers));
    turn_on(0, TES);
    turn_on(1, TES);
    add_structure(0, 4 + sizeof(body), body, sizeof(body));
    add_unit(UNITS_AT + UNIT_BYTES);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[0].status | unit[1].status, 0);
}

static void a_structure_of_no_length_ends_the_walk(void **state)
{
    (void)state;
    turn_on(0, TES);
    turn_on(1, TES);
    add_unit(UNITS_AT);
    for (uint16_t bytes = 0; bytes < 4; bytes++) {
        draft_bytes = 64;
        add_structure(0, bytes, "", 0);
        add_unit(UNITS_AT + UNIT_BYTES);
        assert_int_equal(run(), -EINVAL);
    }
    assert_int_equal(unit[0].status, 0);
    assert_int_equal(unit[1].status, TES);
}

static void a_structure_beyond_the_table_ends_the_walk(void **state)
{
    const uint16_t bytes[] = { 17, 255, 0x8000, 0xffff };
    const uint8_t body[12] = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
        draft_bytes = 48;
        add_structure(0, bytes[i], body, sizeof(body));
        assert_int_equal(run(), -EINVAL);
    }
    assert_int_equal(n_units, 0);
}

static void a_table_cut_anywhere_is_survived(void **state)
{
    (void)state;
    add_unit(UNITS_AT);
    add_unit(UNITS_AT + UNIT_BYTES);
    for (uint32_t bytes = sizeof(struct acpi_header); bytes <= draft_bytes; bytes++) {
        n_units = 0;
        start_on(bytes);
        assert_int_equal(n_units, bytes < 64 ? 0 : (bytes - 48) / 16);
    }
}

static void more_units_than_are_told_are_turned_off_all_the_same(void **state)
{
    (void)state;
    for (unsigned i = 0; i < UNITS_TOLD; i++)
        add_unit(UNITS_AT);
    add_unit(UNITS_AT + UNIT_BYTES);
    turn_on(1, TES);
    assert_int_equal(run(), 0);
    assert_int_equal(unit[1].status, 0);
    assert_int_equal(n_units, UNITS_TOLD);
}

static void the_report_tells_each_unit_and_its_state(void **state)
{
    char rendered[512];
    struct text text;

    (void)state;
    turn_on(1, TES);
    add_unit(UNITS_AT);
    add_unit(UNITS_AT + UNIT_BYTES);
    run();
    text_init(&text, rendered, sizeof(rendered));
    report_render(REPORT_JSON, &text);
    assert_string_equal(rendered, "{\"iommu\":{\"unit\":["
                                  "{\"name\":\"0xfed90000\",\"state\":\"off\"},"
                                  "{\"name\":\"0xfed91000\",\"state\":\"turned off\"}]}}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_without_the_table_has_nothing_to_turn_off),
        TEST(a_unit_that_is_off_is_left_alone),
        TEST(translation_is_turned_off_and_nothing_else),
        TEST(interrupt_remapping_is_turned_off),
        TEST(both_are_turned_off_one_after_the_other),
        TEST(a_slow_unit_is_waited_for),
        TEST(a_unit_that_never_turns_off_is_given_up_and_the_others_are_not),
        TEST(remapping_that_stays_on_is_told),
        TEST(registers_at_impossible_places_are_not_touched),
        TEST(registers_that_are_no_units_are_not_written),
        TEST(structures_of_other_types_are_passed_over),
        TEST(a_unit_with_device_scopes_is_longer_and_the_next_one_follows_it),
        TEST(a_structure_of_no_length_ends_the_walk),
        TEST(a_structure_beyond_the_table_ends_the_walk),
        TEST(a_table_cut_anywhere_is_survived),
        TEST(more_units_than_are_told_are_turned_off_all_the_same),
        TEST(the_report_tells_each_unit_and_its_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
