/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/cgroup.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CONTROLLER_MAX 32
#define EVENTS_MAX     256
#define LINE_MAX_SIZE  32

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

static int open_directory(const struct spec *spec, struct failure *failure)
{
    cleanup_close int dir = make_path(spec, failure);
    if (dir < 0)
        return take_fd(&dir);
    int rc = write_files(dir, spec, failure);
    if (rc == 0)
        rc = attach_filter(dir, spec, failure);
    return rc < 0 ? rc : take_fd(&dir);
}

int cgroup_create(const struct spec *spec, struct cgroup *cgroup, struct failure *failure)
{
    cgroup->dir = open_directory(spec, failure);
    if (cgroup->dir < 0)
        return cgroup->dir;
    cgroup->events = openat(cgroup->dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    return cgroup->events < 0 ? fail(failure, errno, "cgroup.events") : 0;
}

int cgroup_kill(const struct cgroup *cgroup, struct failure *failure)
{
    int rc = file_write_value(cgroup->dir, "cgroup.kill", "1");
    return rc < 0 ? fail(failure, -rc, "cgroup.kill") : 0;
}

/* The file has a process id a line. A process that is born meanwhile is missed, as by kill(2). */
void cgroup_signal(const struct cgroup *cgroup, int number)
{
    int fd = openat(cgroup->dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        file_close(&fd);
        return;
    }
    char line[LINE_MAX_SIZE];
    while (fgets(line, sizeof(line), file)) {
        long pid = strtol(line, NULL, 10);
        if (pid > 1)
            kill((pid_t)pid, number);
    }
    fclose(file);
}

/* ---- events, and standing still ----------------------------------------------------------- */

struct cgroup_events cgroup_read_events(const struct cgroup *cgroup)
{
    char text[EVENTS_MAX];
    ssize_t n = cgroup->events < 0 ? 0 : pread(cgroup->events, text, sizeof(text), 0);
    return cgroup_events_parse(text, n < 0 ? 0 : (size_t)n);
}

static bool await_frozen(const struct cgroup *cgroup, int timeout_ms)
{
    struct pollfd change = {.fd = cgroup->events, .events = POLLPRI};
    int64_t deadline_ms = clock_ms() + timeout_ms;
    while (!cgroup_read_events(cgroup).frozen) {
        int64_t left_ms = deadline_ms - clock_ms();
        if (left_ms <= 0 || (poll(&change, 1, (int)left_ms) < 0 && errno != EINTR))
            return false;
    }
    return true;
}

int cgroup_freeze(const struct cgroup *cgroup, int timeout_ms)
{
    if (cgroup->dir < 0)
        return 0;
    int rc = file_write_value(cgroup->dir, "cgroup.freeze", "1");
    if (rc < 0)
        return rc;
    return await_frozen(cgroup, timeout_ms) ? 0 : -ETIMEDOUT;
}

int cgroup_thaw(const struct cgroup *cgroup)
{
    return cgroup->dir < 0 ? 0 : file_write_value(cgroup->dir, "cgroup.freeze", "0");
}
