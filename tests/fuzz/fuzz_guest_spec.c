/* SPDX-License-Identifier: Apache-2.0 */
/* The workload spec that init reads: any file, and any records behind a header that is right. */
#define XXH_INLINE_ALL
#include "guest/init-oci/spec.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <linux/sched.h>
#include <xxhash.h>

struct file {
    const char *data;
    size_t size;
};

static size_t check_string(const struct file *file, const char *string)
{
    require(string >= file->data && string < file->data + file->size);
    size_t behind = file->size - (size_t)(string - file->data);
    require(memchr(string, '\0', behind));
    return strlen(string);
}

static void check_strings(const struct file *file, const struct spec_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        check_string(file, list->items[i]);
    require(list->items[list->count] == NULL);
}

static void check_range(const struct file *file, const void *items, size_t bytes)
{
    const char *start = items;
    require(bytes == 0 || (start >= file->data && start <= file->data + file->size &&
                           bytes <= file->size - (size_t)(start - file->data)));
}

static void check_settings(const struct file *file, const struct spec_setting *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_string(file, items[i].key);
        check_string(file, items[i].value);
    }
}

static void check_mounts(const struct file *file, const struct spec *spec)
{
    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct spec_mount *mount = &spec->mounts.items[i];
        check_string(file, mount->source);
        check_string(file, mount->type);
        check_string(file, mount->data);
        require(check_string(file, mount->destination) > 0 && mount->destination[0] == '/');
    }
    for (size_t i = 0; i < spec->devices.count; i++)
        require(check_string(file, spec->devices.items[i].path) > 0);
}

/* What the rest of init relies on without looking. */
static void check_spec(const struct file *file, const struct spec *spec)
{
    require(spec->args.count > 0);
    check_strings(file, &spec->args);
    check_strings(file, &spec->env);
    check_strings(file, &spec->masked_paths);
    check_strings(file, &spec->readonly_paths);
    require(spec->cwd[0] == '/' && spec->cgroup_path[0] == '/');
    check_range(file, spec->additional_gids,
                spec->user.additional_gid_count * sizeof(*spec->additional_gids));
    check_range(file, spec->seccomp.items, spec->seccomp.count * sizeof(*spec->seccomp.items));
    check_range(file, spec->device_filter.items,
                spec->device_filter.count * sizeof(*spec->device_filter.items));
    check_settings(file, spec->sysctls.items, spec->sysctls.count);
    check_settings(file, spec->cgroup_files.items, spec->cgroup_files.count);
    check_mounts(file, spec);
    bool user = spec->namespaces & CLONE_NEWUSER;
    require((spec->namespaces & CLONE_NEWNS) && !(spec->namespaces & CLONE_NEWNET));
    require(user == (spec->uid_maps.count > 0) && user == (spec->gid_maps.count > 0));
    (void)spec_host_uid(spec, spec->user.uid);
    (void)spec_host_gid(spec, spec->user.gid);
}

static void parse(const struct file *file)
{
    static const struct spec empty;
    struct spec spec;
    struct spec_problem problem;
    int rc = spec_parse(file->data, file->size, &spec, &problem);
    if (rc == 0) {
        check_spec(file, &spec);
        spec_free(&spec);
    } else {
        require(rc == -EINVAL && problem.why && problem.offset <= file->size);
    }
    require(memcmp(&spec, &empty, sizeof(spec)) == 0);
}

/* The checksum would keep a fuzzer out for ever. */
static void mend_header(char *data, size_t size)
{
    struct thaw_spec_header header = {.magic = THAW_SPEC_MAGIC, .version = THAW_SPEC_VERSION};
    if (size < sizeof(header))
        return;
    header.length = (uint32_t)size;
    header.checksum = XXH3_64bits(data + sizeof(header), size - sizeof(header));
    memcpy(data, &header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1); /* of this size, so that ASan sees its end */
    require(copy);
    if (size > 0)
        memcpy(copy, data, size);
    const struct file file = {copy, size};
    parse(&file);
    mend_header(copy, size);
    parse(&file);
    free(copy);
    return 0;
}
