/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/verbs.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/image/import.h"
#include "vmm/image/interrupt.h"
#include "vmm/image/store.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Steps are shown from here on, to somebody who waits. */
#define PATIENCE_NS 2000000000ull

/* One line, whatever a file's name or an archive holds. */
static int report(const struct front *front, struct thaw_error *err)
{
    for (char *at = err->message; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    if (front->by_thaw)
        fprintf(stderr, "%s: %s [%s]\n", front->program, err->message,
                thaw_failure_name(err->failure));
    else
        fprintf(stderr, "%s: %s\n", front->program, err->message);
    return (int)err->failure;
}

__attribute__((format(printf, 2, 3))) static int usage(const struct front *front, const char *why,
                                                       ...)
{
    char sentence[256];
    va_list args;
    va_start(args, why);
    vsnprintf(sentence, sizeof(sentence), why, args);
    va_end(args);
    struct thaw_error err;
    thaw_fail_as(&err, THAW_FAIL_USAGE, EINVAL, "%s (see %s --help)", sentence, front->command);
    return report(front, &err);
}

static int finish_output(const struct front *front)
{
    struct thaw_error err;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    thaw_fail(&err, errno ? errno : EIO, "standard output");
    thaw_reclassify(&err, THAW_FAIL_IO);
    return report(front, &err);
}

static int print_json(const struct front *front, const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
    return finish_output(front);
}

static int print_help(const struct front *front, const char *synopsis, const char *text)
{
    printf("Usage: %s %s\n\n%s", front->command, synopsis, text);
    return finish_output(front);
}

static void format_size(uint64_t size, char text[16])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)size;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1024;
    snprintf(text, 16, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* ---- import -------------------------------------------------------------------------------- */

static const char import_synopsis[] = "import SOURCE --name NAME [OPTIONS]";
static const char import_help[] =
    "Makes an image of the store from a container image or a directory. Nothing is fetched: what\n"
    "is on this machine is read. All digests are verified; on any failure, and on Ctrl-C, the\n"
    "store is as it was.\n"
    "\n"
    "SOURCE is one of\n"
    "  oci:DIR[:TAG]          an OCI image layout (skopeo copy, umoci, buildah push, docker\n"
    "                         buildx --output type=oci after unpacking); TAG when it has several\n"
    "  docker-archive:FILE    what `docker save` and `podman save` write; :NAME:TAG after FILE\n"
    "                         when it has several\n"
    "  dir:DIR                a root file system as it is, say from debootstrap\n"
    "\n"
    "  -n, --name NAME        1 to 63 of a-z 0-9 . _ -, the first a letter or digit\n"
    "      --replace          when the name is taken, put the new image in its place\n"
    "      --json             print what image.json holds\n"
    "  -h, --help             this text\n"
    "\n"
    "What to run in a dir: (the other sources say so themselves):\n"
    "      --entrypoint ARGS  a JSON array, '[\"python3\", \"-u\"]', or a line for /bin/sh -c\n"
    "      --cmd ARGS         the same, after the entrypoint; default: /bin/sh\n"
    "      --env KEY=VALUE    a variable; any number of times\n"
    "      --workdir DIR      default: /\n"
    "      --user USER        user[:group], names or numbers; default: root\n"
    "\n"
    "Examples:\n"
    "  skopeo copy docker-daemon:python:3.12-slim oci:py:3.12\n"
    "  thaw image import oci:py:3.12 --name python\n"
    "  thaw run python -- python3 -c 'print(6 * 7)'\n"
    "\n"
    "  docker save web >web.tar && thaw image import docker-archive:web.tar --name web\n"
    "  thaw image import dir:rootfs --name tools --cmd '[\"/bin/bash\"]'\n";

enum { OPT_REPLACE = 256, OPT_JSON, OPT_ENTRYPOINT, OPT_CMD, OPT_ENV, OPT_WORKDIR, OPT_USER };

static const struct option import_options[] = {
    {"name", required_argument, NULL, 'n'},
    {"replace", no_argument, NULL, OPT_REPLACE},
    {"json", no_argument, NULL, OPT_JSON},
    {"entrypoint", required_argument, NULL, OPT_ENTRYPOINT},
    {"cmd", required_argument, NULL, OPT_CMD},
    {"env", required_argument, NULL, OPT_ENV},
    {"workdir", required_argument, NULL, OPT_WORKDIR},
    {"user", required_argument, NULL, OPT_USER},
    {"help", no_argument, NULL, 'h'},
    {0},
};

struct import_line {
    struct import import;
    bool json, help;
};

static void free_line(struct import_line *line)
{
    source_free(&line->import.source);
    json_decref(line->import.settings);
}

static int set_command(const struct front *front, json_t *settings, const char *field,
                       const char *option)
{
    json_t *args;
    if (import_parse_command(optarg, &args) < 0)
        return usage(front, "%s: neither a JSON array of strings nor a command line", option);
    json_object_set_new(settings, field, args);
    return 0;
}

static int add_variable(const struct front *front, json_t *settings)
{
    const char *equals = strchr(optarg, '=');
    if (!equals || equals == optarg)
        return usage(front, "--env %.80s: not of the form KEY=VALUE", optarg);
    if (!json_object_get(settings, "Env"))
        json_object_set_new(settings, "Env", json_array());
    json_array_append_new(json_object_get(settings, "Env"), json_string(optarg));
    return 0;
}

/* What only a directory needs. */
static int set_setting(const struct front *front, int option, json_t *settings)
{
    switch (option) {
    case OPT_ENTRYPOINT:
        return set_command(front, settings, "Entrypoint", "--entrypoint");
    case OPT_CMD:
        return set_command(front, settings, "Cmd", "--cmd");
    case OPT_ENV:
        return add_variable(front, settings);
    case OPT_WORKDIR:
        json_object_set_new(settings, "WorkingDir", json_string(optarg));
        return 0;
    default:
        json_object_set_new(settings, "User", json_string(optarg));
        return 0;
    }
}

static int read_import_options(const struct front *front, int argc, char **argv,
                               struct import_line *line)
{
    int option, rc = 0;
    opterr = 0;
    while (rc == 0 && (option = getopt_long(argc, argv, ":n:h", import_options, NULL)) !=
                          -1) { // NOLINT(concurrency-*)
        if (option == 'n')
            line->import.name = optarg;
        else if (option == OPT_REPLACE)
            line->import.replace = true;
        else if (option == OPT_JSON)
            line->json = true;
        else if (option == 'h')
            line->help = true;
        else if (option == ':')
            rc = usage(front, "%s: needs a value", argv[optind - 1]);
        else if (option == '?')
            rc = usage(front, "%s: unknown option", argv[optind - 1]);
        else
            rc = set_setting(front, option, line->import.settings);
    }
    return rc;
}

static int check_import(const struct front *front, int argc, char **argv, struct import_line *line)
{
    struct thaw_error err;
    if (optind == argc)
        return usage(front, "import: needs a SOURCE");
    if (optind + 1 < argc)
        return usage(front, "%.80s: unexpected argument", argv[optind + 1]);
    if (!line->import.name)
        return usage(front, "import: needs --name NAME");
    if (source_parse(argv[optind], &line->import.source, &err) < 0)
        return report(front, &err);
    if (line->import.source.kind != SOURCE_DIR && json_object_size(line->import.settings) > 0)
        return usage(front, "--entrypoint, --cmd, --env, --workdir, --user: for dir: only; other "
                            "sources bring a configuration");
    return 0;
}

/* `ctx`: when the import began. */
static void show_step(void *ctx, const char *step)
{
    const uint64_t *started_ns = ctx;
    if (isatty(STDERR_FILENO) && clock_monotonic_ns() - *started_ns > PATIENCE_NS)
        fprintf(stderr, "image: %s\n", step);
}

static int print_import(const struct front *front, const struct import_line *line,
                        const json_t *summary)
{
    if (line->json)
        return print_json(front, summary);
    char size[16];
    const char *digest = json_string_value(json_object_get(summary, "manifest_digest"));
    size_t layers = json_array_size(json_object_get(summary, "layers"));
    format_size((uint64_t)json_integer_value(json_object_get(summary, "root_size")), size);
    printf("%s: %s", line->import.name, size);
    if (digest)
        printf(", %zu layer%s, %s", layers, layers == 1 ? "" : "s", digest);
    putchar('\n');
    return finish_output(front);
}

static int run_import(const struct front *front, const struct import_line *line)
{
    struct thaw_error err = {0};
    json_t *summary = NULL;
    uint64_t started_ns = clock_monotonic_ns();
    const struct image_progress progress = {.tell = show_step, .ctx = &started_ns};
    interrupt_block();
    int status = import_image(&line->import, &progress, &summary, &err) < 0
                     ? report(front, &err)
                     : print_import(front, line, summary);
    json_decref(summary);
    return status;
}

int verb_import(const struct front *front, int argc, char **argv)
{
    cleanup(free_line) struct import_line line = {.import.settings = json_object()};
    int status = read_import_options(front, argc, argv, &line);
    if (status == 0 && line.help)
        return print_help(front, import_synopsis, import_help);
    if (status == 0)
        status = check_import(front, argc, argv, &line);
    return status == 0 ? run_import(front, &line) : status;
}

/* ---- list, inspect, rm --------------------------------------------------------------------- */

/* How one of these is called. */
struct simple_verb {
    const char *synopsis, *help;
    bool named; /* takes one NAME */
    bool json;  /* knows --json */
};

struct simple_line {
    bool json, help;
    const char *name;
};

static int read_simple_options(const struct front *front, int argc, char **argv, bool json,
                               struct simple_line *line)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != // NOLINT(concurrency-*)
           -1) {
        if (option == 'j' && json)
            line->json = true;
        else if (option == 'h')
            line->help = true;
        else
            return usage(front, "%s: unknown option", argv[optind - 1]);
    }
    return 0;
}

