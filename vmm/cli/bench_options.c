/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/bench_options.h"

#include "vmm/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_DEFAULT   20u
#define DISCARD_DEFAULT 2u

static const char help[] =
    "Usage: thaw bench boot [--n N] [--discard N] [--json] RUN-OPTIONS\n"
    "       thaw bench restore [--n N] [--discard N] [--json] RESTORE-OPTIONS\n"
    "       thaw bench capture [--n N] [--discard N] [--json] RUN-OPTIONS\n"
    "\n"
    "Does the same thing N times, one after the other, and says how long each phase of it took.\n"
    "Write what you would write behind `thaw run` or `thaw restore`, and the options of the bench\n"
    "before, between or behind it. Each run is a process of its own; times are counted from just\n"
    "before it is spawned. Its output is read and thrown away, its input is empty.\n"
    "\n"
    "boot runs a guest to its end. restore does that from a snapshot. capture boots a guest and\n"
    "freezes it, by default when the workload is ready (--snapshot-on-pre-exec; any other trigger\n"
    "of thaw run can be given), in a new directory in TMPDIR (else /var/tmp), which is removed.\n"
    "\n"
    "      --n N         how many runs count, 1 to 10000; default 20\n"
    "      --discard N   how many before these do not, 0 to 10000; default 2\n"
    "      --json        one object on stdout: every sample, percentiles, the host\n"
    "  -h, --help        this text\n"
    "\n"
    "Percentiles are nearest rank. What a guest never comes to (a kernel without init says no\n"
    "hello) is left out and named. A workload may end with any status; the first run in which\n"
    "thaw or the guest fails ends the bench.\n"
    "\n"
    "Exit status: 0, or the failure's number, with one line on stderr; the numbers are in "
    "thaw(1).\n"
    "\n"
    "Example:\n"
    "  thaw bench boot --n 50 --bundle web --memory 256M\n"
    "  thaw run --bundle web --snapshot-on-pre-exec --snapshot-out web.snap\n"
    "  thaw bench restore web.snap --n 200 -- /bin/echo hello\n"
    "  thaw bench capture --bundle web --snapshot-on-listener --json >capture.json\n";

static int usage(const struct bench_options *o, const char *why, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "bench %s: %s (see thaw bench --help)",
                        o->name, why);
}

static int set_kind(struct bench_options *o, const char *name, struct thaw_error *err)
{
    static const char *const names[] = {
        [BENCH_BOOT] = "boot", [BENCH_RESTORE] = "restore", [BENCH_CAPTURE] = "capture"};
    o->name = name;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            o->kind = (enum bench_kind)i;
            return 0;
        }
    return usage(o, "it is boot, restore or capture", err);
}

/* `--n 5` or `--n=5` at argv[*at]: true, with what it is given in `*value` (NULL: nothing). */
static bool takes_value(const char *name, int argc, char **argv, int *at, const char **value)
{
    size_t length = strlen(name);
    if (strncmp(argv[*at], name, length) != 0)
        return false;
    if (argv[*at][length] == '=') {
        *value = argv[*at] + length + 1;
        return true;
    }
    if (argv[*at][length] != '\0')
        return false;
    *value = *at + 1 < argc ? argv[++*at] : NULL;
    return true;
}

static int take_number(const char *name, const char *text, uint64_t min, uint64_t *number,
                       struct thaw_error *err)
{
    if (!text)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: needs a value (see thaw bench --help)", name);
    return cli_parse_number(name, text, min, BENCH_RUNS_MAX, number, err);
}

/* One word before the workload's "--": ours, or handed on. Not with getopt: it knows only what it
 * is told, and here most is another verb's. */
static int take_word(struct bench_options *o, int argc, char **argv, int *at,
                     struct thaw_error *err)
{
    const char *value;
    if (takes_value("--n", argc, argv, at, &value))
        return take_number("--n", value, 1, &o->count, err);
    if (takes_value("--discard", argc, argv, at, &value))
        return take_number("--discard", value, 0, &o->discard, err);
    if (strcmp(argv[*at], "--json") == 0)
        o->json = true;
    else
        o->words[o->word_count++] = argv[*at];
    return 0;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return argc == 2 && strcmp(argv[1], "help") == 0;
}

/* A word before "--" that begins so. getopt_long() takes options that are cut short. */
static bool has_word(const struct bench_options *o, const char *begin)
{
    for (size_t i = 0; i < o->word_count && strcmp(o->words[i], "--") != 0; i++)
        if (strncmp(o->words[i], begin, strlen(begin)) == 0)
            return true;
    return false;
}

static int check(const struct bench_options *o, struct thaw_error *err)
{
    if (o->word_count == 0)
        return usage(o,
                     o->kind == BENCH_RESTORE ? "needs a snapshot's directory"
                                              : "needs what thaw run needs: an image, --bundle DIR "
                                                "or --kernel FILE",
                     err);
    if (o->kind == BENCH_RESTORE && strcmp(o->words[0], "-") == 0)
        return usage(o, "a stream can be read only once: unpack it", err);
    if (o->kind == BENCH_CAPTURE && has_word(o, "--snapshot-ou"))
        return usage(o, "--snapshot-out is its own: every run has a new directory in TMPDIR", err);
    return 0;
}

/* A "--" before anything is handed on only separates; a later one is the workload's. */
static int take_words(struct bench_options *o, int argc, char **argv, struct thaw_error *err)
{
    int at = 2, rc = 0;
    for (; rc == 0 && at < argc && strcmp(argv[at], "--") != 0; at++)
        rc = take_word(o, argc, argv, &at, err);
    if (rc == 0 && at < argc && o->word_count == 0)
        at++;
    for (; rc == 0 && at < argc; at++)
        o->words[o->word_count++] = argv[at];
    return rc;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv, struct thaw_error *err)
{
    *o = (struct bench_options){.name = "", .count = COUNT_DEFAULT, .discard = DISCARD_DEFAULT};
    if (asks_for_help(argc, argv)) {
        fputs(help, stdout);
        return 1;
    }
    if (argc < 2)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "bench: boot, restore or capture? (see thaw bench --help)");
    int rc = set_kind(o, argv[1], err);
    if (rc < 0)
        return rc;
    o->words = calloc((size_t)argc, sizeof(*o->words));
    if (!o->words)
        return thaw_fail(err, ENOMEM, "bench");
    rc = take_words(o, argc, argv, err);
    return rc < 0 ? rc : check(o, err);
}

void bench_options_destroy(struct bench_options *o)
{
    free(o->words);
    o->words = NULL;
}

char **bench_child_words(const struct bench_options *o, char *out)
{
    static char thaw[] = "thaw", run[] = "run", restore[] = "restore", json[] = "--json",
                to[] = "--snapshot-out", ready[] = "--snapshot-on-pre-exec";
    char **words = calloc(o->word_count + 7, sizeof(*words));
    size_t n = 0;
    if (!words)
        return NULL;
    words[n++] = thaw;
    words[n++] = o->kind == BENCH_RESTORE ? restore : run;
    words[n++] = json;
    if (o->kind == BENCH_CAPTURE) {
        words[n++] = to;
        words[n++] = out;
        /* --snapshot-a...: at-heartbeat, after-ms, anyway. */
        if (!has_word(o, "--snapshot-o") && !has_word(o, "--snapshot-a"))
            words[n++] = ready;
    }
    memcpy(words + n, o->words, o->word_count * sizeof(*words));
    return words;
}
