/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/disk_file.h"
#include "snapshot/disks.h"
#include "tests/unit/blk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

/* ---- a guest with one disk, and its snapshots --------------------------------------------- */

struct guest {
    char directory[32], image[64], copy[64];
    struct blk_config config;
    struct blk_rig rig;
    bool runs;
};

static struct guest *guest;

static void set_up(void)
{
    guest = calloc(1, sizeof(*guest));
    strcpy(guest->directory, "/tmp/thaw-disks.XXXXXX");
    cr_assert_not_null(mkdtemp(guest->directory));
    snprintf(guest->image, sizeof(guest->image), "%s/image", guest->directory);
    snprintf(guest->copy, sizeof(guest->copy), "%s/copy", guest->directory);
    /* Holes, too: half of it. */
    for (size_t i = 0; i < RIG_SIZE / 2; i++)
        guest->rig.model[i] = (char)blk_rig_random(&guest->rig);
    int fd = open(guest->image, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, guest->rig.model, RIG_SIZE / 2), RIG_SIZE / 2);
    cr_assert_eq(ftruncate(fd, RIG_SIZE), 0);
    close(fd);
    guest->config = (struct blk_config){.path = guest->image, .serial = "data"};
}

static void stop(void)
{
    if (guest->runs)
        blk_rig_end(&guest->rig);
    guest->runs = false;
}

static void tear_down(void)
{
    char command[64];
    stop();
    snprintf(command, sizeof(command), "rm -r %s", guest->directory);
    cr_assert_eq(system(command), 0);
    free(guest);
}

TestSuite(snapshot_disks, .init = set_up, .fini = tear_down, .timeout = 60);

static void start(const struct blk_config *config)
{
    blk_rig_start(&guest->rig, config, RIG_ALL);
    guest->runs = true;
}

static void start_as(enum disk_kind kind)
{
    guest->config.read_only = kind == DISK_READ_ONLY;
    guest->config.overlay = kind == DISK_OVERLAY;
    start(&guest->config);
}

static int snapshot_directory(unsigned number)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%u", guest->directory, number);
    cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_snapshot(unsigned number)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s/%u", guest->directory, number);
    cr_assert_eq(system(command), 0);
}

/* With the way through JSON. */
static struct disk_record capture_of(const struct blk_config *config, int dir_fd)
{
    struct thaw_error err = {0};
    struct disk_record record, read;
    virtio_stop(guest->rig.device);
    cr_assert_eq(disk_capture(guest->rig.device, config, dir_fd, 0, &record, &err), 0, "%s",
                 err.message);
    json_t *json = disk_record_to_json(&record, &err);
    cr_assert_not_null(json);
    cr_assert_eq(disk_record_from_json(&read, json, &err), 0, "%s", err.message);
    cr_assert_eq(memcmp(&read, &record, sizeof(read)), 0);
    json_decref(json);
    return read;
}

static struct disk_record capture(int dir_fd)
{
    return capture_of(&guest->config, dir_fd);
}

static struct blk_config restore(const struct disk_record *record, int dir_fd,
                                 const char *relocated)
{
    struct thaw_error err = {0};
    struct blk_config config;
    cr_assert_eq(disk_restore(record, dir_fd, 0, relocated, &config, &err), 0, "%s", err.message);
    return config;
}

static void expect_refusal(const struct disk_record *record, int dir_fd, const char *relocated,
                           enum thaw_failure failure, const char *line)
{
    struct thaw_error err = {0};
    struct blk_config config;
    cr_assert_lt(disk_restore(record, dir_fd, 0, relocated, &config, &err), 0, "%s", line);
    cr_assert_eq(err.failure, failure, "%s", err.message);
    cr_assert_str_eq(err.message, line);
    cr_assert_null(config.path);
    cr_assert_null(config.layer);
}

