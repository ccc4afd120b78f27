/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks' report reads, and what it refuses. */
#include "tests/bench/raws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "{\"part\":\"p\","

/* Reads `text` from a file of its own. */
static int read_text(const char *text, struct raw *raw, struct thaw_error *err)
{
    char path[] = "/tmp/thaw-raw-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int rc = raw_read(path, raw, err);
    unlink(path);
    return rc;
}

Test(bench_raw, the_example_is_read_in_the_order_of_the_report)
{
    struct raws raws = {0};
    struct thaw_error err = {0};
    cr_assert_eq(raws_read("tests/bench/example/raw", &raws, &err), 0, "%s", err.message);
    cr_assert_eq(raws.count, 4);
    cr_assert_str_eq(raws.list[0].part, "boot");
    cr_assert_str_eq(raws.list[1].part, "load");
    cr_assert_str_eq(raws.list[2].part, "jit");
    cr_assert_str_eq(raws.list[3].part, "scale-memory");
    const struct raw_series *thaw = raw_find_series(&raws.list[0], "thaw_boot");
    cr_assert_not_null(thaw);
    cr_assert(thaw->values[0] == 1841 && thaw->sorted[0] == 1764 && thaw->summary.n == 7);
    cr_assert_null(raw_find_series(&raws.list[0], "load_ms"));
    raws_free(&raws);
}

Test(bench_raw, every_list_may_be_absent)
{
    struct raw raw;
    struct thaw_error err = {0};
    cr_assert_eq(read_text("{\"part\": \"empty\"}", &raw, &err), 0, "%s", err.message);
    cr_assert_str_eq(raw.title, "empty");
    cr_assert_eq(raw.series_count + raw.curve_count + raw.missing_count, 0);
    raw_free(&raw);
}

Test(bench_raw, points_come_in_the_order_of_x)
{
    struct raw raw;
    struct thaw_error err = {0};
    cr_assert_eq(read_text(HEAD "\"curves\":[{\"title\":\"t\",\"x\":\"x\",\"y\":\"y\",\"lines\":"
                                "[{\"name\":\"l\",\"points\":[[3,1],[1,2],[2,3]]}]}]}",
                           &raw, &err),
                 0, "%s", err.message);
    const struct raw_line *line = &raw.curves[0].lines[0];
    cr_assert(line->points[0].x == 1 && line->points[1].x == 2 && line->points[2].x == 3);
    cr_assert(line->points[0].y == 2);
    raw_free(&raw);
}

Test(bench_raw, a_ratio_is_of_one_pair_or_of_several)
{
    struct raw raw;
    struct thaw_error err = {0};
    cr_assert_eq(read_text(HEAD "\"ratios\":[{\"key\":\"a\",\"of\":[\"x\",\"y\"]},"
                                "{\"key\":\"b\",\"of\":[[\"x\",\"y\"],[\"y\",\"z\"]]}]}",
                           &raw, &err),
                 0, "%s", err.message);
    cr_assert_eq(raw.ratios[0].count, 1);
    cr_assert_str_eq(raw.ratios[0].pairs[0].under, "y");
    cr_assert_eq(raw.ratios[1].count, 2);
    cr_assert_str_eq(raw.ratios[1].pairs[1].over, "y");
    cr_assert_str_eq(raw.ratios[1].pairs[1].under, "z");
    raw_free(&raw);
}

#define SERIES(rest) HEAD "\"series\":[{" rest "}]}"
#define CURVE(rest)  HEAD "\"curves\":[{\"title\":\"t\",\"x\":\"x\",\"y\":\"y\"," rest "}]}"
#define RATIO(rest)  HEAD "\"ratios\":[{\"key\":\"k\"," rest "}]}"
#define NUMBER(rest) HEAD "\"numbers\":[{\"key\":\"k\"," rest "}]}"
#define GROUP(bars)                                                                                \
    HEAD "\"groups\":[{\"title\":\"t\",\"unit\":\"u\",\"groups\":[{\"name\":\"g\",\"bars\":[" bars \
         "]}]}]}"
#define STACK(phases) HEAD "\"stacks\":[{\"title\":\"t\",\"unit\":\"ms\",\"bars\":[" phases "]}]}"

