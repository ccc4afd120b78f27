/* SPDX-License-Identifier: Apache-2.0 */
/* linux.devices (nodes to make) and linux.resources.devices (who may use which). */
#include "vmm/bundle/builder.h"
#include "vmm/bundle/device_filter.h"

#include "thaw/spec.h"
#include "vmm/base/cleanup.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a dev_t has room for in the kernel (include/linux/kdev_t.h). */
#define MAJOR_MAX 4095u
#define MINOR_MAX 1048575u

#define MODE_BITS    07777u
#define MODE_DEFAULT 0666u

#define ACCESS_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)

#define CHAR_DEVICE(major, minor)                                                                  \
    {                                                                                              \
        BPF_DEVCG_DEV_CHAR, major, minor, minor, ACCESS_ALL, true                                  \
    }

/* Allowed after the bundle's own rules, whatever they say, as runc does: OCI's default devices,
 * and mknod of anything, since a node that may not be opened does no harm. */
static const struct device_rule default_rules[] = {
    {BPF_DEVCG_DEV_CHAR, DEVICE_ANY, 0, DEVICE_ANY, BPF_DEVCG_ACC_MKNOD, true},
    {BPF_DEVCG_DEV_BLOCK, DEVICE_ANY, 0, DEVICE_ANY, BPF_DEVCG_ACC_MKNOD, true},
    CHAR_DEVICE(1, 3),                                          /* null */
    CHAR_DEVICE(1, 5),                                          /* zero */
    CHAR_DEVICE(1, 7),                                          /* full */
    CHAR_DEVICE(1, 8),                                          /* random */
    CHAR_DEVICE(1, 9),                                          /* urandom */
    CHAR_DEVICE(5, 0),                                          /* tty */
    CHAR_DEVICE(5, 1),                                          /* console */
    CHAR_DEVICE(5, 2),                                          /* ptmx */
    {BPF_DEVCG_DEV_CHAR, 136, 0, DEVICE_ANY, ACCESS_ALL, true}, /* pts */
};

/* Never allowed, and so the last word: the control port and the mailbox belong to init. Numbers
 * from the kernel's admin-guide/devices.txt. */
static const struct device_rule reserved_rules[] = {
    {BPF_DEVCG_DEV_CHAR, 1, 1, 2, ACCESS_ALL, false},    /* mem, kmem */
    {BPF_DEVCG_DEV_CHAR, 1, 4, 4, ACCESS_ALL, false},    /* port */
    {BPF_DEVCG_DEV_CHAR, 4, 64, 255, ACCESS_ALL, false}, /* ttyS0 and on */
};

static bool is_reserved(uint32_t type, uint32_t major, uint32_t minor)
{
    for (size_t i = 0; i < CONFIG_COUNT_OF(reserved_rules); i++) {
        const struct device_rule *rule = &reserved_rules[i];
        if (type == rule->type && major == rule->major && minor >= rule->minor_first &&
            minor <= rule->minor_last)
            return true;
    }
    return false;
}

static int fail_reserved(const struct config_value *value, struct thaw_error *err)
{
    return config_fail(value, err, "this device is kept for the guest's init");
}

static uint32_t access_bit(char letter)
{
    switch (letter) {
    case 'r':
        return BPF_DEVCG_ACC_READ;
    case 'w':
        return BPF_DEVCG_ACC_WRITE;
    case 'm':
        return BPF_DEVCG_ACC_MKNOD;
    default:
        return 0;
    }
}

static int read_access(const struct config_value *value, uint32_t *access, struct thaw_error *err)
{
    const char *letters;
    int rc = config_as_string(value, &letters, err);
    if (rc < 0)
        return rc;
    if (letters[0] == '\0' || letters[strspn(letters, "rwm")] != '\0')
        return config_fail(value, err, "must be made of r, w and m");

    for (const char *at = letters; *at; at++)
        *access |= access_bit(*at);
    return 0;
}

/* Not given and -1 mean any. */
static int read_number(const struct config_value *object, const char *key, uint32_t max,
                       uint32_t *number, struct thaw_error *err)
{
    int64_t given = -1;
    int rc = config_int(object, key, -1, max, &given, err);
    *number = given < 0 ? DEVICE_ANY : (uint32_t)given;
    return rc;
}

static const struct config_name rule_types[] = {
    {"a", DEVICE_ANY}, {"b", BPF_DEVCG_DEV_BLOCK}, {"c", BPF_DEVCG_DEV_CHAR}};

static int read_rule(const struct config_value *value, struct device_rule *rule,
                     struct thaw_error *err)
{
    struct config_value allow = config_member(value, "allow");
    struct config_value type = config_member(value, "type");
    struct config_value access = config_member(value, "access");
    uint64_t type_number = DEVICE_ANY;
    uint32_t minor = DEVICE_ANY;

    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_as_bool(&allow, &rule->allow, err);
    if (rc == 0 && config_given(&type))
        rc = config_as_name(&type, "device type", rule_types, CONFIG_COUNT_OF(rule_types),
                            &type_number, err);
    if (rc == 0)
        rc = read_number(value, "major", MAJOR_MAX, &rule->major, err);
    if (rc == 0)
        rc = read_number(value, "minor", MINOR_MAX, &minor, err);
    if (rc == 0)
        rc = read_access(&access, &rule->access, err);
    if (rc < 0)
        return rc;

    rule->type = (uint32_t)type_number;
    rule->minor_first = minor == DEVICE_ANY ? 0 : minor;
    rule->minor_last = minor;
    if (rule->allow && minor != DEVICE_ANY && is_reserved(rule->type, rule->major, minor))
        return fail_reserved(value, err);
    return 0;
}

