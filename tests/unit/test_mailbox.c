/* SPDX-License-Identifier: Apache-2.0 */
/* The mailbox as the monitor writes it and a careful guest reads it. */
#include "devices/mailbox.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define STDIN_MAX ((size_t)THAW_MAILBOX_STDIN_MAX)

static struct guest_memory mem;
static struct thaw_error err;
static uint8_t *window;

static void set_up(void)
{
    const struct guest_region low = {.gpa = 0, .size = 2u << 20};
    err = (struct thaw_error){0};
    cr_assert_eq(guest_memory_create(&mem, &low, 1, &err), 0);
    window = guest_memory_at(&mem, THAW_MAILBOX_GPA, THAW_MAILBOX_SIZE);
    cr_assert_not_null(window);
}

static void tear_down(void)
{
    guest_memory_destroy(&mem);
}

static void write_mailbox(const struct mailbox_content *content)
{
    cr_assert_eq(mailbox_write(&mem, content, &err), 0, "%s", err.message);
}

static bool all_zero(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* As the guest does: copy the header, check the copy. */
static bool guest_accepts(struct thaw_mailbox_header *header)
{
    static uint8_t copy[THAW_MAILBOX_SIZE];
    memcpy(header, window, sizeof(*header));
    if (header->magic != THAW_MAILBOX_MAGIC || header->version != THAW_MAILBOX_VERSION ||
        header->body_len > THAW_MAILBOX_BODY_MAX)
        return false;

    size_t size = sizeof(*header) + header->body_len;
    memcpy(copy, window, size);
    memset(copy + offsetof(struct thaw_mailbox_header, checksum), 0, sizeof(header->checksum));
    return XXH3_64bits(copy, size) == header->checksum;
}

static struct thaw_mailbox_header read_header(void)
{
    struct thaw_mailbox_header header;
    cr_assert(guest_accepts(&header));
    return header;
}

static void expect_refusal(const struct mailbox_content *content, int code, const char *sentence)
{
    static uint8_t before[THAW_MAILBOX_SIZE];
    memcpy(before, window, sizeof(before));
    err = (struct thaw_error){0};
    cr_assert_eq(mailbox_write(&mem, content, &err), -code);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
    cr_assert_str_eq(err.message, sentence);
    cr_assert_eq(memcmp(before, window, sizeof(before)), 0, "a refusal changes nothing");
}

TestSuite(mailbox, .init = set_up, .fini = tear_down);

Test(mailbox, an_empty_content_gives_identity_time_and_entropy_only)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t before = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    write_mailbox(&(struct mailbox_content){0});

    struct thaw_mailbox_header header = read_header();
    cr_assert_eq(header.flags, THAW_MAILBOX_TIME | THAW_MAILBOX_ENTROPY);
    cr_assert_eq(header.body_len, 0);
    cr_assert_eq(header.argc + header.envc + header.stdin_len, 0);
    cr_assert_not(all_zero(header.generation, sizeof(header.generation)));
    cr_assert_not(all_zero(header.entropy, sizeof(header.entropy)));
    cr_assert_geq(header.wall_clock_ns, before);
    cr_assert_lt(header.wall_clock_ns, before + 60000000000ull);
    cr_assert(all_zero(header.hostname, sizeof(header.hostname)));
    cr_assert(all_zero(header.mac, sizeof(header.mac)));
    cr_assert_eq(header.ipv4_prefix, 0);
    cr_assert(all_zero(header.reserved, sizeof(header.reserved)));
}

Test(mailbox, each_write_has_its_own_generation_and_entropy)
{
    write_mailbox(&(struct mailbox_content){0});
    struct thaw_mailbox_header first = read_header();
    write_mailbox(&(struct mailbox_content){0});
    struct thaw_mailbox_header second = read_header();
    cr_assert_neq(memcmp(first.generation, second.generation, sizeof(first.generation)), 0);
    cr_assert_neq(memcmp(first.entropy, second.entropy, sizeof(first.entropy)), 0);
}

Test(mailbox, hold_is_asked_for_by_its_flag)
{
    write_mailbox(&(struct mailbox_content){.hold = true});
    cr_assert(read_header().flags & THAW_MAILBOX_HOLD);
}

Test(mailbox, an_invocation_lies_in_the_body_in_the_wires_order)
{
    static const char *const argv[] = {"/bin/echo", "", "two words", NULL};
    static const char *const env[] = {"A=1", "EMPTY=", NULL};
    static const char body[] = "/bin/echo\0\0two words\0A=1\0EMPTY=\0in\0put";
    write_mailbox(&(struct mailbox_content){
        .argv = argv, .env = env, .has_stdin = true, .stdin_data = "in\0put", .stdin_len = 6});

    struct thaw_mailbox_header header = read_header();
    cr_assert_eq(header.flags, THAW_MAILBOX_TIME | THAW_MAILBOX_ENTROPY | THAW_MAILBOX_INVOKE |
                                   THAW_MAILBOX_STDIN);
    cr_assert_eq(header.argc, 3);
    cr_assert_eq(header.envc, 2);
    cr_assert_eq(header.stdin_len, 6);
    cr_assert_eq(header.body_len, sizeof(body) - 1);
    cr_assert_eq(memcmp(window + sizeof(header), body, sizeof(body) - 1), 0);
}

