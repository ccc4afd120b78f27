/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-report [--raw DIR] [--out DIR] [--quiet]
 *
 * Reads what the parts of the benchmarks left in DIR (build/bench/raw), and writes results.json and
 * report.html to the other (build/bench) and, unless --quiet, a table to standard output. A raw
 * file that is wrong ends it: one line says which and why, and the status is 1.
 */
#include "tests/bench/html.h"
#include "tests/bench/raws.h"
#include "tests/bench/results.h"
#include "tests/bench/table.h"
#include "vmm/base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

struct options {
    const char *raw, *out;
    bool quiet;
};

typedef void write_fn(FILE *out, const struct results *results);

static void write_flat(FILE *out, const struct results *results)
{
    json_dumpf(results->flat, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    (void)fputc('\n', out);
}

/* Whoever reads the file never finds half of one. */
static int write_file(const char *folder, const char *name, write_fn *write,
                      const struct results *results, struct thaw_error *err)
{
    cleanup_free char *path = NULL, *part = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0 || asprintf(&part, "%s.new", path) < 0)
        return thaw_fail(err, ENOMEM, "%s", name);
    cleanup_fclose FILE *out = fopen(part, "we");
    if (!out)
        return thaw_fail_io(err, errno, "%s", part);
    write(out, results);
    if (fflush(out) != 0 || ferror(out) || rename(part, path) < 0)
        return thaw_fail_io(err, errno, "%s", path);
    return 0;
}

static int report(const struct options *options, struct thaw_error *err)
{
    cleanup(raws_free) struct raws raws = {0};
    cleanup(results_free) struct results results = {0};
    int rc = raws_read(options->raw, &raws, err);
    if (rc == 0)
        rc = results_make(raws.list, raws.count, &results, err);
    if (rc == 0)
        rc = write_file(options->out, "results.json", write_flat, &results, err);
    if (rc == 0)
        rc = write_file(options->out, "report.html", html_write, &results, err);
    if (rc == 0 && !options->quiet)
        table_write(stdout, &results);
    return rc;
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"raw", required_argument, NULL, 'r'},
                                          {"out", required_argument, NULL, 'o'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {0}};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (option == 'r')
            options->raw = optarg;
        else if (option == 'o')
            options->out = optarg;
        else if (option == 'q')
            options->quiet = true;
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = {.raw = "build/bench/raw", .out = "build/bench"};
    struct thaw_error err = {0};
    if (!parse(argc, argv, &options)) {
        (void)fputs("usage: bench-report [--raw DIR] [--out DIR] [--quiet]\n", stderr);
        return 2;
    }
    if (report(&options, &err) < 0) {
        (void)fprintf(stderr, "bench-report: %s\n", err.message);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
