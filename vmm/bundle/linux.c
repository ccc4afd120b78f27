/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <string.h>
#include <sys/personality.h>

struct string_list {
    struct spec_writer *spec;
    uint32_t tag;
};

static int put_absolute_path(void *context, const struct config_value *value, const char *string,
                             struct thaw_error *err)
{
    struct string_list *list = context;
    if (string[0] != '/')
        return config_fail(value, err, "must be an absolute path");
    spec_writer_put_string(list->spec, list->tag, string);
    return 0;
}

static int build_paths(struct bundle_builder *builder, const struct config_value *linux_,
                       struct thaw_error *err)
{
    struct string_list masked = {&builder->spec, THAW_SPEC_MASKED_PATH};
    struct string_list readonly = {&builder->spec, THAW_SPEC_READONLY_PATH};
    int rc = config_strings(linux_, "maskedPaths", put_absolute_path, &masked, err);
    if (rc == 0)
        rc = config_strings(linux_, "readonlyPaths", put_absolute_path, &readonly, err);
    return rc;
}

/* The key becomes a path below /proc/sys: it must not lead out of there. */
static int put_sysctl(void *context, const struct config_value *value, const char *string,
                      struct thaw_error *err)
{
    struct spec_writer *spec = context;
    const char *key = value->key;
    if (key[0] == '\0' || key[0] == '/' || key[0] == '.' || strstr(key, ".."))
        return config_fail(value, err, "not the name of a kernel parameter");
    spec_writer_put_strings(spec, THAW_SPEC_SYSCTL, key, string);
    return 0;
}

static int build_root_propagation(struct bundle_builder *builder, const struct config_value *linux_,
                                  struct thaw_error *err)
{
    struct config_value value = config_member(linux_, "rootfsPropagation");
    const char *name = "";
    int rc = config_given(&value) ? config_as_string(&value, &name, err) : 0;
    if (rc < 0 || name[0] == '\0')
        return rc;

    uint64_t flags = 0;
    rc = build_propagation(&value, name, &flags, err);
    uint32_t record = (uint32_t)flags;
    if (rc == 0)
        spec_writer_put(&builder->spec, THAW_SPEC_ROOT_PROPAGATION, &record, sizeof(record));
    return rc;
}

static int build_personality(struct bundle_builder *builder, const struct config_value *linux_,
                             struct thaw_error *err)
{
    static const struct config_name domains[] = {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}};
    struct config_value object;
    int rc = config_object(linux_, "personality", &object, err);
    if (rc < 0 || !config_given(&object))
        return rc;

    struct config_value value = config_member(&object, "domain");
    uint64_t domain = 0;
    rc =
        config_as_name(&value, "execution domain", domains, CONFIG_COUNT_OF(domains), &domain, err);
    if (rc == 0)
        rc = config_refuse(&object, "flags", "OCI defines no flags yet", err);
    uint32_t record = (uint32_t)domain;
    if (rc == 0)
        spec_writer_put(&builder->spec, THAW_SPEC_PERSONALITY, &record, sizeof(record));
    return rc;
}

static bool has_dot_component(const char *path)
{
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if ((length == 1 && at[0] == '.') || (length == 2 && strncmp(at, "..", 2) == 0))
            return true;
        at += length;
    }
    return false;
}

/* Relative or absolute, it is a path below the guest's cgroup root, which the VM has to itself. */
static int build_cgroup_path(struct bundle_builder *builder, const struct config_value *linux_,
                             struct thaw_error *err)
{
    struct config_value value = config_member(linux_, "cgroupsPath");
    const char *path = "";
    int rc = config_given(&value) ? config_as_string(&value, &path, err) : 0;
    if (rc < 0 || path[0] == '\0')
        return rc;
    if (has_dot_component(path))
        return config_fail(&value, err, "must not have \".\" or \"..\" in it");
    if (path[strspn(path, "/")] == '\0')
        return config_fail(&value, err, "the root cgroup belongs to the guest's init");

    spec_writer_begin(&builder->spec, THAW_SPEC_CGROUP_PATH);
    spec_writer_append(&builder->spec, "/", path[0] == '/' ? 0 : 1);
    spec_writer_append_string(&builder->spec, path);
    spec_writer_end(&builder->spec);
    return 0;
}

static int refuse_properties(const struct config_value *linux_, struct thaw_error *err)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"intelRdt", "a microVM cannot control the host's caches and memory bandwidth"},
        {"mountLabel", "the guest kernel has no SELinux"},
        {"netDevices", "host network devices cannot be moved into a microVM"},
        {"memoryPolicy", "the guest has one memory node"},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < CONFIG_COUNT_OF(refused); i++)
        rc = config_refuse(linux_, refused[i].key, refused[i].why, err);
    return rc;
}

static int build_controls(struct bundle_builder *builder, const struct config_value *linux_,
                          struct thaw_error *err)
{
    struct config_value resources;
    int rc = build_cgroup_path(builder, linux_, err);
    if (rc == 0)
        rc = config_object(linux_, "resources", &resources, err);
    if (rc == 0)
        rc = build_resources(builder, &resources, err);
    if (rc == 0)
        rc = build_device_filter(builder, &resources, err);
    if (rc == 0)
        rc = build_seccomp(builder, linux_, err);
    return rc;
}

int build_linux(struct bundle_builder *builder, const struct config_value *root,
                struct thaw_error *err)
{
    struct config_value linux_;
    int rc = config_object(root, "linux", &linux_, err);
    if (rc == 0)
        rc = build_namespaces(builder, &linux_, err);
    if (rc == 0)
        rc = build_paths(builder, &linux_, err);
    if (rc == 0)
        rc = config_string_map(&linux_, "sysctl", put_sysctl, &builder->spec, err);
    if (rc == 0)
        rc = build_root_propagation(builder, &linux_, err);
    if (rc == 0)
        rc = build_personality(builder, &linux_, err);
    if (rc == 0)
        rc = build_devices(builder, &linux_, err);
    if (rc == 0)
        rc = build_controls(builder, &linux_, err);
    if (rc == 0)
        rc = refuse_properties(&linux_, err);
    return rc;
}
