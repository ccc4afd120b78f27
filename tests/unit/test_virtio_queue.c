/* SPDX-License-Identifier: Apache-2.0 */
/* The split virtqueue against drivers that keep the rules, and against those that do not. */
#include "devices/virtio/queue.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#define SIZE    8u
#define MEMORY  (1ull << 20)
#define DESC    0x10000ull
#define AVAIL   0x11000ull
#define USED    0x12000ull
#define TABLE   0x13000ull
#define BUFFER  0x20000ull
#define OUTSIDE 0xf0000000ull

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static struct guest_memory memory;
static struct virtq queue;
static struct virtq_chain chain;

static void *at(uint64_t gpa, size_t size)
{
    return guest_memory_at(&memory, gpa, size);
}

static void enable(uint64_t features)
{
    const struct virtq_layout layout = {.size = SIZE, .desc = DESC, .avail = AVAIL, .used = USED};
    cr_assert_eq(virtq_enable(&queue, &layout, features), 0);
}

static void set_up(void)
{
    struct thaw_error err = {0};
    const struct guest_region region = {.gpa = 0, .size = MEMORY};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0);
    virtq_init(&queue, &memory, VIRTQ_SIZE_MAX);
    enable(VIRTIO_F_INDIRECT_DESC);
}

static void tear_down(void)
{
    guest_memory_destroy(&memory);
}

TestSuite(virtq, .init = set_up, .fini = tear_down);

static void write_desc(uint64_t table, unsigned index, uint64_t address, uint32_t length,
                       uint16_t flags, uint16_t next)
{
    char *desc = at(table + 16ull * index, 16);
    memcpy(desc, &address, 8);
    memcpy(desc + 8, &length, 4);
    memcpy(desc + 12, &flags, 2);
    memcpy(desc + 14, &next, 2);
}

static void desc(unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
    write_desc(DESC, index, address, length, flags, next);
}

static uint16_t *avail(void)
{
    return at(AVAIL, 4 + 2 * SIZE + 2);
}

static uint16_t *used(void)
{
    return at(USED, 4 + 8 * SIZE + 2);
}

static void offer(uint16_t head)
{
    uint16_t index = avail()[1];
    avail()[2 + index % SIZE] = head;
    avail()[1] = (uint16_t)(index + 1);
}

static void expect_broken(int code)
{
    cr_assert_eq(virtq_pop(&queue, &chain), code, "%s", queue.why);
    cr_assert(queue.broken);
    cr_assert_not_null(queue.why);
    cr_assert_eq(virtq_pop(&queue, &chain), 0, "a broken queue gives nothing");
    cr_assert(!virtq_has_work(&queue));
}

/* ---- layout ------------------------------------------------------------------------------- */

