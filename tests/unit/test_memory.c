/* SPDX-License-Identifier: Apache-2.0 */
/* The guest memory accessor: bounds, overflow, and ranges that straddle two regions. */
#include "vmm/base/memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define LOW_SIZE  0x10000u
#define HIGH_BASE 0x100000000u
#define HIGH_SIZE 0x4000u

static struct guest_memory mem;
static struct thaw_error err;

static void create(void)
{
    const struct guest_region regions[] = {
        {.gpa = 0, .size = LOW_SIZE},
        {.gpa = HIGH_BASE, .size = HIGH_SIZE},
    };
    err = (struct thaw_error){0};
    cr_assert_eq(guest_memory_create(&mem, regions, 2, &err), 0, "%s", err.message);
}

static void destroy(void)
{
    guest_memory_destroy(&mem);
}

static int try_regions(const struct guest_region *regions, unsigned count)
{
    struct guest_memory other;
    memset(&other, 0xa5, sizeof(other));
    err = (struct thaw_error){0};
    int rc = guest_memory_create(&other, regions, count, &err);
    cr_assert_eq(rc, thaw_error_code(&err));
    cr_assert_eq(other.region_count, rc == 0 ? count : 0, "nothing stays mapped after a failure");
    guest_memory_destroy(&other);
    return rc;
}

TestSuite(memory, .init = create, .fini = destroy);

Test(memory, new_memory_reads_as_zeros_and_has_the_size_of_its_regions)
{
    uint8_t page[GUEST_PAGE_SIZE];
    memset(page, 0xff, sizeof(page));
    cr_assert_eq(guest_memory_read(&mem, LOW_SIZE - GUEST_PAGE_SIZE, page, sizeof(page)), 0);
    for (size_t i = 0; i < sizeof(page); i++)
        cr_assert_eq(page[i], 0);
    cr_assert_eq(guest_memory_size(&mem), LOW_SIZE + HIGH_SIZE);
}

Test(memory, what_is_written_at_an_address_is_read_there_and_nowhere_else)
{
    uint32_t value = 0xfeedbeef, seen = 0;
    cr_assert_eq(guest_memory_write(&mem, HIGH_BASE + 8, &value, sizeof(value)), 0);
    cr_assert_eq(guest_memory_read(&mem, HIGH_BASE + 8, &seen, sizeof(seen)), 0);
    cr_assert_eq(seen, value);
    cr_assert_eq(guest_memory_read(&mem, 8, &seen, sizeof(seen)), 0);
    cr_assert_eq(seen, 0);
}

Test(memory, the_whole_of_a_region_is_reachable_and_not_one_byte_more)
{
    cr_assert_eq(guest_memory_at(&mem, 0, LOW_SIZE), mem.regions[0].host);
    cr_assert_null(guest_memory_at(&mem, 0, (uint64_t)LOW_SIZE + 1));
    cr_assert_eq(guest_memory_at(&mem, LOW_SIZE - 1, 1),
                 (char *)mem.regions[0].host + LOW_SIZE - 1);
    cr_assert_null(guest_memory_at(&mem, LOW_SIZE - 1, 2));
    cr_assert_null(guest_memory_at(&mem, LOW_SIZE, 1));
    cr_assert_eq(guest_memory_at(&mem, HIGH_BASE, HIGH_SIZE), mem.regions[1].host);
    cr_assert_null(guest_memory_at(&mem, HIGH_BASE - 1, 1));
    cr_assert_null(guest_memory_at(&mem, HIGH_BASE - 1, 2));
}

Test(memory, a_range_from_one_region_into_the_next_is_not_ram_even_when_they_touch)
{
    const struct guest_region touching[] = {
        {.gpa = 0, .size = GUEST_PAGE_SIZE},
        {.gpa = GUEST_PAGE_SIZE, .size = GUEST_PAGE_SIZE},
    };
    struct guest_memory pair;
    cr_assert_eq(guest_memory_create(&pair, touching, 2, &err), 0);
    cr_assert_not_null(guest_memory_at(&pair, GUEST_PAGE_SIZE - 4, 4));
    cr_assert_null(guest_memory_at(&pair, GUEST_PAGE_SIZE - 4, 8));
    cr_assert_eq(guest_memory_at(&pair, GUEST_PAGE_SIZE, 8), pair.regions[1].host);
    guest_memory_destroy(&pair);
}