static void expect_sound(const struct disk_record *record, int dir_fd)
{
    struct thaw_error err = {0};
    cr_assert_eq(disk_verify(record, dir_fd, 0, &err), 0, "%s", err.message);
}

static off_t stored_size(int dir_fd)
{
    struct stat st;
    return fstatat(dir_fd, "disk-0", &st, 0) == 0 ? st.st_size : -errno;
}

static void work(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++)
        blk_rig_step(&guest->rig);
}

/* ---- names -------------------------------------------------------------------------------- */

Test(snapshot_disks, a_disk_is_called_by_its_serial_else_by_its_number)
{
    char buffer[DISK_NAME_MAX];
    struct disk_record record = {.serial = "data"};
    cr_assert_str_eq(disk_record_name(&record, 3, buffer), "data");
    record.serial[0] = '\0';
    cr_assert_str_eq(disk_record_name(&record, 0, buffer), "vda");
    cr_assert_str_eq(disk_record_name(&record, 3, buffer), "vdd");
}

/* ---- each kind ---------------------------------------------------------------------------- */

Test(snapshot_disks, a_read_only_disk_is_only_described)
{
    start_as(DISK_READ_ONLY);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    cr_assert_eq(record.kind, DISK_READ_ONLY);
    cr_assert_eq(record.size, RIG_SIZE);
    cr_assert_str_eq(record.path, guest->image);
    cr_assert_str_eq(record.serial, "data");
    cr_assert_eq(stored_size(dir), -ENOENT);
    stop();

    struct blk_config config = restore(&record, dir, NULL);
    cr_assert(config.read_only && !config.overlay && !config.layer);
    cr_assert_str_eq(config.serial, "data");
    start(&config);
    disk_config_free(&config);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    cr_assert_eq(blk_rig_write(&guest->rig, 0, 1), VIRTIO_BLK_S_IOERR);
    expect_sound(&record, dir);
    close(dir);
}

Test(snapshot_disks, an_overlay_comes_back_with_what_was_written)
{
    start_as(DISK_OVERLAY);
    work(300);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    cr_assert_eq(record.kind, DISK_OVERLAY);
    cr_assert_eq((uint64_t)stored_size(dir), record.stored_size);
    stop();

    struct blk_config config = restore(&record, dir, NULL);
    start(&config);
    disk_config_free(&config);
    close(dir);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    work(300);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    dir = snapshot_directory(0);
    expect_sound(&record, dir);
    close(dir);
}

Test(snapshot_disks, a_writable_disk_comes_back_as_it_was_whatever_became_of_its_file)
{
    start_as(DISK_WRITABLE);
    work(300);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    cr_assert_eq(record.kind, DISK_WRITABLE);
    stop();
    cr_assert_eq(unlink(guest->image), 0);

    struct blk_config config = restore(&record, dir, NULL);
    cr_assert(config.overlay && config.is_copy && !config.read_only);
    start(&config);
    disk_config_free(&config);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    work(300);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    expect_sound(&record, dir);
    close(dir);
}

