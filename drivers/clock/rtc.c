/* SPDX-License-Identifier: MIT */
/*
 * The date from the CMOS clock, where no hypervisor tells it. It knows whole
 * seconds; waiting for one to begin would take half a second of the boot, so the
 * middle of the second is taken.
 */
#include "drivers/clock/rtc.h"

#include "drivers/acpi/acpi.h"
#include "kernel/clock.h"
#include "kernel/driver.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "lib/base/io.h"

#define CMOS_INDEX 0x70
#define CMOS_VALUE 0x71

#define RTC_RATING 100

#define NO_CLOCK 0xff /* what empty ports read as */

/* An update takes 2 ms at most, a look about a microsecond. */
#define MAX_LOOKS 5000

#define SECONDS_PER_DAY 86400
#define ASSUMED_CENTURY 20

static uint8_t read_cmos(uint8_t index)
{
    bool were_on = irq_save();
    uint8_t value;

    port_write8(CMOS_INDEX, index);
    value = port_read8(CMOS_VALUE);
    irq_restore(were_on);
    return value;
}

/* Not updating before, and still the same second behind: nothing changed between. */
bool rtc_read(uint8_t (*read)(uint8_t index), uint8_t century, struct rtc_time *time)
{
    for (unsigned i = 0; i < MAX_LOOKS; i++) {
        uint8_t status_a = read(RTC_STATUS_A);

        if (status_a == NO_CLOCK)
            return false;
        if (status_a & RTC_A_UPDATING)
            continue;
        time->seconds = read(RTC_SECONDS);
        time->minutes = read(RTC_MINUTES);
        time->hours = read(RTC_HOURS);
        time->day = read(RTC_DAY);
        time->month = read(RTC_MONTH);
        time->year = read(RTC_YEAR);
        time->has_century = century != 0;
        time->century = century ? read(century) : 0;
        time->status_b = read(RTC_STATUS_B);
        if (!(read(RTC_STATUS_A) & RTC_A_UPDATING) && read(RTC_SECONDS) == time->seconds)
            return true;
    }
    return false;
}

/* -1: not a number in this coding. */
static int value_of(const struct rtc_time *time, uint8_t coded)
{
    if (time->status_b & RTC_B_BINARY)
        return coded <= 99 ? coded : -1;
    return (coded & 0x0f) <= 9 && coded >> 4 <= 9 ? (coded >> 4) * 10 + (coded & 0x0f) : -1;
}

/* 0 to 23; -1: no such hour. In 12 hours, 12 comes before 1. */
static int hour_of(const struct rtc_time *time)
{
    int hour;

    if (time->status_b & RTC_B_24_HOURS)
        return value_of(time, time->hours);
    hour = value_of(time, (uint8_t)(time->hours & ~RTC_PM));
    if (hour < 1 || hour > 12)
        return -1;
    return hour % 12 + ((time->hours & RTC_PM) ? 12 : 0);
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of_month(int year, int month)
{
    static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of the year: one a leap year more. */
static int days_before_year(int year)
{
    int past = year - 1;

    return (year - 1970) * 365 + (past / 4 - past / 100 + past / 400) - 477;
}

bool rtc_decode(const struct rtc_time *time, uint64_t *seconds)
{
    int second = value_of(time, time->seconds), minute = value_of(time, time->minutes);
    int hour = hour_of(time), day = value_of(time, time->day), month = value_of(time, time->month);
    int year = value_of(time, time->year);
    int century = time->has_century ? value_of(time, time->century) : ASSUMED_CENTURY;
    int days;

    if (second < 0 || second > 59 || minute < 0 || minute > 59 || hour < 0 || hour > 23 ||
        month < 1 || month > 12 || year < 0 || century < 19)
        return false;
    year += century * 100;
    if (year < 1970 || day < 1 || day > days_of_month(year, month))
        return false;
    days = days_before_year(year) + day - 1;
    for (int before = 1; before < month; before++)
        days += days_of_month(year, before);
    *seconds = (uint64_t)days * SECONDS_PER_DAY + (uint64_t)(hour * 3600 + minute * 60 + second);
    return true;
}

static uint64_t read_ns(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();
    struct rtc_time time;
    uint64_t seconds;

    if (fadt && !fadt->has_rtc)
        return 0;
    if (!rtc_read(read_cmos, fadt ? fadt->rtc_century & 0x7f : 0, &time) ||
        !rtc_decode(&time, &seconds)) {
        log_info("rtc: none, or without a usable date");
        return 0;
    }
    return seconds * NSEC_PER_SEC + NSEC_PER_SEC / 2;
}

static int register_rtc(void)
{
    static const struct clock_wall rtc = { "rtc", RTC_RATING, read_ns };

    clock_register_wall(&rtc);
    return 0;
}

DRIVER(rtc_clock) = { "rtc", DRIVER_PLATFORM, register_rtc };
