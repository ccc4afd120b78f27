/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "guest/init-oci/spec.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

#define ALIGNMENT       8u
#define CAPABILITY_BITS 41 /* CAP_CHECKPOINT_RESTORE, the last one of Linux 6.1, is 40 */

static const char out_of_memory[] = "out of memory";

/* ---- lists: grown when their count is a power of two -------------------------------------- */

static void *room_for_one(void *items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return items;
    return reallocarray(items, count ? count * 2 : 1, size);
}

/* Appends `value`; evaluates to NULL, or to the reason why not. */
#define APPEND(list, value)                                                                        \
    __extension__({                                                                                \
        __typeof__((list)->items) grown_ =                                                         \
            room_for_one((list)->items, (list)->count, sizeof(*(list)->items));                    \
        if (grown_) {                                                                              \
            (list)->items = grown_;                                                                \
            grown_[(list)->count++] = (value);                                                     \
        }                                                                                          \
        grown_ ? NULL : out_of_memory;                                                             \
    })

/* ---- payloads ----------------------------------------------------------------------------- */

struct payload {
    const char *bytes; /* aligned to 8 */
    size_t length;
};

/* Splits all of [offset, length) into exactly `count` NUL-terminated strings. */
static bool split(const struct payload *payload, size_t offset, const char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (offset >= payload->length)
            return false;
        const char *start = payload->bytes + offset;
        const char *end = memchr(start, '\0', payload->length - offset);
        if (!end)
            return false;
        strings[i] = start;
        offset += (size_t)(end - start) + 1;
    }
    return offset == payload->length;
}

/* A record that is one structure, or starts with one and goes on when `more`. */
static bool starts_with(const struct payload *payload, void *to, size_t size, bool more)
{
    if (payload->length < size || (!more && payload->length != size))
        return false;
    memcpy(to, payload->bytes, size);
    return true;
}

static const char *take_struct(const struct payload *payload, void *to, size_t size)
{
    return starts_with(payload, to, size, false) ? NULL : "has a wrong length";
}

static const char *take_string(const struct payload *payload, const char **string)
{
    return split(payload, 0, string, 1) ? NULL : "is not one string";
}

static const char *take_flag(const struct payload *payload, bool *flag)
{
    *flag = true;
    return payload->length == 0 ? NULL : "is not empty";
}

static const char *take_strings(const struct payload *payload, struct spec_strings *list)
{
    const char *string;
    const char *why = take_string(payload, &string);
    return why ? why : APPEND(list, string);
}

static const char *take_setting(const struct payload *payload, struct spec_setting *setting)
{
    const char *strings[2];
    if (!split(payload, 0, strings, 2))
        return "is not a key and a value";
    *setting = (struct spec_setting){strings[0], strings[1]};
    return NULL;
}

/* Whether one component of the path is "..": a path with one could leave where it belongs. */
static bool climbs(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2) {
        if ((at == path || at[-1] == '/') && (at[2] == '\0' || at[2] == '/'))
            return true;
    }
    return false;
}

static const char *take_absolute(const struct payload *payload, const char **path)
{
    const char *why = take_string(payload, path);
    if (why)
        return why;
    return **path == '/' ? NULL : "is not an absolute path";
}

/* ---- process ------------------------------------------------------------------------------ */

static const char *take_arg(struct spec *spec, const struct payload *payload)
{
    return take_strings(payload, &spec->args);
}

static const char *take_env(struct spec *spec, const struct payload *payload)
{
    return take_strings(payload, &spec->env);
}

static const char *take_cwd(struct spec *spec, const struct payload *payload)
{
    return take_absolute(payload, &spec->cwd);
}

static const char *take_user(struct spec *spec, const struct payload *payload)
{
    if (!starts_with(payload, &spec->user, sizeof(spec->user), true))
        return "has a wrong length";
    size_t rest = payload->length - sizeof(spec->user);
    if (rest % sizeof(uint32_t) != 0 || rest / sizeof(uint32_t) != spec->user.additional_gid_count)
        return "has a wrong number of groups";
    if (spec->user.umask != THAW_SPEC_NO_UMASK && spec->user.umask > 0777)
        return "has a umask over 0777";
    spec->additional_gids = (const uint32_t *)(const void *)(payload->bytes + sizeof(spec->user));
    return NULL;
}