Test(snapshot_disks, what_the_guest_does_after_the_snapshot_is_not_in_it)
{
    for (enum disk_kind kind = DISK_OVERLAY; kind <= DISK_WRITABLE; kind++) {
        int dir = snapshot_directory(kind);
        start_as(kind);
        work(50);
        struct disk_record record = capture(dir);
        static char then[RIG_SIZE], now[RIG_SIZE];
        memcpy(then, guest->rig.model, RIG_SIZE);
        virtio_resume(guest->rig.device);
        work(50);
        blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
        memcpy(now, guest->rig.model, RIG_SIZE);
        stop();

        struct blk_config config = restore(&record, dir, NULL);
        memcpy(guest->rig.model, then, RIG_SIZE);
        start(&config);
        disk_config_free(&config);
        blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
        stop();
        int fd = open(guest->image, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(read(fd, guest->rig.model, RIG_SIZE), RIG_SIZE);
        close(fd);
        close(dir);
    }
}

Test(snapshot_disks, two_clones_do_not_see_each_other)
{
    start_as(DISK_OVERLAY);
    work(50);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    stop();
    struct blk_config config = restore(&record, dir, NULL);
    struct blk_rig *other = calloc(1, sizeof(*other));
    memcpy(other->model, guest->rig.model, RIG_SIZE);
    other->random = 77;
    blk_rig_start(other, &config, RIG_ALL);
    start(&config);
    disk_config_free(&config);
    for (unsigned i = 0; i < 100; i++) {
        blk_rig_step(other);
        blk_rig_step(&guest->rig);
    }
    blk_rig_expect(other, 0, RIG_SECTORS);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    blk_rig_end(other);
    free(other);
    close(dir);
}

/* Each snapshot is all that there is of the ones before. */
static void live_for_generations(enum disk_kind kind)
{
    start_as(kind);
    struct blk_config config = guest->config;
    config.path = strdup(config.path);
    config.serial = strdup(config.serial);
    for (unsigned i = 0; i < 5; i++) {
        work(100);
        int dir = snapshot_directory(i);
        struct disk_record record = capture_of(&config, dir);
        cr_assert_eq(record.kind, kind);
        disk_config_free(&config);
        stop();
        if (i > 0)
            remove_snapshot(i - 1);
        expect_sound(&record, dir);
        config = restore(&record, dir, NULL);
        start(&config);
        close(dir);
        blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    }
    disk_config_free(&config);
}

Test(snapshot_disks, snapshots_of_restored_guests_stand_for_themselves_with_an_overlay)
{
    live_for_generations(DISK_OVERLAY);
}

Test(snapshot_disks, snapshots_of_restored_guests_stand_for_themselves_with_a_writable_disk)
{
    live_for_generations(DISK_WRITABLE);
}

Test(snapshot_disks, an_overlay_that_was_not_written_to_costs_nothing)
{
    start_as(DISK_OVERLAY);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    cr_assert_eq(record.stored_size, 0);
    cr_assert_eq(stored_size(dir), -ENOENT);
    expect_sound(&record, dir);
    stop();
    struct blk_config config = restore(&record, dir, NULL);
    cr_assert(config.overlay && !config.layer);
    start(&config);
    disk_config_free(&config);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    close(dir);
}

Test(snapshot_disks, only_what_was_written_is_stored_and_zeros_are_not)
{
    start_as(DISK_OVERLAY);
    blk_rig_write(&guest->rig, 16, 3);
    blk_rig_clear(&guest->rig, VIRTIO_BLK_T_DISCARD, 512, 1024);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    cr_assert_eq(record.stored_size, 4096 + 3 * 512);
    stop();
    struct blk_config config = restore(&record, dir, NULL);
    cr_assert_eq(config.layer->run_count, 2);
    start(&config);
    disk_config_free(&config);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    close(dir);
}

Test(snapshot_disks, holes_of_a_writable_disk_stay_holes)
{
    start_as(DISK_WRITABLE);
    int dir = snapshot_directory(0);
    capture(dir);
    struct stat st;
    cr_assert_eq(fstatat(dir, "disk-0", &st, 0), 0);
    cr_assert_eq(st.st_size, RIG_SIZE);
    cr_assert_leq(st.st_blocks * 512, RIG_SIZE / 2 + 65536);
    cr_assert_eq(st.st_mode & 0777, 0600);
    close(dir);
}

/* ---- images that are not what they were --------------------------------------------------- */

static void change_image(const char *path, off_t at)
{
    char byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ 1);
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void copy_image(const char *from, const char *to)
{
    char command[160];
    snprintf(command, sizeof(command), "cp --sparse=never %s %s", from, to);
    cr_assert_eq(system(command), 0);
}

Test(snapshot_disks, a_missing_image_is_named_with_the_option_that_helps)
{
    char line[200];
    start_as(DISK_READ_ONLY);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    stop();
    cr_assert_eq(rename(guest->image, guest->copy), 0);
    snprintf(line, sizeof(line),
             "disk data: %s: No such file or directory (--disk data=PATH says where it is)",
             guest->image);
    expect_refusal(&record, dir, NULL, THAW_FAIL_SNAPSHOT_DISK, line);

    struct blk_config config = restore(&record, dir, guest->copy);
    cr_assert_str_eq(config.path, guest->copy);
    start(&config);
    disk_config_free(&config);
    blk_rig_expect(&guest->rig, 0, RIG_SECTORS);
    close(dir);
}

Test(snapshot_disks, another_image_is_refused)
{
    char line[200];
    for (enum disk_kind kind = DISK_READ_ONLY; kind <= DISK_OVERLAY; kind++) {
        int dir = snapshot_directory(kind);
        start_as(kind);
        struct disk_record record = capture(dir);
        stop();
        snprintf(line, sizeof(line), "disk data: %s: not the image that the snapshot was made with",
                 guest->image);
        static const off_t places[] = {0, 1080, 65535, RIG_SIZE - 65536, RIG_SIZE - 1};
        for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
            change_image(guest->image, places[i]);
            expect_refusal(&record, dir, NULL, THAW_FAIL_SNAPSHOT_DISK, line);
            change_image(guest->image, places[i]);
        }
        cr_assert_eq(truncate(guest->image, RIG_SIZE + 512), 0);
        expect_refusal(&record, dir, NULL, THAW_FAIL_SNAPSHOT_DISK, line);
        cr_assert_eq(truncate(guest->image, RIG_SIZE - 512), 0);
        expect_refusal(&record, dir, NULL, THAW_FAIL_SNAPSHOT_DISK, line);
        cr_assert_eq(truncate(guest->image, RIG_SIZE), 0);
        strcpy(record.path, "/dev/null");
        expect_refusal(&record, dir, NULL, THAW_FAIL_SNAPSHOT_DISK,
                       "disk data: /dev/null: not the image that the snapshot was made with");
        close(dir);
    }
}

