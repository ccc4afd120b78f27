/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/overlay.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORD_BITS   64u
#define PATH_LENGTH 4096u

/* ---- the own file ------------------------------------------------------------------------- */

static int fail(struct thaw_error *err, const char *directory, int code)
{
    return thaw_fail_io(err, code, "overlay: %s", directory);
}

/* For file systems that cannot create a file without a name. */
static int create_and_unlink(const char *directory)
{
    char path[PATH_LENGTH];
    int n = snprintf(path, sizeof(path), "%s/thaw-overlay.XXXXXX", directory);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static int create_own(uint64_t sectors, struct thaw_error *err)
{
    const char *directory = getenv("TMPDIR");
    if (!directory || directory[0] != '/')
        directory = "/var/tmp";
    cleanup_close int fd = open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = create_and_unlink(directory);
    /* As long as the disk: what was discarded is a hole in it. */
    if (fd < 0 || ftruncate(fd, (off_t)(sectors * OVERLAY_SECTOR)) < 0)
        return fail(err, directory, errno);
    return take_fd(&fd);
}

/* ---- the bitmap --------------------------------------------------------------------------- */

static size_t bitmap_size(uint64_t sectors)
{
    return (size_t)(sectors / WORD_BITS + 1) * sizeof(uint64_t);
}

/* Large, and what is never written to must cost nothing. */
static uint64_t *create_bitmap(uint64_t sectors)
{
    void *at = mmap(NULL, bitmap_size(sectors), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void mark_sectors(struct overlay *overlay, uint64_t sector, uint64_t count)
{
    while (count > 0) {
        unsigned bit = (unsigned)(sector % WORD_BITS);
        uint64_t bits = count < WORD_BITS - bit ? count : WORD_BITS - bit;
        uint64_t mask = bits == WORD_BITS ? UINT64_MAX : (1ull << bits) - 1;
        overlay->bitmap[sector / WORD_BITS] |= mask << bit;
        sector += bits;
        count -= bits;
    }
}

void overlay_mark(struct overlay *overlay, uint64_t offset, uint64_t length)
{
    mark_sectors(overlay, offset / OVERLAY_SECTOR, length / OVERLAY_SECTOR);
}

uint64_t overlay_run_end(const struct overlay *overlay, uint64_t sector, uint64_t end, bool *own)
{
    uint64_t word = sector / WORD_BITS;
    *own = overlay->bitmap[word] >> (sector % WORD_BITS) & 1;
    uint64_t flip = *own ? UINT64_MAX : 0; /* ones are then the bits that end the run */
    uint64_t others = (overlay->bitmap[word] ^ flip) & (UINT64_MAX << (sector % WORD_BITS));
    while (others == 0 && (word + 1) * WORD_BITS < end)
        others = overlay->bitmap[++word] ^ flip;
    if (others == 0)
        return end;
    uint64_t first = word * WORD_BITS + (unsigned)__builtin_ctzll(others);
    return first < end ? first : end;
}

/* ---- the layer ---------------------------------------------------------------------------- */

static int copy_layer(struct overlay *overlay, const struct overlay_layer *from,
                      struct thaw_error *err)
{
    struct overlay_layer *to = &overlay->layer;
    size_t size = from->run_count * sizeof(*from->runs);
    to->runs = malloc(size + 1);
    if (!to->runs)
        return thaw_fail(err, ENOMEM, "overlay");
    memcpy(to->runs, from->runs, size);
    to->run_count = from->run_count;
    to->fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
    return to->fd < 0 ? thaw_fail(err, errno, "overlay") : 0;
}

/* A run of zeros needs no file: the own one has a hole there. */
static void take_zeros(struct overlay *overlay)
{
    const struct overlay_layer *layer = &overlay->layer;
    for (size_t i = 0; i < layer->run_count; i++)
        if (layer->runs[i].offset == OVERLAY_ZEROS)
            mark_sectors(overlay, layer->runs[i].sector, layer->runs[i].count);
}

/* The first run that does not end at or before `sector`; NULL: none. */
static const struct overlay_run *find_run(const struct overlay_layer *layer, uint64_t sector)
{
    size_t low = 0, high = layer->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct overlay_run *run = &layer->runs[middle];
        if (run->sector + run->count <= sector)
            low = middle + 1;
        else
            high = middle;
    }
    return low < layer->run_count ? &layer->runs[low] : NULL;
}

/* Which sectors from `sector` on, before `*end`, lie in one file in a row, none being own. */
static struct overlay_extent find_below(const struct overlay *overlay, uint64_t sector,
                                        uint64_t *end)
{
    const struct overlay_run *run = find_run(&overlay->layer, sector);
    bool in_layer = run && run->sector <= sector;
    uint64_t until = !run ? *end : in_layer ? run->sector + run->count : run->sector;
    if (until < *end)
        *end = until;
    if (in_layer)
        return (struct overlay_extent){
            .file = OVERLAY_LAYER, .offset = run->offset + (sector - run->sector) * OVERLAY_SECTOR};
    return (struct overlay_extent){.file = OVERLAY_BASE, .offset = sector * OVERLAY_SECTOR};
}

struct overlay_extent overlay_find(const struct overlay *overlay, uint64_t offset, uint64_t length)
{
    uint64_t sector = offset / OVERLAY_SECTOR, skip = offset % OVERLAY_SECTOR;
    uint64_t end = (offset + length + OVERLAY_SECTOR - 1) / OVERLAY_SECTOR;
    bool own;
    end = overlay_run_end(overlay, sector, end, &own);
    struct overlay_extent extent = {.file = OVERLAY_OWN, .offset = sector * OVERLAY_SECTOR};
    if (!own)
        extent = find_below(overlay, sector, &end);
    extent.offset += skip;
    extent.length = (end - sector) * OVERLAY_SECTOR - skip;
    if (extent.length > length)
        extent.length = length;
    return extent;
}

/* ---- life --------------------------------------------------------------------------------- */

void overlay_free(struct overlay *overlay)
{
    free(overlay->layer.runs);
    if (overlay->layer.fd >= 0)
        close(overlay->layer.fd);
    if (overlay->fd >= 0)
        close(overlay->fd);
    if (overlay->bitmap)
        munmap(overlay->bitmap, bitmap_size(overlay->sectors));
    *overlay = (struct overlay){.fd = -1, .layer = {.fd = -1}};
}

static int init(struct overlay *overlay, const struct overlay_layer *layer, struct thaw_error *err)
{
    overlay->fd = create_own(overlay->sectors, err);
    if (overlay->fd < 0)
        return overlay->fd;
    overlay->bitmap = create_bitmap(overlay->sectors);
    if (!overlay->bitmap)
        return thaw_fail(err, ENOMEM, "overlay");
    int rc = layer ? copy_layer(overlay, layer, err) : 0;
    if (rc == 0)
        take_zeros(overlay);
    return rc;
}

int overlay_init(struct overlay *overlay, uint64_t sectors, const struct overlay_layer *layer,
                 struct thaw_error *err)
{
    *overlay = (struct overlay){.sectors = sectors, .fd = -1, .layer = {.fd = -1}};
    int rc = init(overlay, layer, err);
    if (rc < 0)
        overlay_free(overlay);
    return rc;
}
