/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader/initramfs.h"

#include "thaw/spec.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/loader/cpio.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* init_image.S: the guest's init, built with the monitor so that the two agree on the wire. */
extern const uint8_t init_oci_image[], init_oci_image_end[];

/* What Linux itself, page tables and the first processes take next to the initramfs, measured
 * with the project's kernel; and unpacking holds archive and files at once. */
#define UNPACK_HEADROOM (12ull << 20)

/* One stretch of the initramfs: bytes in memory or a file. */
struct piece {
    const void *data; /* NULL: the file at path */
    const char *path;
    uint64_t size;
};

struct pieces {
    unsigned count;
    struct piece all[1 + INITRAMFS_ARCHIVES_MAX];
    uint64_t total; /* each piece padded to CPIO_ALIGN */
};

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* What every guest starts with: the directory and console that the kernel wants before init
 * runs, init, and the spec. */
static int pack_builtin(const struct initramfs *initramfs, struct cpio *cpio,
                        struct thaw_error *err)
{
    const uint32_t console_major = 5, console_minor = 1;
    size_t init_size = (size_t)(init_oci_image_end - init_oci_image);

    int rc = cpio_add(cpio, "dev", S_IFDIR | 0755, 0, 0, NULL, 0, err);
    if (rc == 0)
        rc = cpio_add(cpio, "dev/console", S_IFCHR | 0600, console_major, console_minor, NULL, 0,
                      err);
    if (rc == 0)
        rc = cpio_add(cpio, "init", S_IFREG | 0755, 0, 0, init_oci_image, init_size, err);
    if (rc == 0)
        rc = cpio_add(cpio, &THAW_SPEC_PATH[1], S_IFREG | 0400, 0, 0, initramfs->spec,
                      initramfs->spec_size, err);
    if (rc == 0)
        rc = cpio_finish(cpio, err);
    return rc;
}

static void add_piece(struct pieces *pieces, const void *data, const char *path, uint64_t size)
{
    pieces->all[pieces->count++] = (struct piece){.data = data, .path = path, .size = size};
    pieces->total += align_up(size, CPIO_ALIGN);
}

static int collect(const struct initramfs *initramfs, const struct cpio *builtin,
                   struct pieces *pieces, struct thaw_error *err)
{
    if (builtin->size > 0)
        add_piece(pieces, builtin->data, NULL, builtin->size);

    for (unsigned i = 0; i < initramfs->archive_count; i++) {
        uint64_t size;
        const char *path = initramfs->archives[i];
        cleanup_close int fd = file_open_regular(path, THAW_FAIL_INITRAMFS, &size, err);
        if (fd < 0)
            return thaw_context(err, "initramfs");
        if (size > ARCH_MEMORY_MAX)
            return thaw_fail_as(err, THAW_FAIL_INITRAMFS, EFBIG, "initramfs %s: too large", path);
        add_piece(pieces, NULL, path, size);
    }
    return 0;
}

/* Where it goes, or how much memory would have been enough. */
static int place(const struct pieces *pieces, const struct guest_memory *mem,
                 struct boot_image *image, struct thaw_error *err)
{
    uint64_t low = mem->regions[0].size;
    uint64_t room = low > image->end ? low - image->end : 0;
    uint64_t unpacked = pieces->total, reserve = UNPACK_HEADROOM;
    uint64_t total_ram = guest_memory_size(mem);

    if (align_up(pieces->total, GUEST_PAGE_SIZE) > room ||
        image->end + pieces->total + unpacked + reserve > total_ram) {
        uint64_t need = ((image->end + pieces->total + unpacked + reserve) >> 20) + 1;
        return thaw_fail_as(err, THAW_FAIL_INITRAMFS, ENOMEM,
                            "initramfs: %llu MiB do not fit in a guest of %llu MiB; give it "
                            "--memory %lluM or more",
                            (unsigned long long)(pieces->total >> 20),
                            (unsigned long long)(total_ram >> 20), (unsigned long long)need);
    }
    image->initrd = (low - pieces->total) & ~(uint64_t)(GUEST_PAGE_SIZE - 1);
    image->initrd_size = pieces->total;
    return 0;
}

static int load_piece(const struct piece *piece, const struct guest_memory *mem, uint64_t gpa,
                      struct thaw_error *err)
{
    void *to = guest_memory_at(mem, gpa, piece->size);
    if (!to)
        return thaw_fail_as(err, THAW_FAIL_INITRAMFS, EFAULT, "initramfs: outside of RAM");
    if (piece->data) {
        memcpy(to, piece->data, piece->size);
        return 0;
    }

    uint64_t size;
    cleanup_close int fd = file_open_regular(piece->path, THAW_FAIL_INITRAMFS, &size, err);
    int rc = fd < 0 ? fd : file_pread_full(fd, to, piece->size, 0, err);
    return rc < 0 ? thaw_context(err, "initramfs %s", piece->path) : 0;
}

int initramfs_load(const struct initramfs *initramfs, const struct guest_memory *mem,
                   struct boot_image *image, struct thaw_error *err)
{
    cleanup_cpio struct cpio builtin = {0};
    int rc = initramfs->spec ? pack_builtin(initramfs, &builtin, err) : 0;

    struct pieces pieces = {0};
    if (rc == 0)
        rc = collect(initramfs, &builtin, &pieces, err);
    image->initrd_size = 0;
    if (rc < 0 || pieces.total == 0)
        return rc;
    rc = place(&pieces, mem, image, err);

    uint64_t at = image->initrd;
    for (unsigned i = 0; i < pieces.count && rc == 0; i++) {
        rc = load_piece(&pieces.all[i], mem, at, err);
        at += align_up(pieces.all[i].size, CPIO_ALIGN);
    }
    return rc;
}

static int export_piece(const struct piece *piece, int out, struct thaw_error *err)
{
    static const char zeros[CPIO_ALIGN];
    uint64_t padding = align_up(piece->size, CPIO_ALIGN) - piece->size;
    int rc;
    if (piece->data) {
        rc = file_write_full(out, piece->data, piece->size, err);
    } else {
        cleanup_free char *data = NULL;
        size_t size;
        rc = file_read_all(piece->path, ARCH_MEMORY_MAX, THAW_FAIL_INITRAMFS, &data, &size, err);
        if (rc == 0)
            rc = file_write_full(out, data, size, err);
    }
    return rc < 0 ? rc : file_write_full(out, zeros, padding, err);
}

int initramfs_export(const struct initramfs *initramfs, int fd, struct thaw_error *err)
{
    cleanup_cpio struct cpio builtin = {0};
    int rc = initramfs->spec ? pack_builtin(initramfs, &builtin, err) : 0;

    struct pieces pieces = {0};
    if (rc == 0)
        rc = collect(initramfs, &builtin, &pieces, err);
    for (unsigned i = 0; i < pieces.count && rc == 0; i++)
        rc = export_piece(&pieces.all[i], fd, err);
    return rc;
}
