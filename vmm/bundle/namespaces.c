/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <sched.h>
#include <time.h>

/* user_namespaces(7): lines of a uid_map, since Linux 4.15. */
#define ID_MAP_LINES_MAX 340

#define NANOSECONDS_PER_SECOND 1000000000u

static const struct config_name types[] = {
    {"pid", CLONE_NEWPID},   {"network", CLONE_NEWNET},   {"mount", CLONE_NEWNS},
    {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},       {"user", CLONE_NEWUSER},
    {"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP},
};

static int read_namespace(const struct config_value *value, uint64_t *set, struct thaw_error *err)
{
    int rc = config_as_object(value, err);
    if (rc < 0)
        return rc;

    struct config_value type = config_member(value, "type");
    uint64_t flag = 0;
    const char *path;
    rc = config_as_name(&type, "namespace type", types, CONFIG_COUNT_OF(types), &flag, err);
    if (rc == 0)
        rc = config_string(value, "path", &path, err);
    /* Whatever network namespace is meant, the VM is one of its own. */
    if (rc == 0 && flag != CLONE_NEWNET)
        rc = config_refuse(value, "path", "a microVM cannot join a namespace of the host", err);
    if (rc < 0)
        return rc;
    if (*set & flag)
        return config_fail(&type, err, "a second namespace of the same type");
    *set |= flag;
    return 0;
}

static int read_namespaces(const struct config_value *linux_, uint64_t *set, struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(linux_, "namespaces", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = read_namespace(&value, set, err);
    }
    return rc;
}

static int put_id_map(struct bundle_builder *builder, uint32_t tag,
                      const struct config_value *value, struct thaw_error *err)
{
    struct thaw_spec_id_map map = {0};
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_need_u32(value, "containerID", &map.container_id, err);
    if (rc == 0)
        rc = config_need_u32(value, "hostID", &map.host_id, err);
    if (rc == 0)
        rc = config_need_u32(value, "size", &map.size, err);
    if (rc < 0)
        return rc;
    /* The last id is (uid_t)-1, which is none. */
    if (map.size == 0 || map.container_id > UINT32_MAX - map.size ||
        map.host_id > UINT32_MAX - map.size)
        return config_fail(value, err, "not a range of ids");
    spec_writer_put(&builder->spec, tag, &map, sizeof(map));
    return 0;
}

static int build_id_maps(struct bundle_builder *builder, const struct config_value *linux_,
                         const char *key, uint32_t tag, bool user_namespace, struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(linux_, key, &list, err);
    if (rc < 0)
        return rc;
    if (user_namespace && config_count(&list) == 0) {
        struct config_value value = config_member(linux_, key);
        return config_fail(&value, err, "is required with a user namespace");
    }
    if (!user_namespace && config_count(&list) > 0)
        return config_fail(&list, err, "needs a user namespace");
    if (config_count(&list) > ID_MAP_LINES_MAX)
        return config_fail(&list, err, "must have at most %d elements", ID_MAP_LINES_MAX);

    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = put_id_map(builder, tag, &value, err);
    }
    return rc;
}

static int put_time_offset(struct bundle_builder *builder, const struct config_value *value,
                           int64_t clock, struct thaw_error *err)
{
    int64_t seconds = 0;
    uint64_t nanoseconds = 0;
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_int(value, "secs", INT64_MIN, INT64_MAX, &seconds, err);
    if (rc == 0)
        rc = config_uint(value, "nanosecs", NANOSECONDS_PER_SECOND - 1, &nanoseconds, err);
    int64_t record[3] = {clock, seconds, (int64_t)nanoseconds};
    if (rc == 0)
        spec_writer_put(&builder->spec, THAW_SPEC_TIME_OFFSET, record, sizeof(record));
    return rc;
}

/* time_namespaces(7): these two clocks have offsets. */
static int build_time_offsets(struct bundle_builder *builder, const struct config_value *linux_,
                              bool time_namespace, struct thaw_error *err)
{
    static const struct config_name clocks[] = {{"monotonic", CLOCK_MONOTONIC},
                                                {"boottime", CLOCK_BOOTTIME}};
    struct config_value object;
    int rc = config_object(linux_, "timeOffsets", &object, err);
    if (rc == 0 && config_count(&object) > 0 && !time_namespace)
        return config_fail(&object, err, "needs a time namespace");

    for (void *at = json_object_iter(object.json); rc == 0 && at;
         at = json_object_iter_next(object.json, at)) {
        struct config_value value = config_member(&object, json_object_iter_key(at));
        const struct config_name *clock =
            config_find_name(clocks, CONFIG_COUNT_OF(clocks), value.key);
        if (!clock)
            return config_fail(&value, err, "not a clock that can have an offset");
        rc = put_time_offset(builder, &value, (int64_t)clock->value, err);
    }
    return rc;
}

int build_namespaces(struct bundle_builder *builder, const struct config_value *linux_,
                     struct thaw_error *err)
{
    uint64_t set = 0;
    int rc = read_namespaces(linux_, &set, err);
    bool user = set & CLONE_NEWUSER;
    if (rc == 0)
        rc = build_id_maps(builder, linux_, "uidMappings", THAW_SPEC_UID_MAP, user, err);
    if (rc == 0)
        rc = build_id_maps(builder, linux_, "gidMappings", THAW_SPEC_GID_MAP, user, err);
    if (rc == 0)
        rc = build_time_offsets(builder, linux_, set & CLONE_NEWTIME, err);
    if (rc < 0)
        return rc;

    /* A mount namespace is always made: the workload's mounts are not init's. */
    uint64_t record = (set | CLONE_NEWNS) & ~(uint64_t)CLONE_NEWNET;
    spec_writer_put(&builder->spec, THAW_SPEC_NAMESPACES, &record, sizeof(record));
    return 0;
}
