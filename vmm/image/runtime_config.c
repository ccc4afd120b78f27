/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/runtime_config.h"

#include "vmm/bundle/image_store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_ANNOTATION "org.opencontainers.image."
#define DEFAULT_PATH     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What is the same for every image: the mounts, namespaces and hidden paths of `runc spec`, the
 * capabilities that docker gives. */
static const char base[] =
    "{\"ociVersion\": \"1.0.2\","
    " \"process\": {\"terminal\": false, \"user\": {}, \"args\": [], \"env\": [], \"cwd\": \"/\","
    "  \"capabilities\": {},"
    "  \"rlimits\": [{\"type\": \"RLIMIT_NOFILE\", \"hard\": 1048576, \"soft\": 1024}],"
    "  \"noNewPrivileges\": false},"
    " \"root\": {\"path\": \"" IMAGE_ROOT_FILE "\", \"readonly\": false},"
    " \"hostname\": \"\","
    " \"mounts\": ["
    "  {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\","
    "   \"options\": [\"nosuid\", \"noexec\", \"nodev\"]},"
    "  {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\","
    "   \"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},"
    "  {\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\","
    "   \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\","
    "    \"gid=5\"]},"
    "  {\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\","
    "   \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\"]},"
    "  {\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\","
    "   \"options\": [\"nosuid\", \"noexec\", \"nodev\"]},"
    "  {\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\","
    "   \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},"
    "  {\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\","
    "   \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}],"
    " \"linux\": {"
    "  \"resources\": {\"devices\": [{\"allow\": false, \"access\": \"rwm\"}]},"
    "  \"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"network\"}, {\"type\": \"ipc\"},"
    "   {\"type\": \"uts\"}, {\"type\": \"mount\"}],"
    "  \"maskedPaths\": [\"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\","
    "   \"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\","
    "   \"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\"],"
    "  \"readonlyPaths\": [\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\","
    "   \"/proc/sysrq-trigger\"]},"
    " \"annotations\": {}}";

static const char *const capabilities[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",    "CAP_SETFCAP",
    "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT",
};

static int fail_type(const char *field, const char *expected, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EINVAL, "image configuration: %.80s: must be %s",
                        field, expected);
}

/* A member that may be missing or null: NULL. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* Appends the strings of `field` to `to`. */
static int add_strings(const json_t *settings, const char *field, json_t *to,
                       struct thaw_error *err)
{
    const json_t *list = member(settings, field);
    if (list && !json_is_array(list))
        return fail_type(field, "a list of strings", err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        if (!json_is_string(item))
            return fail_type(field, "a list of strings", err);
        json_array_append(to, item);
    }
    return 0;
}

static int get_string(const json_t *object, const char *field, const char **out,
                      struct thaw_error *err)
{
    const json_t *value = member(object, field);
    if (value && !json_is_string(value))
        return fail_type(field, "a string", err);
    *out = value ? json_string_value(value) : NULL;
    return 0;
}

/* ---- process ------------------------------------------------------------------------------- */

static bool has_variable(const json_t *env, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *entry = json_string_value(json_array_get(env, i));
        if (strncmp(entry, name, length) == 0 && entry[length] == '=')
            return true;
    }
    return false;
}

static int set_env(const json_t *settings, const struct image_user *user, json_t *env,
                   struct thaw_error *err)
{
    int rc = add_strings(settings, "Env", env, err);
    if (rc < 0)
        return rc;
    if (!has_variable(env, "PATH"))
        json_array_append_new(env, json_string(DEFAULT_PATH));
    if (!has_variable(env, "HOME"))
        json_array_append_new(env, json_sprintf("HOME=%s", user->home));
    return 0;
}

static int set_args(const json_t *settings, json_t *args, size_t *entrypoint,
                    struct thaw_error *err)
{
    int rc = add_strings(settings, "Entrypoint", args, err);
    *entrypoint = json_array_size(args);
    if (rc == 0)
        rc = add_strings(settings, "Cmd", args, err);
    /* An image that names no command is usually a base image. */
    if (rc == 0 && json_array_size(args) == 0)
        json_array_append_new(args, json_string("/bin/sh"));
    return rc;
}

static int set_cwd(const json_t *settings, json_t *process, struct thaw_error *err)
{
    const char *cwd = NULL;
    int rc = get_string(settings, "WorkingDir", &cwd, err);
    if (rc == 0 && cwd && cwd[0] != '\0')
        json_object_set_new(process, "cwd", json_sprintf("%s%s", cwd[0] == '/' ? "" : "/", cwd));
    return rc;
}

