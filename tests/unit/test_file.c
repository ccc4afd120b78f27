/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/file.h"

#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 10000u

static struct thaw_error err;

/* What the kernel's pwrite() does to this descriptor instead. */
static struct {
    bool on;
    int fd, error; /* the latter once `calls` is 0; 0: never */
    unsigned calls;
    size_t most; /* bytes that a call takes */
    bool interrupted;
} rigged;

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (!rigged.on || fd != rigged.fd)
        return syscall(SYS_pwrite64, fd, data, size, offset);
    if (rigged.error != 0 && rigged.calls-- == 0) {
        errno = rigged.error;
        return -1;
    }
    rigged.interrupted = !rigged.interrupted;
    if (rigged.interrupted) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, size < rigged.most ? size : rigged.most, offset);
}

static int make_file(void)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    err = (struct thaw_error){0};
    return fd;
}

static void fill(char bytes[SIZE])
{
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 256);
}

Test(file, what_is_written_at_an_offset_is_there_and_nowhere_else)
{
    cleanup_close int fd = make_file();
    char bytes[SIZE], back[SIZE + 1234];
    fill(bytes);
    cr_assert_eq(file_pwrite_full(fd, bytes, SIZE, 1234, &err), 0);
    cr_assert_eq(file_pread_full(fd, back, sizeof(back), 0, &err), 0);
    for (size_t i = 0; i < 1234; i++)
        cr_assert_eq(back[i], 0);
    cr_assert_arr_eq(back + 1234, bytes, SIZE);
    cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0, "the file's own place must not move");
}

Test(file, short_and_interrupted_writes_are_gone_on_with)
{
    cleanup_close int fd = make_file();
    char bytes[SIZE], back[SIZE];
    fill(bytes);
    rigged.on = true;
    rigged.fd = fd;
    rigged.most = 300;
    cr_assert_eq(file_pwrite_full(fd, bytes, SIZE, 77, &err), 0, "%s", err.message);
    cr_assert_eq(file_pread_full(fd, back, SIZE, 77, &err), 0);
    cr_assert_arr_eq(back, bytes, SIZE);
}

Test(file, a_write_that_fails_in_the_middle_is_an_input_output_error)
{
    cleanup_close int fd = make_file();
    char bytes[SIZE];
    struct stat st;
    fill(bytes);
    rigged.on = true;
    rigged.fd = fd;
    rigged.most = 4096;
    rigged.calls = 2; /* an interrupted one, and one that is short */
    rigged.error = ENOSPC;
    cr_assert_eq(file_pwrite_full(fd, bytes, SIZE, 0, &err), -ENOSPC);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_str_eq(err.message, "write: No space left on device");
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_size, 4096);
}

Test(file, a_write_that_takes_nothing_is_not_tried_for_ever)
{
    cleanup_close int fd = make_file();
    rigged.on = true;
    rigged.fd = fd;
    rigged.most = 0;
    cr_assert_eq(file_pwrite_full(fd, "x", 1, 0, &err), -EIO);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
}

Test(file, nothing_to_write_is_done_at_once)
{
    cr_assert_eq(file_pwrite_full(-1, NULL, 0, 0, &err), 0);
}
