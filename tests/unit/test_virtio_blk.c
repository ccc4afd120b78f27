/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/blk.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SECTORS  256u
#define QUIET_MS 30u
#define NO_REPLY 0xee
#define BIT(n)   (1ull << (n))
#define ALL      (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

/* ---- a disk and its driver ---------------------------------------------------------------- */

struct disk {
    char directory[32], path[64];
    struct blk_config config;
    struct fake_driver driver;
};

static void make_image(struct disk *disk, off_t size)
{
    strcpy(disk->directory, "/tmp/thaw-blk.XXXXXX");
    cr_assert_not_null(mkdtemp(disk->directory));
    snprintf(disk->path, sizeof(disk->path), "%s/image", disk->directory);
    int fd = open(disk->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, size), 0);
    close(fd);
    disk->config = (struct blk_config){.path = disk->path, .serial = "serial-0001"};
}

static struct virtio_device *create(struct disk *disk)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    int rc = blk_create(&disk->config, &disk->driver.context, &device, &err);
    cr_assert_eq(rc, 0, "%s", err.message);
    return device;
}

static void start_with(struct disk *disk, bool read_only, uint64_t features)
{
    *disk = (struct disk){0};
    make_image(disk, (off_t)SECTORS * 512);
    disk->config.read_only = read_only;
    fake_driver_init(&disk->driver);
    fake_driver_attach(&disk->driver, create(disk));
    fake_driver_start(&disk->driver, features);
}

static void start(struct disk *disk)
{
    start_with(disk, false, ALL);
}

static void remove_files(struct disk *disk)
{
    unlink(disk->path);
    rmdir(disk->directory);
}

static void end(struct disk *disk)
{
    fake_driver_destroy(&disk->driver);
    remove_files(disk);
}

/* What the image has at `sector`, seen by the host. */
static void read_image(const struct disk *disk, uint64_t sector, void *to, size_t size)
{
    int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, to, size, (off_t)sector * 512), (ssize_t)size);
    close(fd);
}

static void fill_image(const struct disk *disk, char with)
{
    static char content[SECTORS * 512];
    memset(content, with, sizeof(content));
    int fd = open(disk->path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, content, sizeof(content), 0), (ssize_t)sizeof(content));
    close(fd);
}

static bool image_is(const struct disk *disk, uint64_t sector, uint64_t count, char value)
{
    static char content[SECTORS * 512];
    read_image(disk, sector, content, count * 512);
    for (size_t i = 0; i < count * 512; i++)
        if (content[i] != value)
            return false;
    return true;
}

/* ---- requests ----------------------------------------------------------------------------- */

struct request {
    uint64_t header, data, status;
    uint16_t head;
};

static uint64_t put_header(struct disk *disk, uint32_t type, uint64_t sector)
{
    uint64_t at = fake_driver_alloc(&disk->driver, sizeof(struct virtio_blk_outhdr));
    struct virtio_blk_outhdr *header = fake_driver_at(&disk->driver, at, sizeof(*header));
    *header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    return at;
}

static uint64_t put_status(struct disk *disk)
{
    uint64_t at = fake_driver_alloc(&disk->driver, 1);
    *(uint8_t *)fake_driver_at(&disk->driver, at, 1) = NO_REPLY;
    return at;
}

/* Puts a request of the usual three buffers into the queue. */
static struct request offer(struct disk *disk, uint32_t type, uint64_t sector, uint32_t size,
                            const void *data)
{
    struct request r = {.header = put_header(disk, type, sector),
                        .data = fake_driver_alloc(&disk->driver, size),
                        .status = put_status(disk)};
    if (data)
        memcpy(fake_driver_at(&disk->driver, r.data, size), data, size);
    const struct fake_buffer buffers[] = {
        {.address = r.header, .length = sizeof(struct virtio_blk_outhdr)},
        {.address = r.data, .length = size, .writable = !data},
        {.address = r.status, .length = 1, .writable = true},
    };
    r.head = fake_driver_send(&disk->driver, 0, buffers, 3);
    return r;
}