static void set_user(const struct image_user *user, json_t *process)
{
    json_t *object = json_object_get(process, "user");
    json_object_set_new(object, "uid", json_integer(user->uid));
    json_object_set_new(object, "gid", json_integer(user->gid));
    if (user->group_count == 0)
        return;
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++)
        json_array_append_new(groups, json_integer(user->groups[i]));
    json_object_set_new(object, "additionalGids", groups);
}

static void set_capabilities(json_t *process)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    json_t *object = json_object_get(process, "capabilities");
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        json_t *list = json_array();
        for (size_t j = 0; j < sizeof(capabilities) / sizeof(capabilities[0]); j++)
            json_array_append_new(list, json_string(capabilities[j]));
        json_object_set_new(object, sets[i], list);
    }
}

/* ---- annotations --------------------------------------------------------------------------- */

static int annotate_strings(const json_t *image, const json_t *settings, json_t *annotations,
                            struct thaw_error *err)
{
    static const struct {
        const char *field, *key;
        bool in_settings;
    } fields[] = {
        {"os", IMAGE_ANNOTATION "os", false},
        {"architecture", IMAGE_ANNOTATION "architecture", false},
        {"variant", IMAGE_ANNOTATION "variant", false},
        {"os.version", IMAGE_ANNOTATION "os.version", false},
        {"author", IMAGE_ANNOTATION "author", false},
        {"created", IMAGE_ANNOTATION "created", false},
        {"StopSignal", IMAGE_ANNOTATION "stopSignal", true},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *value = NULL;
        int rc = get_string(fields[i].in_settings ? settings : image, fields[i].field, &value, err);
        if (rc < 0)
            return rc;
        if (value && value[0] != '\0')
            json_object_set_new(annotations, fields[i].key, json_string(value));
    }
    return 0;
}

/* Comma-separated keys, as conversion.md has it. */
static int annotate_ports(const json_t *settings, json_t *annotations, struct thaw_error *err)
{
    const json_t *ports = member(settings, "ExposedPorts");
    if (ports && !json_is_object(ports))
        return fail_type("ExposedPorts", "an object", err);
    const char *key;
    json_t *value, *list = NULL;
    json_object_foreach((json_t *)ports, key, value)
    {
        const char *before = json_string_value(list);
        json_t *longer = before ? json_sprintf("%s,%s", before, key) : json_string(key);
        json_decref(list);
        list = longer;
    }
    if (list)
        json_object_set_new(annotations, IMAGE_ANNOTATION "exposedPorts", list);
    return 0;
}

/* Labels come last: they win over what was derived. */
static int annotate_labels(const json_t *settings, json_t *annotations, struct thaw_error *err)
{
    const json_t *labels = member(settings, "Labels");
    if (labels && !json_is_object(labels))
        return fail_type("Labels", "an object", err);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        if (!json_is_string(value))
            return fail_type("Labels", "an object of strings", err);
        if (key[0] != '\0')
            json_object_set(annotations, key, value);
    }
    return 0;
}

static int set_annotations(const json_t *image, const json_t *settings, size_t entrypoint,
                           json_t *annotations, struct thaw_error *err)
{
    int rc = annotate_strings(image, settings, annotations, err);
    if (rc == 0)
        rc = annotate_ports(settings, annotations, err);
    if (rc == 0)
        rc = annotate_labels(settings, annotations, err);
    /* A label of this name would lie about the command line. */
    json_object_set_new(annotations, ANNOTATION_ENTRYPOINT, json_sprintf("%zu", entrypoint));
    return rc;
}

int runtime_config_make(const json_t *image, const struct image_user *user, const char *name,
                        json_t **config, struct thaw_error *err)
{
    const json_t *settings = member(image, "config");
    if (settings && !json_is_object(settings))
        return fail_type("config", "an object", err);
    json_t *made = json_loads(base, 0, NULL);
    if (!made)
        return thaw_fail(err, ENOMEM, "config.json");

    json_t *process = json_object_get(made, "process");
    size_t entrypoint = 0;
    json_object_set_new(made, "hostname", json_string(name));
    set_user(user, process);
    set_capabilities(process);
    int rc = set_args(settings, json_object_get(process, "args"), &entrypoint, err);
    if (rc == 0)
        rc = set_env(settings, user, json_object_get(process, "env"), err);
    if (rc == 0)
        rc = set_cwd(settings, process, err);
    if (rc == 0)
        rc =
            set_annotations(image, settings, entrypoint, json_object_get(made, "annotations"), err);
    if (rc < 0)
        json_decref(made);
    else
        *config = made;
    return rc;
}
