/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw bench`: run thaw many times, and say where the time goes. */
#include "vmm/base/cleanup.h"
#include "vmm/cli/bench_host.h"
#include "vmm/cli/bench_options.h"
#include "vmm/cli/bench_rows.h"
#include "vmm/cli/bench_run.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/progress.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct bench {
    struct bench_options options;
    struct bench_host host;
    struct bench_run *runs; /* of options.count */
    int signal_fd;
    sigset_t mask_before;
};

/* ---- where a capture goes ------------------------------------------------------------------ */

struct scratch {
    char directory[PATH_MAX]; /* "": there is none */
    char snapshot[PATH_MAX + sizeof("/snapshot")];
};

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *place)
{
    (void)stat;
    (void)flag;
    (void)place;
    (void)remove(path); /* nothing can be done when it fails, and the rest should still go */
    return 0;
}

static void remove_scratch(struct scratch *scratch)
{
    if (scratch->directory[0])
        (void)nftw(scratch->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int make_scratch(struct scratch *scratch, struct thaw_error *err)
{
    const char *wanted = getenv("TMPDIR");
    cleanup_free char *parent = realpath(wanted && *wanted ? wanted : "/var/tmp", NULL);
    if (!parent)
        return thaw_fail_io(err, errno, "TMPDIR");
    char *directory = scratch->directory, *snapshot = scratch->snapshot;
    int n = snprintf(directory, sizeof(scratch->directory), "%s/thaw-bench.XXXXXX", parent);
    if (n > 0 && (size_t)n < sizeof(scratch->directory) && mkdtemp(directory)) {
        (void)snprintf(snapshot, sizeof(scratch->snapshot), "%s/snapshot", directory);
        return 0;
    }
    scratch->directory[0] = '\0'; /* is not ours to remove */
    return thaw_fail_io(err, errno, "%s", parent);
}

/* ---- the series ---------------------------------------------------------------------------- */

static int run_child(const struct bench *bench, char *out, struct bench_run *run,
                     struct thaw_error *err)
{
    cleanup_free char **words = bench_child_words(&bench->options, out);
    if (!words)
        return thaw_fail(err, ENOMEM, "bench");
    const struct bench_child_config config = {
        .argv = words, .signal_fd = bench->signal_fd, .child_mask = bench->mask_before};
    struct bench_outcome outcome;
    cleanup_free char *text = NULL;
    int rc = bench_child_run(&config, &outcome, &text, err);
    return rc < 0 ? rc : bench_report_read(bench->options.kind, &outcome, run, err);
}

static int run_once(const struct bench *bench, struct bench_run *run, struct thaw_error *err)
{
    cleanup(remove_scratch) struct scratch scratch = {.directory = ""};
    int rc = bench_check_signal(bench->signal_fd, err);
    if (rc == 0 && bench->options.kind == BENCH_CAPTURE)
        rc = make_scratch(&scratch, err);
    return rc < 0 ? rc : run_child(bench, scratch.snapshot, run, err);
}

static int run_series(struct bench *bench, struct thaw_error *err)
{
    const struct bench_options *o = &bench->options;
    uint64_t all = o->discard + o->count;
    struct progress progress = progress_of("bench", all);
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < all; i++) {
        progress_pages(&progress, i);
        struct bench_run *run = &bench->runs[i < o->discard ? 0 : i - o->discard];
        rc = run_once(bench, run, err);
        if (rc < 0)
            thaw_context(err, "bench %s, run %llu", o->name, (unsigned long long)i + 1);
    }
    progress_pages(&progress, all);
    return rc;
}

/* ---- what came of it ----------------------------------------------------------------------- */

/* A workload that fails is a result, but perhaps not the one that was to be measured. */
static void print_statuses(const struct bench *bench)
{
    uint64_t others = 0;
    int status = 0;
    for (uint64_t i = 0; i < bench->options.count; i++)
        if (bench->runs[i].status != 0) {
            status = bench->runs[i].status;
            others++;
        }
    if (others)
        printf("\nthe workload's status was not 0 in %llu of %llu runs (%d)\n",
               (unsigned long long)others, (unsigned long long)bench->options.count, status);
}

static int print_table(const struct bench *bench, struct thaw_error *err)
{
    const struct bench_options *o = &bench->options;
    cleanup_free char *host = bench_host_text(&bench->host);
    if (!host)
        return thaw_fail(err, ENOMEM, "bench");
    printf("thaw bench %s: %llu runs after %llu that do not count\n%s\n\n", o->name,
           (unsigned long long)o->count, (unsigned long long)o->discard, host);
    if (bench_rows_print(stdout, o->kind, bench->runs, o->count) < 0)
        return thaw_fail(err, ENOMEM, "bench");
    print_statuses(bench);
    return 0;
}

static json_t *words_json(const struct bench_options *o)
{
    json_t *list = json_array();
    for (size_t i = 0; i < o->word_count; i++) {
        json_t *word = json_string(o->words[i]);
        json_array_append_new(list, word ? word : json_string("(not UTF-8)"));
    }
    return list;
}

static json_t *statuses_json(const struct bench *bench)
{
    json_t *list = json_array();
    for (uint64_t i = 0; i < bench->options.count; i++)
        json_array_append_new(list, json_integer(bench->runs[i].status));
    return list;
}

static int print_json(const struct bench *bench, struct thaw_error *err)
{
    const struct bench_options *o = &bench->options;
    char verb[32];
    snprintf(verb, sizeof(verb), "bench %s", o->name);
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "verb", verb, "thaw",
                             THAW_VERSION, "n", (json_int_t)o->count, "discarded",
                             (json_int_t)o->discard, "command", words_json(o), "host",
                             bench_host_json(&bench->host), "statuses", statuses_json(bench));
    int rc = root ? bench_rows_json(root, o->kind, bench->runs, o->count) : -ENOMEM;
    if (rc == 0 && json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0)
        putchar('\n');
    json_decref(root);
    return rc < 0 ? thaw_fail(err, ENOMEM, "bench") : 0;
}

static int print(const struct bench *bench, struct thaw_error *err)
{
    int rc = bench->options.json ? print_json(bench, err) : print_table(bench, err);
    if (rc < 0)
        return rc;
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        return thaw_fail_io(err, errno ? errno : EIO, "stdout");
    return 0;
}

/* Whoever ends the bench ends its child, and takes what it has written away: so a signal is
 * something to read and not the end at any instruction. */
static int catch_signals(struct bench *bench, struct thaw_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, &bench->mask_before);
    bench->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return bench->signal_fd < 0 ? thaw_fail(err, errno, "signalfd") : 0;
}

static int measure(struct bench *bench, struct thaw_error *err)
{
    cleanup_free struct bench_run *runs = calloc(bench->options.count, sizeof(*runs));
    if (!runs)
        return thaw_fail(err, ENOMEM, "bench");
    bench->runs = runs;
    bench->host = bench_host_look(); /* before: its load should not be ours */
    int rc = catch_signals(bench, err);
    cleanup_close int signal_fd = bench->signal_fd;
    (void)signal_fd;
    if (rc == 0)
        rc = run_series(bench, err);
    return rc < 0 ? rc : print(bench, err);
}

int cli_bench(int argc, char **argv)
{
    struct thaw_error err = {0};
    struct bench bench = {.signal_fd = -1};
    int rc = bench_options_parse(&bench.options, argc, argv, &err);
    if (rc == 0)
        rc = measure(&bench, &err);
    bench_options_destroy(&bench.options);
    if (rc >= 0)
        return 0;
    cli_report(&err);
    return (int)err.failure;
}
