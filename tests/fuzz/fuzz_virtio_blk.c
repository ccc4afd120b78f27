/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk over a file in memory: requests of every type, in the file and beyond its end. A disk
 * that is read-only, or has an overlay, stays as it is, and no disk grows or shrinks. */
#include "devices/virtio/blk.h"
#include "tests/fuzz/virtio_harness.h"

#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_SIZE 0x10000

struct host {
    int fd;
    bool read_only, overlay;
    char path[64];
};

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    const struct host *host = rig->host;
    const struct blk_config config = {.path = host->path,
                                      .serial = "fuzz",
                                      .read_only = host->read_only,
                                      .overlay = host->overlay};
    return blk_create(&config, &rig->context, out, err);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
                                     VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
                                     VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
    uint8_t type = fuzz_u8(in);
    struct virtio_blk_outhdr header = {.type = type < 6 ? types[type] : type,
                                       .sector = fuzz_u8(in)};
    struct fuzz_buffer buffers[4] = {fuzz_readable(rig, &header, sizeof(header))};
    unsigned count = 1;
    if (header.type == VIRTIO_BLK_T_DISCARD || header.type == VIRTIO_BLK_T_WRITE_ZEROES) {
        const struct virtio_blk_discard_write_zeroes range = {
            .sector = fuzz_u8(in), .num_sectors = fuzz_u8(in), .flags = fuzz_u8(in)};
        buffers[count++] = fuzz_readable(rig, &range, sizeof(range));
    } else {
        buffers[count] = fuzz_writable(rig, fuzz_u8(in) * 256u);
        buffers[count++].writable = header.type != VIRTIO_BLK_T_OUT;
    }
    buffers[count++] = fuzz_writable(rig, 1);
    fuzz_send(rig, 0, buffers, count);
    if (fuzz_u8(in) & 1)
        fuzz_kick(rig, 0);
}

static void check(struct fuzz_rig *rig)
{
    const struct host *host = rig->host;
    struct stat file;
    require(fstat(host->fd, &file) == 0 && file.st_size == DISK_SIZE);
    require(!(host->read_only || host->overlay) || file.st_blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.create = create, .request = request, .check = check};
    struct host host = {.fd = memfd_create("disk", MFD_CLOEXEC)};
    require(host.fd >= 0 && ftruncate(host.fd, DISK_SIZE) == 0);
    host.read_only = size > 0 && data[0] & 1;
    host.overlay = size > 0 && (data[0] & 3) == 2;
    (void)snprintf(host.path, sizeof(host.path), "/proc/self/fd/%d", host.fd);
    fuzz_virtio(&target, &host, data, size);
    close(host.fd);
    return 0;
}