static const char *take_capabilities(struct spec *spec, const struct payload *payload)
{
    struct thaw_spec_capabilities *caps = &spec->capabilities;
    const char *why = take_struct(payload, caps, sizeof(*caps));
    if (why)
        return why;
    uint64_t all =
        caps->bounding | caps->effective | caps->inheritable | caps->permitted | caps->ambient;
    return all >> CAPABILITY_BITS ? "has an unknown capability" : NULL;
}

static const char *take_rlimit(struct spec *spec, const struct payload *payload)
{
    struct thaw_spec_rlimit limit;
    const char *why = take_struct(payload, &limit, sizeof(limit));
    if (why)
        return why;
    if (limit.resource >= RLIM_NLIMITS)
        return "is of an unknown resource";
    return APPEND(&spec->rlimits, limit);
}

static const char *take_no_new_privs(struct spec *spec, const struct payload *payload)
{
    return take_flag(payload, &spec->no_new_privs);
}

static const char *take_oom_score_adj(struct spec *spec, const struct payload *payload)
{
    spec->has_oom_score_adj = true;
    return take_struct(payload, &spec->oom_score_adj, sizeof(spec->oom_score_adj));
}

static const char *take_terminal(struct spec *spec, const struct payload *payload)
{
    spec->has_terminal = true;
    return take_struct(payload, &spec->terminal, sizeof(spec->terminal));
}

static const char *take_seccomp(struct spec *spec, const struct payload *payload)
{
    uint32_t head[2];
    if (!starts_with(payload, head, sizeof(head), true))
        return "has a wrong length";
    size_t rest = payload->length - sizeof(head);
    size_t count = rest / sizeof(struct sock_filter);
    if (rest % sizeof(struct sock_filter) != 0 || count == 0 || count > BPF_MAXINSNS)
        return "has a wrong number of instructions";
    spec->seccomp_flags = head[0];
    spec->seccomp.items = (const struct sock_filter *)(const void *)(payload->bytes + sizeof(head));
    spec->seccomp.count = count;
    return NULL;
}

static const char *take_scheduler(struct spec *spec, const struct payload *payload)
{
    spec->has_scheduler = true;
    return take_struct(payload, &spec->scheduler, sizeof(spec->scheduler));
}

static const char *take_io_priority(struct spec *spec, const struct payload *payload)
{
    spec->has_io_priority = true;
    return take_struct(payload, &spec->io_priority, sizeof(spec->io_priority));
}

static const char *take_personality(struct spec *spec, const struct payload *payload)
{
    spec->has_personality = true;
    return take_struct(payload, &spec->personality, sizeof(spec->personality));
}

/* ---- root, identity, mounts --------------------------------------------------------------- */

static const char *take_root_readonly(struct spec *spec, const struct payload *payload)
{
    return take_flag(payload, &spec->root_readonly);
}

static const char *take_root_device(struct spec *spec, const struct payload *payload)
{
    const char *strings[2];
    if (!split(payload, 0, strings, 2))
        return "is not a serial number and a type";
    spec->root_serial = strings[0];
    spec->root_type = strings[1];
    return strings[0][0] != '\0' && strings[1][0] != '\0' ? NULL : "is empty";
}

static const char *take_disk(struct spec *spec, const struct payload *payload)
{
    struct spec_disk disk;
    const char *strings[2];
    if (!starts_with(payload, &disk.info, sizeof(disk.info), true) ||
        !split(payload, sizeof(disk.info), strings, 2))
        return "is not a serial number and a type";
    disk.serial = strings[0];
    disk.type = strings[1];
    if (disk.serial[0] == '\0' || disk.serial[0] == '.' || strchr(disk.serial, '/'))
        return "has a serial number that is no file name";
    if (disk.type[0] == '\0' || (disk.info.flags & ~(uint64_t)MS_RDONLY))
        return "has no type, or flags other than MS_RDONLY";
    return APPEND(&spec->disks, disk);
}

static const char *take_root_propagation(struct spec *spec, const struct payload *payload)
{
    return take_struct(payload, &spec->root_propagation, sizeof(spec->root_propagation));
}

static const char *take_hostname(struct spec *spec, const struct payload *payload)
{
    return take_string(payload, &spec->hostname);
}

