/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of `thaw bench` has left: the numbers in it, whatever stands around them or in their
 * place.
 */
#include "vmm/cli/bench_report.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START 5000000000ull /* the spawn, CLOCK_MONOTONIC */

static struct bench_run run;
static struct thaw_error err;

static int read_bytes(enum bench_kind kind, int wait_status, const char *text, size_t size)
{
    const struct bench_outcome outcome = {
        .spawn_ns = START,
        .first_byte_ns = START + 7000000,
        .end_ns = START + 9000000,
        .wait_status = wait_status,
        .usage = {.ru_utime = {1, 500000}, .ru_stime = {0, 250}, .ru_minflt = 12, .ru_maxrss = 3},
        .text = text,
        .text_size = size,
    };
    err = (struct thaw_error){0};
    return bench_report_read(kind, &outcome, &run, &err);
}

/* The text is exactly as long as it is, so that ASan sees a read behind it. */
static int read_text(enum bench_kind kind, int exit_status, const char *text)
{
    size_t size = strlen(text);
    char *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    int rc = read_bytes(kind, exit_status << 8, exact, size);
    free(exact);
    return rc;
}

static void expect_figure(enum bench_figure figure, double value)
{
    cr_assert(fabs(run.figure[figure] - value) < 1e-6, "figure %d is %f, not %f", figure,
              run.figure[figure], value);
}

static void expect_no_figure(enum bench_figure figure)
{
    cr_assert(isnan(run.figure[figure]), "figure %d is %f", figure, run.figure[figure]);
}

static const char boot[] =
    "{\"status\":7,\"error\":null,\"code\":0,\"message\":null,\"started_ns\":5001000000,"
    "\"marks_ms\":{\"kvm_run\":2.5,\"hello\":3,\"workload_exit\":6.25},\"exits\":{\"io\":82,"
    "\"mmio\":1,\"other\":2,\"interrupted\":3},\"snapshot\":null,\"restore\":null}\n";

Test(bench_verb_report, moments_are_counted_from_the_spawn)
{
    cr_assert_eq(read_text(BENCH_BOOT, 7, boot), 0);
    cr_assert_eq(run.status, 7);
    expect_figure(BENCH_MAIN, 1);
    expect_figure(BENCH_KVM_RUN, 3.5);
    expect_figure(BENCH_HELLO, 4);
    expect_figure(BENCH_EXIT, 7.25);
    expect_figure(BENCH_FIRST_BYTE_READ, 7);
    expect_figure(BENCH_END, 9);
}

Test(bench_verb_report, a_mark_that_is_missing_is_a_figure_that_is_missing)
{
    cr_assert_eq(read_text(BENCH_BOOT, 7, boot), 0);
    expect_no_figure(BENCH_PRE_EXEC);
    expect_no_figure(BENCH_FIRST_BYTE);
    expect_no_figure(BENCH_LOAD_OPEN);
    expect_no_figure(BENCH_PAUSE);
    expect_no_figure(BENCH_PUBLISHED);
}

Test(bench_verb_report, exits_faults_and_cpu_time_are_taken)
{
    cr_assert_eq(read_text(BENCH_BOOT, 7, boot), 0);
    expect_figure(BENCH_EXITS_IO, 82);
    expect_figure(BENCH_EXITS_INTERRUPTED, 3);
    expect_figure(BENCH_MINOR_FAULTS, 12);
    expect_figure(BENCH_MAJOR_FAULTS, 0);
    expect_figure(BENCH_USER, 1500);
    expect_figure(BENCH_SYSTEM, 0.25);
    expect_figure(BENCH_MAX_RSS, 3072);
}

static const char restored[] =
    "{\"status\":0,\"error\":null,\"started_ns\":5001000000,\"marks_ms\":{\"kvm_run\":10},"
    "\"restore\":{\"load_phases_ms\":{\"open\":1,\"map\":1,\"vm\":1,\"memory\":1,\"state\":1,"
    "\"devices\":1,\"mailbox\":1},\"minor_faults\":6,\"major_faults\":1,\"kernel_ms\":0.5,"
    "\"exits_to_exec\":8,\"init_ms\":1.5}}";

Test(bench_verb_report, what_no_phase_of_a_load_has_is_the_rest)
{
    cr_assert_eq(read_text(BENCH_RESTORE, 0, restored), 0);
    expect_figure(BENCH_LOAD_REST, 3);
    expect_figure(BENCH_VCPU_MINOR_FAULTS, 6);
    expect_figure(BENCH_VCPU_KERNEL, 0.5);
    expect_figure(BENCH_EXITS_TO_EXEC, 8);
    expect_figure(BENCH_GUEST_INIT, 1.5);
}

static const char captured[] =
    "{\"status\":0,\"error\":null,\"started_ns\":5001000000,\"marks_ms\":{\"kvm_run\":1},"
    "\"snapshot\":{\"trigger_ms\":2,\"quiesce_ms\":3,\"capture_ms\":10,\"pause_ms\":4,"
    "\"write_ms\":5,\"pauses\":1,\"memory_bytes\":33554432,\"data_bytes\":8000000}}";

Test(bench_verb_report, a_capture_is_published_when_all_its_phases_are_over)
{
    cr_assert_eq(read_text(BENCH_CAPTURE, 0, captured), 0);
    expect_figure(BENCH_PUBLISHED, 22);
    expect_figure(BENCH_COPY, 6);
    expect_figure(BENCH_PAUSE, 4);
    expect_figure(BENCH_DATA_RATE, 800); /* 8 MB in 10 ms */
    expect_figure(BENCH_MEMORY_BYTES, 33554432);
}

