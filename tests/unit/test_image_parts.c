/* SPDX-License-Identifier: Apache-2.0 */
/* Importing images, the pure parts: references, names, media types, the choice of a manifest. */
#include "vmm/base/cleanup.h"
#include "vmm/bundle/image_store.h"
#include "vmm/image/import.h"
#include "vmm/image/layer_path.h"
#include "vmm/image/manifest.h"
#include "vmm/image/source.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(image_parts);

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* ---- references and names ------------------------------------------------------------------ */

static void expect_source(const char *text, enum source_kind kind, const char *path,
                          const char *reference)
{
    struct source source;
    struct thaw_error err = {0};
    cr_assert_eq(source_parse(text, &source, &err), 0, "%s: %s", text, err.message);
    cr_expect_eq(source.kind, kind);
    cr_expect_str_eq(source.path, path);
    if (reference)
        cr_expect_str_eq(source.reference, reference);
    else
        cr_expect_null(source.reference);
    source_free(&source);
}

Test(image_parts, a_source_is_a_transport_a_path_and_perhaps_a_name)
{
    expect_source("oci:a/b", SOURCE_OCI, "a/b", NULL);
    expect_source("oci:a/b:1.0", SOURCE_OCI, "a/b", "1.0");
    expect_source("oci:a:registry/x:latest", SOURCE_OCI, "a", "registry/x:latest");
    expect_source("docker-archive:x.tar:web:1", SOURCE_DOCKER_ARCHIVE, "x.tar", "web:1");
    expect_source("dir:with:colon", SOURCE_DIR, "with:colon", NULL);
}

Test(image_parts, a_source_of_another_form_is_a_usage_error)
{
    static const char *const bad[] = {
        "", "a/b", "docker://alpine", "oci:", "oci:a:", "dir:", "oci::tag", "docker-archive:"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct source source;
        struct thaw_error err = {0};
        cr_expect_lt(source_parse(bad[i], &source, &err), 0, "%s", bad[i]);
        cr_expect_eq(err.failure, THAW_FAIL_USAGE, "%s", bad[i]);
        source_free(&source);
    }
}