Test(snapshot_disks, verify_looks_into_the_image_too)
{
    struct thaw_error err = {0};
    start_as(DISK_READ_ONLY);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    stop();
    cr_assert_eq(disk_verify_image(&record, 0, NULL, &err), 0, "%s", err.message);
    off_t sample = (RIG_SIZE - 4096) / 15 * 7;
    change_image(guest->image, sample + 4095);
    struct blk_config config = restore(&record, dir, NULL);
    disk_config_free(&config);
    cr_assert_eq(disk_verify_image(&record, 0, NULL, &err), -EINVAL);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_DISK);
    unlink(guest->image);
    cr_assert_eq(disk_verify_image(&record, 0, NULL, &err), -ENOENT);
    close(dir);
}

Test(snapshot_disks, a_users_own_copy_of_a_writable_disk_is_written_to_once)
{
    char stored[64], line[200];
    start_as(DISK_WRITABLE);
    work(50);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    stop();
    snprintf(stored, sizeof(stored), "%s/0/disk-0", guest->directory);
    copy_image(stored, guest->copy);
    snprintf(line, sizeof(line), "disk data: %s: not the image that the snapshot was made with",
             guest->copy);
    change_image(guest->copy, RIG_SIZE / 3);
    expect_refusal(&record, dir, guest->copy, THAW_FAIL_SNAPSHOT_DISK, line);
    change_image(guest->copy, RIG_SIZE / 3);

    struct blk_config config = restore(&record, dir, guest->copy);
    cr_assert(!config.overlay && !config.read_only);
    start(&config);
    disk_config_free(&config);
    blk_rig_write(&guest->rig, 700, 1);
    stop();
    static char content[RIG_SIZE];
    int fd = open(guest->copy, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, content, RIG_SIZE), RIG_SIZE);
    cr_assert_eq(memcmp(content, guest->rig.model, RIG_SIZE), 0);
    close(fd);
    expect_refusal(&record, dir, guest->copy, THAW_FAIL_SNAPSHOT_DISK, line);
    expect_sound(&record, dir);
    close(dir);
}