Test(virtq, a_layout_is_taken_or_refused_by_its_rules)
{
    static const struct {
        const char *what;
        struct virtq_layout layout;
        int rc;
    } rows[] = {
        {"good", {SIZE, DESC, AVAIL, USED}, 0},
        {"one descriptor", {1, DESC, AVAIL, USED}, 0},
        {"the most there can be", {VIRTQ_SIZE_MAX, DESC, AVAIL, USED}, 0},
        {"size 0", {0, DESC, AVAIL, USED}, -EINVAL},
        {"not a power of two", {6, DESC, AVAIL, USED}, -EINVAL},
        {"larger than offered", {2 * VIRTQ_SIZE_MAX, DESC, AVAIL, USED}, -EINVAL},
        {"descriptors not at 16", {SIZE, DESC + 8, AVAIL, USED}, -EINVAL},
        {"available ring not at 2", {SIZE, DESC, AVAIL + 1, USED}, -EINVAL},
        {"used ring not at 4", {SIZE, DESC, AVAIL, USED + 2}, -EINVAL},
        {"descriptors outside", {SIZE, OUTSIDE, AVAIL, USED}, -EFAULT},
        {"available ring outside", {SIZE, DESC, OUTSIDE, USED}, -EFAULT},
        {"used ring outside", {SIZE, DESC, AVAIL, OUTSIDE}, -EFAULT},
        {"descriptors over the end", {SIZE, MEMORY - 16, AVAIL, USED}, -EFAULT},
        {"available ring's event over the end", {SIZE, DESC, MEMORY - 20, USED}, -EFAULT},
        {"used ring's event over the end", {SIZE, DESC, AVAIL, MEMORY - 68}, -EFAULT},
        {"addresses that wrap", {SIZE, -16ull, AVAIL, USED}, -EFAULT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(virtq_enable(&queue, &rows[i].layout, 0), rows[i].rc, "%s", rows[i].what);
        cr_assert_eq(queue.ready, rows[i].rc == 0, "%s", rows[i].what);
    }
}

Test(virtq, a_queue_that_is_off_gives_nothing_and_takes_nothing)
{
    desc(0, BUFFER, 4, 0, 0);
    offer(0);
    virtq_reset(&queue);
    cr_assert_eq(virtq_pop(&queue, &chain), 0);
    virtq_push(&queue, 0, 4);
    virtq_want_notifications(&queue, true);
    cr_assert(!virtq_interrupt_due(&queue));
    cr_assert_eq(used()[1], 0);
}

/* ---- chains ------------------------------------------------------------------------------- */

Test(virtq, a_chain_gives_readable_then_writable_buffers)
{
    desc(3, BUFFER, 16, NEXT, 1);
    desc(1, BUFFER + 100, 32, NEXT, 7);
    desc(7, BUFFER + 200, 64, WRITE, 0);
    offer(3);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.head, 3);
    cr_assert_eq(chain.readable_count, 2);
    cr_assert_eq(chain.writable_count, 1);
    cr_assert_eq(chain.readable, 48);
    cr_assert_eq(chain.writable, 64);
    cr_assert_eq(chain.iov[2].iov_base, at(BUFFER + 200, 64));
    cr_assert_eq(virtq_pop(&queue, &chain), 0, "one chain was offered");
}

Test(virtq, an_indirect_table_may_stand_at_the_end_of_a_chain)
{
    write_desc(TABLE, 0, BUFFER, 8, NEXT, 2);
    write_desc(TABLE, 2, BUFFER + 8, 8, WRITE, 0);
    desc(0, BUFFER + 64, 4, NEXT, 5);
    desc(5, TABLE, 3 * 16, INDIRECT, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.readable, 12);
    cr_assert_eq(chain.writable, 8);
}

Test(virtq, empty_buffers_are_left_out)
{
    desc(0, OUTSIDE, 0, NEXT, 1);
    desc(1, BUFFER, 4, WRITE, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.readable_count, 0);
    cr_assert_eq(chain.writable_count, 1);
}

Test(virtq, as_many_buffers_as_the_queue_is_long_are_a_chain)
{
    for (uint16_t i = 0; i < SIZE; i++)
        desc(i, BUFFER + 16 * i, 16, i + 1 < (int)SIZE ? NEXT : 0, (uint16_t)(i + 1));
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.readable_count, SIZE);
}

/* What Linux's console driver makes of a pipe of 1 MiB, whatever the queue's size. */
Test(virtq, an_indirect_table_may_have_as_many_buffers_as_the_longest_chain)
{
    for (uint16_t i = 0; i < VIRTQ_SIZE_MAX; i++)
        write_desc(TABLE, i, BUFFER + 16 * i, 16, i + 1u < VIRTQ_SIZE_MAX ? NEXT : 0,
                   (uint16_t)(i + 1));
    desc(0, TABLE, VIRTQ_SIZE_MAX * 16, INDIRECT, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.readable_count, VIRTQ_SIZE_MAX);
}

Test(virtq, a_chain_that_loops_is_refused)
{
    desc(0, BUFFER, 1, NEXT, 1);
    desc(1, BUFFER, 1, NEXT, 0);
    offer(0);
    expect_broken(-ELOOP);
}

Test(virtq, an_indirect_table_that_loops_is_refused)
{
    write_desc(TABLE, 0, BUFFER, 1, NEXT, 0);
    desc(0, TABLE, 16, INDIRECT, 0);
    offer(0);
    expect_broken(-ELOOP);
}

struct refused_row {
    char what[48];
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
    int rc;
};

