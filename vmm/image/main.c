/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw-image: imports container images into the store, and makes the archives that thaw loads
 * into its guests' initramfs. A program of its own because it needs libarchive, which is slow to
 * start and which running a guest does not need. `thaw image` becomes this program.
 */
#include "vmm/image/interrupt.h"
#include "vmm/image/pack.h"
#include "vmm/image/verbs.h"
#include "vmm/image/worker.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char help[] =
    "Usage: %1$s import SOURCE --name NAME     from a container image or a directory\n"
    "       %1$s list [--json]                 the images that there are\n"
    "       %1$s inspect NAME                  one of them, as JSON\n"
    "       %1$s rm NAME                       away with it\n"
    "\n"
    "Images are what `thaw run NAME` runs: a read-only file system that every guest of the image\n"
    "shares, and a configuration. They are kept in $THAW_IMAGES, else in\n"
    "${XDG_DATA_HOME:-~/.local/share}/thaw/images. `%1$s COMMAND --help` tells more.\n";

static const char pack_help[] =
    "\n"
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
    "Exit status: 0 done, 2 wrong usage, 1 failed; of the other commands the number that thaw(1)\n"
    "gives the failure.\n"
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
        interrupt_block();
        if (pack_trees(output, trees, count, &err) < 0) {
            fprintf(stderr, "thaw-image: %s\n", err.message);
            status = EXIT_FAILED;
        }
    }
    free(trees);
    return status;
}

static int verb_pack(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'}, {0}};
    const char *output = NULL;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:", options, NULL)) != // NOLINT(concurrency-*)
           -1) {
        if (option == ':')
            return usage("%s needs a value", argv[optind - 1]);
        if (option != 'o')
            return usage("%s: unknown option", argv[optind - 1]);
        output = optarg;
    }
    if (!output || output[0] == '\0')
        return usage("pack needs --output FILE");
    if (optind == argc)
        return usage("pack needs NAME=DIR");
    return pack(output, argv + optind, (size_t)(argc - optind));
}

static int print_help(const struct front *front)
{
    printf(help, front->command);
    if (!front->by_thaw)
        fputs(pack_help, stdout);
    return fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

static int print_version(const struct front *front)
{
    printf("%s %s\n", front->program, THAW_VERSION);
    return fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* What is for thaw's own use, and not through `thaw image`. */
static int run_internal(int argc, char **argv)
{
    if (strcmp(argv[0], "pack") == 0)
        return verb_pack(argc, argv);
    if (strcmp(argv[0], "assemble") == 0)
        return worker_main(argc - 1, argv + 1);
    return -1;
}

static int run(const struct front *front, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct front *front, int argc, char **argv);
    } verbs[] = {
        {"import", verb_import}, {"list", verb_list}, {"inspect", verb_inspect}, {"rm", verb_rm}};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[0], verbs[i].name) == 0)
            return verbs[i].run(front, argc, argv);
    }
    int status = front->by_thaw ? -1 : run_internal(argc, argv);
    if (status >= 0)
        return status;
    fprintf(stderr, "%s: %.80s: unknown %s (see %s --help)%s\n", front->program, argv[0],
            argv[0][0] == '-' ? "option" : "command", front->command,
            front->by_thaw ? " [usage]" : "");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    /* libarchive takes names of pax headers as UTF-8; in the C locale it would not give them. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "");
    const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
    name = name ? name + 1 : argc > 0 ? argv[0] : "";
    bool by_thaw = strcmp(name, "thaw") == 0;
    const struct front front = {.program = by_thaw ? "thaw" : "thaw-image",
                                .command = by_thaw ? "thaw image" : "thaw-image",
                                .by_thaw = by_thaw};
    if (argc < 2) {
        fprintf(stderr, "%s: no command given (see %s --help)%s\n", front.program, front.command,
                by_thaw ? " [usage]" : "");
        return EXIT_USAGE;
    }
    if (is_one_of(argv[1], "--help", "-h"))
        return print_help(&front);
    if (is_one_of(argv[1], "--version", "-V"))
        return print_version(&front);
    return run(&front, argc - 1, argv + 1);
}