/* Whether there is something to do; else `*status` is what to return: help, or wrong usage. */
static bool read_simple(const struct front *front, int argc, char **argv,
                        const struct simple_verb *verb, struct simple_line *line, int *status)
{
    int names = verb->named ? 1 : 0;
    *line = (struct simple_line){0};
    *status = read_simple_options(front, argc, argv, verb->json, line);
    if (*status != 0)
        return false;
    if (line->help)
        *status = print_help(front, verb->synopsis, verb->help);
    else if (argc - optind < names)
        *status = usage(front, "%s: needs a NAME", argv[0]);
    else if (argc - optind > names)
        *status = usage(front, "%.80s: unexpected argument", argv[optind + names]);
    else
        line->name = verb->named ? argv[optind] : NULL;
    return *status == 0 && !line->help;
}

static const char *string_of(const json_t *image, const char *key)
{
    const char *value = json_string_value(json_object_get(image, key));
    return value ? value : "-";
}

static void print_row(const json_t *image)
{
    char size[16];
    format_size((uint64_t)json_integer_value(json_object_get(image, "root_size")), size);
    printf("%-24s %10s  %-19.19s  %s\n", string_of(image, "name"), size,
           string_of(image, "created"), string_of(image, "source"));
}

static void print_table(const json_t *list)
{
    if (json_array_size(list) > 0)
        printf("%-24s %10s  %-19s  %s\n", "NAME", "SIZE", "CREATED", "SOURCE");
    for (size_t i = 0; i < json_array_size(list); i++)
        print_row(json_array_get(list, i));
}

