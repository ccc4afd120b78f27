/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack_files.h"

#include "snapshot/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int snapshot_parts_read(int dir_fd, struct snapshot_parts *parts, struct thaw_error *err)
{
    *parts = (struct snapshot_parts){0};
    int rc = snapshot_state_read(dir_fd, &parts->state, err);
    if (rc < 0)
        return rc;
    rc = snapshot_map_read(&parts->state, &parts->map, err);
    if (rc == 0)
        rc = memory_index_read(&parts->index, dir_fd, &parts->map, err);
    if (rc < 0)
        snapshot_parts_free(parts);
    return rc;
}

void snapshot_parts_free(struct snapshot_parts *parts)
{
    memory_index_free(&parts->index);
    memory_map_free(&parts->map);
    snapshot_state_free(&parts->state);
}

int publish_memory(const struct publish *publish, const struct memory_map *map,
                   struct thaw_error *err)
{
    cleanup_close int fd = publish_create(publish, SNAPSHOT_MEMORY, err);
    if (fd >= 0 && ftruncate(fd, (off_t)(map->pages * GUEST_PAGE_SIZE)) < 0)
        return thaw_fail_io(err, errno, SNAPSHOT_MEMORY);
    return take_fd(&fd);
}

/* ---- disks -------------------------------------------------------------------------------- */

struct disks {
    const struct publish *publish;
    struct thaw_error *err;
};

/* The descriptor and not the name is linked: what was looked at. */
static bool link_file(int fd, const struct publish *publish, const char *name)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, publish->fd, name, AT_SYMLINK_FOLLOW) == 0;
}

static int put_disk(void *ctx, int dir_fd, const char *name)
{
    const struct disks *disks = ctx;
    uint64_t size;
    if (!publish_is_disk_file(name))
        return 0;
    cleanup_close int from = snapshot_open_file(dir_fd, name, &size, disks->err);
    if (from < 0)
        return from;
    if (link_file(from, disks->publish, name))
        return 0;
    cleanup_close int to = publish_create(disks->publish, name, disks->err);
    if (to < 0)
        return to;
    int rc = disk_file_copy(to, from, size, NULL, disks->err);
    return rc < 0 ? thaw_context(disks->err, "%s", name) : 0;
}

int publish_disks(const struct publish *publish, int dir_fd, struct thaw_error *err)
{
    struct disks disks = {.publish = publish, .err = err};
    int rc = publish_each_file(dir_fd, put_disk, &disks);
    if (rc < 0 && err->code == 0)
        return thaw_fail_io(err, -rc, "snapshot");
    return rc;
}
