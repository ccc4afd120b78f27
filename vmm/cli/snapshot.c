/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw snapshot`: look at snapshots, check them, pack them, record their working sets. */
#include "snapshot/pack.h"
#include "snapshot/restore.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/inspect.h"
#include "vmm/cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What the verbs of this file take. */
struct arguments {
    const char *from, *to;
    uint64_t level;
    bool json, sync;
};

enum { OPT_JSON = 256, OPT_LEVEL, OPT_SYNC };

static int usage(struct thaw_error *err, const char *verb, const char *what)
{
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                        "snapshot %s: %s (see thaw snapshot %s --help)", verb, what, verb);
}

static int take_words(struct arguments *a, unsigned words, int argc, char **argv,
                      struct thaw_error *err)
{
    unsigned given = (unsigned)(argc - optind);
    if (given != words)
        return usage(err, argv[0], words == 1 ? "needs one snapshot" : "needs FROM and TO");
    a->from = argv[optind];
    a->to = words > 1 ? argv[optind + 1] : NULL;
    return 0;
}

/* 1: help was printed. */
static int parse(struct arguments *a, unsigned words, const char *help, int argc, char **argv,
                 struct thaw_error *err)
{
    static const struct option longs[] = {{"json", no_argument, NULL, OPT_JSON},
                                          {"level", required_argument, NULL, OPT_LEVEL},
                                          {"sync", no_argument, NULL, OPT_SYNC},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *a = (struct arguments){.level = PACK_LEVEL_DEFAULT};
    int c, rc = 0;
    while (rc == 0 && (c = cli_next_option(argc, argv, ":h", longs, err)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return 1;
        }
        if (c == OPT_JSON)
            a->json = true;
        else if (c == OPT_SYNC)
            a->sync = true;
        else if (c == OPT_LEVEL)
            rc = cli_parse_number("--level", optarg, 1, PACK_LEVEL_MAX, &a->level, err);
        else
            rc = thaw_error_code(err);
    }
    return rc < 0 ? rc : take_words(a, words, argc, argv, err);
}

/* ---- the verbs ---------------------------------------------------------------------------- */

static int inspect(int argc, char **argv, struct thaw_error *err)
{
    static const char help[] =
        "Usage: thaw snapshot inspect SNAPSHOT [--json]\n\n"
        "Says what a snapshot holds: when, where and how it was taken, the machine, its disks and\n"
        "their names, the sections of its state, its memory. Describes the header of any "
        "version.\n";
    struct arguments a;
    int rc = parse(&a, 1, help, argc, argv, err);
    return rc != 0 ? rc : inspect_print(a.from, a.json, err);
}

static int verify(int argc, char **argv, struct thaw_error *err)
{
    static const char help[] =
        "Usage: thaw snapshot verify SNAPSHOT [--json]\n\n"
        "Reads every byte of a snapshot and compares every checksum: state, memory, working set,\n"
        "disks.\n";
    struct arguments a;
    int rc = parse(&a, 1, help, argc, argv, err);
    if (rc != 0)
        return rc;
    if (snapshot_is_stream(a.from))
        return usage(err, argv[0], "a stream is checked by what reads it: restore or unpack");
    struct restore restore;
    const struct restore_config config = {.path = a.from, .stream_fd = STDIN_FILENO};
    rc = restore_open(&restore, &config, err);
    struct progress progress = progress_of("verify", restore.map.pages);
    if (rc == 0)
        rc = restore_verify(&restore, progress_pages, &progress, err);
    if (rc == 0 && a.json)
        printf("{\"ok\":true,\"pages\":%llu,\"data_pages\":%llu}\n",
               (unsigned long long)restore.map.pages,
               (unsigned long long)page_runs_pages(&restore.map.data));
    else if (rc == 0)
        printf("%s: every checksum is right\n", a.from);
    restore_close(&restore);
    return rc;
}

static int done(const struct arguments *a)
{
    if (a->json && !snapshot_is_stream(a->to))
        printf("{\"ok\":true}\n");
    return 0;
}

static int pack(int argc, char **argv, struct thaw_error *err)
{
    static const char help[] =
        "Usage: thaw snapshot pack SNAPSHOT TO [--level 1..19] [--sync] [--json]\n\n"
        "Compresses a snapshot's memory with zstd, for cold storage and transport. TO is a new\n"
        "directory, or `-`: one stream on stdout, for a pipe. Both can be restored as they are.\n\n"
        "Example:\n"
        "  thaw snapshot pack web.snap - | ssh host thaw snapshot unpack - web.snap\n";
    struct arguments a;
    int rc = parse(&a, 2, help, argc, argv, err);
    if (rc != 0)
        return rc;
    struct progress progress = progress_of("pack", 0);
    struct pack_options options = {
        .level = (int)a.level, .sync = a.sync, .progress = progress_pages, .ctx = &progress};
    cleanup_close int dir_fd = snapshot_open_directory(a.from, err);
    if (dir_fd < 0)
        return dir_fd;
    if (packed_is(dir_fd) && !snapshot_is_stream(a.to))
        return usage(err, argv[0], "the snapshot is packed already");
    if (snapshot_is_stream(a.to) && isatty(STDOUT_FILENO))
        return usage(err, argv[0], "a stream is no text for a terminal: use a pipe");
    rc = snapshot_is_stream(a.to) ? snapshot_pack_stream(dir_fd, STDOUT_FILENO, &options, err)
                                  : snapshot_pack(dir_fd, a.to, &options, err);
    return rc < 0 ? rc : done(&a);
}

static int unpack(int argc, char **argv, struct thaw_error *err)
{
    static const char help[] =
        "Usage: thaw snapshot unpack FROM TO [--sync] [--json]\n\n"
        "The reverse of pack: FROM is a packed snapshot's directory, or `-` for a stream from\n"
        "stdin; TO a new directory, with memory that clones can share.\n";
    struct arguments a;
    int rc = parse(&a, 2, help, argc, argv, err);
    if (rc != 0)
        return rc;
    struct progress progress = progress_of("unpack", 0);
    struct pack_options options = {.sync = a.sync, .progress = progress_pages, .ctx = &progress};
    if (snapshot_is_stream(a.from)) {
        rc = snapshot_unpack_stream(STDIN_FILENO, a.to, &options, err);
        return rc < 0 ? rc : done(&a);
    }
    cleanup_close int dir_fd = snapshot_open_directory(a.from, err);
    if (dir_fd < 0)
        return dir_fd;
    if (!packed_is(dir_fd))
        return usage(err, argv[0], "the snapshot is not packed");
    rc = snapshot_unpack(dir_fd, a.to, &options, err);
    return rc < 0 ? rc : done(&a);
}

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv, struct thaw_error *err);
} verbs[] = {
    {"inspect", "what a snapshot holds", inspect},
    {"verify", "compare every checksum", verify},
    {"pack", "compress its memory, for storage and transport", pack},
    {"unpack", "the reverse", unpack},
    {"record-workingset", "learn which pages a restore needs first", cli_record},
};

static void print_help(void)
{
    puts("Usage: thaw snapshot VERB [OPTIONS]\n"
         "\n"
         "Verbs:");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        printf("  %-18s %s\n", verbs[i].name, verbs[i].summary);
    puts("\n  thaw snapshot VERB --help teaches a verb. Exit status: 0, or the failure's number.");
}

int cli_snapshot(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return argc > 1 ? 0 : THAW_FAIL_USAGE;
    }
    struct thaw_error err = {0};
    size_t i = 0;
    while (i < sizeof(verbs) / sizeof(verbs[0]) && strcmp(name, verbs[i].name) != 0)
        i++;
    if (i == sizeof(verbs) / sizeof(verbs[0]))
        thaw_fail_as(&err, THAW_FAIL_USAGE, EINVAL,
                     "snapshot %s: unknown verb (see thaw snapshot --help)", name);
    else if (verbs[i].run(argc - 1, argv + 1, &err) >= 0)
        return 0;
    cli_report(&err);
    return (int)err.failure;
}
