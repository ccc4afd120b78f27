/* SPDX-License-Identifier: Apache-2.0 */
/* results.json, the page and the table that are made of the benchmarks' raw figures. */
#include "tests/bench/html.h"
#include "tests/bench/plots.h"
#include "tests/bench/raws.h"
#include "tests/bench/results.h"
#include "tests/bench/table.h"
#include "tests/bench/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The example, read. */
struct fixture {
    struct raws raws;
    struct results results;
};

static void make_example(struct fixture *f)
{
    struct thaw_error err = {0};
    *f = (struct fixture){0};
    cr_assert_eq(raws_read("tests/bench/example/raw", &f->raws, &err), 0, "%s", err.message);
    cr_assert_eq(results_make(f->raws.list, f->raws.count, &f->results, &err), 0, "%s",
                 err.message);
}

static void free_example(struct fixture *f)
{
    results_free(&f->results);
    raws_free(&f->raws);
}

static double number_of(const struct results *r, const char *key)
{
    const json_t *value = json_object_get(r->flat, key);
    cr_assert(json_is_number(value), "%s", key);
    return json_number_value(value);
}

static const char *reason_of(const struct results *r, const char *key)
{
    return json_string_value(json_object_get(json_object_get(r->flat, "not_measured"), key));
}

/* Not inlined: gcc 12 takes what it returns for a pointer into its frame. */
__attribute__((noinline)) static char *written(void (*write)(FILE *, const struct results *),
                                               const struct results *r)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    write(out, r);
    (void)fclose(out);
    return text;
}

Test(bench_results, ratios_numbers_and_series_are_in_one_flat_object)
{
    struct fixture f;
    make_example(&f);
    cr_assert_float_eq(number_of(&f.results, "boot_ratio_qemu"), 1873.0 / 3990, 1e-9);
    double low = number_of(&f.results, "boot_ratio_qemu_low");
    double high = number_of(&f.results, "boot_ratio_qemu_high");
    cr_assert(low <= 1873.0 / 3990 && 1873.0 / 3990 <= high && high - low < 0.1);
    cr_assert(number_of(&f.results, "boot_ratio_qemu_n") == 7);
    cr_assert(number_of(&f.results, "load_ms_p50") == 2.26);
    cr_assert(number_of(&f.results, "load_ms_p99") == 3.04);
    cr_assert(number_of(&f.results, "thaw_boot_p95") == 2210);
    cr_assert(number_of(&f.results, "floor_load_n") == 10);
    cr_assert_float_eq(number_of(&f.results, "jit_geomean_over_luajit"), 2, 1e-9); /* 1/2, 8 */
    cr_assert(number_of(&f.results, "jit_geomean_over_luajit_n") == 3);
    cr_assert(number_of(&f.results, "clone_private_kib") == 568);
    const char *key;
    json_t *value;
    json_object_foreach(f.results.flat, key, value)
        cr_expect(json_is_number(value) || strcmp(key, "not_measured") == 0, "%s", key);
    free_example(&f);
}

Test(bench_results, every_figure_that_is_asked_for_is_there_or_has_a_reason)
{
    static const char *const keys[] = {"boot_ratio_qemu",
                                       "restore_first_byte_ratio_qemu",
                                       "load_ms_p50",
                                       "load_ms_p99",
                                       "load_over_floor",
                                       "first_instruction_over_floor",
                                       "capture_pause_over_boot",
                                       "exits_resume_to_exec",
                                       "clone_private_kib",
                                       "monitor_pss_kib",
                                       "pool_claim_over_restore_load",
                                       "pool_reset_over_replace",
                                       "pool_host_share_over_restore",
                                       "jit_geomean_over_luajit",
                                       "jit_calls_over_luajit",
                                       "jit_over_gcc_geomean",
                                       "interp_geomean_over_luajit_joff",
                                       "jit_compile_us_p50",
                                       "jit_start_ms",
                                       "jit_binary_kib",
                                       "jit_hello_rss_kib",
                                       "jit_lookup_ns_p50"};
    struct fixture f;
    make_example(&f);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        cr_expect(!!json_object_get(f.results.flat, keys[i]) != !!reason_of(&f.results, keys[i]),
                  "%s", keys[i]);
    cr_assert_str_eq(reason_of(&f.results, "capture_pause_over_boot"),
                     "no raw/capture.json: that part was not run");
    cr_assert_str_eq(reason_of(&f.results, "first_instruction_over_floor"),
                     "raw/load.json does not have it");
    cr_assert_str_eq(reason_of(&f.results, "boot_ratio_firecracker"),
                     "no FIRECRACKER=PATH was given");
    free_example(&f);
}