Test(memory, a_length_that_wraps_past_2_to_the_64_is_not_ram)
{
    cr_assert_null(guest_memory_at(&mem, UINT64_MAX, 1));
    cr_assert_null(guest_memory_at(&mem, UINT64_MAX, 2));
    cr_assert_null(guest_memory_at(&mem, 0x1000, UINT64_MAX));
    cr_assert_null(guest_memory_at(&mem, 0x1000, UINT64_MAX - 0x1000 + 1));
    cr_assert_null(guest_memory_at(&mem, HIGH_BASE, UINT64_MAX - HIGH_BASE + 2));

    uint8_t byte = 1;
    cr_assert_eq(guest_memory_read(&mem, 0x1000, &byte, UINT64_MAX), -EFAULT);
    cr_assert_eq(guest_memory_write(&mem, UINT64_MAX, &byte, 1), -EFAULT);
}

Test(memory, a_zero_length_is_fine_in_ram_and_refused_elsewhere)
{
    cr_assert_not_null(guest_memory_at(&mem, 0, 0));
    cr_assert_not_null(guest_memory_at(&mem, LOW_SIZE, 0), "the end of RAM, as an empty range");
    cr_assert_null(guest_memory_at(&mem, LOW_SIZE + 1, 0));
    cr_assert_null(guest_memory_at(&mem, UINT64_MAX, 0));
    cr_assert_eq(guest_memory_read(&mem, 16, NULL, 0), 0);
    cr_assert_eq(guest_memory_write(&mem, 16, NULL, 0), 0);
}

Test(memory, a_refused_copy_changes_nothing)
{
    uint8_t seen[8], zeros[8] = {0}, data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    cr_assert_eq(guest_memory_write(&mem, LOW_SIZE - 4, data, sizeof(data)), -EFAULT);
    cr_assert_eq(guest_memory_read(&mem, LOW_SIZE - 8, seen, sizeof(seen)), 0);
    cr_assert_arr_eq(seen, zeros, sizeof(seen));
}

Test(memory, a_layout_of_no_region_or_too_many_is_refused)
{
    const struct guest_region three[GUEST_MEMORY_REGIONS_MAX + 1] = {
        {.gpa = 0, .size = 0x1000},
        {.gpa = 0x1000, .size = 0x1000},
        {.gpa = 0x2000, .size = 0x1000}};
    cr_assert_eq(try_regions(three, 0), -EINVAL);
    cr_assert_eq(try_regions(three, GUEST_MEMORY_REGIONS_MAX + 1), -EINVAL);
    cr_assert_eq(try_regions(three, GUEST_MEMORY_REGIONS_MAX), 0);
    cr_assert_eq(err.failure, THAW_FAIL_NONE);
}

Test(memory, a_region_that_is_empty_unaligned_or_wraps_is_refused)
{
    cr_assert_eq(try_regions(&(struct guest_region){.gpa = 0, .size = 0}, 1), -EINVAL);
    cr_assert_eq(try_regions(&(struct guest_region){.gpa = 1, .size = 0x1000}, 1), -EINVAL);
    cr_assert_eq(try_regions(&(struct guest_region){.gpa = 0, .size = 0x1001}, 1), -EINVAL);
    cr_assert_eq(try_regions(&(struct guest_region){.gpa = 0x1000, .size = -0x1000ull}, 1),
                 -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_MEMORY);
}

Test(memory, regions_that_overlap_are_refused_in_either_order)
{
    const struct guest_region overlapping[] = {{.gpa = 0x1000, .size = 0x2000},
                                               {.gpa = 0x2000, .size = 0x2000}};
    const struct guest_region reversed[] = {overlapping[1], overlapping[0]};
    cr_assert_eq(try_regions(overlapping, 2), -EINVAL);
    cr_assert_eq(try_regions(reversed, 2), -EINVAL);
}

Test(memory, more_than_the_address_space_holds_is_refused_with_its_size)
{
    cr_assert_eq(try_regions(&(struct guest_region){.gpa = 0, .size = 1ull << 60}, 1), -ENOMEM);
    cr_assert_eq(err.failure, THAW_FAIL_MEMORY);
    cr_assert_not_null(strstr(err.message, "1099511627776 MiB"), "%s", err.message);
}

Test(memory, a_failed_registration_names_the_ioctl_and_the_slot)
{
    err = (struct thaw_error){0};
    cr_assert_eq(guest_memory_register(&mem, -1, &err), -EBADF);
    cr_assert_not_null(strstr(err.message, "KVM_SET_USER_MEMORY_REGION of slot 0"), "%s",
                       err.message);
}

Test(memory, destroying_twice_is_harmless)
{
    guest_memory_destroy(&mem);
    cr_assert_eq(guest_memory_size(&mem), 0);
    cr_assert_null(guest_memory_at(&mem, 0, 1));
}