ParameterizedTestParameters(virtq_refusals, a_bad_descriptor_breaks_the_queue)
{
    static struct refused_row rows[] = {
        {"buffer outside", OUTSIDE, 1, 0, 0, -EFAULT},
        {"buffer over the end", MEMORY - 1, 2, 0, 0, -EFAULT},
        {"buffer that wraps", -1ull, 2, 0, 0, -EFAULT},
        {"link beyond the queue", BUFFER, 1, NEXT, SIZE, -EINVAL},
        {"link far beyond", BUFFER, 1, NEXT, 65535, -EINVAL},
        {"indirect and next", TABLE, 16, INDIRECT | NEXT, 1, -EINVAL},
        {"indirect of no length", TABLE, 0, INDIRECT, 0, -EINVAL},
        {"indirect of half an entry", TABLE, 24, INDIRECT, 0, -EINVAL},
        {"indirect too long", TABLE, (VIRTQ_SIZE_MAX + 1) * 16, INDIRECT, 0, -EINVAL},
        {"indirect outside", OUTSIDE, 16, INDIRECT, 0, -EFAULT},
        {"indirect over the end", MEMORY - 8, 16, INDIRECT, 0, -EFAULT},
    };
    return cr_make_param_array(struct refused_row, rows, sizeof(rows) / sizeof(rows[0]));
}

ParameterizedTest(struct refused_row *row, virtq_refusals, a_bad_descriptor_breaks_the_queue,
                  .init = set_up, .fini = tear_down)
{
    desc(0, row->address, row->length, row->flags, row->next);
    offer(0);
    cr_log_info("%s", row->what);
    expect_broken(row->rc);
}

Test(virtq, an_indirect_table_within_one_is_refused)
{
    write_desc(TABLE, 0, TABLE, 16, INDIRECT, 0);
    desc(0, TABLE, 16, INDIRECT, 0);
    offer(0);
    expect_broken(-EINVAL);
}

Test(virtq, an_indirect_table_that_was_not_negotiated_is_refused)
{
    enable(0);
    desc(0, TABLE, 16, INDIRECT, 0);
    offer(0);
    expect_broken(-EINVAL);
}

Test(virtq, a_readable_buffer_behind_a_writable_one_is_refused)
{
    desc(0, BUFFER, 1, NEXT | WRITE, 1);
    desc(1, BUFFER, 1, 0, 0);
    offer(0);
    expect_broken(-EINVAL);
}

Test(virtq, a_chain_of_more_than_4_gib_is_refused)
{
    /* A host of one region of 4 GiB would be needed for each: stand-ins that overlap. */
    guest_memory_destroy(&memory);
    struct thaw_error err = {0};
    const struct guest_region region = {.gpa = 0, .size = 3ull << 30};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0);
    enable(0);
    desc(0, BUFFER, 2u << 30, NEXT, 1);
    desc(1, BUFFER, 2u << 30, 0, 0);
    offer(0);
    expect_broken(-EINVAL);
}

Test(virtq, a_head_beyond_the_queue_is_refused) /* CVE-2021-45464: an index nobody checked */
{
    offer(SIZE);
    expect_broken(-EINVAL);
}

Test(virtq, an_index_that_is_too_far_ahead_is_refused) /* CVE-2016-5403: pops without bound */
{
    desc(0, BUFFER, 1, 0, 0);
    avail()[1] = SIZE + 1;
    expect_broken(-EINVAL);
}

Test(virtq, an_index_that_goes_backwards_is_refused)
{
    avail()[1] = (uint16_t)-1;
    expect_broken(-EINVAL);
}