int verb_list(const struct front *front, int argc, char **argv)
{
    static const struct simple_verb verb = {
        .synopsis = "list [--json]",
        .help = "Lists the images of the store by name: size, when the image was made, and from "
                "what\nit was imported. --json prints an array of what inspect prints.\n",
        .json = true};
    struct simple_line line;
    struct thaw_error err = {0};
    int status;
    if (!read_simple(front, argc, argv, &verb, &line, &status))
        return status;
    json_t *list = NULL;
    if (store_list(&list, &err) < 0) {
        status = report(front, &err);
    } else if (line.json) {
        status = print_json(front, list);
    } else {
        print_table(list);
        status = finish_output(front);
    }
    json_decref(list);
    return status;
}

int verb_inspect(const struct front *front, int argc, char **argv)
{
    static const struct simple_verb verb = {
        .synopsis = "inspect NAME",
        .help = "Prints what the store knows of an image, as JSON: where it is, where it came "
                "from, its\ndigests, sizes and layers, and what it says of its process. The OCI "
                "configuration that\n`thaw run` uses is config.json in the image's directory "
                "(\"path\").\n",
        .named = true,
        .json = true};
    struct simple_line line;
    struct thaw_error err = {0};
    int status;
    if (!read_simple(front, argc, argv, &verb, &line, &status))
        return status;
    json_t *image = NULL;
    status =
        store_inspect(line.name, &image, &err) < 0 ? report(front, &err) : print_json(front, image);
    json_decref(image);
    return status;
}

int verb_rm(const struct front *front, int argc, char **argv)
{
    static const struct simple_verb verb = {
        .synopsis = "rm NAME",
        .help = "Removes an image from the store. Guests that run from it go on: their monitors "
                "have\nits file open.\n",
        .named = true};
    struct simple_line line;
    struct thaw_error err = {0};
    int status;
    if (!read_simple(front, argc, argv, &verb, &line, &status))
        return status;
    return store_remove(line.name, &err) < 0 ? report(front, &err) : 0;
}