Test(bench_results, what_is_missed_comes_first_and_what_was_not_measured_last)
{
    struct fixture f;
    make_example(&f);
    for (size_t i = 1; i < f.results.asked_count; i++)
        cr_expect_geq(f.results.asked[i].verdict, f.results.asked[i - 1].verdict);
    cr_assert_str_eq(f.results.asked[0].key, "load_over_floor");
    cr_assert_eq(f.results.asked[0].verdict, VERDICT_MISSED);
    cr_assert(figure_is_close(&f.results.asked[0]), "the interval has the goal within");
    free_example(&f);
}

/* Two parts with what is given, and why they do not go together. */
static void check_refused(const char *first, const char *second, const char *why)
{
    struct raw raws[2] = {{0}};
    const char *texts[] = {first, second};
    struct results results;
    struct thaw_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        char path[] = "/tmp/thaw-raw-XXXXXX";
        int fd = mkstemp(path);
        cr_assert_eq(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
        close(fd);
        cr_assert_eq(raw_read(path, &raws[i], &err), 0, "%s", err.message);
        unlink(path);
    }
    cr_expect_lt(results_make(raws, 2, &results, &err), 0);
    cr_expect(strstr(err.message, why), "%s", err.message);
    results_free(&results);
    raw_free(&raws[0]);
    raw_free(&raws[1]);
}

Test(bench_results, figures_of_the_same_name_are_refused)
{
    const char *series =
        "{\"part\":\"a\",\"series\":[{\"id\":\"x\",\"unit\":\"ms\",\"samples\":[1]}]}";
    const char *number = "{\"part\":\"b\",\"numbers\":[{\"key\":\"x_p50\",\"value\":1}]}";
    check_refused(series, number, "x_p50: a part before it has a figure of this name");
    check_refused(series, series, "x_p50: a part before it has a figure of this name");
    check_refused("{\"part\":\"a\",\"numbers\":[{\"key\":\"not_measured\",\"value\":1}]}", number,
                  "not_measured");
}

Test(bench_results, a_ratio_without_its_series_or_of_nothing_is_refused)
{
    const char *other = "{\"part\":\"b\"}";
    check_refused("{\"part\":\"a\",\"ratios\":[{\"key\":\"r\",\"of\":[\"x\",\"y\"]}]}", other,
                  "r: there is no series x");
    check_refused("{\"part\":\"a\",\"ratios\":[{\"key\":\"r\",\"of\":[\"x\",\"x\"]}],"
                  "\"series\":[{\"id\":\"x\",\"unit\":\"ms\",\"samples\":[1,0]}]}",
                  other, "r: not every sample is above 0 in x");
}

Test(bench_page, what_a_raw_file_says_never_becomes_markup)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    text_escape(out, "<script>\"a\" & 'b'</script>\x1b[0m\x01\n\u00e9");
    (void)fclose(out);
    cr_assert_str_eq(text, "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
                           "&#xfffd;[0m&#xfffd;\n\u00e9");
    free(text);
}

/* How often `what` is in `text`. */
static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    while ((text = strstr(text, what))) {
        text += strlen(what);
        n++;
    }
    return n;
}