Test(mailbox, an_environment_alone_is_an_invocation_too)
{
    static const char *const none[] = {NULL};
    static const char *const env[] = {"A=1", NULL};
    write_mailbox(&(struct mailbox_content){.argv = none, .env = env});
    cr_assert_eq(read_header().argc, 0);
    cr_assert(read_header().flags & THAW_MAILBOX_INVOKE);
}

Test(mailbox, an_empty_stdin_is_not_the_same_as_none)
{
    write_mailbox(&(struct mailbox_content){.has_stdin = true});
    cr_assert(read_header().flags & THAW_MAILBOX_STDIN);
    cr_assert_eq(read_header().stdin_len, 0);
    write_mailbox(&(struct mailbox_content){.stdin_data = "ignored", .stdin_len = 7});
    cr_assert_not(read_header().flags & THAW_MAILBOX_STDIN);
    cr_assert_eq(read_header().stdin_len, 0);
}

Test(mailbox, network_and_name_are_passed_on)
{
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    write_mailbox(&(struct mailbox_content){.hostname = name,
                                            .mac = {2, 0, 0, 0, 0, 9},
                                            .ipv4 = {10, 0, 0, 2},
                                            .ipv4_prefix = 32,
                                            .ipv4_gateway = {10, 0, 0, 1}});
    struct thaw_mailbox_header header = read_header();
    cr_assert_str_eq(header.hostname, name);
    cr_assert_eq(header.mac[5], 9);
    cr_assert_eq(header.ipv4[0], 10);
    cr_assert_eq(header.ipv4_prefix, 32);
    cr_assert_eq(header.ipv4_gateway[3], 1);
}

/* ---- limits ------------------------------------------------------------------------------- */

Test(mailbox, stdin_of_exactly_its_limit_is_taken_and_one_byte_more_is_refused)
{
    static uint8_t payload[49153];
    memset(payload, 0x5a, sizeof(payload));
    struct mailbox_content content = {
        .has_stdin = true, .stdin_data = payload, .stdin_len = STDIN_MAX};
    write_mailbox(&content);
    cr_assert_eq(read_header().stdin_len, STDIN_MAX);

    content.stdin_len = STDIN_MAX + 1;
    expect_refusal(&content, E2BIG, "invocation: stdin of 49153 bytes is over 49152");
    content.stdin_len = SIZE_MAX;
    expect_refusal(&content, E2BIG,
                   "invocation: stdin of 18446744073709551615 bytes is over 49152");
}

/* One argument that fills `size` bytes of the body with its NUL. */
static const char *argument_of(size_t size)
{
    static char text[THAW_MAILBOX_SIZE * 2];
    memset(text, 'a', size - 1);
    text[size - 1] = '\0';
    return text;
}

Test(mailbox, strings_may_fill_the_body_to_its_last_byte)
{
    const char *argv[] = {argument_of(THAW_MAILBOX_BODY_MAX - 4), NULL};
    const char *env[] = {"A=1", NULL, NULL};
    struct mailbox_content content = {.argv = argv, .env = env};
    write_mailbox(&content);
    cr_assert_eq(read_header().body_len, THAW_MAILBOX_BODY_MAX);
    cr_assert(all_zero(window + THAW_MAILBOX_REPORT_OFFSET, 64), "the report is not the body's");

    static const char sentence[] = "invocation: arguments and environment are over 65216 bytes";
    argv[0] = argument_of(THAW_MAILBOX_BODY_MAX - 3);
    expect_refusal(&content, E2BIG, sentence);
    argv[0] = argument_of(THAW_MAILBOX_BODY_MAX + 1);
    expect_refusal(&content, E2BIG, sentence);
}

Test(mailbox, strings_and_stdin_share_the_body)
{
    static uint8_t payload[16384];
    const char *argv[] = {argument_of(THAW_MAILBOX_BODY_MAX - sizeof(payload)), NULL};
    struct mailbox_content content = {
        .argv = argv, .has_stdin = true, .stdin_data = payload, .stdin_len = sizeof(payload)};
    write_mailbox(&content);
    cr_assert_eq(read_header().body_len, THAW_MAILBOX_BODY_MAX);

    argv[0] = argument_of(THAW_MAILBOX_BODY_MAX - sizeof(payload) + 1);
    expect_refusal(&content, E2BIG,
                   "invocation: arguments, environment and stdin are over 65216 bytes");
}