static const struct {
    const char *text, *why;
} wrong[] = {
    {"", "line"},
    {"[]", "not an object"},
    {"{\"part\":\"p\"", "line 1"},
    {"{\"part\":\"p\",\"part\":\"p\"}", "duplicate"},
    {"{}", "\"part\" is not a text"},
    {"{\"part\":\"\"}", "\"part\" is empty"},
    {"{\"part\":\"a b\"}", "\"part\" has more in it"},
    {"{\"part\":\"a\\\"b\"}", "\"part\" has more in it"},
    {HEAD "\"title\":3}", "\"title\" is not a text"},
    {HEAD "\"host\":[]}", "\"host\" is not an object"},
    {HEAD "\"host\":{\"cpu\":{}}}", "neither a text nor a number"},
    {HEAD "\"series\":{}}", "\"series\" is not a list"},
    {HEAD "\"series\":[7]}", "series[0]: \"id\" is not a text"},
    {SERIES("\"id\":\"a\",\"samples\":[1]"), "\"unit\" is not a text"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\""), "\"samples\" is not a list"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\",\"samples\":[]"), "\"samples\" is empty"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\",\"samples\":[1,null]"), "samples[1]: it is not a number"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\",\"samples\":[1e300]"), "out of range"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\",\"samples\":[1e999]"), "line 1"},
    {SERIES("\"id\":\"a\",\"unit\":\"ms\",\"better\":\"more\",\"samples\":[1]"), "\"better\""},
    {SERIES("\"id\":\"<b>\",\"unit\":\"ms\",\"samples\":[1]"), "\"id\" has more in it"},
    {RATIO("\"of\":[\"a\"]"), "\"of\" is not a list of two ids"},
    {RATIO("\"of\":[[\"a\",\"b\"],[\"a\"]]"), "of[1]: \"of\" is not a list of two ids"},
    {RATIO("\"of\":[[\"a\",\"b\"],7]"), "of[1]: \"of\" is not a list of two ids"},
    {RATIO("\"of\":\"ab\""), "\"of\" is not a list of two ids"},
    {RATIO("\"of\":[\"a\",\"b\"],\"goal\":\"1\""), "\"goal\" is not a number"},
    {RATIO("\"of\":[\"a\",\"b\"],\"goal\":0"), "\"goal\" is not above 0"},
    {NUMBER("\"value\":1,\"goal\":5e-324"), "\"goal\" is not above 0"},
    {NUMBER("\"value\":\"1\""), "\"value\" is not a number"},
    {GROUP(""), "\"bars\" is empty"},
    {GROUP("{\"name\":\"b\",\"value\":0}"), "\"value\" is not above 0"},
    {STACK(""), "\"bars\" is empty"},
    {STACK("{\"name\":\"b\",\"phases\":[{\"name\":\"p\",\"value\":-1}]}"), "negative"},
    {STACK("{\"name\":\"b\",\"phases\":[]}"), "bars[0]: \"phases\" is empty"},
    {CURVE("\"lines\":[]"), "\"lines\" is empty"},
    {CURVE("\"lines\":[{\"name\":\"l\",\"points\":[[1]]}]"), "not a list of two numbers"},
    {CURVE("\"lines\":[{\"name\":\"l\",\"points\":[[1,null]]}]"), "y is not a number"},
    {CURVE("\"log_x\":true,\"lines\":[{\"name\":\"l\",\"points\":[[0,1]]}]"), "not above 0"},
    {HEAD "\"missing\":[{\"key\":\"k\"}]}", "\"why\" is not a text"},
};

Test(bench_raw, a_file_that_is_wrong_is_refused_with_its_name_and_the_reason)
{
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct raw raw;
        struct thaw_error err = {0};
        cr_expect_lt(read_text(wrong[i].text, &raw, &err), 0, "%s", wrong[i].text);
        cr_expect(strstr(err.message, wrong[i].why), "%s: %s", wrong[i].text, err.message);
        cr_expect_eq(strncmp(err.message, "thaw-raw-", 9), 0, "%s", err.message);
        cr_expect_null(strchr(err.message, '\n'));
        raw_free(&raw);
    }
}

Test(bench_raw, a_folder_without_figures_is_refused)
{
    char folder[] = "/tmp/thaw-raws-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    struct raws raws = {0};
    struct thaw_error err = {0};
    cr_assert_lt(raws_read(folder, &raws, &err), 0);
    cr_assert(strstr(err.message, "no raw figures"), "%s", err.message);
    raws_free(&raws);
    rmdir(folder);
    cr_assert_lt(raws_read(folder, &raws, &err), 0);
    raws_free(&raws);
}
