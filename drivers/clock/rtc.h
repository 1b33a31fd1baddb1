/* SPDX-License-Identifier: MIT */
/* The date as the CMOS real-time clock keeps it (Motorola MC146818A). Pure functions, for tests. */
#ifndef DRIVERS_CLOCK_RTC_H
#define DRIVERS_CLOCK_RTC_H

#include "lib/base/types.h"

/* Registers by index. */
#define RTC_SECONDS  0x00
#define RTC_MINUTES  0x02
#define RTC_HOURS    0x04
#define RTC_DAY      0x07
#define RTC_MONTH    0x08
#define RTC_YEAR     0x09
#define RTC_STATUS_A 0x0a
#define RTC_STATUS_B 0x0b

#define RTC_A_UPDATING (1u << 7)
#define RTC_B_24_HOURS (1u << 1)
#define RTC_B_BINARY   (1u << 2) /* else binary-coded decimal */
#define RTC_PM         (1u << 7) /* in hours, where they are 12 */

struct rtc_time {
    uint8_t seconds, minutes, hours, day, month, year, century; /* as in the registers */
    uint8_t status_b;
    bool has_century;
};

/*
 * One consistent set of registers; century is the index of that register, 0: none.
 * false: it was updating every time we looked.
 */
bool rtc_read(uint8_t (*read)(uint8_t index), uint8_t century, struct rtc_time *time);

/* Seconds since 1970-01-01. false: no such date. */
bool rtc_decode(const struct rtc_time *time, uint64_t *seconds);

#endif
