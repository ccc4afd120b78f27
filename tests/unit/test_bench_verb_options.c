/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `thaw bench`: which words are its own, and which are those of the runs. */
#include "vmm/cli/bench_options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

static struct bench_options options;
static struct thaw_error err;

/* Parses "bench" and the words of `line`, which stays. */
static int parse(char *line)
{
    char *argv[WORDS_MAX + 1] = {"bench"};
    int argc = 1;
    for (char *word = strtok(line, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
        argv[argc++] = word;
    err = (struct thaw_error){0};
    bench_options_destroy(&options);
    return bench_options_parse(&options, argc, argv, &err);
}

static void expect_words(const char *expected)
{
    char *out = strdup("OUT"), joined[512] = "";
    char **words = bench_child_words(&options, out);
    for (size_t i = 0; words[i]; i++) {
        strcat(joined, i ? " " : "");
        strcat(joined, words[i]);
    }
    cr_assert_str_eq(joined, expected);
    free(words);
    free(out);
}

#define PARSE(line)                                                                                \
    char text_[] = line;                                                                           \
    cr_assert_eq(parse(text_), 0, "%s", err.message)

Test(bench_verb_options, what_is_not_the_benchs_own_is_handed_on_in_its_order)
{
    PARSE("boot --bundle web --n 5 -m 64M --json --discard=0 --cpus 2");
    cr_assert(options.kind == BENCH_BOOT && options.count == 5 && options.discard == 0);
    cr_assert(options.json);
    expect_words("thaw run --json --bundle web -m 64M --cpus 2");
}

Test(bench_verb_options, a_separator_in_front_is_dropped_and_the_rest_left_alone)
{
    PARSE("boot --n 3 -- --kernel k --n 4 -- --json");
    cr_assert(options.count == 3 && !options.json);
    expect_words("thaw run --json --kernel k --n 4 -- --json");
}

Test(bench_verb_options, the_workloads_arguments_are_left_alone)
{
    PARSE("restore web.snap --n 3 -- /bin/echo --n 4 -h");
    cr_assert(options.kind == BENCH_RESTORE && options.count == 3);
    expect_words("thaw restore --json web.snap -- /bin/echo --n 4 -h");
}

Test(bench_verb_options, a_capture_is_at_pre_exec_unless_told_otherwise)
{
    PARSE("capture --bundle web -- --snapshot-after-ms");
    cr_assert(options.count == 20 && options.discard == 2);
    expect_words("thaw run --json --snapshot-out OUT --snapshot-on-pre-exec --bundle web -- "
                 "--snapshot-after-ms");
}

Test(bench_verb_options, any_trigger_takes_the_place_of_the_usual_one)
{
    PARSE("capture --kernel k --snapshot-after-ms=5");
    expect_words("thaw run --json --snapshot-out OUT --kernel k --snapshot-after-ms=5");
    char at[] = "capture web --snapshot-at-heartbeat 3",
         on[] = "capture web --snapshot-on-listener";
    cr_assert_eq(parse(at), 0);
    expect_words("thaw run --json --snapshot-out OUT web --snapshot-at-heartbeat 3");
    cr_assert_eq(parse(on), 0);
    expect_words("thaw run --json --snapshot-out OUT web --snapshot-on-listener");
}

Test(bench_verb_options, an_option_that_only_begins_like_one_of_ours_is_not_ours)
{
    PARSE("boot web --net tap=t --json-not");
    expect_words("thaw run --json web --net tap=t --json-not");
}

Test(bench_verb_options, wrong_usage_is_refused)
{
    static const char *const bad[] = {
        "",
        "frob",
        "boot",
        "boot --n 5",
        "boot --n",
        "boot web --n 0",
        "boot web --n 10001",
        "boot web --n=",
        "boot web --n -1",
        "boot web --n 2.5",
        "boot web --discard x",
        "boot web --discard",
        "restore -",
        "restore -- -",
        "capture web --snapshot-out there",
        "capture web --snapshot-out=there",
        "capture web --snapshot-ou there",
        "capture --",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "%s", bad[i]);
        cr_assert_lt(parse(line), 0, "%s", bad[i]);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE, "%s", bad[i]);
    }
}