Test(mailbox, more_empty_arguments_than_bytes_are_refused)
{
    static const char *argv[THAW_MAILBOX_BODY_MAX + 2];
    for (size_t i = 0; i < THAW_MAILBOX_BODY_MAX; i++)
        argv[i] = "";
    write_mailbox(&(struct mailbox_content){.argv = argv});
    cr_assert_eq(read_header().argc, THAW_MAILBOX_BODY_MAX);
    argv[THAW_MAILBOX_BODY_MAX] = "";
    expect_refusal(&(struct mailbox_content){.argv = argv}, E2BIG,
                   "invocation: arguments and environment are over 65216 bytes");
}

Test(mailbox, an_environment_entry_without_a_key_is_refused)
{
    static const char *const no_equals[] = {"GOOD=1", "BAD", NULL};
    static const char *const no_key[] = {"=value", NULL};
    expect_refusal(&(struct mailbox_content){.env = no_equals}, EINVAL,
                   "invocation: environment entry 'BAD' is not KEY=value");
    expect_refusal(&(struct mailbox_content){.env = no_key}, EINVAL,
                   "invocation: environment entry '=value' is not KEY=value");
}

Test(mailbox, a_hostname_or_prefix_beyond_its_range_is_refused)
{
    char name[66];
    memset(name, 'n', 65);
    name[65] = '\0';
    expect_refusal(&(struct mailbox_content){.hostname = name}, EINVAL,
                   "invocation: hostname is over 64 bytes");
    expect_refusal(&(struct mailbox_content){.ipv4_prefix = 33}, EINVAL,
                   "invocation: IPv4 prefix 33 is over 32");
}

Test(mailbox, a_guest_without_that_memory_has_no_mailbox)
{
    const struct guest_region tiny = {.gpa = 0, .size = THAW_MAILBOX_GPA + 0x1000};
    struct guest_memory small;
    struct thaw_mailbox_report report;
    cr_assert_eq(guest_memory_create(&small, &tiny, 1, &err), 0);
    cr_assert_eq(mailbox_write(&small, &(struct mailbox_content){0}, &err), -EFAULT);
    cr_assert_eq(mailbox_read_report(&small, &report, &err), -EFAULT);
    cr_assert_eq(mailbox_clear_entropy(&small, &err), -EFAULT);
    guest_memory_destroy(&small);
}

/* ---- one after the other ------------------------------------------------------------------ */

Test(mailbox, what_a_longer_body_left_behind_is_wiped)
{
    static uint8_t secret[4000];
    memset(secret, 's', sizeof(secret));
    write_mailbox(&(struct mailbox_content){
        .has_stdin = true, .stdin_data = secret, .stdin_len = sizeof(secret)});
    write_mailbox(&(struct mailbox_content){.has_stdin = true, .stdin_data = "x", .stdin_len = 1});
    const size_t body = sizeof(struct thaw_mailbox_header);
    cr_assert_eq(read_header().body_len, 1);
    cr_assert_eq(window[body], 'x');
    cr_assert(all_zero(window + body + 1, THAW_MAILBOX_REPORT_OFFSET - body - 1));
}

Test(mailbox, a_length_that_the_guest_forged_does_not_reach_beyond_the_window)
{
    write_mailbox(&(struct mailbox_content){0});
    uint32_t forged = UINT32_MAX;
    memcpy(window + offsetof(struct thaw_mailbox_header, body_len), &forged, sizeof(forged));
    window[THAW_MAILBOX_SIZE] = 0xee; /* the guest's own memory, after the window */
    write_mailbox(&(struct mailbox_content){0});
    cr_assert_eq(window[THAW_MAILBOX_SIZE], 0xee);
    cr_assert_eq(read_header().body_len, 0);
}

Test(mailbox, the_report_is_read_back_and_starts_afresh_with_each_write)
{
    struct thaw_mailbox_report report = {.resumed_ns = 1, .exec_ns = 2, .exec_realtime_ns = 3};
    struct thaw_mailbox_report got = {0};
    write_mailbox(&(struct mailbox_content){0});
    memcpy(window + THAW_MAILBOX_REPORT_OFFSET, &report, sizeof(report));
    cr_assert_eq(mailbox_read_report(&mem, &got, &err), 0);
    cr_assert_eq(got.resumed_ns, 1);
    cr_assert_eq(got.exec_ns, 2);
    cr_assert_eq(got.exec_realtime_ns, 3);

    write_mailbox(&(struct mailbox_content){0});
    cr_assert_eq(mailbox_read_report(&mem, &got, &err), 0);
    cr_assert(all_zero(&got, sizeof(got)));
}

Test(mailbox, clearing_the_entropy_leaves_none_and_no_valid_mailbox)
{
    struct thaw_mailbox_header header;
    write_mailbox(&(struct mailbox_content){0});
    cr_assert_eq(mailbox_clear_entropy(&mem, &err), 0);
    cr_assert_not(guest_accepts(&header));
    cr_assert(all_zero(header.entropy, sizeof(header.entropy)));
    cr_assert_not(all_zero(header.generation, sizeof(header.generation)));
    write_mailbox(&(struct mailbox_content){0});
    cr_assert(guest_accepts(&header));
}
