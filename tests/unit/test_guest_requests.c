/* SPDX-License-Identifier: Apache-2.0 */
/* What init understands of the control port, run on the host. */
#include "guest/init-oci/requests.h"

#include <criterion/criterion.h>
#include <string.h>

/* Feeds all bytes; returns how many requests came, the last one in `request`. */
static int feed(struct request_parser *parser, const char *bytes, size_t size,
                struct control_request *request)
{
    int count = 0;
    for (size_t i = 0; i < size; i++)
        count += request_parser_feed(parser, bytes[i], request);
    return count;
}

static int parse(const char *text, struct control_request *request)
{
    struct request_parser parser = {0};
    return feed(&parser, text, strlen(text), request);
}

Test(guest_requests, every_request_of_the_wire_is_understood)
{
    static const struct {
        const char *line;
        struct control_request request;
    } rows[] = {
        {"!", {.kind = CONTROL_REQUEST_DOORBELL}},
        {"quiesce seq=0\n", {.kind = CONTROL_REQUEST_QUIESCE}},
        {"quiesce seq=9223372036854775807\n",
         {.kind = CONTROL_REQUEST_QUIESCE, .number = INT64_MAX}},
        {"signal number=15\n", {.kind = CONTROL_REQUEST_SIGNAL, .number = 15}},
        {"stdin-eof bytes=0\n", {.kind = CONTROL_REQUEST_STDIN_EOF}},
        {"winsize rows=24 cols=80\n", {.kind = CONTROL_REQUEST_WINSIZE, .rows = 24, .cols = 80}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct control_request request;
        const struct control_request *want = &rows[i].request;
        cr_assert_eq(parse(rows[i].line, &request), 1, "%s", rows[i].line);
        cr_expect_eq(request.kind, want->kind, "%s", rows[i].line);
        cr_expect_eq(request.number, want->number, "%s", rows[i].line);
        cr_expect_eq(request.rows, want->rows, "%s", rows[i].line);
        cr_expect_eq(request.cols, want->cols, "%s", rows[i].line);
    }
}

Test(guest_requests, what_is_not_exactly_a_request_is_dropped)
{
    static const char *const rows[] = {
        "\n",
        "quiesce\n",
        "quiesce \n",
        "quiesce seq=\n",
        "quiesce seq=-1\n",
        "quiesce seq=1 \n",
        "quiesce seq=1 more\n",
        "quiesce  seq=1\n",
        "quiesce seq=9223372036854775808\n",
        "quiesce seq=18446744073709551617\n",
        "quiesce number=1\n",
        "quiesces seq=1\n",
        " quiesce seq=1\n",
        "QUIESCE seq=1\n",
        "signal number=0\n",
        "signal number=65\n",
        "signal seq=1\n",
        "winsize rows=65536 cols=1\n",
        "winsize cols=1 rows=1\n",
        "winsize rows=1\n",
        "quiesce seq=1", /* no end */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct control_request request;
        cr_expect_eq(parse(rows[i], &request), 0, "%s", rows[i]);
    }
}

Test(guest_requests, a_doorbell_stands_between_lines_only)
{
    struct control_request request;
    cr_expect_eq(parse("!!", &request), 2);
    cr_expect_eq(parse("quiesce seq=1\n!", &request), 2);
    cr_expect_eq(request.kind, CONTROL_REQUEST_DOORBELL);
    cr_expect_eq(parse("nonsense!\n", &request), 0);
    cr_expect_eq(parse("quiesce seq=1!\n", &request), 0);
}

Test(guest_requests, a_line_that_is_too_long_is_dropped_whole_and_the_next_one_counts)
{
    struct request_parser parser = {0};
    struct control_request request;
    char line[THAW_CONTROL_LINE_MAX + 1];
    memset(line, 'x', sizeof(line));
    cr_expect_eq(feed(&parser, line, sizeof(line), &request), 0);
    cr_expect_eq(feed(&parser, "!quiesce seq=1\n", 15, &request), 0, "it is still that line");
    cr_expect_eq(feed(&parser, "quiesce seq=2\n", 14, &request), 1);
    cr_expect_eq(request.number, 2);
}

Test(guest_requests, a_line_of_the_longest_kind_ends_where_the_buffer_does)
{
    struct request_parser parser = {0};
    struct control_request request;
    char line[THAW_CONTROL_LINE_MAX];
    memset(line, 'x', sizeof(line));
    cr_expect_eq(feed(&parser, line, sizeof(line), &request), 0);
    cr_expect_not(parser.unusable);
    cr_expect_eq(feed(&parser, "\n!", 2, &request), 1);
}

Test(guest_requests, a_nul_hides_nothing)
{
    struct request_parser parser = {0};
    struct control_request request;
    cr_expect_eq(feed(&parser, "quiesce seq=1\0 and more\n", 24, &request), 0);
    cr_expect_eq(feed(&parser, "\0!\n", 3, &request), 0);
    cr_expect_eq(feed(&parser, "!", 1, &request), 1);
}

Test(guest_requests, every_single_byte_leaves_a_parser_that_works)
{
    for (int byte = 0; byte < 256; byte++) {
        struct request_parser parser = {0};
        struct control_request request;
        request_parser_feed(&parser, (char)byte, &request);
        request_parser_feed(&parser, '\n', &request);
        cr_expect_eq(feed(&parser, "quiesce seq=7\n", 14, &request), 1, "byte %d", byte);
        cr_expect_eq(request.number, 7);
    }
}
