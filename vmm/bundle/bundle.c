/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/bundle.h"

#include "thaw/spec.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/bundle/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Linux: __NEW_UTS_LEN, for both names. */
#define UTS_NAME_MAX 64

static int check_directory(const char *path, struct thaw_error *err)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        thaw_fail(err, errno, "%s", path);
        return thaw_reclassify(err, THAW_FAIL_BUNDLE);
    }
    if (!S_ISDIR(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_BUNDLE, ENOTDIR, "%s: not a directory", path);
    return 0;
}

static int read_config(const char *dir, json_t **config, struct thaw_error *err)
{
    int rc = check_directory(dir, err);
    if (rc < 0)
        return rc;

    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/config.json", dir) < 0)
        return thaw_fail(err, ENOMEM, "%s", dir);

    cleanup_free char *text = NULL;
    size_t size;
    rc = file_read_all(path, CONFIG_SIZE_MAX, THAW_FAIL_BUNDLE, &text, &size, err);
    if (rc == -EFBIG)
        return thaw_reclassify(err, THAW_FAIL_CONFIG);
    if (rc < 0)
        return rc;
    return config_parse(text, size, config, err);
}

/* SemVer 2.0.0, major version 1: "1.", digits, ".", digits, and then nothing, "-..." or "+...". */
static bool version_is_supported(const char *version)
{
    if (strncmp(version, "1.", 2) != 0)
        return false;
    const char *at = version + 2;
    size_t minor = strspn(at, "0123456789");
    if (minor == 0 || at[minor] != '.')
        return false;
    at += minor + 1;
    size_t patch = strspn(at, "0123456789");
    return patch > 0 && (at[patch] == '\0' || at[patch] == '-' || at[patch] == '+');
}

static int check_version(const struct config_value *root, struct thaw_error *err)
{
    struct config_value value = config_member(root, "ociVersion");
    const char *version;
    int rc = config_as_string(&value, &version, err);
    if (rc < 0)
        return rc;
    if (!version_is_supported(version))
        return config_fail(&value, err, "%s is not a version 1.x of the OCI runtime specification",
                           version);
    return 0;
}

