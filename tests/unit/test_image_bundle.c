/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles whose root is an image, and another command line for a bundle's process. */
#include "tests/unit/test_bundle_support.h"

#include "guest/init-oci/spec.h"
#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct bundle_directory directory;

static void begin(void)
{
    bundle_directory_make(&directory);
}

static void end(void)
{
    bundle_directory_remove(&directory);
}

TestSuite(image_bundle, .init = begin, .fini = end);

/* The minimal bundle with a patch, and root.erofs of `size` bytes beside it. */
static int load(const char *patch, size_t size, const struct bundle_options *options,
                struct bundle **bundle, struct thaw_error *err)
{
    static char image[4096];
    static const unsigned char magic[] = {0xe2, 0xe1, 0xf5, 0xe0};
    memcpy(image + 1024, magic, sizeof(magic));
    cleanup_free char *config = bundle_patched_config(patch);
    bundle_directory_write(&directory, "config.json", config, strlen(config));
    bundle_directory_write(&directory, "root.erofs", image, size);
    *bundle = NULL;
    return bundle_load(directory.path, options, bundle, err);
}

static const char with_image[] = "{\"root\": {\"path\": \"root.erofs\"}}";

Test(image_bundle, an_erofs_file_as_root_becomes_a_disk_that_init_finds_by_its_serial)
{
    struct thaw_error err = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    cr_assert_eq(load(with_image, 4096, NULL, &bundle, &err), 0, "%s", err.message);
    cr_assert_not_null(bundle->root_image);
    cr_expect_eq(bundle->root_image[0], '/');
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_ROOT_DEVICE, 0, 0, 0), THAW_SPEC_ROOT_SERIAL);
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_ROOT_DEVICE, 0, 0, 1), "erofs");

    struct spec spec;
    struct spec_problem problem;
    cr_assert_eq(spec_parse(bundle->spec, bundle->spec_size, &spec, &problem), 0);
    cr_expect_str_eq(spec.root_serial, "root");
    cr_expect_str_eq(spec.root_type, "erofs");
    spec_free(&spec);
}

Test(image_bundle, a_directory_as_root_names_no_disk)
{
    struct thaw_error err = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    cr_assert_eq(load("{}", 4096, NULL, &bundle, &err), 0, "%s", err.message);
    cr_expect_null(bundle->root_image);
    cr_expect_eq(spec_count(bundle, THAW_SPEC_ROOT_DEVICE), 0);
}

Test(image_bundle, a_root_that_is_another_file_is_refused)
{
    struct thaw_error err = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    static const size_t sizes[] = {0, 1024, 1027};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        cr_assert_lt(load(with_image, sizes[i], NULL, &bundle, &err), 0, "%zu bytes", sizes[i]);
        cr_expect(strstr(err.message, "neither a directory nor an EROFS image"), "%s", err.message);
        cr_expect_eq(err.failure, THAW_FAIL_BUNDLE);
    }
}

/* The command line that comes of process.args, the annotation and what is given, joined by "|". */
static void expect_args(const char *patch, size_t count, const char *expected)
{
    static char *const given[] = {(char *)"n1", (char *)"\xff"};
    const struct bundle_options options = {.args = given, .arg_count = count};
    struct thaw_error err = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    cr_assert_eq(load(patch, 4096, &options, &bundle, &err), 0, "%s", err.message);
    char line[128] = "";
    for (size_t i = 0; i < bundle->arg_count; i++) {
        cr_expect_str_eq(spec_string(bundle, THAW_SPEC_ARG, i, 0, 0), bundle->args[i]);
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i ? "|" : "",
                 bundle->args[i]);
    }
    cr_expect_str_eq(line, expected, "%s: %s", patch, line);
}

#define ARGS(annotation)                                                                           \
    "{\"process\": {\"args\": [\"a\", \"b\", \"c\"]}, \"annotations\": {" annotation "}}"
#define ENTRYPOINT(number) ARGS("\"dev.thaw.entrypoint-args\": \"" number "\"")

Test(image_bundle, another_command_line_comes_after_the_entrypoint)
{
    expect_args(ARGS(""), 0, "a|b|c");
    expect_args(ARGS(""), 1, "n1");
    expect_args(ENTRYPOINT("0"), 2, "n1|\xff");
    expect_args(ENTRYPOINT("2"), 1, "a|b|n1");
    expect_args(ENTRYPOINT("3"), 2, "a|b|c|n1|\xff");
    expect_args(ENTRYPOINT("nonsense"), 0, "a|b|c");
}

