/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw-image: makes the archives that thaw loads into its guests' initramfs. A program of its own
 * because it needs libarchive, which is slow to start and which running a guest does not need.
 */
#include "vmm/image/pack.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char help[] =
    "Usage: thaw-image pack --output FILE NAME=DIR [NAME=DIR...]\n"
    "\n"
    "Packs each DIR (a directory, or one file) under NAME into one uncompressed cpio archive\n"
    "for an initramfs. Sockets, extended attributes and what is mounted below DIR are left out.\n"
    "FILE appears when it is complete, readable by its owner only.\n"
    "\n"
    "  -o, --output FILE   where to write the archive\n"
    "      --help          print this\n"
    "      --version       print the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n"
    "\n"
    "Example: thaw-image pack --output web.cpio rootfs=web/rootfs\n";

__attribute__((format(printf, 1, 2))) static int usage(const char *why, ...)
{
    va_list args;
    va_start(args, why);
    fputs("thaw-image: ", stderr);
    vfprintf(stderr, why, args);
    fputs(" (see thaw-image --help)\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

static int print(const char *text)
{
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

/* Splits "NAME=DIR" in place. */
static int read_tree(char *argument, struct pack_tree *tree)
{
    char *equals = strchr(argument, '=');
    if (!equals || equals[1] == '\0')
        return usage("%s: not of the form NAME=DIR", argument);
    *equals = '\0';
    if (pack_check_name(argument) < 0)
        return usage("%s: not a relative path of plain names", argument);
    *tree = (struct pack_tree){.name = argument, .path = equals + 1};
    return EXIT_OK;
}

static bool is_taken(const struct pack_tree *trees, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(trees[i].name, name) == 0)
            return true;
    }
    return false;
}

static int read_trees(char **arguments, size_t count, struct pack_tree *trees)
{
    for (size_t i = 0; i < count; i++) {
        struct pack_tree tree = {.name = "", .path = ""};
        int status = read_tree(arguments[i], &tree);
        if (status != EXIT_OK)
            return status;
        if (is_taken(trees, i, tree.name))
            return usage("%s: given twice", tree.name);
        trees[i] = tree;
    }
    return EXIT_OK;
}

/* pack_trees() asks for these between its steps. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int pack(const char *output, char **arguments, size_t count)
{
    struct pack_tree *trees = calloc(count, sizeof(*trees));
    if (!trees) {
        fputs("thaw-image: out of memory\n", stderr);
        return EXIT_FAILED;
    }

    int status = read_trees(arguments, count, trees);
    if (status == EXIT_OK) {
        struct thaw_error err = {0};
        block_signals();
        if (pack_trees(output, trees, count, &err) < 0) {
            fprintf(stderr, "thaw-image: %s\n", err.message);
            status = EXIT_FAILED;
        }
    }
    free(trees);
    return status;
}

int main(int argc, char **argv)
{
    enum { OPTION_HELP = 256, OPTION_VERSION };
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {0}};
    const char *output = NULL;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:", options, NULL)) !=
           -1) { // NOLINT(concurrency-*)
        switch (option) {
        case 'o':
            output = optarg;
            break;
        case OPTION_HELP:
            return print(help);
        case OPTION_VERSION:
            return print("thaw-image " THAW_VERSION "\n");
        case ':':
            return usage("%s needs a value", argv[optind - 1]);
        default:
            return usage("%s: unknown option", argv[optind - 1]);
        }
    }

    if (optind == argc)
        return usage("no command given");
    if (strcmp(argv[optind], "pack") != 0)
        return usage("%s: unknown command", argv[optind]);
    optind++;
    if (!output || output[0] == '\0')
        return usage("pack needs --output FILE");
    if (optind == argc)
        return usage("pack needs NAME=DIR");
    return pack(output, argv + optind, (size_t)(argc - optind));
}