Test(snapshot_disks, a_copy_without_holes_verifies_like_the_original)
{
    char stored[64];
    start_as(DISK_WRITABLE);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    snprintf(stored, sizeof(stored), "%s/0/disk-0", guest->directory);
    copy_image(stored, guest->copy);
    cr_assert_eq(rename(guest->copy, stored), 0);
    expect_sound(&record, dir);
    close(dir);
}

Test(snapshot_disks, data_that_moved_to_another_place_is_found)
{
    static char block[65536];
    struct thaw_error err = {0};
    memset(guest->rig.model, 0, RIG_SIZE);
    start_as(DISK_WRITABLE);
    blk_rig_clear(&guest->rig, VIRTIO_BLK_T_DISCARD, 0, RIG_SECTORS);
    blk_rig_write(&guest->rig, 256, 128);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    int fd = openat(dir, "disk-0", O_RDWR | O_CLOEXEC);
    cr_assert_eq(pread(fd, block, sizeof(block), 256 * 512), (ssize_t)sizeof(block));
    cr_assert_eq(pwrite(fd, block, sizeof(block), 512 * 512), (ssize_t)sizeof(block));
    memset(block, 0, sizeof(block));
    cr_assert_eq(pwrite(fd, block, sizeof(block), 256 * 512), (ssize_t)sizeof(block));
    cr_assert_lt(disk_verify(&record, dir, 0, &err), 0);
    close(fd);
    close(dir);
}