Test(image_bundle, an_entrypoint_that_is_no_number_of_arguments_is_refused)
{
    static char *const given[] = {(char *)"n"};
    const struct bundle_options options = {.args = given, .arg_count = 1};
    static const char *const patches[] = {ENTRYPOINT("4"), ENTRYPOINT("-1"), ENTRYPOINT(""),
                                          ENTRYPOINT("1x"), ENTRYPOINT("99999999999999999999999")};
    for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
        struct thaw_error err = {0};
        struct bundle *bundle = NULL;
        cr_expect_lt(load(patches[i], 4096, &options, &bundle, &err), 0, "%s", patches[i]);
        cr_expect_eq(err.failure, THAW_FAIL_CONFIG);
        bundle_destroy(bundle);
    }
}

static void expect_env(const char *patch, const char *expected)
{
    static const char *const given[] = {"B=new", "D=", "B=newer"};
    const struct bundle_options options = {.env = given, .env_count = 3};
    struct thaw_error err = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    cr_assert_eq(load(patch, 4096, &options, &bundle, &err), 0, "%s", err.message);
    char line[128] = "";
    size_t count = spec_count(bundle, THAW_SPEC_ENV);
    for (size_t i = 0; i < count; i++)
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i ? "|" : "",
                 spec_string(bundle, THAW_SPEC_ENV, i, 0, 0));
    cr_expect_str_eq(line, expected, "%s: %s", patch, line);
}

Test(image_bundle, variables_that_are_given_replace_those_of_their_key)
{
    expect_env("{\"process\": {\"env\": [\"A=1\", \"B=1\", \"BC=1\"]}}", "A=1|BC=1|D=|B=newer");
    expect_env("{\"process\": {\"env\": [\"B=1\", \"B=2\"]}}", "D=|B=newer");
    expect_env("{\"process\": {\"env\": null}}", "D=|B=newer");
}

/* A file with the superblock's magic of ext4 or EROFS, or with neither. */
static void write_disk(const char *name, size_t at, const void *magic, size_t length)
{
    static char disk[4096];
    memset(disk, 0, sizeof(disk));
    if (length > 0)
        memcpy(disk + at, magic, length);
    bundle_directory_write(&directory, name, disk, sizeof(disk));
}

static int load_with_disk(const char *name, bool read_only, struct bundle **bundle,
                          struct thaw_error *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", directory.path, name);
    const struct bundle_disk disk = {
        .path = path, .serial = "disk0", .destination = "/data", .read_only = read_only};
    const struct bundle_options options = {.disks = &disk, .disk_count = 1};
    return load("{\"mounts\": []}", 4096, &options, bundle, err);
}

Test(image_bundle, a_disk_becomes_a_mount_of_its_file_system)
{
    write_disk("ext4", 1024 + 0x38, "\x53\xef", 2);
    write_disk("erofs", 1024, "\xe2\xe1\xf5\xe0", 4);
    static const char *const types[] = {"ext4", "erofs"};
    for (size_t i = 0; i < 2; i++) {
        struct thaw_error err = {0};
        cleanup_bundle struct bundle *bundle = NULL;
        cr_assert_eq(load_with_disk(types[i], false, &bundle, &err), 0, "%s", err.message);
        size_t at = sizeof(struct thaw_spec_disk);
        cr_expect_str_eq(spec_string(bundle, THAW_SPEC_DISK, 0, at, 0), "disk0");
        cr_expect_str_eq(spec_string(bundle, THAW_SPEC_DISK, 0, at, 1), types[i]);
        at = sizeof(struct thaw_spec_mount);
        cr_expect_eq(spec_count(bundle, THAW_SPEC_MOUNT), 1);
        cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, 0, at, 0), "/binds/disks/disk0");
        cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, 0, at, 1), "/data");
    }
}

Test(image_bundle, a_disk_without_a_file_system_is_not_mounted)
{
    write_disk("blank", 0, NULL, 0);
    struct thaw_error err = {0};
    struct bundle *bundle = NULL;
    cr_assert_lt(load_with_disk("blank", true, &bundle, &err), 0);
    cr_expect_eq(err.failure, THAW_FAIL_IO);
    cr_expect(strstr(err.message, "mkfs.ext4 makes one"), "%s", err.message);
    cr_assert_lt(load_with_disk("missing", true, &bundle, &err), 0);
    cr_expect(strstr(err.message, "No such file"), "%s", err.message);
}