static uint8_t status_of(struct disk *disk, const struct request *r)
{
    return *(uint8_t *)fake_driver_at(&disk->driver, r->status, 1);
}

/* Serves the device until nothing is in flight any more. */
static void settle(struct disk *disk)
{
    struct virtio_device *device = disk->driver.mmio.device;
    for (unsigned turns = 0; turns < 1000 && !virtio_is_quiet(device); turns++)
        loop_turn(disk->driver.loop, 10);
    fake_driver_run_loop(&disk->driver, 0);
}

static void run(struct disk *disk)
{
    fake_driver_kick(&disk->driver, 0);
    settle(disk);
}

/* For what stays in flight, or must not be taken. */
static void run_in_vain(struct disk *disk)
{
    fake_driver_kick(&disk->driver, 0);
    fake_driver_run_loop(&disk->driver, QUIET_MS);
}

/* The whole way of one request; `data` for the device to read, or NULL to be written to. */
static struct request ask(struct disk *disk, uint32_t type, uint64_t sector, uint32_t size,
                          const void *data, uint8_t *status)
{
    struct request r = offer(disk, type, sector, size, data);
    run(disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk->driver, 0, &head, &length), "no answer");
    cr_assert_eq(head, r.head);
    *status = status_of(disk, &r);
    if (*status == VIRTIO_BLK_S_OK)
        cr_assert_eq(length, (data ? 0 : size) + 1);
    return r;
}

static bool needs_reset(struct disk *disk)
{
    return fake_driver_read(&disk->driver, FAKE_REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}

/* The descriptor of the device's ring. */
static int ring_of(void)
{
    char link[64], target[64];
    for (int fd = 3; fd < 64; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof(target));
        if (length > 0 && memmem(target, (size_t)length, "io_uring", 8))
            return fd;
    }
    return -1;
}

/* Puts a pipe in the place of the device's file: what reads it is in flight until the test gives
 * something. Returns the end to write to. */
static int replace_file_by_pipe(void)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    struct io_uring_files_update update = {.fds = (uintptr_t)&ends[0]};
    cr_assert_eq(
        syscall(__NR_io_uring_register, ring_of(), IORING_REGISTER_FILES_UPDATE, &update, 1), 1);
    close(ends[0]);
    return ends[1];
}

static void give(int pipe, char what, size_t size)
{
    char data[4096];
    memset(data, what, size);
    cr_assert_eq(write(pipe, data, size), (ssize_t)size);
}

/* ---- creation ----------------------------------------------------------------------------- */

static void expect_refusal(struct disk *disk, const char *why)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    char line[256];
    snprintf(line, sizeof(line), "--disk %s: %s", disk->config.path, why);
    cr_assert_lt(blk_create(&disk->config, &disk->driver.context, &device, &err), 0);
    cr_assert_null(device);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert(strncmp(err.message, line, strlen(line)) == 0, "%s", err.message);
}

static void image_only(struct disk *disk, off_t size)
{
    *disk = (struct disk){0};
    make_image(disk, size);
    fake_driver_init(&disk->driver);
}

Test(virtio_blk, files_that_cannot_be_a_disk_are_refused_with_the_reason)
{
    struct disk disk;
    image_only(&disk, 0);
    expect_refusal(&disk, "is empty");
    cr_assert_eq(truncate(disk.path, 513), 0);
    expect_refusal(&disk, "its size, 513 bytes, is not a multiple of 512");
    unlink(disk.path);
    expect_refusal(&disk, "No such file or directory");
    cr_assert_eq(mkfifo(disk.path, 0600), 0);
    expect_refusal(&disk, "not a regular file or block device");
    disk.config.read_only = true;
    disk.config.path = disk.directory;
    expect_refusal(&disk, "not a regular file or block device");
    disk.config.read_only = false;
    expect_refusal(&disk, "Is a directory");
    disk.config.path = "/dev/null";
    expect_refusal(&disk, "not a regular file or block device");
    end(&disk);
}

