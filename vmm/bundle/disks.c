/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are mounted for the workload: init mounts them, the workload gets a bind mount. */
#include "thaw/spec.h"
#include "vmm/base/cleanup.h"
#include "vmm/bundle/builder.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

/* Both have their superblock at 1024 (linux/magic.h, fs/ext4/ext4.h, fs/erofs/erofs_fs.h). */
#define EROFS_MAGIC_OFFSET 1024
#define EROFS_MAGIC        0xe0f5e1e2u
#define EXT4_MAGIC_OFFSET  (1024 + 0x38)
#define EXT4_MAGIC         0xef53u

bool has_erofs(int fd)
{
    uint32_t magic;
    return pread(fd, &magic, sizeof(magic), EROFS_MAGIC_OFFSET) == (ssize_t)sizeof(magic) &&
           le32toh(magic) == EROFS_MAGIC;
}

/* NULL: none that the guest's kernel knows. */
static const char *find_type(int fd)
{
    uint16_t ext4;
    if (has_erofs(fd))
        return "erofs";
    if (pread(fd, &ext4, sizeof(ext4), EXT4_MAGIC_OFFSET) == (ssize_t)sizeof(ext4) &&
        le16toh(ext4) == EXT4_MAGIC)
        return "ext4";
    return NULL;
}

static int put_disk(struct bundle_builder *builder, const struct bundle_disk *disk,
                    struct thaw_error *err)
{
    cleanup_close int fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return thaw_fail_io(err, errno, "--disk %s", disk->path);
    const char *type = find_type(fd);
    if (!type)
        return thaw_fail_as(err, THAW_FAIL_IO, EINVAL,
                            "--disk %s: nothing to mount: it has neither an ext4 nor an EROFS file "
                            "system (mkfs.ext4 makes one)",
                            disk->path);
    bool read_only = disk->read_only || strcmp(type, "erofs") == 0;
    const struct thaw_spec_disk record = {.flags = read_only ? MS_RDONLY : 0};
    spec_writer_begin(&builder->spec, THAW_SPEC_DISK);
    spec_writer_append(&builder->spec, &record, sizeof(record));
    spec_writer_append_string(&builder->spec, disk->serial);
    spec_writer_append_string(&builder->spec, type);
    spec_writer_end(&builder->spec);
    return 0;
}

static void put_bind(struct bundle_builder *builder, const struct bundle_disk *disk)
{
    const struct thaw_spec_mount record = {.flags = MS_BIND, .extra = THAW_SPEC_MOUNT_PACKED};
    spec_writer_begin(&builder->spec, THAW_SPEC_MOUNT);
    spec_writer_append(&builder->spec, &record, sizeof(record));
    spec_writer_append(&builder->spec, THAW_SPEC_DISKS "/", sizeof(THAW_SPEC_DISKS "/") - 1);
    spec_writer_append_string(&builder->spec, disk->serial);
    spec_writer_append_string(&builder->spec, disk->destination);
    spec_writer_append_string(&builder->spec, "bind");
    spec_writer_append_string(&builder->spec, "");
    spec_writer_end(&builder->spec);
}

int build_disks(struct bundle_builder *builder, struct thaw_error *err)
{
    for (size_t i = 0; i < builder->options.disk_count; i++) {
        const struct bundle_disk *disk = &builder->options.disks[i];
        int rc = put_disk(builder, disk, err);
        if (rc < 0)
            return rc;
        put_bind(builder, disk);
    }
    return 0;
}