static int refuse_platforms(const struct config_value *root, struct thaw_error *err)
{
    static const struct config_name refused[] = {
        {"vm", 0}, {"windows", 0}, {"solaris", 0}, {"zos", 0}, {"freebsd", 0},
    };
    for (size_t i = 0; i < CONFIG_COUNT_OF(refused); i++) {
        struct config_value platform;
        int rc = config_object(root, refused[i].name, &platform, err);
        if (rc == 0)
            rc = config_refuse(root, refused[i].name,
                               i == 0 ? "the kernel and the machine are given to thaw, not by the "
                                        "bundle"
                                      : "the guest is Linux",
                               err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int refuse_hooks(const struct config_value *root, struct thaw_error *err)
{
    static const char *const names[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    struct config_value hooks;
    int rc = config_object(root, "hooks", &hooks, err);
    for (size_t i = 0; rc == 0 && i < CONFIG_COUNT_OF(names); i++) {
        struct config_value list;
        rc = config_array(&hooks, names[i], &list, err);
        if (rc == 0)
            rc = config_refuse(&hooks, names[i],
                               "hooks are not run: a microVM has no host-side container to hook "
                               "into",
                               err);
    }
    return rc;
}

static bool is_image(const char *path)
{
    uint64_t size;
    struct thaw_error unused;
    cleanup_close int fd = file_open_regular(path, THAW_FAIL_BUNDLE, &size, &unused);
    return fd >= 0 && has_erofs(fd);
}

/* What it is shows only on the disk; whether it is anything at all is said last, by load(). */
static int build_root_image(struct bundle_builder *builder, struct thaw_error *err)
{
    struct bundle *bundle = builder->bundle;
    if (!is_image(bundle->root))
        return 0;
    bundle->root_image = realpath(bundle->root, NULL);
    if (!bundle->root_image)
        return thaw_fail(err, errno, "%s", bundle->root);
    spec_writer_put_strings(&builder->spec, THAW_SPEC_ROOT_DEVICE, THAW_SPEC_ROOT_SERIAL, "erofs");
    return 0;
}

static int build_root(struct bundle_builder *builder, const struct config_value *root,
                      struct thaw_error *err)
{
    struct config_value object = config_member(root, "root");
    int rc = config_as_object(&object, err);
    if (rc < 0)
        return rc;

    struct config_value value = config_member(&object, "path");
    const char *path;
    rc = config_as_string(&value, &path, err);
    if (rc < 0)
        return rc;
    if (path[0] == '\0')
        return config_fail(&value, err, "must not be empty");
    bool absolute = path[0] == '/';
    if (asprintf(&builder->bundle->root, "%s%s%s", absolute ? "" : builder->dir,
                 absolute ? "" : "/", path) < 0) {
        builder->bundle->root = NULL;
        return thaw_fail(err, ENOMEM, "root.path");
    }

    bool readonly = false;
    rc = config_bool(&object, "readonly", &readonly, err);
    if (rc < 0)
        return rc;
    if (readonly)
        spec_writer_put(&builder->spec, THAW_SPEC_ROOT_READONLY, NULL, 0);
    return build_root_image(builder, err);
}

static int build_uts_name(struct bundle_builder *builder, const struct config_value *root,
                          const char *key, uint32_t tag, const char **out, struct thaw_error *err)
{
    struct config_value value = config_member(root, key);
    const char *name = NULL;
    int rc = config_given(&value) ? config_as_string(&value, &name, err) : 0;
    if (rc < 0 || !name || name[0] == '\0')
        return rc;
    if (strlen(name) > UTS_NAME_MAX)
        return config_fail(&value, err, "must have at most %d bytes", UTS_NAME_MAX);
    spec_writer_put_string(&builder->spec, tag, name);
    if (out)
        *out = name;
    return 0;
}

static int put_annotation(void *context, const struct config_value *value, const char *string,
                          struct thaw_error *err)
{
    struct spec_writer *spec = context;
    if (value->key[0] == '\0')
        return config_fail(value, err, "an annotation's name must not be empty");
    spec_writer_put_strings(spec, THAW_SPEC_ANNOTATION, value->key, string);
    return 0;
}

static int build_identity(struct bundle_builder *builder, const struct config_value *root,
                          struct thaw_error *err)
{
    int rc = build_uts_name(builder, root, "hostname", THAW_SPEC_HOSTNAME,
                            &builder->bundle->hostname, err);
    if (rc == 0)
        rc = build_uts_name(builder, root, "domainname", THAW_SPEC_DOMAINNAME, NULL, err);
    if (rc == 0)
        rc = config_string_map(root, "annotations", put_annotation, &builder->spec, err);
    return rc;
}

static int build_all(struct bundle_builder *builder, const struct config_value *root,
                     struct thaw_error *err)
{
    int rc = config_as_object(root, err);
    if (rc == 0)
        rc = check_version(root, err);
    if (rc == 0)
        rc = refuse_platforms(root, err);
    if (rc == 0)
        rc = refuse_hooks(root, err);
    if (rc == 0)
        rc = build_process(builder, root, err);
    if (rc == 0)
        rc = build_root(builder, root, err);
    if (rc == 0)
        rc = build_identity(builder, root, err);
    if (rc == 0)
        rc = build_mounts(builder, root, err);
    if (rc == 0)
        rc = build_disks(builder, err);
    if (rc == 0)
        rc = build_linux(builder, root, err);
    return rc;
}

static void put_warmup(struct bundle_builder *builder)
{
    if (builder->options.warmup)
        spec_writer_put_string(&builder->spec, THAW_SPEC_WARMUP, builder->options.warmup);
}

static int build_spec(struct bundle *bundle, const char *dir, const struct bundle_options *options,
                      struct thaw_error *err)
{
    struct bundle_builder builder = {.dir = dir, .bundle = bundle};
    if (options)
        builder.options = *options;

    struct config_value root = config_root(bundle->config);
    int rc = spec_writer_init(&builder.spec, err);
    if (rc == 0)
        rc = build_all(&builder, &root, err);
    if (rc == 0) {
        put_warmup(&builder);
        rc = spec_writer_finish(&builder.spec, &bundle->spec, &bundle->spec_size, err);
    }
    spec_writer_destroy(&builder.spec);
    return rc;
}

static int check_root(const struct bundle *bundle, struct thaw_error *err)
{
    struct stat st;
    if (bundle->root_image)
        return 0;
    if (stat(bundle->root, &st) == 0 && S_ISREG(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_BUNDLE, ENOTDIR,
                            "%s: neither a directory nor an EROFS image", bundle->root);
    return check_directory(bundle->root, err);
}

/* How many of process.args the new ones come after. */
static int entrypoint_args(const json_t *config, size_t count, size_t *kept, struct thaw_error *err)
{
    static const char key[] = "dev.thaw.entrypoint-args";
    const char *text =
        json_string_value(json_object_get(json_object_get(config, "annotations"), key));
    *kept = 0;
    if (!text)
        return 0;
    char *rest;
    errno = 0;
    unsigned long number = strtoul(text, &rest, 10);
    if (errno || text[0] < '0' || text[0] > '9' || *rest != '\0' || number > count)
        return thaw_fail_as(err, THAW_FAIL_CONFIG, EINVAL,
                            "config.json: annotations.%s: must be a number of process.args", key);
    *kept = number;
    return 0;
}

/* In the parsed config, so that what is built from it, and shown of it, is one and the same. */
static int replace_args(json_t *config, const struct bundle_options *options, size_t kept,
                        struct thaw_error *err)
{
    json_t *process = json_object_get(config, "process");
    const json_t *old = json_object_get(process, "args");
    json_t *args = json_array();
    int rc = args ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < kept; i++)
        rc = json_array_append(args, json_array_get(old, i));
    for (size_t i = 0; rc == 0 && i < options->arg_count; i++)
        rc = json_array_append_new(args, json_string_nocheck(options->args[i]));
    if (rc == 0)
        rc = json_object_set(process, "args", args);
    json_decref(args);
    return rc == 0 || !process ? 0 : thaw_fail(err, ENOMEM, "process.args");
}

/* Whether an entry of process.env is of the same key as `variable`. */
static bool is_of_key(const json_t *entry, const char *variable)
{
    const char *text = json_string_value(entry);
    return text && strncmp(text, variable, strcspn(variable, "=") + 1) == 0;
}

static int set_variable(json_t *env, const char *variable)
{
    for (size_t i = json_array_size(env); i-- > 0;)
        if (is_of_key(json_array_get(env, i), variable))
            json_array_remove(env, i);
    return json_array_append_new(env, json_string_nocheck(variable));
}

static int override_env(json_t *config, const struct bundle_options *options,
                        struct thaw_error *err)
{
    json_t *process = json_object_get(config, "process");
    json_t *env = json_object_get(process, "env");
    int rc = 0;
    if (process && (!env || json_is_null(env)))
        rc = json_object_set_new(process, "env", env = json_array());
    if (!json_is_array(env)) /* nothing to add to: what is wrong is said later */
        return rc == 0 ? 0 : thaw_fail(err, ENOMEM, "process.env");
    for (size_t i = 0; rc == 0 && i < options->env_count; i++)
        rc = set_variable(env, options->env[i]);
    return rc == 0 ? 0 : thaw_fail(err, ENOMEM, "process.env");
}

static int find_entrypoint(struct bundle *bundle, struct thaw_error *err)
{
    const json_t *process = json_object_get(bundle->config, "process");
    size_t count = json_array_size(json_object_get(process, "args"));
    return entrypoint_args(bundle->config, count, &bundle->entrypoint_count, err);
}

static int load(struct bundle *bundle, const char *dir, const struct bundle_options *options,
                struct thaw_error *err)
{
    int rc = read_config(dir, &bundle->config, err);
    bool replaces = options && options->arg_count > 0;
    /* What it says of the arguments is of no matter until there are others. */
    struct thaw_error ignored, *said = replaces ? err : &ignored;
    if (rc == 0 && find_entrypoint(bundle, said) < 0 && replaces)
        rc = thaw_error_code(err);
    if (rc == 0 && replaces)
        rc = replace_args(bundle->config, options, bundle->entrypoint_count, err);
    if (rc == 0 && options && options->env_count > 0)
        rc = override_env(bundle->config, options, err);
    if (rc == 0)
        rc = build_spec(bundle, dir, options, err);
    if (rc == 0)
        rc = check_root(bundle, err);
    return rc;
}

int bundle_load(const char *dir, const struct bundle_options *options, struct bundle **out,
                struct thaw_error *err)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    if (!bundle)
        return thaw_fail(err, ENOMEM, "%s", dir);
    int rc = load(bundle, dir, options, err);
    if (rc < 0) {
        bundle_destroy(bundle);
        return rc;
    }
    *out = bundle;
    return 0;
}

void bundle_destroy(struct bundle *bundle)
{
    if (!bundle)
        return;
    for (size_t i = 0; i < bundle->pack_count; i++)
        free(bundle->packs[i].source);
    free(bundle->packs);
    free(bundle->args);
    free(bundle->root);
    free(bundle->root_image);
    free(bundle->spec);
    json_decref(bundle->config);
    free(bundle);
}

const char *bundle_annotation(const struct bundle *bundle, const char *key)
{
    const json_t *annotations = json_object_get(bundle->config, "annotations");
    return json_string_value(json_object_get(annotations, key));
}