Test(virtio_blk, a_file_without_permission_is_refused)
{
    struct disk disk;
    image_only(&disk, 4096);
    cr_assert_eq(chmod(disk.path, 0), 0);
    cr_assert_eq(chmod(disk.directory, 0755), 0);
    uid_t me = geteuid();
    cr_assert(me != 0 || seteuid(65534) == 0);
    expect_refusal(&disk, "Permission denied");
    cr_assert_eq(seteuid(me), 0);
    end(&disk);
}

Test(virtio_blk, a_serial_that_is_too_long_is_refused)
{
    struct disk disk;
    image_only(&disk, 4096);
    disk.config.serial = "123456789012345678901";
    expect_refusal(&disk, "the serial is longer than 20 bytes");
    end(&disk);
}

Test(virtio_blk, a_writable_disk_has_one_user_and_a_read_only_one_many)
{
    struct disk disk;
    image_only(&disk, 4096);
    struct virtio_device *writer = create(&disk);
    expect_refusal(&disk, "in use by another VM");
    disk.config.read_only = true;
    expect_refusal(&disk, "in use by another VM");
    virtio_destroy(writer);

    struct virtio_device *reader = create(&disk), *second = create(&disk);
    disk.config.read_only = false;
    expect_refusal(&disk, "in use by another VM");
    virtio_destroy(reader);
    virtio_destroy(second);
    virtio_destroy(create(&disk));
    end(&disk);
}

Test(virtio_blk, a_host_that_forbids_io_uring_is_named_with_its_sysctl)
{
    struct disk disk;
    image_only(&disk, 4096);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    cr_assert_not_null(filter);
    cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0), 0);
    cr_assert_eq(seccomp_load(filter), 0);
    seccomp_release(filter);
    expect_refusal(&disk, "io_uring is not available: Operation not permitted "
                          "(sysctl kernel.io_uring_disabled");
    end(&disk);
}

/* ---- configuration ------------------------------------------------------------------------ */

Test(virtio_blk, the_configuration_describes_the_disk)
{
    struct disk disk;
    start(&disk);
    struct fake_driver *driver = &disk.driver;
    cr_assert_eq(fake_driver_read_config(driver, 0, 4), SECTORS);
    cr_assert_eq(fake_driver_read_config(driver, 4, 4), 0);
    cr_assert_eq(fake_driver_read_config(driver, 12, 4), 253, "seg_max");
    cr_assert_eq(fake_driver_read_config(driver, 20, 4), 512, "blk_size");
    cr_assert_eq(fake_driver_read_config(driver, 24, 1), 3, "4 KiB physical blocks");
    cr_assert_gt(fake_driver_read_config(driver, 36, 4), 0, "max_discard_sectors");
    cr_assert_eq(fake_driver_read_config(driver, 40, 4), 32, "max_discard_seg");
    cr_assert_eq(fake_driver_read_config(driver, 56, 1), 1, "write_zeroes_may_unmap");
    cr_assert_eq(fake_driver_read_config(driver, 60, 4), 0, "nothing behind");
    end(&disk);
}

Test(virtio_blk, a_read_only_disk_says_so_and_refuses_every_change)
{
    struct disk disk;
    start_with(&disk, true, ALL | BIT(VIRTIO_BLK_F_RO));
    fill_image(&disk, 'o');
    uint64_t accepted = disk.driver.mmio.device->accepted;
    cr_assert(accepted & BIT(VIRTIO_BLK_F_RO));
    cr_assert_eq(accepted & BIT(VIRTIO_BLK_F_DISCARD), 0);

    char data[512] = "new";
    const struct virtio_blk_discard_write_zeroes range = {.num_sectors = 1};
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_OUT, 0, sizeof(data), data, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_IOERR);
    ask(&disk, VIRTIO_BLK_T_DISCARD, 0, sizeof(range), &range, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_IOERR);
    ask(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(range), &range, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_IOERR);
    cr_assert(image_is(&disk, 0, SECTORS, 'o'));

    struct request r = ask(&disk, VIRTIO_BLK_T_IN, 1, 512, NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    cr_assert_eq(*(char *)fake_driver_at(&disk.driver, r.data, 1), 'o');
    end(&disk);
}

