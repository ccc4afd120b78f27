/* SPDX-License-Identifier: Apache-2.0 */
/* The CMOS clock, as Linux's mc146818_get_time() reads it. */
#include "devices/cmos.h"

#include <criterion/criterion.h>
#include <time.h>

#define SECONDS_PER_DAY 86400u

static struct cmos cmos;

static uint8_t read_register(uint8_t index)
{
    uint64_t value = 0;
    cmos_bus_ops.write(&cmos, 0, 1, index);
    cmos_bus_ops.read(&cmos, 1, 1, &value);
    return (uint8_t)value;
}

static int decimal(uint8_t bcd)
{
    cr_assert_lt(bcd & 0x0f, 10);
    cr_assert_lt(bcd >> 4, 10);
    return (bcd >> 4) * 10 + (bcd & 0x0f);
}

static void expect_date(uint64_t now)
{
    time_t seconds = (time_t)now;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    cr_assert_eq(decimal(cmos_register(0x00, now)), utc.tm_sec);
    cr_assert_eq(decimal(cmos_register(0x02, now)), utc.tm_min);
    cr_assert_eq(decimal(cmos_register(0x04, now)), utc.tm_hour);
    cr_assert_eq(decimal(cmos_register(0x06, now)), utc.tm_wday + 1);
    cr_assert_eq(decimal(cmos_register(0x07, now)), utc.tm_mday);
    cr_assert_eq(decimal(cmos_register(0x08, now)), utc.tm_mon + 1);
    cr_assert_eq(decimal(cmos_register(0x09, now)), utc.tm_year % 100);
    cr_assert_eq(decimal(cmos_register(0x32, now)), utc.tm_year / 100 + 19);
}

Test(cmos, every_day_of_a_century_and_a_half_has_its_date)
{
    for (uint64_t day = 0; day < 150ull * 366; day++)
        expect_date(day * SECONDS_PER_DAY + day % SECONDS_PER_DAY);
}

Test(cmos, the_seconds_around_midnight_and_leap_days_are_right)
{
    static const uint64_t moments[] = {0,          951782399,  951782400,  951868799,
                                       951868800,  1709164799, 1709164800, 1709251199,
                                       1709251200, 1735689599, 1735689600, 2147483647,
                                       2147483648, 4107542399, 4107542400, 13574563200};
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
        expect_date(moments[i]);
}

Test(cmos, no_update_is_ever_in_progress)
{
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(read_register(0x0a) & 0x80, 0);
}

Test(cmos, the_clock_says_that_it_is_valid_bcd_and_24_hour)
{
    cr_assert_eq(read_register(0x0b), 0x02);
    cr_assert_eq(read_register(0x0c), 0);
    cr_assert_eq(read_register(0x0d), 0x80);
}

Test(cmos, the_time_is_the_hosts)
{
    /* Twice at most: once when the first look fell on the end of a minute. */
    bool same = false;
    for (unsigned i = 0; i < 2 && !same; i++) {
        time_t now = time(NULL);
        struct tm utc;
        gmtime_r(&now, &utc);
        same = decimal(read_register(0x02)) == utc.tm_min &&
               decimal(read_register(0x09)) == utc.tm_year % 100;
    }
    cr_assert(same);
}

Test(cmos, writes_change_nothing)
{
    uint64_t value = 0;
    cmos_bus_ops.write(&cmos, 0, 1, 0x0b);
    cmos_bus_ops.write(&cmos, 1, 1, 0xff);
    cmos_bus_ops.read(&cmos, 1, 1, &value);
    cr_assert_eq(value, 0x02);
}

Test(cmos, the_nmi_bit_is_not_part_of_the_index)
{
    cr_assert_eq(read_register(0x80 | 0x0d), 0x80);
}

Test(cmos, the_index_port_and_wide_reads_answer_like_an_empty_bus)
{
    uint64_t value = UINT64_MAX;
    cmos_bus_ops.read(&cmos, 0, 1, &value);
    cr_assert_eq(value, UINT64_MAX);
    cmos_bus_ops.read(&cmos, 0, 2, &value);
    cr_assert_eq(value, UINT64_MAX);
}