Test(bench_verb_report, a_guests_lines_before_the_report_are_not_taken_for_it)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "{\"status\":1}\n[ 0.1] {\n}\nno newline at its end%s",
                   boot);
    cr_assert_eq(read_text(BENCH_BOOT, 7, text), 0);
    expect_figure(BENCH_KVM_RUN, 3.5);
}

Test(bench_verb_report, a_failure_keeps_its_number_and_its_words)
{
    cr_assert_lt(read_text(BENCH_BOOT, 125,
                           "words\n{\"status\":125,\"error\":\"guest-panic\",\"code\":14,"
                           "\"message\":\"guest: kernel panic\",\"marks_ms\":{\"kvm_run\":1}}\n"),
                 0);
    cr_assert_eq(err.failure, THAW_FAIL_GUEST_PANIC);
    cr_assert_str_eq(err.message, "exit status 125: guest: kernel panic");
}

Test(bench_verb_report, a_failure_is_one_line_whatever_is_in_it)
{
    cr_assert_lt(read_text(BENCH_BOOT, 125,
                           "{\"status\":125,\"error\":{},\"code\":99,"
                           "\"message\":\"a\\nb\\u001b[2J\\u00fc\"}"),
                 0);
    cr_assert_eq(err.failure, THAW_FAIL_INTERNAL);
    cr_assert_str_eq(err.message, "exit status 125: a?b?[2J??");
}

Test(bench_verb_report, a_report_whose_keys_are_of_other_types_gives_no_figures)
{
    static const char *const bad[] = {
        "{\"status\":0}",
        "{\"status\":0,\"started_ns\":\"5001000000\",\"marks_ms\":{\"kvm_run\":1}}",
        "{\"status\":0,\"started_ns\":5001000000.5,\"marks_ms\":{\"kvm_run\":1}}",
        "{\"status\":0,\"started_ns\":-1,\"marks_ms\":{\"kvm_run\":1}}",
        "{\"status\":0,\"started_ns\":1,\"marks_ms\":{\"kvm_run\":1}}",
        "{\"status\":0,\"started_ns\":5001000000,\"marks_ms\":[1]}",
        "{\"status\":0,\"started_ns\":5001000000,\"marks_ms\":{\"kvm_run\":-1}}",
        "{\"status\":0,\"started_ns\":5001000000,\"marks_ms\":{\"kvm_run\":1e300}}",
        "{\"status\":0,\"started_ns\":5001000000,\"marks_ms\":{\"kvm_run\":{}}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_lt(read_text(BENCH_BOOT, 0, bad[i]), 0, "%s", bad[i]);
        cr_assert_str_eq(err.message, "exit status 0, and no guest ran", "%s", bad[i]);
    }
}

Test(bench_verb_report, odd_figures_beside_good_ones_are_left_out)
{
    cr_assert_eq(read_text(BENCH_RESTORE, 0,
                           "{\"status\":0,\"error\":null,\"started_ns\":5001000000,"
                           "\"marks_ms\":{\"kvm_run\":1,\"hello\":null,\"first_byte\":true},"
                           "\"exits\":7,\"restore\":{\"load_phases_ms\":\"x\",\"minor_faults\":-3,"
                           "\"exits_to_exec\":0,\"init_ms\":0}}"),
                 0);
    expect_figure(BENCH_KVM_RUN, 2);
    expect_no_figure(BENCH_HELLO);
    expect_no_figure(BENCH_FIRST_BYTE);
    expect_no_figure(BENCH_EXITS_IO);
    expect_no_figure(BENCH_VCPU_MINOR_FAULTS);
    expect_no_figure(BENCH_LOAD_REST);
    expect_no_figure(BENCH_EXITS_TO_EXEC);
    expect_no_figure(BENCH_GUEST_INIT);
}

Test(bench_verb_report, a_text_without_a_report_is_refused)
{
    static const char *const texts[] = {
        "", "{", "{\"status\":", "{\"status\":0", "{\"status\":0}x", "\n\n\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_lt(read_text(BENCH_BOOT, 3, texts[i]), 0, "%s", texts[i]);
        cr_assert_str_eq(err.message, "exit status 3, and no report", "%s", texts[i]);
    }
}

Test(bench_verb_report, bytes_of_any_kind_are_refused)
{
    char bytes[512];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 37);
    memcpy(bytes + 100, "{\"status\":", 10);
    cr_assert_lt(read_bytes(BENCH_BOOT, 1 << 8, bytes, sizeof(bytes)), 0);
}

Test(bench_verb_report, without_a_report_the_last_complaint_is_passed_on)
{
    cr_assert_lt(read_text(BENCH_BOOT, 125, "thaw: first\nthaw: second\x07 [io]\nmore"), 0);
    cr_assert_str_eq(err.message, "exit status 125: thaw: second? [io]");
}

Test(bench_verb_report, a_process_that_was_killed_is_named_with_its_signal)
{
    cr_assert_lt(read_bytes(BENCH_BOOT, 9, boot, sizeof(boot) - 1), 0);
    cr_assert_str_eq(err.message, "killed by signal 9");
}

Test(bench_verb_report, a_capture_that_took_nothing_is_refused)
{
    cr_assert_lt(read_text(BENCH_CAPTURE, 7, boot), 0);
    cr_assert_str_eq(err.message, "exit status 7, and no snapshot");
}

Test(bench_verb_report, options_that_run_no_guest_are_wrong_usage)
{
    cr_assert_lt(read_text(BENCH_BOOT, 0, "Usage: thaw run"), 0);
    cr_assert_eq(err.failure, THAW_FAIL_USAGE);
}