/* ---- reading and writing ------------------------------------------------------------------ */

Test(virtio_blk, what_was_written_is_in_the_file_and_is_read_back)
{
    struct disk disk;
    start(&disk);
    char data[4096], found[4096];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_OUT, 5, sizeof(data), data, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    read_image(&disk, 5, found, sizeof(found));
    cr_assert_arr_eq(found, data, sizeof(data));
    cr_assert(image_is(&disk, 0, 5, 0) && image_is(&disk, 13, 8, 0));

    struct request r = ask(&disk, VIRTIO_BLK_T_IN, 5, sizeof(data), NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    cr_assert_arr_eq(fake_driver_at(&disk.driver, r.data, sizeof(data)), data, sizeof(data));
    cr_assert_gt(disk.driver.interrupts, 0);
    end(&disk);
}

Test(virtio_blk, writes_reach_the_storage_also_for_a_driver_that_never_flushes)
{
    struct disk disk;
    start_with(&disk, false, ALL & ~BIT(VIRTIO_BLK_F_FLUSH));
    char data[512] = "durable", found[512];
    const struct virtio_blk_discard_write_zeroes range = {.sector = 8, .num_sectors = 8};
    fill_image(&disk, 'x');
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_OUT, 2, sizeof(data), data, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    ask(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(range), &range, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    read_image(&disk, 2, found, sizeof(found));
    cr_assert_str_eq(found, "durable");
    cr_assert(image_is(&disk, 8, 8, 0));
    end(&disk);
}

Test(virtio_blk, many_requests_in_one_notification_are_all_answered)
{
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'm');
    struct request requests[5];
    for (unsigned i = 0; i < 5; i++)
        requests[i] = offer(&disk, VIRTIO_BLK_T_IN, i * 16ull, 8192, NULL);
    run(&disk);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t head, length;
        cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));
        cr_assert_eq(length, 8193);
        cr_assert_eq(status_of(&disk, &requests[i]), VIRTIO_BLK_S_OK);
        cr_assert_eq(*(char *)fake_driver_at(&disk.driver, requests[i].data + 8191, 1), 'm');
    }
    end(&disk);
}

Test(virtio_blk, a_batch_of_answers_is_one_interrupt)
{
    struct disk disk;
    start(&disk);
    for (unsigned i = 0; i < 5; i++)
        offer(&disk, VIRTIO_BLK_T_GET_ID, 0, BLK_SERIAL_MAX, NULL);
    run(&disk);
    cr_assert_eq(disk.driver.interrupts, 1);
    end(&disk);
}

/* The header in three pieces, and the status in one descriptor with the data (2.7.4.3). */
Test(virtio_blk, the_layout_of_descriptors_does_not_matter)
{
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'l');
    uint64_t header = put_header(&disk, VIRTIO_BLK_T_IN, 3);
    uint64_t data = fake_driver_alloc(&disk.driver, 1025);
    const struct fake_buffer buffers[] = {
        {.address = header, .length = 1},
        {.address = header + 1, .length = 9},
        {.address = header + 10, .length = 6},
        {.address = data, .length = 700, .writable = true},
        {.address = data + 700, .length = 325, .writable = true},
    };
    fake_driver_send(&disk.driver, 0, buffers, 5);
    run(&disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));
    cr_assert_eq(length, 1025);
    const char *found = fake_driver_at(&disk.driver, data, 1025);
    cr_assert_eq(found[0], 'l');
    cr_assert_eq(found[1023], 'l');
    cr_assert_eq(found[1024], VIRTIO_BLK_S_OK);
    end(&disk);
}