Test(image_parts, a_name_has_1_to_63_plain_characters_and_no_path_in_it)
{
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
    static const char *const good[] = {"a", "0", "web-1.2_x", longest};
    static const char *const bad[] = {"",    "-a", ".a",  "_a",  "A",
                                      "a/b", "..", "a b", "a\n", "a\xc3\xa4"};
    char longer[sizeof(longest) + 1];
    snprintf(longer, sizeof(longer), "%sx", longest);
    struct thaw_error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect_eq(image_name_check(good[i], &err), 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_lt(image_name_check(bad[i], &err), 0, "%s", bad[i]);
    cr_expect_lt(image_name_check(longer, &err), 0);
}

Test(image_parts, the_store_is_where_the_environment_says)
{
    char path[256];
    struct thaw_error err;
    setenv("HOME", "/home/u", 1);
    unsetenv("XDG_DATA_HOME");
    unsetenv("THAW_IMAGES");
    cr_assert_eq(image_store_directory(path, sizeof(path), &err), 0);
    cr_expect_str_eq(path, "/home/u/.local/share/thaw/images");
    setenv("XDG_DATA_HOME", "/data", 1);
    cr_assert_eq(image_store_directory(path, sizeof(path), &err), 0);
    cr_expect_str_eq(path, "/data/thaw/images");
    setenv("THAW_IMAGES", "/images", 1);
    cr_assert_eq(image_store_directory(path, sizeof(path), &err), 0);
    cr_expect_str_eq(path, "/images");
    unsetenv("THAW_IMAGES");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    cr_expect_lt(image_store_directory(path, sizeof(path), &err), 0);
    cr_expect_eq(err.failure, THAW_FAIL_IO);
}

Test(image_parts, a_command_is_a_json_array_or_a_line_for_the_shell)
{
    json_t *args = NULL;
    cr_assert_eq(import_parse_command("[\"a\", \"b c\"]", &args), 0);
    cr_expect_eq(json_array_size(args), 2);
    json_decref(args);
    cr_assert_eq(import_parse_command("echo hi", &args), 0);
    cr_expect_str_eq(json_string_value(json_array_get(args, 1)), "-c");
    cr_expect_str_eq(json_string_value(json_array_get(args, 2)), "echo hi");
    json_decref(args);
    cr_expect_lt(import_parse_command("[\"a\"", &args), 0);
    cr_expect_lt(import_parse_command("[1]", &args), 0);
    cr_expect_lt(import_parse_command("[]", &args), 0);
}

/* ---- digests ------------------------------------------------------------------------------- */

Test(image_parts, a_digest_reads_back_as_it_was_written)
{
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    digest_of("abc", 3, &digest);
    digest_text(&digest, text);
    cr_assert_str_eq(text,
                     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct digest again;
    cr_assert_eq(digest_parse(text, &again), 0);
    cr_expect(digest_equal(&digest, &again));
}

Test(image_parts, a_digest_of_another_form_or_algorithm_is_not_taken)
{
    struct digest digest;
    cr_expect_eq(digest_parse("sha512:aa", &digest), -ENOTSUP);
    cr_expect_eq(digest_parse("sha256:aa", &digest), -EINVAL);
    cr_expect_eq(digest_parse(DIGEST_A "a", &digest), -EINVAL);
    cr_expect_eq(digest_parse("", &digest), -EINVAL);
    char upper[] = DIGEST_A;
    upper[10] = 'A';
    cr_expect_eq(digest_parse(upper, &digest), -EINVAL);
    char climbing[] = DIGEST_A;
    memcpy(climbing + 7, "../../", 6);
    cr_expect_eq(digest_parse(climbing, &digest), -EINVAL);
}

/* ---- manifests ----------------------------------------------------------------------------- */

#define DESCRIPTOR(digit, more)                                                                    \
    "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":" #digit               \
    ",\"digest\":\"" DIGEST_A "\"" more "}"
#define PLATFORM(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define NAMED(name)        ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

/* The size of the descriptor that is chosen, by which a test tells them apart; negative: none. */
static long long choose(const char *manifests, const char *reference, struct thaw_error *err)
{
    cleanup_free char *text = NULL;
    cr_assert_geq(asprintf(&text, "{\"manifests\":[%s]}", manifests), 0);
    json_t *index = NULL;
    cr_assert_eq(document_parse(text, strlen(text), "index.json", &index, err), 0, "%s",
                 err->message);
    const json_t *chosen = NULL;
    struct descriptor descriptor;
    int rc = index_choose(index, reference, &chosen, err);
    if (rc == 0)
        rc = descriptor_read(chosen, &descriptor, err);
    json_decref(index);
    return rc == 0 ? (long long)descriptor.size : rc;
}

Test(image_parts, the_manifest_of_this_platform_is_chosen)
{
    struct thaw_error err;
    cr_expect_eq(
        choose(DESCRIPTOR(1, PLATFORM("linux", "s390x")) "," DESCRIPTOR(
                   2, PLATFORM("windows",
                               IMAGE_ARCHITECTURE)) "," DESCRIPTOR(3, PLATFORM("linux",
                                                                               IMAGE_ARCHITECTURE)),
               NULL, &err),
        3);
    cr_expect_eq(
        choose(DESCRIPTOR(1, PLATFORM("unknown", "unknown")) "," DESCRIPTOR(2, ""), NULL, &err), 2);
    cr_expect_lt(choose(DESCRIPTOR(1, PLATFORM("linux", "s390x")), NULL, &err), 0);
    cr_expect(strstr(err.message, "no manifest for linux/"), "%s", err.message);
}

Test(image_parts, the_image_that_is_named_is_chosen)
{
    static const char two[] = DESCRIPTOR(1, NAMED("a")) "," DESCRIPTOR(2, NAMED("b"));
    struct thaw_error err;
    cr_expect_eq(choose(two, "b", &err), 2);
    cr_expect_lt(choose(two, "c", &err), 0);
    cr_expect(strstr(err.message, "a, b"), "%s", err.message);
    cr_expect_lt(choose(two, NULL, &err), 0);
    cr_expect(strstr(err.message, "several images"), "%s", err.message);
    cr_expect_eq(choose(DESCRIPTOR(1, NAMED("a")), NULL, &err), 1);
}

Test(image_parts, an_index_without_manifests_is_refused)
{
    struct thaw_error err;
    const json_t *chosen;
    json_t *index = json_object();
    cr_expect_lt(choose("", NULL, &err), 0);
    cr_expect_lt(choose("1", NULL, &err), 0);
    cr_expect_lt(index_choose(index, NULL, &chosen, &err), 0);
    json_decref(index);
}

Test(image_parts, media_types_say_what_a_blob_is)
{
    static const struct {
        const char *type;
        enum document document;
        enum compression compression;
    } rows[] = {
        {"application/vnd.oci.image.layer.v1.tar", DOCUMENT_LAYER, COMPRESSION_NONE},
        {"application/vnd.oci.image.layer.v1.tar+gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
        {"application/vnd.oci.image.layer.v1.tar+zstd", DOCUMENT_LAYER, COMPRESSION_ZSTD},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", DOCUMENT_LAYER, COMPRESSION_GZIP},
        {"application/vnd.oci.image.index.v1+json", DOCUMENT_INDEX, 0},
        {"application/vnd.docker.distribution.manifest.v2+json", DOCUMENT_MANIFEST, 0},
        {"application/vnd.oci.image.config.v1+json", DOCUMENT_CONFIG, 0},
        {"application/vnd.oci.image.layer.v1.tar+xz", DOCUMENT_UNKNOWN, 0},
        {"text/plain", DOCUMENT_UNKNOWN, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct descriptor descriptor;
        struct thaw_error err = {0};
        json_t *json =
            json_pack("{s:s, s:i, s:s}", "mediaType", rows[i].type, "size", 1, "digest", DIGEST_A);
        cr_assert_eq(descriptor_read(json, &descriptor, &err), 0, "%s", err.message);
        cr_expect_eq(descriptor.document, rows[i].document, "%s", rows[i].type);
        cr_expect_eq(descriptor.compression, rows[i].compression, "%s", rows[i].type);
        json_decref(json);
    }
}

Test(image_parts, a_configuration_must_fit_platform_and_layers)
{
    static const struct {
        const char *text;
        size_t layers;
        bool good;
    } rows[] = {
        {"{\"os\":\"linux\",\"architecture\":\"" IMAGE_ARCHITECTURE
         "\",\"rootfs\":{\"diff_ids\":[\"" DIGEST_A "\"]}}",
         1, true},
        {"{\"os\":\"linux\",\"architecture\":\"" IMAGE_ARCHITECTURE
         "\",\"rootfs\":{\"diff_ids\":[\"" DIGEST_A "\"]}}",
         2, false},
        {"{\"os\":\"linux\",\"architecture\":\"" IMAGE_ARCHITECTURE
         "\",\"rootfs\":{\"diff_ids\":[\"sha1:a\"]}}",
         1, false},
        {"{\"os\":\"linux\",\"architecture\":\"s390x\",\"rootfs\":{\"diff_ids\":[]}}", 0, false},
        {"{\"os\":\"linux\"}", 0, false},
        {"[]", 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct digest diff_ids[2];
        struct thaw_error err = {0};
        json_t *json = NULL;
        cr_assert_eq(document_parse(rows[i].text, strlen(rows[i].text), "x", &json, &err), 0);
        cr_expect_eq(config_check(json, rows[i].layers, diff_ids, &err) == 0, rows[i].good,
                     "%s: %s", rows[i].text, err.message);
        json_decref(json);
    }
}

/* ---- names in a layer ---------------------------------------------------------------------- */

Test(image_parts, names_in_a_layer_are_made_plain)
{
    static const struct {
        const char *name, *path; /* NULL: refused */
    } rows[] = {
        {"./a/b", "a/b"}, {"a//b/", "a/b"}, {"./", ""},      {".", ""},    {"/", ""},
        {"a/./b", "a/b"}, {"..a", "..a"},   {"/a", NULL},    {"..", NULL}, {"a/..", NULL},
        {"../a", NULL},   {"a/../b", NULL}, {"//etc", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[PATH_MAX];
        int rc = layer_path_clean(rows[i].name, path);
        cr_expect_eq(rc, rows[i].path ? 0 : -EXDEV, "%s", rows[i].name);
        if (rc == 0)
            cr_expect_str_eq(path, rows[i].path, "%s", rows[i].name);
    }
}

Test(image_parts, names_that_are_too_long_are_refused)
{
    char name[PATH_MAX + 2], path[PATH_MAX];
    memset(name, 'a', NAME_MAX + 1);
    name[NAME_MAX + 1] = '\0';
    cr_expect_eq(layer_path_clean(name, path), -ENAMETOOLONG);
    for (size_t i = 0; i < sizeof(name) - 1; i++)
        name[i] = i % 2 ? '/' : 'a';
    name[sizeof(name) - 1] = '\0';
    cr_expect_eq(layer_path_clean(name, path), -ENAMETOOLONG);
    name[PATH_MAX - 1] = '\0';
    cr_expect_eq(layer_path_clean(name, path), 0);
}

Test(image_parts, whiteouts_are_told_from_files)
{
    static const struct {
        const char *path;
        enum layer_name kind;
        const char *hidden;
    } rows[] = {
        {"a/b", LAYER_NAME_PLAIN, NULL},         {"a/.whb", LAYER_NAME_PLAIN, NULL},
        {".wh.a", LAYER_NAME_WHITEOUT, "a"},     {"a/.wh.b", LAYER_NAME_WHITEOUT, "b"},
        {"a/.wh..b", LAYER_NAME_WHITEOUT, ".b"}, {"a/.wh..wh..opq", LAYER_NAME_OPAQUE, NULL},
        {".wh..wh.plnk", LAYER_NAME_META, NULL}, {".wh..wh.plnk/1.2", LAYER_NAME_META, NULL},
        {"a/.wh.", LAYER_NAME_BAD, NULL},        {"a/.wh..", LAYER_NAME_BAD, NULL},
        {"a/.wh...", LAYER_NAME_BAD, NULL},      {".wh.a/b", LAYER_NAME_BAD, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *hidden = NULL;
        cr_expect_eq(layer_path_classify(rows[i].path, &hidden), rows[i].kind, "%s", rows[i].path);
        if (rows[i].hidden)
            cr_expect_str_eq(hidden, rows[i].hidden, "%s", rows[i].path);
    }
}
