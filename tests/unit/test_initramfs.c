/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader/initramfs.h"

#include "vmm/loader/cpio.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct guest_memory memory;
static struct thaw_error err;

static void set_up(void)
{
    struct guest_region region = {.gpa = 0, .size = 64ull << 20};
    err = (struct thaw_error){0};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0);
}

static void tear_down(void)
{
    guest_memory_destroy(&memory);
}

TestSuite(initramfs, .init = set_up, .fini = tear_down);

/* A file of `size` bytes of 'x', by a path that lives as long as *fd. */
static void archive_of(size_t size, int *fd, char path[64])
{
    *fd = memfd_create("archive", 0);
    cr_assert_geq(*fd, 0);
    cr_assert_eq(ftruncate(*fd, (off_t)size), 0);
    if (size > 0)
        cr_assert_eq(pwrite(*fd, "x", 1, 0), 1);
    snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

Test(initramfs, nothing_to_load_is_no_initrd)
{
    struct boot_image image = {.end = 0x1000000, .initrd_size = 99};
    cr_assert_eq(initramfs_load(&(struct initramfs){0}, &memory, &image, &err), 0);
    cr_assert_eq(image.initrd_size, 0);
}

Test(initramfs, init_and_spec_come_first_and_archives_follow_aligned)
{
    cleanup_close int fd = -1;
    char path[64];
    archive_of(4097, &fd, path);
    struct initramfs initramfs = {
        .spec = "spec", .spec_size = 4, .archive_count = 1, .archives = {path}};
    struct boot_image image = {.end = 0x1000000};
    cr_assert_eq(initramfs_load(&initramfs, &memory, &image, &err), 0, "%s", err.message);

    cr_assert_eq(image.initrd % GUEST_PAGE_SIZE, 0);
    cr_assert_leq(image.initrd + image.initrd_size, 64ull << 20);
    const char *bytes = guest_memory_at(&memory, image.initrd, image.initrd_size);
    cr_assert(bytes);
    cr_assert_arr_eq(bytes, "070701", 6);
    cr_assert(memmem(bytes, image.initrd_size, "thaw.spec", 10));
    cr_assert(memmem(bytes, image.initrd_size, "TRAILER!!!", 11));
    cr_assert_eq(bytes[image.initrd_size - 4100], 'x',
                 "the archive is the last 4097 bytes, padded");
}

Test(initramfs, one_that_does_not_fit_names_the_memory_that_would_do)
{
    cleanup_close int fd = -1;
    char path[64];
    archive_of(40u << 20, &fd, path);
    struct initramfs initramfs = {.archive_count = 1, .archives = {path}};
    struct boot_image image = {.end = 0x1000000};
    cr_assert_eq(initramfs_load(&initramfs, &memory, &image, &err), -ENOMEM);
    cr_assert_eq(err.failure, THAW_FAIL_INITRAMFS);
    /* 16 MiB to the kernel's end, the archive packed and unpacked, 12 MiB of headroom */
    cr_assert(strstr(err.message, "--memory 109M"), "%s", err.message);
}

Test(initramfs, a_missing_archive_is_named)
{
    struct initramfs initramfs = {.archive_count = 1, .archives = {"/nowhere/root.cpio"}};
    struct boot_image image = {.end = 0x1000000};
    cr_assert_eq(initramfs_load(&initramfs, &memory, &image, &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_INITRAMFS);
    cr_assert(strstr(err.message, "/nowhere/root.cpio"));
}

Test(initramfs, an_export_is_what_a_load_puts_into_memory)
{
    cleanup_close int archive = -1;
    char path[64];
    archive_of(1001, &archive, path);
    struct initramfs initramfs = {
        .spec = "spec", .spec_size = 4, .archive_count = 1, .archives = {path}};
    struct boot_image image = {.end = 0x1000000};
    cr_assert_eq(initramfs_load(&initramfs, &memory, &image, &err), 0);

    cleanup_close int out = memfd_create("export", 0);
    cr_assert_eq(initramfs_export(&initramfs, out, &err), 0, "%s", err.message);
    cleanup_free char *exported = malloc(image.initrd_size);
    cr_assert_eq(lseek(out, 0, SEEK_END), (off_t)image.initrd_size);
    cr_assert_eq(pread(out, exported, image.initrd_size, 0), (ssize_t)image.initrd_size);
    cr_assert_eq(memcmp(exported, guest_memory_at(&memory, image.initrd, image.initrd_size),
                        image.initrd_size),
                 0);
}

Test(cpio, entries_are_newc_headers_padded_to_four)
{
    cleanup_cpio struct cpio cpio = {0};
    cr_assert_eq(cpio_add(&cpio, "a", S_IFREG | 0644, 0, 0, "12345", 5, &err), 0);
    /* 110 bytes of header and 2 of name make 112; 5 bytes of data take 8 */
    cr_assert_eq(cpio.size, 120);
    cr_assert_arr_eq(cpio.data, "07070100000001000081a4", 22);
    cr_assert_arr_eq(cpio.data + 54, "00000005", 8, "the size field");
    cr_assert_arr_eq(cpio.data + 94, "00000002", 8, "the name's size, with its NUL");
    cr_assert_arr_eq(cpio.data + 112, "12345\0\0\0", 8);
}

Test(cpio, growing_keeps_what_is_there)
{
    cleanup_cpio struct cpio cpio = {0};
    char block[1000];
    memset(block, 'b', sizeof(block));
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(cpio_add(&cpio, "f", S_IFREG, 0, 0, block, sizeof(block), &err), 0);
    cr_assert_eq(cpio_finish(&cpio, &err), 0);
    cr_assert_eq(cpio.size % CPIO_ALIGN, 0);
    cr_assert_arr_eq(cpio.data, "07070100000001", 14);
}