Test(virtio_blk, requests_beyond_the_disk_or_of_odd_length_fail)
{
    static const struct {
        const char *name;
        uint64_t sector;
        uint32_t size;
    } rows[] = {
        {"first sector behind the end", SECTORS, 512},
        {"one sector too long", SECTORS - 1, 1024},
        {"sector that overflows in bytes", UINT64_MAX / 512 + 2, 512},
        {"the largest sector", UINT64_MAX, 512},
        {"sum that overflows", UINT64_MAX - 1, 4096},
        {"half a sector", 0, 256},
        {"a sector and a byte", 0, 513},
    };
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'b');
    char data[4096] = "bad";
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint8_t status;
        ask(&disk, VIRTIO_BLK_T_OUT, rows[i].sector, rows[i].size, data, &status);
        cr_assert_eq(status, VIRTIO_BLK_S_IOERR, "write: %s", rows[i].name);
        ask(&disk, VIRTIO_BLK_T_IN, rows[i].sector, rows[i].size, NULL, &status);
        cr_assert_eq(status, VIRTIO_BLK_S_IOERR, "read: %s", rows[i].name);
    }
    struct stat st;
    cr_assert_eq(stat(disk.path, &st), 0);
    cr_assert_eq(st.st_size, (off_t)SECTORS * 512);
    cr_assert(image_is(&disk, 0, SECTORS, 'b'));
    end(&disk);
}

Test(virtio_blk, a_file_that_became_shorter_gives_an_error)
{
    struct disk disk;
    start(&disk);
    cr_assert_eq(truncate(disk.path, 512), 0);
    struct request r = offer(&disk, VIRTIO_BLK_T_IN, 0, 1024, NULL);
    run(&disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));
    cr_assert_eq(status_of(&disk, &r), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(length, 512, "only what was read counts as written");
    end(&disk);
}

Test(virtio_blk, a_read_that_comes_in_parts_is_continued_to_its_end)
{
    struct disk disk;
    start(&disk);
    int pipe = replace_file_by_pipe();
    uint64_t header = put_header(&disk, VIRTIO_BLK_T_IN, 0), status = put_status(&disk);
    uint64_t data = fake_driver_alloc(&disk.driver, 1024);
    const struct fake_buffer buffers[] = {
        {.address = header, .length = 16},
        {.address = data, .length = 100, .writable = true},
        {.address = data + 100, .length = 24, .writable = true},
        {.address = data + 124, .length = 900, .writable = true},
        {.address = status, .length = 1, .writable = true},
    };
    fake_driver_send(&disk.driver, 0, buffers, 5);
    run_in_vain(&disk);
    static const size_t parts[] = {60, 40, 30, 894};
    for (size_t i = 0; i < 4; i++) {
        uint32_t head, length;
        cr_assert_not(fake_driver_used(&disk.driver, 0, &head, &length), "part %zu", i);
        give(pipe, (char)('0' + i), parts[i]);
        fake_driver_run_loop(&disk.driver, QUIET_MS);
    }
    settle(&disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));
    cr_assert_eq(length, 1025);
    const char *found = fake_driver_at(&disk.driver, data, 1024);
    cr_assert(found[59] == '0' && found[60] == '1' && found[99] == '1' && found[100] == '2');
    cr_assert(found[129] == '2' && found[130] == '3' && found[1023] == '3');
    end(&disk);
    close(pipe);
}

/* ---- the other requests ------------------------------------------------------------------- */

Test(virtio_blk, flush_succeeds_and_unknown_requests_are_unsupported)
{
    struct disk disk;
    start(&disk);
    uint64_t status = put_status(&disk);
    const struct fake_buffer flush[] = {
        {.address = put_header(&disk, VIRTIO_BLK_T_FLUSH, 0), .length = 16},
        {.address = status, .length = 1, .writable = true},
    };
    fake_driver_send(&disk.driver, 0, flush, 2);
    run(&disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));
    cr_assert_eq(length, 1);
    cr_assert_eq(*(uint8_t *)fake_driver_at(&disk.driver, status, 1), VIRTIO_BLK_S_OK);

    uint8_t answer;
    ask(&disk, VIRTIO_BLK_T_SECURE_ERASE, 0, 512, NULL, &answer);
    cr_assert_eq(answer, VIRTIO_BLK_S_UNSUPP);
    ask(&disk, 0xffffffff, 0, 512, NULL, &answer);
    cr_assert_eq(answer, VIRTIO_BLK_S_UNSUPP);
    end(&disk);
}

