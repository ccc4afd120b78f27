/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SECTORS 2048u
#define SIZE    (SECTORS * 512u)
#define BIT(n)  (1ull << (n))
#define ALL     (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

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
    struct fake_driver driver;
    char base[SIZE];  /* what the file has */
    char model[SIZE]; /* what the guest must see */
    uint32_t random;
};

static uint32_t next_random(struct disk *disk)
{
    disk->random = disk->random * 1664525u + 1013904223u;
    return disk->random >> 8;
}

static void make_image(struct disk *disk)
{
    strcpy(disk->directory, "/tmp/thaw-ovl.XXXXXX");
    cr_assert_not_null(mkdtemp(disk->directory));
    snprintf(disk->path, sizeof(disk->path), "%s/image", disk->directory);
    for (size_t i = 0; i < SIZE; i++)
        disk->base[i] = (char)next_random(disk);
    memcpy(disk->model, disk->base, SIZE);
    int fd = open(disk->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
    cr_assert_eq(write(fd, disk->base, SIZE), SIZE);
    close(fd);
    disk->config = (struct blk_config){.path = disk->path, .overlay = true};
}

static struct virtio_device *create(struct disk *disk)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    cr_assert_eq(blk_create(&disk->config, &disk->driver.context, &device, &err), 0, "%s",
                 err.message);
    return device;
}

static struct disk *start_with(uint64_t features)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    make_image(disk);
    fake_driver_init(&disk->driver);
    fake_driver_attach(&disk->driver, create(disk));
    fake_driver_start(&disk->driver, features);
    return disk;
}

static void expect_base_unchanged(struct disk *disk)
{
    static char content[SIZE];
    int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, content, SIZE), SIZE);
    cr_assert_eq(memcmp(content, disk->base, SIZE), 0, "the base has changed");
    close(fd);
}

static void end(struct disk *disk)
{
    expect_base_unchanged(disk);
    fake_driver_destroy(&disk->driver);
    unlink(disk->path);
    rmdir(disk->directory);
    free(disk);
}

/* ---- requests ----------------------------------------------------------------------------- */

struct request {
    uint64_t header, data, status;
};

/* With its data in three parts of odd sizes, where there is something to cut. */
static unsigned put_data(uint64_t at, uint32_t size, bool writable, struct fake_buffer *buffers)
{
    uint32_t first = size > 700 ? 333 : 0, second = size > 700 ? size - 700 : 0;
    const uint32_t parts[] = {first, second, size - first - second};
    unsigned count = 0;
    for (unsigned i = 0; i < 3; at += parts[i++])
        if (parts[i] > 0)
            buffers[count++] = (struct fake_buffer){at, parts[i], writable};
    return count;
}

/* `data`: for the device to read; NULL: for it to write. */
static struct request offer(struct disk *disk, uint32_t type, uint64_t sector, const void *data,
                            uint32_t size)
{
    struct fake_driver *driver = &disk->driver;
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};
    struct request r = {.header = fake_driver_alloc(driver, sizeof(header)),
                        .data = fake_driver_alloc(driver, size + 1),
                        .status = fake_driver_alloc(driver, 1)};
    memcpy(fake_driver_at(driver, r.header, sizeof(header)), &header, sizeof(header));
    if (data)
        memcpy(fake_driver_at(driver, r.data, size), data, size);
    *(uint8_t *)fake_driver_at(driver, r.status, 1) = 0xee;
    struct fake_buffer buffers[5] = {{.address = r.header, .length = sizeof(header)}};
    unsigned count = 1 + put_data(r.data, size, !data, buffers + 1);
    buffers[count++] = (struct fake_buffer){r.status, 1, true};
    fake_driver_send(driver, 0, buffers, count);
    return r;
}

static void settle(struct disk *disk)
{
    struct virtio_device *device = disk->driver.mmio.device;
    fake_driver_kick(&disk->driver, 0);
    for (unsigned turns = 0; turns < 1000 && !device->ops->is_quiet(device); turns++)
        loop_turn(disk->driver.loop, 10);
    fake_driver_run_loop(&disk->driver, 0);
}

static uint8_t answer(struct disk *disk, const struct request *r)
{
    uint32_t head, length;
    settle(disk);
    cr_assert(fake_driver_used(&disk->driver, 0, &head, &length), "no answer");
    disk->driver.next_alloc = r->header; /* the next one goes to the same place */
    return *(uint8_t *)fake_driver_at(&disk->driver, r->status, 1);
}

static uint8_t write_new(struct disk *disk, uint64_t sector, uint64_t sectors)
{
    char *model = disk->model + sector * 512;
    for (size_t i = 0; i < sectors * 512; i++)
        model[i] = (char)next_random(disk);
    struct request r = offer(disk, VIRTIO_BLK_T_OUT, sector, model, (uint32_t)sectors * 512);
    return answer(disk, &r);
}

static uint8_t clear(struct disk *disk, uint32_t type, uint64_t sector, uint64_t sectors)
{
    const struct virtio_blk_discard_write_zeroes range = {.sector = sector,
                                                          .num_sectors = (uint32_t)sectors};
    memset(disk->model + sector * 512, 0, sectors * 512);
    struct request r = offer(disk, type, 0, &range, sizeof(range));
    return answer(disk, &r);
}

