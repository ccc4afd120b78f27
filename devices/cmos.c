/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/cmos.h"

#include <time.h>

#define INDEX_BITS 0x7fu

enum cmos_index {
    CMOS_SECONDS = 0x00,
    CMOS_MINUTES = 0x02,
    CMOS_HOURS = 0x04,
    CMOS_WEEKDAY = 0x06, /* 1 is Sunday */
    CMOS_DAY = 0x07,
    CMOS_MONTH = 0x08,
    CMOS_YEAR = 0x09,
    CMOS_STATUS_A = 0x0a,
    CMOS_STATUS_B = 0x0b,
    CMOS_STATUS_D = 0x0d,
    CMOS_CENTURY = 0x32,
};

#define STATUS_A_RUNNING 0x26u /* 32.768 kHz time base, 1024 Hz rate: as every BIOS leaves it */
#define STATUS_B_24_HOUR 0x02u
#define STATUS_D_VALID   0x80u

#define SECONDS_PER_DAY    86400u
#define DAYS_PER_400_YEARS 146097u
#define DAYS_PER_100_YEARS 36524u
#define DAYS_PER_4_YEARS   1461u
#define DAYS_PER_YEAR      365u
/* From 1 March of the year 0 to 1 January 1970. */
#define DAYS_BEFORE_EPOCH 719468u

struct date {
    uint64_t year;
    unsigned month, day; /* from 1 */
};

/*
 * The Gregorian calendar, with years that begin in March so that the leap day comes last. Not
 * gmtime_r(): that reads the time zone file at its first call, and this runs inside an exit.
 */
static struct date date_of(uint64_t days_since_epoch)
{
    uint64_t days = days_since_epoch + DAYS_BEFORE_EPOCH;
    uint64_t year = days / DAYS_PER_400_YEARS * 400;
    unsigned left = (unsigned)(days % DAYS_PER_400_YEARS);

    /* The last of four centuries, and of four years, is a day longer: hence the minima. */
    unsigned centuries = left / DAYS_PER_100_YEARS < 3 ? left / DAYS_PER_100_YEARS : 3;
    left -= centuries * DAYS_PER_100_YEARS;
    unsigned fours = left / DAYS_PER_4_YEARS;
    left -= fours * DAYS_PER_4_YEARS;
    unsigned years = left / DAYS_PER_YEAR < 3 ? left / DAYS_PER_YEAR : 3;
    left -= years * DAYS_PER_YEAR;
    year += centuries * 100 + fours * 4 + years;

    /* From March on, months have 31 30 31 30 31 days, over and over. */
    unsigned from_march = (5 * left + 2) / 153;
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (struct date){
        .year = month <= 2 ? year + 1 : year,
        .month = month,
        .day = left - (153 * from_march + 2) / 5 + 1,
    };
}

static uint8_t bcd(uint64_t value)
{
    return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

uint8_t cmos_register(uint8_t index, uint64_t now)
{
    uint64_t days = now / SECONDS_PER_DAY;
    struct date date = date_of(days);

    switch (index) {
    case CMOS_SECONDS:
        return bcd(now % 60);
    case CMOS_MINUTES:
        return bcd(now / 60 % 60);
    case CMOS_HOURS:
        return bcd(now / 3600 % 24);
    case CMOS_WEEKDAY:
        return bcd((days + 4) % 7 + 1); /* 1970 began on a Thursday */
    case CMOS_DAY:
        return bcd(date.day);
    case CMOS_MONTH:
        return bcd(date.month);
    case CMOS_YEAR:
        return bcd(date.year % 100);
    case CMOS_STATUS_A:
        return STATUS_A_RUNNING;
    case CMOS_STATUS_B:
        return STATUS_B_24_HOUR;
    case CMOS_STATUS_D:
        return STATUS_D_VALID;
    case CMOS_CENTURY:
        return bcd(date.year / 100);
    default:
        return 0;
    }
}

/* The index port cannot be read on a PC: an empty bus answers. */
static void read_cmos(void *device, uint64_t offset, unsigned size, uint64_t *value)
{
    struct cmos *cmos = device;
    if (size == 1 && offset == 1)
        *value = cmos_register(atomic_load(&cmos->index), (uint64_t)time(NULL));
}

static void write_cmos(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct cmos *cmos = device;
    (void)size; /* a 16-bit write is the index and data, and data is dropped */
    if (offset == 0)
        atomic_store(&cmos->index, (uint8_t)(value & INDEX_BITS));
}

const struct bus_ops cmos_bus_ops = {
    .name = "CMOS clock",
    .read = read_cmos,
    .write = write_cmos,
};