Test(virtio_blk, the_serial_is_told_padded_with_zeros)
{
    struct disk disk;
    start(&disk);
    uint8_t status;
    struct request r = ask(&disk, VIRTIO_BLK_T_GET_ID, 0, BLK_SERIAL_MAX, NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    const char expected[BLK_SERIAL_MAX] = "serial-0001";
    cr_assert_arr_eq(fake_driver_at(&disk.driver, r.data, BLK_SERIAL_MAX), expected,
                     sizeof(expected));
    r = ask(&disk, VIRTIO_BLK_T_GET_ID, 0, 4, NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK, "a short buffer gets the beginning");
    cr_assert_arr_eq(fake_driver_at(&disk.driver, r.data, 4), "seri", 4);
    end(&disk);
}

Test(virtio_blk, discard_and_write_zeroes_clear_their_ranges_and_no_more)
{
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'z');
    const struct virtio_blk_discard_write_zeroes discard[] = {{.sector = 8, .num_sectors = 8},
                                                              {.sector = 32, .num_sectors = 16}};
    const struct virtio_blk_discard_write_zeroes zero[] = {
        {.sector = 65, .num_sectors = 3},
        {.sector = 80, .num_sectors = 8, .flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}};
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_DISCARD, 0, sizeof(discard), discard, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    ask(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(zero), zero, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);

    cr_assert(image_is(&disk, 0, 8, 'z') && image_is(&disk, 8, 8, 0));
    cr_assert(image_is(&disk, 16, 16, 'z') && image_is(&disk, 32, 16, 0));
    cr_assert(image_is(&disk, 48, 17, 'z') && image_is(&disk, 65, 3, 0));
    cr_assert(image_is(&disk, 68, 12, 'z') && image_is(&disk, 80, 8, 0));
    cr_assert(image_is(&disk, 88, SECTORS - 88, 'z'));
    end(&disk);
}

Test(virtio_blk, bad_ranges_are_refused_whole)
{
    const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    const struct {
        const char *name;
        struct virtio_blk_discard_write_zeroes range;
        uint32_t type;
        uint8_t status;
    } rows[] = {
        {"discard with the unmap flag", {0, 1, unmap}, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_UNSUPP},
        {"unknown flag", {0, 1, 2}, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_S_UNSUPP},
        {"no sectors", {0, 0, 0}, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_IOERR},
        {"behind the end", {SECTORS, 1, 0}, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_IOERR},
        {"over the end", {1, SECTORS, 0}, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_S_IOERR},
        {"overflow", {UINT64_MAX, 2, 0}, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_IOERR},
        {"all ones", {UINT64_MAX, UINT32_MAX, 0}, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_S_IOERR},
    };
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'r');
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        /* The good one before it must not be carried out either. */
        const struct virtio_blk_discard_write_zeroes both[] = {{.num_sectors = 1}, rows[i].range};
        uint8_t status;
        ask(&disk, rows[i].type, 0, sizeof(both), both, &status);
        cr_assert_eq(status, rows[i].status, "%s", rows[i].name);
    }
    const struct virtio_blk_discard_write_zeroes many[33] = {{.num_sectors = 1}};
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_DISCARD, 0, sizeof(many), many, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_IOERR, "more segments than advertised");
    ask(&disk, VIRTIO_BLK_T_DISCARD, 0, 15, many, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_IOERR, "part of a segment");
    cr_assert(image_is(&disk, 0, SECTORS, 'r'));
    end(&disk);
}

/* ---- drivers that break rules ------------------------------------------------------------- */

Test(virtio_blk, a_request_without_status_byte_asks_for_a_reset)
{
    struct disk disk;
    start(&disk);
    const struct fake_buffer header = {.address = put_header(&disk, VIRTIO_BLK_T_FLUSH, 0),
                                       .length = 16};
    fake_driver_send(&disk.driver, 0, &header, 1);
    run(&disk);
    cr_assert(needs_reset(&disk));
    end(&disk);
}