static const char *take_domainname(struct spec *spec, const struct payload *payload)
{
    return take_string(payload, &spec->domainname);
}

static const char *take_mount(struct spec *spec, const struct payload *payload)
{
    struct spec_mount mount;
    const char *strings[4];
    if (!starts_with(payload, &mount.info, sizeof(mount.info), true) ||
        !split(payload, sizeof(mount.info), strings, 4))
        return "is not four strings";
    mount.source = strings[0];
    mount.destination = strings[1];
    mount.type = strings[2];
    mount.data = strings[3];
    if (mount.destination[0] != '/')
        return "has a destination that is not absolute";
    if (climbs(mount.source))
        return "has a source with \"..\"";
    return APPEND(&spec->mounts, mount);
}

static const char *take_masked_path(struct spec *spec, const struct payload *payload)
{
    const char *path;
    const char *why = take_absolute(payload, &path);
    return why ? why : APPEND(&spec->masked_paths, path);
}

static const char *take_readonly_path(struct spec *spec, const struct payload *payload)
{
    const char *path;
    const char *why = take_absolute(payload, &path);
    return why ? why : APPEND(&spec->readonly_paths, path);
}

static const char *take_device(struct spec *spec, const struct payload *payload)
{
    struct spec_device device;
    if (!starts_with(payload, &device.info, sizeof(device.info), true) ||
        !split(payload, sizeof(device.info), &device.path, 1))
        return "is not one path";
    if (device.path[0] != '/')
        return "is not an absolute path";
    mode_t type = device.info.mode & S_IFMT;
    if (type != S_IFCHR && type != S_IFBLK && type != S_IFIFO)
        return "is no device";
    return APPEND(&spec->devices, device);
}

/* ---- kernel settings ---------------------------------------------------------------------- */

#define NAMESPACES                                                                                 \
    ((uint64_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |      \
                CLONE_NEWPID | CLONE_NEWTIME))

static const char *take_namespaces(struct spec *spec, const struct payload *payload)
{
    const char *why = take_struct(payload, &spec->namespaces, sizeof(spec->namespaces));
    if (why)
        return why;
    /* The network namespace is the VM's own. */
    return spec->namespaces & ~NAMESPACES ? "has an unknown namespace" : NULL;
}

static const char *read_id_map(const struct payload *payload, struct thaw_spec_id_map *map)
{
    const char *why = take_struct(payload, map, sizeof(*map));
    if (why)
        return why;
    if (map->size == 0 || map->size > UINT32_MAX - map->container_id ||
        map->size > UINT32_MAX - map->host_id)
        return "has an impossible range";
    return NULL;
}

static const char *take_uid_map(struct spec *spec, const struct payload *payload)
{
    struct thaw_spec_id_map map;
    const char *why = read_id_map(payload, &map);
    return why ? why : APPEND(&spec->uid_maps, map);
}

static const char *take_gid_map(struct spec *spec, const struct payload *payload)
{
    struct thaw_spec_id_map map;
    const char *why = read_id_map(payload, &map);
    return why ? why : APPEND(&spec->gid_maps, map);
}

static const char *take_sysctl(struct spec *spec, const struct payload *payload)
{
    struct spec_setting setting;
    const char *why = take_setting(payload, &setting);
    return why ? why : APPEND(&spec->sysctls, setting);
}

static const char *take_cgroup_file(struct spec *spec, const struct payload *payload)
{
    struct spec_setting setting;
    const char *why = take_setting(payload, &setting);
    if (why)
        return why;
    if (strchr(setting.key, '/') || !strchr(setting.key, '.') || climbs(setting.key))
        return "is not a file of a cgroup";
    return APPEND(&spec->cgroup_files, setting);
}

static const char *take_cgroup_path(struct spec *spec, const struct payload *payload)
{
    const char *why = take_absolute(payload, &spec->cgroup_path);
    if (why)
        return why;
    /* The root cgroup is init's: it can neither be limited nor killed. */
    bool root = spec->cgroup_path[strspn(spec->cgroup_path, "/")] == '\0';
    return root || climbs(spec->cgroup_path) ? "is not below the root" : NULL;
}

static const char *take_device_filter(struct spec *spec, const struct payload *payload)
{
    size_t count = payload->length / sizeof(struct bpf_insn);
    if (payload->length % sizeof(struct bpf_insn) != 0 || count == 0 || count > BPF_MAXINSNS)
        return "has a wrong number of instructions";
    spec->device_filter.items = (const struct bpf_insn *)(const void *)payload->bytes;
    spec->device_filter.count = count;
    return NULL;
}