static void expect_model(struct disk *disk, uint64_t sector, uint64_t sectors)
{
    uint32_t size = (uint32_t)sectors * 512;
    struct request r = offer(disk, VIRTIO_BLK_T_IN, sector, NULL, size);
    cr_assert_eq(answer(disk, &r), VIRTIO_BLK_S_OK);
    cr_assert_eq(
        memcmp(fake_driver_at(&disk->driver, r.data, size), disk->model + sector * 512, size), 0,
        "sectors %d to %d", (int)sector, (int)(sector + sectors));
}

Test(virtio_blk_overlay, a_guest_reads_what_it_wrote_and_the_base_for_the_rest)
{
    struct disk *disk = start_with(ALL);
    expect_model(disk, 0, SECTORS);
    cr_assert_eq(write_new(disk, 3, 1), VIRTIO_BLK_S_OK);
    expect_model(disk, 0, 8);
    cr_assert_eq(write_new(disk, 100, 300), VIRTIO_BLK_S_OK);
    expect_model(disk, 0, SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, any_row_of_writes_discards_and_reads_agrees_with_a_model, .timeout = 60)
{
    struct disk *disk = start_with(ALL);
    for (unsigned step = 0; step < 6000; step++) {
        uint64_t sectors = next_random(disk) % (next_random(disk) % 8 ? 9 : 200) + 1;
        uint64_t sector = next_random(disk) % (SECTORS - sectors + 1);
        uint32_t what = next_random(disk) % 8;
        uint8_t status = VIRTIO_BLK_S_OK;
        if (what < 3)
            status = write_new(disk, sector, sectors);
        else if (what < 5)
            status = clear(disk, what == 3 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES,
                           sector, sectors);
        cr_assert_eq(status, VIRTIO_BLK_S_OK, "step %u", step);
        expect_model(disk, sector, sectors);
        if (step % 500 == 0)
            expect_model(disk, 0, SECTORS);
    }
    expect_model(disk, 0, SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, requests_of_many_sectors_in_flight_at_a_time_do_not_disturb_each_other)
{
    struct disk *disk = start_with(ALL);
    for (unsigned i = 0; i < 5; i++) { /* neighbours within one page of the host */
        memset(disk->model + i * 512, 'a' + (int)i, 512);
        offer(disk, VIRTIO_BLK_T_OUT, i, disk->model + i * 512, 512);
    }
    settle(disk);
    uint32_t head, length;
    for (unsigned i = 0; i < 5; i++)
        cr_assert(fake_driver_used(&disk->driver, 0, &head, &length));
    expect_model(disk, 0, 16);
    end(disk);
}

Test(virtio_blk_overlay, a_flush_has_nothing_to_do)
{
    struct disk *disk = start_with(ALL);
    struct request r = offer(disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    cr_assert_eq(answer(disk, &r), VIRTIO_BLK_S_OK);
    end(disk);
}

Test(virtio_blk_overlay, a_driver_without_flush_is_served_alike)
{
    struct disk *disk = start_with(BIT(VIRTIO_BLK_F_WRITE_ZEROES));
    cr_assert_eq(write_new(disk, 7, 30), VIRTIO_BLK_S_OK);
    cr_assert_eq(clear(disk, VIRTIO_BLK_T_WRITE_ZEROES, 20, 100), VIRTIO_BLK_S_OK);
    expect_model(disk, 0, SECTORS);
    end(disk);
}

Test(virtio_blk_overlay, no_room_is_an_error_to_the_guest_and_the_disk_is_as_before)
{
    struct disk *disk = start_with(ALL);
    cr_assert_eq(write_new(disk, 0, 8), VIRTIO_BLK_S_OK);
    struct rlimit limit = {.rlim_cur = SIZE / 2, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    static char kept[8 * 512];
    memcpy(kept, disk->model + (SECTORS - 8) * 512, sizeof(kept));
    cr_assert_eq(write_new(disk, SECTORS - 8, 8), VIRTIO_BLK_S_IOERR);
    memcpy(disk->model + (SECTORS - 8) * 512, kept, sizeof(kept));
    expect_model(disk, 0, SECTORS);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    end(disk);
}

Test(virtio_blk_overlay, a_guest_sees_a_writable_disk)
{
    struct disk *disk = start_with(ALL);
    cr_assert_eq(fake_driver_read_config(&disk->driver, 0, 4), SECTORS);
    cr_assert_eq(disk->driver.mmio.device->offered & BIT(VIRTIO_BLK_F_RO), 0);
    end(disk);
}

Test(virtio_blk_overlay, the_base_has_many_readers_and_no_writer)
{
    struct disk *disk = start_with(ALL);
    struct thaw_error err = {0};
    struct virtio_device *other = create(disk);
    disk->config.overlay = false;
    cr_assert_eq(chmod(disk->path, 0600), 0);
    cr_assert_eq(blk_create(&disk->config, &disk->driver.context, &other, &err), -EBUSY);
    disk->config.read_only = true;
    virtio_destroy(other);
    other = create(disk);
    virtio_destroy(other);
    end(disk);
}

Test(virtio_blk_overlay, a_disk_that_was_writable_comes_back_with_an_overlay)
{
    struct disk *disk = start_with(ALL);
    struct blk_state state = {.capacity = SECTORS};
    struct virtio_device *device = disk->driver.mmio.device;
    struct thaw_error err = {0};
    cr_assert_eq(device->ops->load(device, &state, &err), 0, "%s", err.message);
    state.read_only = 1;
    cr_assert_eq(device->ops->load(device, &state, &err), -EINVAL);
    end(disk);
}