Test(virtio_blk, a_request_without_whole_header_asks_for_a_reset)
{
    struct disk disk;
    start(&disk);
    const struct fake_buffer buffers[] = {
        {.address = put_header(&disk, VIRTIO_BLK_T_IN, 0), .length = 15},
        {.address = fake_driver_alloc(&disk.driver, 513), .length = 513, .writable = true},
    };
    fake_driver_send(&disk.driver, 0, buffers, 2);
    run(&disk);
    cr_assert(needs_reset(&disk));

    fake_driver_start(&disk.driver, ALL);
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK, "after the reset all is well");
    end(&disk);
}

Test(virtio_blk, cve_2026_45782_a_head_offered_again_while_in_flight_breaks_the_queue)
{
    struct disk disk;
    start(&disk);
    int pipe = replace_file_by_pipe();
    struct request r = offer(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL);
    run_in_vain(&disk);
    fake_driver_offer(&disk.driver, 0, r.head);
    run_in_vain(&disk);
    cr_assert(needs_reset(&disk));

    give(pipe, 'c', 512);
    settle(&disk);
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length), "the first one ends as ever");
    cr_assert_not(fake_driver_used(&disk.driver, 0, &head, &length), "and only once");
    end(&disk);
    close(pipe);
}

/* ---- reset, stop, threads ----------------------------------------------------------------- */

Test(virtio_blk, a_reset_ends_what_is_in_flight_without_a_trace)
{
    struct disk disk;
    start(&disk);
    int pipe = replace_file_by_pipe();
    struct request a = offer(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL);
    struct request b = offer(&disk, VIRTIO_BLK_T_IN, 8, 512, NULL);
    run_in_vain(&disk);
    struct virtio_device *device = disk.driver.mmio.device;
    cr_assert_not(virtio_is_quiet(device));

    fake_driver_write(&disk.driver, FAKE_REG_STATUS, 0);
    cr_assert(virtio_is_quiet(device));
    unsigned interrupts = disk.driver.interrupts;
    give(pipe, 't', 1024);
    fake_driver_run_loop(&disk.driver, QUIET_MS);
    uint32_t head, length;
    cr_assert_not(fake_driver_used(&disk.driver, 0, &head, &length));
    cr_assert_eq(status_of(&disk, &a), NO_REPLY);
    cr_assert_eq(status_of(&disk, &b), NO_REPLY);
    cr_assert_eq(*(char *)fake_driver_at(&disk.driver, a.data, 1), 0);
    cr_assert_eq(disk.driver.interrupts, interrupts);

    fake_driver_start(&disk.driver, ALL);
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL, &status);
    cr_assert_eq(status, VIRTIO_BLK_S_OK, "it works after the reset");
    end(&disk);
    close(pipe);
}

static void *give_later(void *argument)
{
    usleep(20000);
    give(*(int *)argument, 's', 512);
    return NULL;
}

Test(virtio_blk, stop_waits_for_what_is_in_flight_and_takes_nothing_new)
{
    struct disk disk;
    start(&disk);
    int pipe = replace_file_by_pipe();
    struct virtio_device *device = disk.driver.mmio.device;
    struct request first = offer(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL);
    run_in_vain(&disk);
    pthread_t giver;
    cr_assert_eq(pthread_create(&giver, NULL, give_later, &pipe), 0);
    virtio_stop(device);
    cr_assert(virtio_is_quiet(device));
    cr_assert_eq(status_of(&disk, &first), VIRTIO_BLK_S_OK);
    pthread_join(giver, NULL);

    struct request second = offer(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL);
    give(pipe, 's', 512);
    run_in_vain(&disk);
    cr_assert_eq(status_of(&disk, &second), NO_REPLY, "not while stopped");
    virtio_resume(device);
    settle(&disk);
    cr_assert_eq(status_of(&disk, &second), VIRTIO_BLK_S_OK);
    end(&disk);
    close(pipe);
}