static const char *take_time_offset(struct spec *spec, const struct payload *payload)
{
    struct spec_time_offset offset;
    const char *why = take_struct(payload, &offset, sizeof(offset));
    if (why)
        return why;
    if (offset.clock != CLOCK_MONOTONIC && offset.clock != CLOCK_BOOTTIME)
        return "is of an unknown clock";
    return APPEND(&spec->time_offsets, offset);
}

static const char *take_warmup(struct spec *spec, const struct payload *payload)
{
    return take_string(payload, &spec->warmup);
}

/* ---- the walk ----------------------------------------------------------------------------- */

static const struct rule {
    uint32_t tag;
    bool once;
    const char *(*take)(struct spec *spec, const struct payload *payload);
} rules[] = {
    {THAW_SPEC_ARG, false, take_arg},
    {THAW_SPEC_ENV, false, take_env},
    {THAW_SPEC_CWD, true, take_cwd},
    {THAW_SPEC_USER, true, take_user},
    {THAW_SPEC_CAPABILITIES, true, take_capabilities},
    {THAW_SPEC_RLIMIT, false, take_rlimit},
    {THAW_SPEC_NO_NEW_PRIVS, true, take_no_new_privs},
    {THAW_SPEC_OOM_SCORE_ADJ, true, take_oom_score_adj},
    {THAW_SPEC_TERMINAL, true, take_terminal},
    {THAW_SPEC_SECCOMP, true, take_seccomp},
    {THAW_SPEC_SCHEDULER, true, take_scheduler},
    {THAW_SPEC_IOPRIORITY, true, take_io_priority},
    {THAW_SPEC_PERSONALITY, true, take_personality},
    {THAW_SPEC_ROOT_READONLY, true, take_root_readonly},
    {THAW_SPEC_ROOT_DEVICE, true, take_root_device},
    {THAW_SPEC_DISK, false, take_disk},
    {THAW_SPEC_ROOT_PROPAGATION, true, take_root_propagation},
    {THAW_SPEC_HOSTNAME, true, take_hostname},
    {THAW_SPEC_DOMAINNAME, true, take_domainname},
    {THAW_SPEC_MOUNT, false, take_mount},
    {THAW_SPEC_MASKED_PATH, false, take_masked_path},
    {THAW_SPEC_READONLY_PATH, false, take_readonly_path},
    {THAW_SPEC_DEVICE, false, take_device},
    {THAW_SPEC_NAMESPACES, true, take_namespaces},
    {THAW_SPEC_UID_MAP, false, take_uid_map},
    {THAW_SPEC_GID_MAP, false, take_gid_map},
    {THAW_SPEC_SYSCTL, false, take_sysctl},
    {THAW_SPEC_CGROUP_FILE, false, take_cgroup_file},
    {THAW_SPEC_CGROUP_PATH, true, take_cgroup_path},
    {THAW_SPEC_DEVICE_FILTER, true, take_device_filter},
    {THAW_SPEC_TIME_OFFSET, false, take_time_offset},
    {THAW_SPEC_WARMUP, true, take_warmup},
};

#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

struct walk {
    const char *data;
    size_t size, offset;
    bool seen[RULE_COUNT];
};

/* The one place where the file's lengths are trusted, after they were checked. Sizes are at most
 * THAW_SPEC_SIZE_MAX, so no sum here overflows. */
static const char *next_record(struct walk *walk, struct thaw_spec_record *record,
                               struct payload *payload)
{
    if (walk->size - walk->offset < sizeof(*record))
        return "is cut off";
    memcpy(record, walk->data + walk->offset, sizeof(*record));
    size_t start = walk->offset + sizeof(*record);
    if (record->length > walk->size - start)
        return "is longer than the file";

    size_t padded = (record->length + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (padded > walk->size - start)
        return "is not padded";
    *payload = (struct payload){walk->data + start, record->length};
    walk->offset = start + padded;
    return NULL;
}

static const char *take_record(struct walk *walk, struct spec *spec, uint32_t tag,
                               const struct payload *payload)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (rules[i].tag != tag)
            continue;
        if (rules[i].once && walk->seen[i])
            return "is there twice";
        walk->seen[i] = true;
        return rules[i].take(spec, payload);
    }
    return tag & THAW_SPEC_CRITICAL ? "is of an unknown kind" : NULL;
}

