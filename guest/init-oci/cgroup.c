/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/cgroup.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CONTROLLER_MAX 32

/* ---- the directories, top down ------------------------------------------------------------ */

/* Files are named <controller>.<what>; "cgroup." is the core's own. */
static size_t controller_of(const struct spec_setting *file)
{
    size_t length = strcspn(file->key, ".");
    return length == strlen("cgroup") && strncmp(file->key, "cgroup", length) == 0 ? 0 : length;
}

static bool enabled_before(const struct spec *spec, size_t index, size_t length)
{
    const char *key = spec->cgroup_files.items[index].key;
    for (size_t i = 0; i < index; i++) {
        if (strncmp(spec->cgroup_files.items[i].key, key, length + 1) == 0)
            return true;
    }
    return false;
}

/* A controller works in a cgroup when its parent passes it on. */
static int enable_controllers(int parent, const struct spec *spec, struct failure *failure)
{
    for (size_t i = 0; i < spec->cgroup_files.count; i++) {
        const struct spec_setting *file = &spec->cgroup_files.items[i];
        size_t length = controller_of(file);
        if (length == 0 || enabled_before(spec, i, length))
            continue;
        char enable[CONTROLLER_MAX];
        snprintf(enable, sizeof(enable), "+%.*s", (int)length, file->key);
        int rc = file_write_value(parent, "cgroup.subtree_control", enable);
        if (rc < 0)
            return fail(failure, -rc, "cgroup %s: controller %s", file->key, enable + 1);
    }
    return 0;
}

static int enter_directory(int parent, const char *name, struct failure *failure)
{
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
        return fail(failure, errno, "cgroup %s", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail(failure, errno, "cgroup %s", name) : fd;
}

/* Walks down spec->cgroup_path, which the parser has freed from "..". */
static int make_path(const struct spec *spec, struct failure *failure)
{
    cleanup_close int at = open(CGROUP_MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return fail(failure, errno, "cgroup");
    for (const char *next = spec->cgroup_path + strspn(spec->cgroup_path, "/"); *next;) {
        size_t length = strcspn(next, "/");
        char name[NAME_MAX + 1];
        if (length >= sizeof(name))
            return fail(failure, ENAMETOOLONG, "cgroup %s", spec->cgroup_path);
        memcpy(name, next, length);
        name[length] = '\0';
        next += length;
        next += strspn(next, "/");

        int rc = enable_controllers(at, spec, failure);
        int below = rc < 0 ? rc : enter_directory(at, name, failure);
        if (below < 0)
            return below;
        file_close(&at);
        at = below;
    }
    return take_fd(&at);
}

/* ---- limits and devices ------------------------------------------------------------------- */

/* A kernel without swap has no file to limit it with, and keeps the limit all the same. */
static bool kept_anyway(const struct spec_setting *file, int rc)
{
    return rc == -ENOENT && strcmp(file->key, "memory.swap.max") == 0;
}

static int write_files(int cgroup, const struct spec *spec, struct failure *failure)
{
    for (size_t i = 0; i < spec->cgroup_files.count; i++) {
        const struct spec_setting *file = &spec->cgroup_files.items[i];
        int rc = file_write_value(cgroup, file->key, file->value);
        if (rc < 0 && !kept_anyway(file, rc))
            return fail(failure, -rc, "cgroup %s = %s", file->key, file->value);
    }
    return 0;
}

static long bpf(enum bpf_cmd command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* BPF_F_ALLOW_MULTI: a container manager inside the workload may add filters of its own below;
 * an access then needs the consent of all. */
static int attach_filter(int cgroup, const struct spec *spec, struct failure *failure)
{
    if (spec->device_filter.count == 0)
        return 0;
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insns = (uintptr_t)spec->device_filter.items,
        .insn_cnt = (uint32_t)spec->device_filter.count,
        .license = (uintptr_t) "Apache-2.0",
    };
    cleanup_close int program = (int)bpf(BPF_PROG_LOAD, &load);
    if (program < 0)
        return fail(failure, errno, "device filter: BPF_PROG_LOAD");

    union bpf_attr attach = {
        .target_fd = (uint32_t)cgroup,
        .attach_bpf_fd = (uint32_t)program,
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI,
    };
    if (bpf(BPF_PROG_ATTACH, &attach) < 0)
        return fail(failure, errno, "device filter: BPF_PROG_ATTACH");
    return 0;
}

int cgroup_create(const struct spec *spec, struct failure *failure)
{
    cleanup_close int cgroup = make_path(spec, failure);
    if (cgroup < 0)
        return take_fd(&cgroup);
    int rc = write_files(cgroup, spec, failure);
    if (rc == 0)
        rc = attach_filter(cgroup, spec, failure);
    return rc < 0 ? rc : take_fd(&cgroup);
}

int cgroup_kill(int cgroup, struct failure *failure)
{
    int rc = file_write_value(cgroup, "cgroup.kill", "1");
    return rc < 0 ? fail(failure, -rc, "cgroup.kill") : 0;
}