static void *kick_and_end(void *argument)
{
    fake_driver_kick(argument, 0);
    return NULL;
}

Test(virtio_blk, requests_outlive_the_thread_that_submitted_them)
{
    struct disk disk;
    start(&disk);
    int pipe = replace_file_by_pipe();
    struct request r = offer(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, kick_and_end, &disk.driver), 0);
    pthread_join(thread, NULL);
    fake_driver_run_loop(&disk.driver, QUIET_MS);
    cr_assert_eq(status_of(&disk, &r), NO_REPLY);
    give(pipe, 'p', 512);
    settle(&disk);
    cr_assert_eq(status_of(&disk, &r), VIRTIO_BLK_S_OK);
    end(&disk);
    close(pipe);
}

/* ---- state -------------------------------------------------------------------------------- */

struct saved {
    struct virtio_state transport;
    struct blk_state own;
};

static void save(struct disk *disk, struct saved *saved)
{
    struct virtio_device *device = disk->driver.mmio.device;
    cr_assert_eq(device->ops->state_size, sizeof(saved->own));
    virtio_stop(device);
    virtio_mmio_save(&disk->driver.mmio, &saved->transport);
    device->ops->save(device, &saved->own);
}

/* A new device in the place of the old one, over the same memory. */
static struct virtio_device *replace_device(struct disk *disk)
{
    virtio_destroy(disk->driver.mmio.device);
    struct virtio_device *device = create(disk);
    fake_driver_attach(&disk->driver, device);
    virtio_stop(device);
    return device;
}

Test(virtio_blk, a_saved_disk_goes_on_in_a_new_device)
{
    struct disk disk;
    start(&disk);
    fill_image(&disk, 'a');
    uint8_t status;
    ask(&disk, VIRTIO_BLK_T_IN, 0, 512, NULL, &status);
    struct saved saved;
    save(&disk, &saved);
    struct request waiting = offer(&disk, VIRTIO_BLK_T_IN, 3, 512, NULL);

    disk.config.serial = "another";
    struct virtio_device *device = replace_device(&disk);
    struct thaw_error err = {0};
    cr_assert_eq(virtio_mmio_load(&disk.driver.mmio, &saved.transport, &err), 0, "%s", err.message);
    cr_assert_eq(device->ops->load(device, &saved.own, &err), 0, "%s", err.message);
    virtio_resume(device);
    settle(&disk);
    cr_assert_eq(status_of(&disk, &waiting), VIRTIO_BLK_S_OK, "offered while nobody was there");
    uint32_t head, length;
    cr_assert(fake_driver_used(&disk.driver, 0, &head, &length));

    struct request r = ask(&disk, VIRTIO_BLK_T_GET_ID, 0, BLK_SERIAL_MAX, NULL, &status);
    cr_assert_str_eq(fake_driver_at(&disk.driver, r.data, BLK_SERIAL_MAX), "serial-0001");
    end(&disk);
}

static void expect_refused_state(struct disk *disk, const struct blk_state *state, const char *why)
{
    struct virtio_device *device = disk->driver.mmio.device;
    struct thaw_error err = {0};
    cr_assert_eq(device->ops->load(device, state, &err), -EINVAL);
    cr_assert_not_null(strstr(err.message, why), "%s", err.message);
}

Test(virtio_blk, a_state_of_another_disk_is_refused)
{
    struct disk disk;
    start(&disk);
    struct saved saved;
    save(&disk, &saved);
    replace_device(&disk);

    struct blk_state state = saved.own;
    state.capacity = SECTORS + 1;
    expect_refused_state(&disk, &state, "the saved disk has 257 sectors, this one 256");
    state.capacity = UINT64_MAX;
    expect_refused_state(&disk, &state, "sectors");
    state = saved.own;
    state.read_only = 1;
    expect_refused_state(&disk, &state, "the saved disk is read-only, this one is writable");
    state.read_only = 2;
    expect_refused_state(&disk, &state, "the saved disk is");
    end(&disk);
}
