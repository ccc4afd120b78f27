/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/blk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- which file a sector is in ------------------------------------------------------------ */

static struct overlay overlay_of(uint64_t sectors, const struct overlay_layer *layer)
{
    struct thaw_error err = {0};
    struct overlay overlay;
    cr_assert_eq(overlay_init(&overlay, sectors, layer, &err), 0, "%s", err.message);
    return overlay;
}

static bool is_extent(struct overlay_extent e, enum overlay_file file, uint64_t offset,
                      uint64_t length)
{
    return e.file == file && e.offset == offset && e.length == length;
}

Test(virtio_blk_overlay, a_new_overlay_shows_the_base)
{
    struct overlay overlay = overlay_of(1000, NULL);
    cr_assert(is_extent(overlay_find(&overlay, 0, 512000), OVERLAY_BASE, 0, 512000));
    cr_assert(is_extent(overlay_find(&overlay, 511999, 1), OVERLAY_BASE, 511999, 1));
    overlay_free(&overlay);
}

Test(virtio_blk_overlay, a_range_is_cut_where_the_file_changes)
{
    struct overlay overlay = overlay_of(1000, NULL);
    overlay_mark(&overlay, 10 * 512, 100 * 512);
    static const struct {
        uint64_t offset, length;
        enum overlay_file file;
        uint64_t found;
    } rows[] = {
        {0, 512000, OVERLAY_BASE, 5120},
        {5119, 2, OVERLAY_BASE, 1},
        {5120, 512000 - 5120, OVERLAY_OWN, 51200},
        {5120, 512, OVERLAY_OWN, 512},
        {5121, 100, OVERLAY_OWN, 100},
        {56319, 10, OVERLAY_OWN, 1},
        {56320, 1024, OVERLAY_BASE, 1024},
        {56320 - 512, 1024, OVERLAY_OWN, 512},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        cr_assert(is_extent(overlay_find(&overlay, rows[i].offset, rows[i].length), rows[i].file,
                            rows[i].offset, rows[i].found),
                  "row %zu", i);
    overlay_free(&overlay);
}

Test(virtio_blk_overlay, runs_end_at_words_and_in_them_alike)
{
    for (uint64_t first = 60; first < 70; first++) {
        for (uint64_t end = first + 1; end < 200; end++) {
            struct overlay overlay = overlay_of(200, NULL);
            overlay_mark(&overlay, first * 512, (end - first) * 512);
            bool own;
            cr_assert_eq(overlay_run_end(&overlay, 0, 200, &own), first);
            cr_assert(!own);
            cr_assert_eq(overlay_run_end(&overlay, first, 200, &own), end);
            cr_assert(own);
            cr_assert_eq(overlay_run_end(&overlay, first, end, &own), end);
            cr_assert_eq(overlay_run_end(&overlay, end, 200, &own), 200);
            cr_assert(!own);
            overlay_free(&overlay);
        }
    }
}

Test(virtio_blk_overlay, a_layer_lies_between_the_own_file_and_the_base)
{
    struct overlay_run runs[] = {{.sector = 10, .count = 10, .offset = 4096},
                                 {.sector = 20, .count = 5, .offset = OVERLAY_ZEROS},
                                 {.sector = 90, .count = 10, .offset = 0}};
    const struct overlay_layer layer = {.fd = 0, .run_count = 3, .runs = runs};
    struct overlay overlay = overlay_of(100, &layer);
    memset(runs, 0xff, sizeof(runs)); /* they were copied */
    overlay_mark(&overlay, 12 * 512, 3 * 512);
    const struct {
        uint64_t sector;
        struct overlay_extent is;
    } rows[] = {
        {0, {OVERLAY_BASE, 0, 10 * 512}},       {10, {OVERLAY_LAYER, 4096, 2 * 512}},
        {12, {OVERLAY_OWN, 12 * 512, 3 * 512}}, {15, {OVERLAY_LAYER, 4096 + 5 * 512, 5 * 512}},
        {20, {OVERLAY_OWN, 20 * 512, 5 * 512}}, {25, {OVERLAY_BASE, 25 * 512, 65 * 512}},
        {90, {OVERLAY_LAYER, 0, 10 * 512}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t at = rows[i].sector * 512;
        struct overlay_extent e = overlay_find(&overlay, at, 100 * 512 - at);
        cr_assert(is_extent(e, rows[i].is.file, rows[i].is.offset, rows[i].is.length), "sector %d",
                  (int)rows[i].sector);
    }
    overlay_free(&overlay);
}

Test(virtio_blk_overlay, a_directory_that_cannot_take_it_is_named)
{
    struct thaw_error err = {0};
    struct overlay overlay;
    setenv("TMPDIR", "/proc/no-such-place", 1);
    cr_assert_eq(overlay_init(&overlay, 8, NULL, &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_str_eq(err.message, "overlay: /proc/no-such-place: No such file or directory");
}

/* ---- a disk and its driver ---------------------------------------------------------------- */

struct disk {
    char directory[32], path[64];
    struct blk_config config;
    struct blk_rig rig;
    char base[RIG_SIZE]; /* what the file has */
};

static void make_image(struct disk *disk)
{
    strcpy(disk->directory, "/tmp/thaw-ovl.XXXXXX");
    cr_assert_not_null(mkdtemp(disk->directory));
    snprintf(disk->path, sizeof(disk->path), "%s/image", disk->directory);
    for (size_t i = 0; i < RIG_SIZE; i++)
        disk->base[i] = (char)blk_rig_random(&disk->rig);
    memcpy(disk->rig.model, disk->base, RIG_SIZE);
    int fd = open(disk->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
    cr_assert_eq(write(fd, disk->base, RIG_SIZE), RIG_SIZE);
    close(fd);
    disk->config = (struct blk_config){.path = disk->path, .overlay = true};
}

static struct disk *start_with(uint64_t features)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    make_image(disk);
    blk_rig_start(&disk->rig, &disk->config, features);
    return disk;
}

static void expect_base_unchanged(struct disk *disk)
{
    static char content[RIG_SIZE];
    int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, content, RIG_SIZE), RIG_SIZE);
    cr_assert_eq(memcmp(content, disk->base, RIG_SIZE), 0, "the base has changed");
    close(fd);
}

static void end(struct disk *disk)
{
    expect_base_unchanged(disk);
    blk_rig_end(&disk->rig);
    unlink(disk->path);
    rmdir(disk->directory);
    free(disk);
}

Test(virtio_blk_overlay, a_guest_reads_what_it_wrote_and_the_base_for_the_rest)
{
    struct disk *disk = start_with(RIG_ALL);
    blk_rig_expect(&disk->rig, 0, RIG_SECTORS);
    cr_assert_eq(blk_rig_write(&disk->rig, 3, 1), VIRTIO_BLK_S_OK);
    blk_rig_expect(&disk->rig, 0, 8);
    cr_assert_eq(blk_rig_write(&disk->rig, 100, 300), VIRTIO_BLK_S_OK);
    blk_rig_expect(&disk->rig, 0, RIG_SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, any_row_of_writes_discards_and_reads_agrees_with_a_model, .timeout = 60)
{
    struct disk *disk = start_with(RIG_ALL);
    for (unsigned step = 0; step < 6000; step++)
        blk_rig_step(&disk->rig);
    blk_rig_expect(&disk->rig, 0, RIG_SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, requests_of_many_sectors_in_flight_at_a_time_do_not_disturb_each_other)
{
    struct disk *disk = start_with(RIG_ALL);
    for (unsigned i = 0; i < 5; i++) { /* neighbours within one page of the host */
        memset(disk->rig.model + i * 512, 'a' + (int)i, 512);
        blk_rig_offer(&disk->rig, VIRTIO_BLK_T_OUT, i, disk->rig.model + i * 512, 512);
    }
    blk_rig_settle(&disk->rig);
    uint32_t head, length;
    for (unsigned i = 0; i < 5; i++)
        cr_assert(fake_driver_used(&disk->rig.driver, 0, &head, &length));
    blk_rig_expect(&disk->rig, 0, 16);
    end(disk);
}

Test(virtio_blk_overlay, a_flush_has_nothing_to_do)
{
    struct disk *disk = start_with(RIG_ALL);
    struct blk_rig_request r = blk_rig_offer(&disk->rig, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    cr_assert_eq(blk_rig_answer(&disk->rig, &r), VIRTIO_BLK_S_OK);
    end(disk);
}

Test(virtio_blk_overlay, a_driver_without_flush_is_served_alike)
{
    struct disk *disk = start_with(1ull << VIRTIO_BLK_F_WRITE_ZEROES);
    cr_assert_eq(blk_rig_write(&disk->rig, 7, 30), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk_rig_clear(&disk->rig, VIRTIO_BLK_T_WRITE_ZEROES, 20, 100), VIRTIO_BLK_S_OK);
    blk_rig_expect(&disk->rig, 0, RIG_SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, no_room_is_an_error_to_the_guest_and_the_disk_is_as_before)
{
    struct disk *disk = start_with(RIG_ALL);
    cr_assert_eq(blk_rig_write(&disk->rig, 0, 8), VIRTIO_BLK_S_OK);
    struct rlimit limit = {.rlim_cur = RIG_SIZE / 2, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    static char kept[8 * 512];
    memcpy(kept, disk->rig.model + (RIG_SECTORS - 8) * 512, sizeof(kept));
    cr_assert_eq(blk_rig_write(&disk->rig, RIG_SECTORS - 8, 8), VIRTIO_BLK_S_IOERR);
    memcpy(disk->rig.model + (RIG_SECTORS - 8) * 512, kept, sizeof(kept));
    blk_rig_expect(&disk->rig, 0, RIG_SECTORS);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    end(disk);
}

Test(virtio_blk_overlay, a_guest_sees_a_writable_disk)
{
    struct disk *disk = start_with(RIG_ALL);
    cr_assert_eq(fake_driver_read_config(&disk->rig.driver, 0, 4), RIG_SECTORS);
    cr_assert_eq(disk->rig.device->offered & (1ull << VIRTIO_BLK_F_RO), 0);
    end(disk);
}

static int try_to_open(struct disk *disk, struct thaw_error *err)
{
    struct virtio_device *device = NULL;
    int rc = blk_create(&disk->config, &disk->rig.driver.context, &device, err);
    virtio_destroy(device);
    return rc;
}

Test(virtio_blk_overlay, the_base_has_many_readers_and_no_writer)
{
    struct disk *disk = start_with(RIG_ALL);
    struct thaw_error err = {0};
    cr_assert_eq(try_to_open(disk, &err), 0);
    disk->config.overlay = false;
    disk->config.read_only = true;
    cr_assert_eq(try_to_open(disk, &err), 0);
    disk->config.read_only = false;
    cr_assert_eq(chmod(disk->path, 0600), 0);
    cr_assert_eq(try_to_open(disk, &err), -EBUSY);
    end(disk);
}

Test(virtio_blk_overlay, a_disk_that_was_writable_comes_back_with_an_overlay)
{
    struct disk *disk = start_with(RIG_ALL);
    struct blk_state state = {.capacity = RIG_SECTORS};
    struct virtio_device *device = disk->rig.device;
    struct thaw_error err = {0};
    cr_assert_eq(device->ops->load(device, &state, &err), 0, "%s", err.message);
    state.read_only = 1;
    cr_assert_eq(device->ops->load(device, &state, &err), -EINVAL);
    end(disk);
}