static const char *take_records(struct walk *walk, struct spec *spec, struct spec_problem *problem)
{
    while (walk->offset < walk->size) {
        problem->offset = walk->offset;
        struct thaw_spec_record record = {0};
        struct payload payload;
        const char *why = next_record(walk, &record, &payload);
        problem->tag = record.tag;
        if (!why)
            why = take_record(walk, spec, record.tag, &payload);
        if (why)
            return why;
    }
    return NULL;
}

static const char *check_header(const void *data, size_t size)
{
    struct thaw_spec_header header;
    if (size < sizeof(header))
        return "the file is cut off";
    memcpy(&header, data, sizeof(header));
    if (header.magic != THAW_SPEC_MAGIC)
        return "the file is no workload spec";
    if (header.version != THAW_SPEC_VERSION)
        return "the file has another version than init";
    if (header.length != size || size > THAW_SPEC_SIZE_MAX)
        return "the file has a wrong length";
    if (header.checksum != XXH3_64bits((const char *)data + sizeof(header), size - sizeof(header)))
        return "the file is damaged (checksum)";
    return NULL;
}

/* What only the whole can tell: lists end in NULL, defaults are set, parts fit together. */
static const char *finish(struct spec *spec)
{
    const char *why = spec->args.count == 0 ? "the file has no arguments" : NULL;
    struct spec_strings *lists[] = {&spec->args, &spec->env, &spec->masked_paths,
                                    &spec->readonly_paths};
    for (size_t i = 0; !why && i < sizeof(lists) / sizeof(lists[0]); i++) {
        why = APPEND(lists[i], NULL);
        lists[i]->count -= why ? 0 : 1;
    }
    if (!spec->cwd)
        spec->cwd = "/";
    if (!spec->cgroup_path)
        spec->cgroup_path = "/workload";
    spec->namespaces |= CLONE_NEWNS;
    if (why)
        return why;

    bool user = spec->namespaces & CLONE_NEWUSER;
    if (user != (spec->uid_maps.count > 0) || user != (spec->gid_maps.count > 0))
        return "the file has a user namespace or id maps without the other";
    if (spec->time_offsets.count > 0 && !(spec->namespaces & CLONE_NEWTIME))
        return "the file has time offsets without a time namespace";
    return NULL;
}

int spec_parse(const void *data, size_t size, struct spec *spec, struct spec_problem *problem)
{
    *spec = (struct spec){.user.umask = THAW_SPEC_NO_UMASK};
    *problem = (struct spec_problem){0};

    const char *why = check_header(data, size);
    if (!why) {
        struct walk walk = {.data = data, .size = size, .offset = sizeof(struct thaw_spec_header)};
        why = take_records(&walk, spec, problem);
    }
    if (!why) {
        *problem = (struct spec_problem){0};
        why = finish(spec);
    }
    if (!why)
        return 0;

    problem->why = why;
    spec_free(spec);
    return why == out_of_memory ? -ENOMEM : -EINVAL;
}

void spec_free(struct spec *spec)
{
    free(spec->args.items);
    free(spec->env.items);
    free(spec->rlimits.items);
    free(spec->disks.items);
    free(spec->mounts.items);
    free(spec->masked_paths.items);
    free(spec->readonly_paths.items);
    free(spec->devices.items);
    free(spec->uid_maps.items);
    free(spec->gid_maps.items);
    free(spec->sysctls.items);
    free(spec->cgroup_files.items);
    free(spec->time_offsets.items);
    *spec = (struct spec){0};
}

static uint32_t mapped(const struct thaw_spec_id_map *maps, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size)
            return maps[i].host_id + (id - maps[i].container_id);
    }
    return count == 0 ? id : (uint32_t)-1;
}

uint32_t spec_host_uid(const struct spec *spec, uint32_t uid)
{
    return mapped(spec->uid_maps.items, spec->uid_maps.count, uid);
}

uint32_t spec_host_gid(const struct spec *spec, uint32_t gid)
{
    return mapped(spec->gid_maps.items, spec->gid_maps.count, gid);
}