Test(snapshot_disks, a_file_that_has_grown_while_the_guest_ran_cannot_be_captured)
{
    struct thaw_error err = {0};
    struct disk_record record;
    start_as(DISK_WRITABLE);
    int dir = snapshot_directory(0);
    cr_assert_eq(truncate(guest->image, RIG_SIZE * 2), 0);
    cr_assert_lt(disk_capture(guest->rig.device, &guest->config, dir, 0, &record, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_not_null(strstr(err.message, "has changed its size while the guest ran"));
    cr_assert_eq(stored_size(dir), -ENOENT);
    close(dir);
}

Test(snapshot_disks, a_base_that_was_replaced_while_the_guest_ran_cannot_be_captured)
{
    struct thaw_error err = {0};
    struct disk_record record;
    char line[200];
    start_as(DISK_READ_ONLY);
    int dir = snapshot_directory(0);
    copy_image(guest->image, guest->copy);
    cr_assert_eq(rename(guest->copy, guest->image), 0);
    cr_assert_lt(disk_capture(guest->rig.device, &guest->config, dir, 0, &record, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    snprintf(line, sizeof(line), "disk data: %s (deleted): No such file or directory",
             guest->image);
    cr_assert_str_eq(err.message, line);
    close(dir);
}

Test(snapshot_disks, no_room_leaves_no_file)
{
    struct thaw_error err = {0};
    struct disk_record record;
    for (enum disk_kind kind = DISK_OVERLAY; kind <= DISK_WRITABLE; kind++) {
        start_as(kind);
        blk_rig_write(&guest->rig, 0, 200);
        virtio_stop(guest->rig.device);
        int dir = snapshot_directory(kind);
        struct rlimit limit = {.rlim_cur = 65536, .rlim_max = RLIM_INFINITY};
        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_lt(disk_capture(guest->rig.device, &guest->config, dir, 0, &record, &err), 0);
        limit.rlim_cur = RLIM_INFINITY;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_eq(err.failure, THAW_FAIL_IO);
        cr_assert_str_eq(err.message, "disk data: disk-0: write: File too large");
        cr_assert_eq(stored_size(dir), -ENOENT);
        close(dir);
        stop();
    }
}

/* ---- hostile files ------------------------------------------------------------------------ */

/* A snapshot of an overlay with runs of data and of zeros. */
static struct disk_record capture_runs(int dir)
{
    start_as(DISK_OVERLAY);
    for (unsigned i = 0; i < 20; i++) {
        blk_rig_write(&guest->rig, i * 100, 3);
        blk_rig_clear(&guest->rig, VIRTIO_BLK_T_DISCARD, i * 100 + 50, 24);
    }
    struct disk_record record = capture(dir);
    stop();
    return record;
}

static void put_stored(int dir, const void *content, size_t size)
{
    int fd = openat(dir, "disk-0", O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, content, size), (ssize_t)size);
    close(fd);
}

static size_t get_stored(int dir, char *content, size_t size)
{
    int fd = openat(dir, "disk-0", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, content, size);
    close(fd);
    return (size_t)n;
}

static int try_to_restore(const struct disk_record *record, int dir, struct thaw_error *err)
{
    struct blk_config config;
    *err = (struct thaw_error){0};
    int rc = disk_restore(record, dir, 0, NULL, &config, err);
    disk_config_free(&config);
    return rc;
}

Test(snapshot_disks, a_stored_file_of_another_length_is_refused)
{
    static char content[65536];
    struct thaw_error err;
    int dir = snapshot_directory(0);
    struct disk_record record = capture_runs(dir);
    size_t size = get_stored(dir, content, sizeof(content));
    for (size_t length = 0; length < size; length += length < 4200 ? 1 : 509) {
        put_stored(dir, content, length);
        cr_assert_lt(try_to_restore(&record, dir, &err), 0);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT, "%s", err.message);
        cr_assert_lt(disk_verify(&record, dir, 0, &err), 0);
        /* And when the record agrees with it. */
        struct disk_record other = record;
        other.stored_size = length;
        cr_assert(length == 0 || try_to_restore(&other, dir, &err) < 0);
    }
    put_stored(dir, content, size + 1);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    close(dir);
}

Test(snapshot_disks, any_byte_that_was_changed_is_found)
{
    static char content[65536];
    struct thaw_error err;
    int dir = snapshot_directory(0);
    struct disk_record record = capture_runs(dir);
    size_t size = get_stored(dir, content, sizeof(content));
    size_t table = sizeof(struct disk_file_header) + 40 * sizeof(struct overlay_run);
    for (size_t at = 0; at < size; at += at < table ? 1 : 97) {
        content[at] = (char)(content[at] ^ 0x40);
        put_stored(dir, content, size);
        content[at] = (char)(content[at] ^ 0x40);
        cr_assert(at >= table || try_to_restore(&record, dir, &err) < 0, "byte %zu", at);
        cr_assert_lt(disk_verify(&record, dir, 0, &err), 0, "byte %zu", at);
        cr_assert_str_eq(err.message, "disk-0: its checksum is wrong");
    }
    close(dir);
}

/* A file with a right checksum, made by somebody who means ill. */
static void put_forged(int dir, struct disk_file_header header, const struct overlay_run *runs,
                       size_t count)
{
    static char content[65536];
    header.checksum = 0;
    uint64_t seed = XXH3_64bits(&header, sizeof(header));
    header.checksum = XXH3_64bits_withSeed(runs, count * sizeof(*runs), seed);
    memset(content, 0, sizeof(content));
    memcpy(content, &header, sizeof(header));
    memcpy(content + sizeof(header), runs, count * sizeof(*runs));
    put_stored(dir, content, 4096 + 1024);
}

Test(snapshot_disks, a_forged_table_never_reaches_beyond_disk_or_file)
{
    static const struct {
        const char *name;
        struct overlay_run runs[2];
        bool is_sound;
    } rows[] = {
        {"sound", {{0, 1, 4096}, {5, 1, 4608}}, true},
        {"with zeros", {{0, 100, OVERLAY_ZEROS}, {2046, 2, 4096}}, true},
        {"beyond the disk", {{0, 1, 4096}, {2048, 1, 4608}}, false},
        {"over the end of the disk", {{0, 1, OVERLAY_ZEROS}, {2047, 2, 4096}}, false},
        {"sum that overflows", {{0, 2, 4096}, {2, UINT64_MAX, OVERLAY_ZEROS}}, false},
        {"sector that overflows", {{0, 2, 4096}, {UINT64_MAX, 1, OVERLAY_ZEROS}}, false},
        {"bytes that overflow", {{0, 2, 4096}, {2, 1ull << 55, 5120}}, false},
        {"empty run", {{0, 2, 4096}, {2, 0, OVERLAY_ZEROS}}, false},
        {"overlap", {{0, 1, 4096}, {0, 1, 4608}}, false},
        {"descending", {{5, 1, 4096}, {0, 1, 4608}}, false},
        {"data in the table", {{0, 1, 0}, {5, 1, 512}}, false},
        {"data used twice", {{0, 1, 4096}, {5, 1, 4096}}, false},
        {"data behind the end", {{0, 1, 4096}, {5, 2, 4608}}, false},
        {"data left over", {{0, 1, 4096}, {5, 1, OVERLAY_ZEROS}}, false},
    };
    struct thaw_error err;
    int dir = snapshot_directory(0);
    struct disk_record record = capture_runs(dir);
    record.stored_size = 4096 + 1024;
    struct disk_file_header header = {.magic = DISK_FILE_MAGIC,
                                      .version = DISK_FILE_VERSION,
                                      .sector_size = 512,
                                      .sectors = RIG_SECTORS,
                                      .run_count = 2,
                                      .data_offset = 4096,
                                      .file_size = 4096 + 1024};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        put_forged(dir, header, rows[i].runs, 2);
        int rc = try_to_restore(&record, dir, &err);
        cr_assert_eq(rc == 0, rows[i].is_sound, "%s: %s", rows[i].name, err.message);
        cr_assert(rc == 0 || err.failure == THAW_FAIL_SNAPSHOT, "%s: %s", rows[i].name,
                  err.message);
    }
    header.run_count = UINT64_MAX / 8;
    put_forged(dir, header, rows[0].runs, 2);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_str_eq(err.message, "disk-0: its table does not fit");
    header.run_count = 1000;
    put_forged(dir, header, rows[0].runs, 2);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    header.run_count = 2;
    header.sectors = RIG_SECTORS + 1;
    put_forged(dir, header, rows[0].runs, 2);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_str_eq(err.message, "disk-0: is of a disk of another size");
    header.sectors = RIG_SECTORS;
    header.version = 2;
    put_forged(dir, header, rows[0].runs, 2);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_VERSION);
    close(dir);
}