struct rule_list {
    struct device_rule *rules;
    size_t count;
    bool allow_rest;
};

static void add_rules(struct rule_list *list, const struct device_rule *rules, size_t count)
{
    memcpy(list->rules + list->count, rules, count * sizeof(*rules));
    list->count += count;
}

/* A rule of type "a" stands for all devices and all access, whatever else it says, and makes the
 * rules before it void: so it was in cgroup v1, and so runc reads it. */
static int read_rules(const struct config_value *array, struct rule_list *list,
                      struct thaw_error *err)
{
    for (size_t i = 0; i < config_count(array); i++) {
        struct config_value value = config_element(array, i);
        struct device_rule rule = {0};
        int rc = read_rule(&value, &rule, err);
        if (rc < 0)
            return rc;
        if (rule.type != DEVICE_ANY) {
            add_rules(list, &rule, 1);
        } else {
            list->count = 0;
            list->allow_rest = rule.allow;
        }
    }
    return 0;
}

static int put_filter(struct bundle_builder *builder, const struct config_value *array,
                      const struct rule_list *list, struct thaw_error *err)
{
    size_t size = device_filter_size_max(list->count);
    if (size > BPF_MAXINSNS)
        return config_fail(array, err, "needs more than the kernel's %d BPF instructions",
                           BPF_MAXINSNS);
    cleanup_free struct bpf_insn *program = calloc(size, sizeof(*program));
    if (!program)
        return thaw_fail(err, ENOMEM, "linux.resources.devices");

    size_t length = device_filter_generate(list->rules, list->count, list->allow_rest, program);
    spec_writer_put(&builder->spec, THAW_SPEC_DEVICE_FILTER, program, length * sizeof(*program));
    return 0;
}

int build_device_filter(struct bundle_builder *builder, const struct config_value *resources,
                        struct thaw_error *err)
{
    struct config_value array;
    int rc = config_array(resources, "devices", &array, err);
    if (rc < 0)
        return rc;

    size_t max =
        config_count(&array) + CONFIG_COUNT_OF(default_rules) + CONFIG_COUNT_OF(reserved_rules);
    struct rule_list list = {.rules = calloc(max, sizeof(*list.rules))};
    if (!list.rules)
        return thaw_fail(err, ENOMEM, "linux.resources.devices");
    rc = read_rules(&array, &list, err);
    if (rc == 0) {
        add_rules(&list, default_rules, CONFIG_COUNT_OF(default_rules));
        add_rules(&list, reserved_rules, CONFIG_COUNT_OF(reserved_rules));
        rc = put_filter(builder, &array, &list, err);
    }
    free(list.rules);
    return rc;
}

static const struct config_name node_types[] = {
    {"c", S_IFCHR}, {"u", S_IFCHR}, {"b", S_IFBLK}, {"p", S_IFIFO}};

static int read_node_number(const struct config_value *value, struct thaw_spec_device *record,
                            struct thaw_error *err)
{
    struct config_value major_value = config_member(value, "major");
    struct config_value minor_value = config_member(value, "minor");
    uint64_t major = 0, minor = 0;
    int rc = config_as_uint(&major_value, MAJOR_MAX, &major, err);
    if (rc == 0)
        rc = config_as_uint(&minor_value, MINOR_MAX, &minor, err);
    if (rc < 0)
        return rc;

    record->major = (uint32_t)major;
    record->minor = (uint32_t)minor;
    if (S_ISCHR(record->mode) && is_reserved(BPF_DEVCG_DEV_CHAR, record->major, record->minor))
        return fail_reserved(value, err);
    return 0;
}

static int read_node(const struct config_value *value, struct thaw_spec_device *record,
                     struct thaw_error *err)
{
    struct config_value type_value = config_member(value, "type");
    uint64_t type = 0;
    uint32_t mode = MODE_DEFAULT;
    int rc = config_as_name(&type_value, "device type", node_types, CONFIG_COUNT_OF(node_types),
                            &type, err);
    if (rc == 0)
        rc = config_u32(value, "fileMode", &mode, err);
    if (rc == 0)
        rc = config_u32(value, "uid", &record->uid, err);
    if (rc == 0)
        rc = config_u32(value, "gid", &record->gid, err);
    if (rc < 0)
        return rc;

    record->mode = (uint32_t)type | (mode & MODE_BITS);
    return type == S_IFIFO ? 0 : read_node_number(value, record, err);
}

static int build_device(struct bundle_builder *builder, const struct config_value *value,
                        struct thaw_error *err)
{
    int rc = config_as_object(value, err);
    if (rc < 0)
        return rc;

    struct config_value path_value = config_member(value, "path");
    struct thaw_spec_device record = {0};
    const char *path;
    rc = config_as_string(&path_value, &path, err);
    if (rc < 0)
        return rc;
    if (path[0] != '/')
        return config_fail(&path_value, err, "must be an absolute path");
    rc = read_node(value, &record, err);
    if (rc < 0)
        return rc;

    spec_writer_begin(&builder->spec, THAW_SPEC_DEVICE);
    spec_writer_append(&builder->spec, &record, sizeof(record));
    spec_writer_append_string(&builder->spec, path);
    spec_writer_end(&builder->spec);
    return 0;
}

int build_devices(struct bundle_builder *builder, const struct config_value *linux_,
                  struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(linux_, "devices", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = build_device(builder, &value, err);
    }
    return rc;
}