Test(bench_page, the_page_needs_nothing_but_itself_and_every_drawing_says_what_it_is)
{
    struct fixture f;
    make_example(&f);
    char *page = written(html_write, &f.results);
    cr_expect_null(strstr(page, "<script"));
    cr_expect_null(strstr(page, "http"));
    cr_expect_null(strstr(page, "<of 2"), "the CPU's name is escaped");
    cr_expect_not_null(strstr(page, "&lt;of 2 &amp; more&gt;"));
    size_t drawings = count_of(page, "<svg ");
    cr_expect_eq(drawings, 9); /* goals, boot, marks, load, phases, fib, sieve, groups, curve */
    cr_expect_eq(count_of(page, "</desc>"), drawings);
    cr_expect_eq(count_of(page, "role=\"img\""), drawings);
    cr_expect_eq(count_of(page, "<table"), count_of(page, "</table>"));
    cr_expect_eq(count_of(page, "<th>"), 0, "every head of a table says of what");
    cr_expect_not_null(strstr(page, "constant: mmap touches no page"));
    cr_expect_not_null(strstr(page, "up to 25.3 ms"), "the tail that was cut");
    cr_expect_eq(count_of(page, "nan") + count_of(page, "inf\""), 0);
    free(page);
    free_example(&f);
}

Test(bench_page, a_ratio_puts_both_programs_on_one_axis)
{
    struct fixture f;
    make_example(&f);
    char *page = written(html_write, &f.results);
    const char *boot = strstr(page, "<strong>boot</strong>");
    cr_assert_not_null(boot);
    const char *end = strstr(boot, "</svg>"), *qemu = strstr(boot, "QEMU microvm");
    cr_expect(qemu && qemu < end);
    free(page);
    free_example(&f);
}

Test(bench_page, a_group_of_bars_has_a_legend_and_is_told_in_words)
{
    struct fixture f;
    make_example(&f);
    char *page = written(html_write, &f.results);
    const char *groups = strstr(page, "<strong>Processor time</strong>, times gcc -O2");
    cr_assert_not_null(groups);
    const char *end = strstr(groups, "</figure>");
    const char *legend = strstr(groups, "<i class=\"swatch c0\"></i>jitvm</span>");
    const char *words = strstr(groups, "sieve: jitvm 4, LuaJIT 0.500. ");
    cr_expect(legend && legend < end);
    cr_expect(words && words < end);
    cr_expect_eq(count_of(groups, "<rect class=\"phase c0\"") -
                     count_of(end, "<rect class=\"phase c0\""),
                 2);
    free(page);
    free_example(&f);
}

Test(bench_page, a_program_has_the_same_colour_everywhere)
{
    cr_expect_neq(plot_colour("jit_fib_joff", "", 0), plot_colour("jit_fib_luajit", "", 0));
    cr_expect_eq(plot_colour("thaw_boot", "thaw run", 5), plot_colour("thaw_load", "x", 0));
    cr_expect_eq(plot_colour("qemu", "", 0), plot_colour("b", "QEMU microvm", 3));
    cr_expect_neq(plot_colour("thaw", "", 0), plot_colour("qemu", "", 0));
    cr_expect_lt(plot_colour("other", "", 1000), SVG_COLOURS);
}

Test(bench_table, no_line_is_longer_than_100_columns)
{
    struct fixture f;
    make_example(&f);
    char *table = written(table_write, &f.results), *rest = table;
    for (char *line; (line = strsep(&rest, "\n"));)
        cr_expect_leq(text_length(line), 100, "%s", line);
    free(table);
    free_example(&f);
}

Test(bench_table, a_cell_is_filled_or_cut_and_obeys_no_escape)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    text_cell(out, "ab", 4, false);
    text_cell(out, "ab", 4, true);
    text_cell(out, "\u00e9\u00e9\u00e9\u00e9\u00e9", 4, false);
    text_cell(out, "\x1b[1m", 4, false);
    (void)fclose(out);
    cr_assert_str_eq(text, "ab    ab\u00e9...?[1m");
    free(text);
}

Test(bench_table, a_text_is_cut_between_characters_to_fit)
{
    char out[32];
    text_fit("short", 10, 100, out, sizeof(out));
    cr_expect_str_eq(out, "short");
    text_fit("\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", 10, 50, out,
             sizeof(out));
    cr_expect_str_eq(out, "\u00e9\u00e9\u00e9\u00e9\u2026");
    char tiny[12];
    text_fit("\u20ac\u20ac\u20ac\u20ac\u20ac", 1, 100, tiny, sizeof(tiny));
    cr_expect_str_eq(tiny, "\u20ac\u2026");
}
