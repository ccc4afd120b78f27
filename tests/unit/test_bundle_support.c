/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_bundle_support.h"

#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

void bundle_directory_make(struct bundle_directory *directory)
{
    strcpy(directory->path, "/tmp/thaw-bundle-XXXXXX");
    cr_assert_not_null(mkdtemp(directory->path));
    char rootfs[128];
    snprintf(rootfs, sizeof(rootfs), "%s/rootfs", directory->path);
    cr_assert_eq(mkdir(rootfs, 0755), 0);
}

void bundle_directory_write(const struct bundle_directory *directory, const char *name,
                            const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", directory->path, name);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, data, size), (ssize_t)size, "%s", path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void bundle_directory_remove(struct bundle_directory *directory)
{
    nftw(directory->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *bundle_read_fixture(const char *name, size_t *size)
{
    char path[256];
    snprintf(path, sizeof(path), BUNDLE_FIXTURES "/%s", name);
    cleanup_fclose FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s: run the tests from the top of the tree", path);
    char *text = calloc(1, 1u << 16);
    cr_assert_not_null(text);
    *size = fread(text, 1, (1u << 16) - 1, file);
    return text;
}

char *bundle_patched_config(const char *patch)
{
    size_t size;
    cleanup_free char *base = bundle_read_fixture("good/minimal.json", &size);
    json_error_t error;
    json_t *config = json_loadb(base, size, 0, &error);
    json_t *object = json_loads(patch, 0, &error);
    cr_assert_not_null(config, "%s", error.text);
    cr_assert_not_null(object, "%s: %s", patch, error.text);
    cr_assert_eq(json_object_update_recursive(config, object), 0);
    char *text = json_dumps(config, 0);
    json_decref(object);
    json_decref(config);
    cr_assert_not_null(text);
    return text;
}

int bundle_load_text(const char *text, size_t size, const struct bundle_options *options,
                     struct bundle **bundle, struct thaw_error *err)
{
    struct bundle_directory directory;
    bundle_directory_make(&directory);
    bundle_directory_write(&directory, "config.json", text, size);
    *err = (struct thaw_error){0};
    int rc = bundle_load(directory.path, options, bundle, err);
    bundle_directory_remove(&directory);
    return rc;
}

struct bundle *bundle_load_patched(const char *patch)
{
    cleanup_free char *text = bundle_patched_config(patch);
    struct bundle *bundle = NULL;
    struct thaw_error err;
    int rc = bundle_load_text(text, strlen(text), NULL, &bundle, &err);
    cr_assert_eq(rc, 0, "%s: %s", patch, err.message);
    return bundle;
}

const void *spec_find(const struct bundle *bundle, uint32_t tag, size_t n, size_t *length)
{
    const uint8_t *data = bundle->spec;
    size_t at = sizeof(struct thaw_spec_header);
    while (at < bundle->spec_size) {
        struct thaw_spec_record record;
        cr_assert_leq(at + sizeof(record), bundle->spec_size);
        memcpy(&record, data + at, sizeof(record));
        at += sizeof(record);
        cr_assert_leq(record.length, bundle->spec_size - at, "a record that ends in the file");
        if (record.tag == tag && n-- == 0) {
            *length = record.length;
            return data + at;
        }
        at += (record.length + 7u) & ~7u;
    }
    cr_assert_eq(at, bundle->spec_size, "the last record ends where the file ends");
    return NULL;
}

size_t spec_count(const struct bundle *bundle, uint32_t tag)
{
    size_t count = 0, length;
    while (spec_find(bundle, tag, count, &length))
        count++;
    return count;
}

const void *spec_need(const struct bundle *bundle, uint32_t tag, size_t n, size_t length)
{
    size_t seen = 0;
    const void *payload = spec_find(bundle, tag, n, &seen);
    cr_assert_not_null(payload, "record %zu of tag 0x%x", n, tag);
    cr_assert_eq(seen, length, "record %zu of tag 0x%x has %zu bytes", n, tag, seen);
    return payload;
}

const char *spec_string(const struct bundle *bundle, uint32_t tag, size_t n, size_t offset,
                        size_t which)
{
    size_t length = 0;
    const char *payload = spec_find(bundle, tag, n, &length);
    cr_assert_not_null(payload, "record %zu of tag 0x%x", n, tag);
    cr_assert_lt(offset, length);
    cr_assert_eq(payload[length - 1], '\0', "strings end in a NUL that is counted");
    for (size_t at = offset; at < length; at += strlen(payload + at) + 1) {
        if (which-- == 0)
            return payload + at;
    }
    return "";
}

const char *spec_cgroup_file(const struct bundle *bundle, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < spec_count(bundle, THAW_SPEC_CGROUP_FILE); i++) {
        if (strcmp(spec_string(bundle, THAW_SPEC_CGROUP_FILE, i, 0, 0), name) == 0)
            value = spec_string(bundle, THAW_SPEC_CGROUP_FILE, i, 0, 1);
    }
    return value;
}
