/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* (uid_t)-1 and (gid_t)-1 mean "leave as it is" to the system calls. */
#define ID_MAX (UINT32_MAX - 1)

#define UMASK_MAX 0777u

static int keep_args(struct bundle *bundle, size_t count, struct thaw_error *err)
{
    bundle->args = calloc(count, sizeof(*bundle->args));
    return bundle->args ? 0 : thaw_fail(err, ENOMEM, "process.args");
}

static int put_arg(void *context, const struct config_value *value, const char *string,
                   struct thaw_error *err)
{
    struct bundle_builder *builder = context;
    if (value->index == 0 && string[0] == '\0')
        return config_fail(value, err, "must not be empty");
    builder->bundle->args[builder->bundle->arg_count++] = string;
    spec_writer_put_string(&builder->spec, THAW_SPEC_ARG, string);
    return 0;
}

static int build_args(struct bundle_builder *builder, const struct config_value *process,
                      struct thaw_error *err)
{
    struct config_value args = config_member(process, "args");
    int rc = config_as_array(&args, err);
    if (rc < 0)
        return rc;
    if (config_count(&args) == 0)
        return config_fail(&args, err, "must not be empty");
    rc = keep_args(builder->bundle, config_count(&args), err);
    if (rc < 0)
        return rc;
    return config_strings(process, "args", put_arg, builder, err);
}

static int put_env(void *context, const struct config_value *value, const char *string,
                   struct thaw_error *err)
{
    struct bundle_builder *builder = context;
    if (string[0] == '=' || !strchr(string, '='))
        return config_fail(value, err, "must have the form NAME=value");
    spec_writer_put_string(&builder->spec, THAW_SPEC_ENV, string);
    return 0;
}

static int build_cwd(struct bundle_builder *builder, const struct config_value *process,
                     struct thaw_error *err)
{
    struct config_value value = config_member(process, "cwd");
    const char *cwd;
    int rc = config_as_string(&value, &cwd, err);
    if (rc < 0)
        return rc;
    if (cwd[0] != '/')
        return config_fail(&value, err, "must be an absolute path");
    spec_writer_put_string(&builder->spec, THAW_SPEC_CWD, cwd);
    return 0;
}

static int read_id(const struct config_value *user, const char *key, uint32_t *id,
                   struct thaw_error *err)
{
    uint64_t number = *id;
    int rc = config_uint(user, key, ID_MAX, &number, err);
    *id = (uint32_t)number;
    return rc;
}

static int append_gids(struct bundle_builder *builder, const struct config_value *gids,
                       struct thaw_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < config_count(gids); i++) {
        struct config_value value = config_element(gids, i);
        uint64_t number = 0;
        rc = config_as_uint(&value, ID_MAX, &number, err);
        uint32_t gid = (uint32_t)number;
        spec_writer_append(&builder->spec, &gid, sizeof(gid));
    }
    return rc;
}

static int build_user(struct bundle_builder *builder, const struct config_value *process,
                      struct thaw_error *err)
{
    struct config_value user, gids;
    struct thaw_spec_user record = {.umask = THAW_SPEC_NO_UMASK};
    uint64_t umask = THAW_SPEC_NO_UMASK;

    int rc = config_object(process, "user", &user, err);
    if (rc == 0)
        rc = read_id(&user, "uid", &record.uid, err);
    if (rc == 0)
        rc = read_id(&user, "gid", &record.gid, err);
    if (rc == 0)
        rc = config_uint(&user, "umask", UMASK_MAX, &umask, err);
    if (rc == 0)
        rc = config_array(&user, "additionalGids", &gids, err);
    if (rc < 0)
        return rc;
    if (config_count(&gids) > NGROUPS_MAX)
        return config_fail(&gids, err, "must have at most %d elements", NGROUPS_MAX);

    record.umask = (uint32_t)umask;
    record.additional_gid_count = (uint32_t)config_count(&gids);
    spec_writer_begin(&builder->spec, THAW_SPEC_USER);
    spec_writer_append(&builder->spec, &record, sizeof(record));
    rc = append_gids(builder, &gids, err);
    spec_writer_end(&builder->spec);
    return rc;
}

