/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* mount(2) takes at most a page of data, its NUL included. */
#define MOUNT_DATA_MAX 4095

enum option_kind {
    OPTION_SET,         /* set these MS_* flags */
    OPTION_CLEAR,       /* clear them */
    OPTION_PROPAGATION, /* change the propagation once mounted */
    OPTION_EXTRA,       /* set these THAW_SPEC_MOUNT_* flags */
    OPTION_REFUSED,
};

struct option {
    const char *name;
    enum option_kind kind;
    uint64_t flags;
};

/* mount(8)'s file-system-independent options and the ones that OCI adds. What is not here is the
 * file system's own and goes into its data. */
static const struct option options[] = {
    {"async", OPTION_CLEAR, MS_SYNCHRONOUS},
    {"atime", OPTION_CLEAR, MS_NOATIME},
    {"bind", OPTION_SET, MS_BIND},
    {"defaults", OPTION_SET, 0},
    {"dev", OPTION_CLEAR, MS_NODEV},
    {"diratime", OPTION_CLEAR, MS_NODIRATIME},
    {"dirsync", OPTION_SET, MS_DIRSYNC},
    {"exec", OPTION_CLEAR, MS_NOEXEC},
    {"iversion", OPTION_SET, MS_I_VERSION},
    {"lazytime", OPTION_SET, MS_LAZYTIME},
    {"loud", OPTION_CLEAR, MS_SILENT},
    {"mand", OPTION_SET, MS_MANDLOCK},
    {"noatime", OPTION_SET, MS_NOATIME},
    {"nodev", OPTION_SET, MS_NODEV},
    {"nodiratime", OPTION_SET, MS_NODIRATIME},
    {"noexec", OPTION_SET, MS_NOEXEC},
    {"noiversion", OPTION_CLEAR, MS_I_VERSION},
    {"nolazytime", OPTION_CLEAR, MS_LAZYTIME},
    {"nomand", OPTION_CLEAR, MS_MANDLOCK},
    {"norelatime", OPTION_CLEAR, MS_RELATIME},
    {"nostrictatime", OPTION_CLEAR, MS_STRICTATIME},
    {"nosuid", OPTION_SET, MS_NOSUID},
    {"nosymfollow", OPTION_SET, MS_NOSYMFOLLOW},
    {"rbind", OPTION_SET, MS_BIND | MS_REC},
    {"relatime", OPTION_SET, MS_RELATIME},
    {"remount", OPTION_SET, MS_REMOUNT},
    {"ro", OPTION_SET, MS_RDONLY},
    {"rw", OPTION_CLEAR, MS_RDONLY},
    {"silent", OPTION_SET, MS_SILENT},
    {"strictatime", OPTION_SET, MS_STRICTATIME},
    {"suid", OPTION_CLEAR, MS_NOSUID},
    {"symfollow", OPTION_CLEAR, MS_NOSYMFOLLOW},
    {"sync", OPTION_SET, MS_SYNCHRONOUS},

    {"private", OPTION_PROPAGATION, MS_PRIVATE},
    {"rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC},
    {"shared", OPTION_PROPAGATION, MS_SHARED},
    {"rshared", OPTION_PROPAGATION, MS_SHARED | MS_REC},
    {"slave", OPTION_PROPAGATION, MS_SLAVE},
    {"rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC},
    {"unbindable", OPTION_PROPAGATION, MS_UNBINDABLE},
    {"runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC},

    {"tmpcopyup", OPTION_EXTRA, THAW_SPEC_MOUNT_TMPCOPYUP},
    {"rro", OPTION_EXTRA, THAW_SPEC_MOUNT_RECURSIVE_RO},

    {"idmap", OPTION_REFUSED, 0},
    {"ridmap", OPTION_REFUSED, 0},
    {"ratime", OPTION_REFUSED, 0},
    {"rdev", OPTION_REFUSED, 0},
    {"rdiratime", OPTION_REFUSED, 0},
    {"rexec", OPTION_REFUSED, 0},
    {"rnoatime", OPTION_REFUSED, 0},
    {"rnodev", OPTION_REFUSED, 0},
    {"rnodiratime", OPTION_REFUSED, 0},
    {"rnoexec", OPTION_REFUSED, 0},
    {"rnorelatime", OPTION_REFUSED, 0},
    {"rnostrictatime", OPTION_REFUSED, 0},
    {"rnosuid", OPTION_REFUSED, 0},
    {"rnosymfollow", OPTION_REFUSED, 0},
    {"rrelatime", OPTION_REFUSED, 0},
    {"rrw", OPTION_REFUSED, 0},
    {"rstrictatime", OPTION_REFUSED, 0},
    {"rsuid", OPTION_REFUSED, 0},
    {"rsymfollow", OPTION_REFUSED, 0},
};

struct mount {
    struct thaw_spec_mount record;
    const char *destination, *type, *source;
    char data[MOUNT_DATA_MAX + 1];
    size_t data_length;
};

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < CONFIG_COUNT_OF(options); i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

int build_propagation(const struct config_value *value, const char *name, uint64_t *flags,
                      struct thaw_error *err)
{
    const struct option *option = find_option(name);
    if (!option || option->kind != OPTION_PROPAGATION)
        return config_fail(value, err, "unknown mount propagation %s", name);
    *flags = option->flags;
    return 0;
}

static int add_data(struct mount *mount, const struct config_value *value, const char *string,
                    struct thaw_error *err)
{
    size_t length = strlen(string);
    size_t comma = mount->data_length > 0 ? 1 : 0;
    if (length == 0)
        return config_fail(value, err, "must not be empty");
    if (length + comma > MOUNT_DATA_MAX - mount->data_length)
        return config_fail(value, err, "the options have more than %d bytes together",
                           MOUNT_DATA_MAX);
    if (comma)
        mount->data[mount->data_length++] = ',';
    memcpy(mount->data + mount->data_length, string, length + 1);
    mount->data_length += length;
    return 0;
}

static int set_propagation(struct mount *mount, const struct config_value *value, uint64_t flags,
                           struct thaw_error *err)
{
    if (mount->record.propagation && mount->record.propagation != flags)
        return config_fail(value, err, "a second mount propagation");
    mount->record.propagation = flags;
    return 0;
}

static int add_option(void *context, const struct config_value *value, const char *string,
                      struct thaw_error *err)
{
    struct mount *mount = context;
    const struct option *option = find_option(string);
    if (!option)
        return add_data(mount, value, string, err);

    switch (option->kind) {
    case OPTION_SET:
        mount->record.flags |= option->flags;
        return 0;
    case OPTION_CLEAR:
        mount->record.flags &= ~option->flags;
        return 0;
    case OPTION_PROPAGATION:
        return set_propagation(mount, value, option->flags, err);
    case OPTION_EXTRA:
        mount->record.extra |= (uint32_t)option->flags;
        return 0;
    case OPTION_REFUSED:
        break;
    }
    return config_fail(value, err, "option %s is not supported", string);
}

static bool is_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* The guest has these itself, and the host's would be of no use in it. */
static bool is_guests_own(const char *path)
{
    return is_below(path, "/proc") || is_below(path, "/sys") || is_below(path, "/dev");
}

static bool has_dot_dot(const char *path)
{
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (length == 2 && strncmp(at, "..", 2) == 0)
            return true;
        at += length;
    }
    return false;
}

/* Drops ".", ".." and doubled slashes from an absolute path without looking at the file system:
 * what the path says is what counts when it names a file of the guest. */
static void clean_path(char *path)
{
    char *out = path;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (length == 2 && strncmp(at, "..", 2) == 0) {
            while (out > path && *--out != '/')
                ;
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            *out++ = '/';
            memmove(out, at, length);
            out += length;
        }
        at += length;
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
}

/* Relative paths are relative to the bundle, as in runc. */
static int absolute_source(const struct bundle_builder *builder, const struct config_value *value,
                           const char *source, char path[PATH_MAX], struct thaw_error *err)
{
    char dir[PATH_MAX] = "";
    if (source[0] != '/' && !realpath(builder->dir, dir))
        return thaw_fail(err, errno, "%s", builder->dir);
    int length = snprintf(path, PATH_MAX, "%s/%s", dir, source);
    if (length < 0 || length >= PATH_MAX)
        return config_fail(value, err, "must have less than %d bytes", PATH_MAX);
    clean_path(path);
    return 0;
}

/* Takes `source`. The packs grow by one each time: bundles have a handful. */
static int add_pack(struct bundle *bundle, char *source, struct thaw_error *err)
{
    struct bundle_pack *packs = reallocarray(bundle->packs, bundle->pack_count + 1, sizeof(*packs));
    if (!packs) {
        free(source);
        return thaw_fail(err, ENOMEM, "mounts");
    }
    bundle->packs = packs;
    struct bundle_pack *pack = &packs[bundle->pack_count];
    pack->source = source;
    snprintf(pack->name, sizeof(pack->name), "%s/%zu", &THAW_SPEC_BINDS[1], bundle->pack_count);
    bundle->pack_count++;
    return 0;
}

static void put_mount(struct bundle_builder *builder, const struct mount *mount, const char *source)
{
    bool relative = mount->destination[0] != '/';
    spec_writer_begin(&builder->spec, THAW_SPEC_MOUNT);
    spec_writer_append(&builder->spec, &mount->record, sizeof(mount->record));
    spec_writer_append_string(&builder->spec, source);
    /* OCI: a relative destination, which old tools write, is relative to "/". */
    spec_writer_append(&builder->spec, "/", relative ? 1 : 0);
    spec_writer_append_string(&builder->spec, mount->destination);
    spec_writer_append_string(&builder->spec, mount->type);
    spec_writer_append_string(&builder->spec, mount->data);
    spec_writer_end(&builder->spec);
}

static int put_packed_bind(struct bundle_builder *builder, const struct config_value *value,
                           struct mount *mount, const char *path, struct thaw_error *err)
{
    bool readonly =
        mount->record.flags & MS_RDONLY || mount->record.extra & THAW_SPEC_MOUNT_RECURSIVE_RO;
    if (!readonly)
        return config_fail(value, err,
                           "bind mount of host path %s needs option \"ro\": a microVM does not "
                           "write to host directories",
                           path);

    struct config_value source = config_member(value, "source");
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return config_fail(&source, err, "%s: %s", path, strerrordesc_np(errno));
    if (is_guests_own(resolved)) {
        int rc = config_fail(&source, err, "%s leads to the host's %s", path, resolved);
        free(resolved);
        return rc;
    }

    int rc = add_pack(builder->bundle, resolved, err);
    if (rc < 0)
        return rc;
    char packed[sizeof(builder->bundle->packs->name) + 1];
    snprintf(packed, sizeof(packed), "/%s",
             builder->bundle->packs[builder->bundle->pack_count - 1].name);
    mount->record.extra |= THAW_SPEC_MOUNT_PACKED;
    put_mount(builder, mount, packed);
    return 0;
}

static int put_bind(struct bundle_builder *builder, const struct config_value *value,
                    struct mount *mount, struct thaw_error *err)
{
    struct config_value source = config_member(value, "source");
    if (!mount->source || mount->source[0] == '\0')
        return config_fail(&source, err, "is required for a bind mount");

    char path[PATH_MAX] = "";
    int rc = absolute_source(builder, &source, mount->source, path, err);
    if (rc < 0)
        return rc;
    mount->type = "bind";
    if (!is_guests_own(path))
        return put_packed_bind(builder, value, mount, path, err);
    put_mount(builder, mount, path);
    return 0;
}

static int read_mount(const struct config_value *value, struct mount *mount, struct thaw_error *err)
{
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_need_string(value, "destination", &mount->destination, err);
    if (rc == 0)
        rc = config_string(value, "type", &mount->type, err);
    if (rc == 0)
        rc = config_string(value, "source", &mount->source, err);
    if (rc == 0)
        rc = config_strings(value, "options", add_option, mount, err);
    if (rc == 0)
        rc = config_refuse(value, "uidMappings", "mounts with id mappings are not supported", err);
    if (rc == 0)
        rc = config_refuse(value, "gidMappings", "mounts with id mappings are not supported", err);
    return rc;
}

/* A path in it, if it is one, is the guest's. init takes none with "..". */
static int put_plain(struct bundle_builder *builder, const struct config_value *value,
                     struct mount *mount, struct thaw_error *err)
{
    struct config_value source = config_member(value, "source");
    if (!mount->type)
        mount->type = "none";
    if (!mount->source)
        mount->source = mount->type;
    if (has_dot_dot(mount->source))
        return config_fail(&source, err, "must not have \"..\" in it");
    put_mount(builder, mount, mount->source);
    return 0;
}

static int build_mount(struct bundle_builder *builder, const struct config_value *value,
                       struct thaw_error *err)
{
    struct mount mount = {.destination = ""};
    int rc = read_mount(value, &mount, err);
    if (rc < 0)
        return rc;

    struct config_value destination = config_member(value, "destination");
    struct config_value type = config_member(value, "type");
    if (mount.destination[0] == '\0')
        return config_fail(&destination, err, "must not be empty");
    if (mount.type && strcmp(mount.type, "bind") == 0)
        mount.record.flags |= MS_BIND;
    /* A remount changes what is there already: nothing to bring along from the host. */
    if (mount.record.flags & MS_BIND && !(mount.record.flags & MS_REMOUNT))
        return put_bind(builder, value, &mount, err);
    if (!mount.type && !(mount.record.flags & MS_REMOUNT))
        return config_fail(&type, err, "is required unless the mount is a bind mount");
    return put_plain(builder, value, &mount, err);
}

int build_mounts(struct bundle_builder *builder, const struct config_value *root,
                 struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(root, "mounts", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = build_mount(builder, &value, err);
    }
    return rc;
}