Test(snapshot_disks, a_link_or_nothing_in_the_place_of_a_stored_file_is_refused)
{
    struct thaw_error err;
    for (enum disk_kind kind = DISK_OVERLAY; kind <= DISK_WRITABLE; kind++) {
        int dir = snapshot_directory(kind);
        start_as(kind);
        blk_rig_write(&guest->rig, 0, 1);
        struct disk_record record = capture(dir);
        stop();
        cr_assert_eq(renameat(dir, "disk-0", dir, "other"), 0);
        cr_assert_lt(try_to_restore(&record, dir, &err), 0);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_MISSING, "%s", err.message);
        cr_assert_eq(symlinkat("other", dir, "disk-0"), 0);
        cr_assert_lt(try_to_restore(&record, dir, &err), 0);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK, "%s", err.message);
        cr_assert_lt(disk_verify(&record, dir, 0, &err), 0);
        close(dir);
    }
}

Test(snapshot_disks, a_stored_image_that_was_written_to_is_refused)
{
    struct thaw_error err;
    char stored[64];
    start_as(DISK_WRITABLE);
    int dir = snapshot_directory(0);
    struct disk_record record = capture(dir);
    stop();
    snprintf(stored, sizeof(stored), "%s/0/disk-0", guest->directory);
    change_image(stored, 1080);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert_str_eq(err.message, "disk-0: its content was changed");
    cr_assert_eq(truncate(stored, 4096), 0);
    cr_assert_lt(try_to_restore(&record, dir, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    close(dir);
}

/* ---- hostile records ---------------------------------------------------------------------- */

Test(snapshot_disks, a_record_is_believed_only_when_every_field_is_right)
{
    static const char sound[] =
        "{'kind': 'overlay', 'path': '/image', 'serial': '', 'size': 4096,"
        " 'ends': '0123456789abcdef0123456789abcdef',"
        " 'samples': '0123456789abcdef0123456789abcdef', 'stored_size': 5120,"
        " 'stored_checksum': '0123456789abcdef0123456789abcdef'}";
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"kind", "'rw'"},
        {"kind", "1"},
        {"kind", "'ro'"},       /* stores nothing */
        {"kind", "'writable'"}, /* stores all of it */
        {"path", "'image'"},
        {"path", "''"},
        {"path", "'/a\\u0000b'"},
        {"path", "null"},
        {"serial", "'123456789012345678901'"},
        {"serial", "7"},
        {"size", "0"},
        {"size", "4097"},
        {"size", "-512"},
        {"size", "4096.0"},
        {"size", "'4096'"},
        {"ends", "'0123456789abcdef0123456789abcde'"},
        {"ends", "'0123456789abcdef0123456789abcdeff'"},
        {"ends", "'0123456789abcdef0123456789abcdeF'"},
        {"samples", "[]"},
        {"stored_size", "-1"},
        {"stored_size", "true"},
        {"stored_checksum", "''"},
    };
    struct thaw_error err = {0};
    struct disk_record record;
    json_error_t where;
    char *text = strdup(sound);
    for (char *c = text; (c = strchr(c, '\'')) != NULL;)
        *c = '"';
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        json_t *json = json_loads(text, 0, &where);
        cr_assert_eq(disk_record_from_json(&record, json, &err), 0, "%s", err.message);
        cr_assert_eq(record.fingerprint.ends.high, 0x0123456789abcdefull);
        char value[64];
        snprintf(value, sizeof(value), "%s", rows[i].value);
        for (char *c = value; (c = strchr(c, '\'')) != NULL;)
            *c = '"';
        json_object_set_new(json, rows[i].key,
                            json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where));
        cr_assert_eq(disk_record_from_json(&record, json, &err), -EINVAL, "%s: %s", rows[i].key,
                     rows[i].value);
        cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
        json_object_del(json, rows[i].key);
        cr_assert_eq(disk_record_from_json(&record, json, &err), -EINVAL);
        json_decref(json);
    }
    free(text);
    cr_assert_eq(disk_record_from_json(&record, NULL, &err), -EINVAL);
    json_t *json = json_array();
    cr_assert_eq(disk_record_from_json(&record, json, &err), -EINVAL);
    json_decref(json);
}

Test(snapshot_disks, a_path_that_is_too_long_or_not_text_is_refused)
{
    struct thaw_error err = {0};
    struct disk_record record = {.kind = DISK_READ_ONLY, .path = "/\xff", .size = 512}, read;
    cr_assert_null(disk_record_to_json(&record, &err));
    cr_assert_neq(err.code, 0);
    strcpy(record.path, "/image");
    json_t *json = disk_record_to_json(&record, &err);
    static char path[PATH_MAX + 1];
    memset(path, '/', PATH_MAX);
    json_object_set_new(json, "path", json_string(path));
    cr_assert_eq(disk_record_from_json(&read, json, &err), -EINVAL);
    json_decref(json);
}