static const struct config_name resources[] = {
    {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
    {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME},
};

static int build_rlimit(struct bundle_builder *builder, const struct config_value *value,
                        uint32_t *seen, struct thaw_error *err)
{
    int rc = config_as_object(value, err);
    if (rc < 0)
        return rc;

    struct config_value type = config_member(value, "type");
    struct config_value soft = config_member(value, "soft");
    struct config_value hard = config_member(value, "hard");
    struct thaw_spec_rlimit record = {0};
    uint64_t resource = 0;
    rc = config_as_name(&type, "limit", resources, CONFIG_COUNT_OF(resources), &resource, err);
    if (rc == 0)
        rc = config_as_uint(&soft, UINT64_MAX, &record.soft, err);
    if (rc == 0)
        rc = config_as_uint(&hard, UINT64_MAX, &record.hard, err);
    if (rc < 0)
        return rc;
    if (record.soft > record.hard)
        return config_fail(&soft, err, "must not be above the hard limit");
    if (*seen & 1u << resource)
        return config_fail(&type, err, "a second limit of the same type");

    *seen |= 1u << resource;
    record.resource = (uint32_t)resource;
    spec_writer_put(&builder->spec, THAW_SPEC_RLIMIT, &record, sizeof(record));
    return 0;
}

static int build_rlimits(struct bundle_builder *builder, const struct config_value *process,
                         struct thaw_error *err)
{
    struct config_value list;
    uint32_t seen = 0;
    int rc = config_array(process, "rlimits", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = build_rlimit(builder, &value, &seen, err);
    }
    return rc;
}

static int read_console_size(const struct config_value *process, struct thaw_spec_terminal *size,
                             struct thaw_error *err)
{
    struct config_value object;
    uint64_t rows = 0, cols = 0;
    int rc = config_object(process, "consoleSize", &object, err);
    if (rc == 0)
        rc = config_uint(&object, "height", UINT16_MAX, &rows, err);
    if (rc == 0)
        rc = config_uint(&object, "width", UINT16_MAX, &cols, err);
    *size = (struct thaw_spec_terminal){.rows = (uint16_t)rows, .cols = (uint16_t)cols};
    return rc;
}

/* The caller's size, where it has one, is that of the terminal in front of the person. */
static int build_terminal(struct bundle_builder *builder, const struct config_value *process,
                          struct thaw_error *err)
{
    struct thaw_spec_terminal record;
    int rc = config_bool(process, "terminal", &builder->bundle->terminal, err);
    if (rc == 0)
        rc = read_console_size(process, &record, err);
    if (rc < 0 || !builder->bundle->terminal)
        return rc;

    if (builder->options.rows > 0 && builder->options.cols > 0) {
        record.rows = builder->options.rows;
        record.cols = builder->options.cols;
    }
    spec_writer_put(&builder->spec, THAW_SPEC_TERMINAL, &record, sizeof(record));
    return 0;
}

static int build_privileges(struct bundle_builder *builder, const struct config_value *process,
                            struct thaw_error *err)
{
    bool no_new_privileges = false;
    int rc = config_bool(process, "noNewPrivileges", &no_new_privileges, err);
    if (rc == 0 && no_new_privileges)
        spec_writer_put(&builder->spec, THAW_SPEC_NO_NEW_PRIVS, NULL, 0);
    return rc;
}

static int refuse_properties(const struct config_value *process, struct thaw_error *err)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"apparmorProfile", "the guest kernel has no AppArmor"},
        {"selinuxLabel", "the guest kernel has no SELinux"},
        {"commandLine", "the guest is Linux: use args"},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < CONFIG_COUNT_OF(refused); i++) {
        const char *ignored;
        rc = config_string(process, refused[i].key, &ignored, err);
        if (rc == 0)
            rc = config_refuse(process, refused[i].key, refused[i].why, err);
    }
    return rc;
}

int build_process(struct bundle_builder *builder, const struct config_value *root,
                  struct thaw_error *err)
{
    struct config_value process = config_member(root, "process");
    int rc = config_as_object(&process, err);
    if (rc == 0)
        rc = build_args(builder, &process, err);
    if (rc == 0)
        rc = config_strings(&process, "env", put_env, builder, err);
    if (rc == 0)
        rc = build_cwd(builder, &process, err);
    if (rc == 0)
        rc = build_user(builder, &process, err);
    if (rc == 0)
        rc = build_capabilities(builder, &process, err);
    if (rc == 0)
        rc = build_rlimits(builder, &process, err);
    if (rc == 0)
        rc = build_privileges(builder, &process, err);
    if (rc == 0)
        rc = build_scheduling(builder, &process, err);
    if (rc == 0)
        rc = build_terminal(builder, &process, err);
    if (rc == 0)
        rc = refuse_properties(&process, err);
    return rc;
}