Test(virtq, cve_2026_45782_a_head_in_flight_is_refused)
{
    desc(0, BUFFER, 1, 0, 0);
    offer(0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    expect_broken(-EBUSY);
}

Test(virtq, cve_2019_18960_a_buffer_over_two_regions_is_refused)
{
    guest_memory_destroy(&memory);
    struct thaw_error err = {0};
    const struct guest_region regions[] = {{.gpa = 0, .size = MEMORY},
                                           {.gpa = 4 * MEMORY, .size = MEMORY}};
    cr_assert_eq(guest_memory_create(&memory, regions, 2, &err), 0);
    enable(0);
    desc(0, MEMORY - 64, 128, 0, 0);
    offer(0);
    expect_broken(-EFAULT);
}

Test(virtq, a_descriptor_changed_after_the_pop_changes_nothing)
{
    desc(0, BUFFER, 16, 0, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    desc(0, OUTSIDE, 1 << 30, NEXT | WRITE, 0);
    cr_assert_eq(chain.iov[0].iov_base, at(BUFFER, 16));
    cr_assert_eq(chain.iov[0].iov_len, 16);
}

/* ---- giving back -------------------------------------------------------------------------- */

Test(virtq, a_push_tells_head_and_length)
{
    desc(5, BUFFER, 16, WRITE, 0);
    offer(5);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    virtq_push(&queue, 5, 7);
    cr_assert_eq(used()[1], 1);
    const uint32_t *entry = at(USED + 4, 8);
    cr_assert_eq(entry[0], 5);
    cr_assert_eq(entry[1], 7);
    cr_assert_eq(queue.in_flight, 0);
}

Test(virtq, only_what_is_in_flight_is_pushed)
{
    virtq_push(&queue, 5, 7);
    virtq_push(&queue, SIZE, 7);
    virtq_push(&queue, 65535, 7);
    cr_assert_eq(used()[1], 0);
    cr_assert_eq(queue.in_flight, 0);
}

Test(virtq, a_chain_put_back_comes_again)
{
    desc(2, BUFFER, 16, 0, 0);
    offer(2);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    virtq_unpop(&queue, &chain);
    cr_assert_eq(queue.in_flight, 0);
    cr_assert(virtq_has_work(&queue));
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    cr_assert_eq(chain.head, 2);
}

Test(virtq, indices_wrap_after_65536_requests)
{
    desc(0, BUFFER, 1, WRITE, 0);
    for (unsigned i = 0; i < 70000; i++) {
        offer(0);
        cr_assert_eq(virtq_pop(&queue, &chain), 1);
        virtq_push(&queue, 0, 1);
        cr_assert(virtq_interrupt_due(&queue));
    }
    cr_assert_eq(used()[1], (uint16_t)70000);
}

/* ---- notifications ------------------------------------------------------------------------ */

static void serve_one(void)
{
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    virtq_push(&queue, 0, 0);
}

Test(virtq, without_event_index_flags_decide)
{
    desc(0, BUFFER, 1, 0, 0);
    cr_assert(!virtq_interrupt_due(&queue), "nothing was pushed");
    serve_one();
    cr_assert(virtq_interrupt_due(&queue));
    cr_assert(!virtq_interrupt_due(&queue), "it was told already");
    avail()[0] = 1;
    serve_one();
    cr_assert(!virtq_interrupt_due(&queue), "the driver does not want it");

    virtq_want_notifications(&queue, false);
    cr_assert_eq(used()[0], 1);
    virtq_want_notifications(&queue, true);
    cr_assert_eq(used()[0], 0);
}

Test(virtq, with_event_index_an_interrupt_comes_when_the_index_is_passed)
{
    enable(VIRTIO_F_EVENT_IDX);
    desc(0, BUFFER, 1, 0, 0);
    uint16_t *used_event = avail() + 2 + SIZE;
    *used_event = 2;
    serve_one();
    serve_one();
    cr_assert(!virtq_interrupt_due(&queue), "two are used, the third was asked for");
    serve_one();
    cr_assert(virtq_interrupt_due(&queue));
    serve_one();
    cr_assert(!virtq_interrupt_due(&queue), "the driver has not asked again");
}

Test(virtq, with_event_index_the_next_chain_is_asked_for)
{
    enable(VIRTIO_F_EVENT_IDX);
    desc(0, BUFFER, 1, 0, 0);
    const uint16_t *avail_event = used() + 2 + 4 * SIZE;
    serve_one();
    virtq_want_notifications(&queue, true);
    cr_assert_eq(*avail_event, 1);
    serve_one();
    virtq_want_notifications(&queue, false);
    cr_assert_eq(*avail_event, 1, "an index in the past asks for nothing");
    cr_assert_eq(used()[0], 0, "the flag is not used");
}

/* ---- bytes -------------------------------------------------------------------------------- */

Test(virtq, bytes_are_read_and_written_over_buffer_borders)
{
    memcpy(at(BUFFER, 4), "abcd", 4);
    memcpy(at(BUFFER + 100, 4), "efgh", 4);
    desc(0, BUFFER, 4, NEXT, 1);
    desc(1, BUFFER + 100, 4, NEXT, 2);
    desc(2, BUFFER + 200, 3, NEXT | WRITE, 3);
    desc(3, BUFFER + 300, 3, WRITE, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);

    char bytes[8];
    cr_assert_eq(virtq_chain_read(&chain, 2, bytes, 4), 0);
    cr_assert_arr_eq(bytes, "cdef", 4);
    cr_assert_eq(virtq_chain_read(&chain, 8, bytes, 0), 0);
    cr_assert_eq(virtq_chain_read(&chain, 5, bytes, 4), -EINVAL);
    cr_assert_eq(virtq_chain_read(&chain, UINT64_MAX, bytes, 2), -EINVAL);

    cr_assert_eq(virtq_chain_write(&chain, 1, "wxyz", 4), 0);
    cr_assert_arr_eq(at(BUFFER + 201, 2), "wx", 2);
    cr_assert_arr_eq(at(BUFFER + 300, 2), "yz", 2);
    cr_assert_eq(virtq_chain_write(&chain, 3, "wxyz", 4), -EINVAL);
    cr_assert_eq(((char *)at(BUFFER + 303, 1))[0], 0, "nothing behind the chain");
}

Test(virtq, parts_can_be_sliced)
{
    desc(0, BUFFER, 4, NEXT, 1);
    desc(1, BUFFER + 100, 4, 0, 0);
    offer(0);
    cr_assert_eq(virtq_pop(&queue, &chain), 1);
    struct iovec iov[VIRTQ_SIZE_MAX];
    cr_assert_eq(virtq_chain_readable(&chain, 3, 2, iov), 2);
    cr_assert_eq(iov[0].iov_len, 1);
    cr_assert_eq(iov[1].iov_base, at(BUFFER + 100, 1));
    cr_assert_eq(iov[1].iov_len, 1);
    cr_assert_eq(virtq_chain_readable(&chain, 8, 100, iov), 0);
    cr_assert_eq(virtq_chain_readable(&chain, 0, UINT64_MAX, iov), 2);
    cr_assert_eq(virtq_chain_writable(&chain, 0, 100, iov), 0);
}

/* ---- state -------------------------------------------------------------------------------- */

Test(virtq, a_queue_goes_on_where_it_was_saved)
{
    desc(0, BUFFER, 1, 0, 0);
    serve_one();
    offer(0);
    struct virtq_state state;
    virtq_save(&queue, &state);

    struct virtq copy;
    virtq_init(&copy, &memory, VIRTQ_SIZE_MAX);
    cr_assert_eq(virtq_load(&copy, &state, VIRTIO_F_INDIRECT_DESC), 0);
    cr_assert_eq(virtq_pop(&copy, &chain), 1);
    virtq_push(&copy, chain.head, 0);
    cr_assert_eq(used()[1], 2);
    cr_assert(virtq_interrupt_due(&copy));
}

Test(virtq, a_broken_queue_stays_broken_after_a_load)
{
    offer(SIZE);
    expect_broken(-EINVAL);
    struct virtq_state state;
    virtq_save(&queue, &state);
    cr_assert_eq(virtq_load(&queue, &state, 0), 0);
    cr_assert(!virtq_has_work(&queue));
}

Test(virtq, hostile_states_are_refused)
{
    struct virtq_state good;
    virtq_save(&queue, &good);
    struct virtq_state bad[] = {good, good, good, good, good, good};
    bad[0].ready = 2;
    bad[1].broken = 2;
    bad[2].reserved[1] = 1;
    bad[3].size = 7;
    bad[4].desc = OUTSIDE;
    bad[5].used = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_lt(virtq_load(&queue, &bad[i], 0), 0, "%zu", i);
        cr_assert(!queue.ready);
    }
}
