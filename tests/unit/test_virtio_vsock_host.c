/* SPDX-License-Identifier: Apache-2.0 */
/* The UNIX sockets of a virtio socket: paths, the first line, what a program does not read. */
#include "tests/unit/vsock_rig.h"

TestSuite(vsock_host, .init = set_up, .fini = tear_down);

static int try_path(const char *path, struct thaw_error *err)
{
    struct virtio_device *device = NULL;
    const struct vsock_config config = {.path = path, .guest_cid = 3};
    *err = (struct thaw_error){0};
    int rc = vsock_create(&config, &rig.driver.context, &device, err);
    virtio_destroy(device);
    return rc;
}

static void expect_refused(const char *path, const char *why)
{
    char message[256];
    struct thaw_error err;
    snprintf(message, sizeof(message), "--vsock %s: %s", path, why);
    cr_assert_lt(try_path(path, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_IO);
    cr_assert_str_eq(err.message, message);
}

/* ---- the path ----------------------------------------------------------------------------- */

Test(vsock_host, a_path_that_leaves_no_room_for_the_ports_is_refused)
{
    char path[128];
    struct thaw_error err;
    memset(path, 'x', sizeof(path));
    memcpy(path, rig.dir, strlen(rig.dir));
    path[strlen(rig.dir)] = '/';
    path[VSOCK_PATH_MAX + 1] = '\0';
    expect_refused(path, "path too long");
    path[VSOCK_PATH_MAX] = '\0';
    cr_assert_eq(try_path(path, &err), 0, "%s", err.message);
    cr_assert_eq(VSOCK_PATH_MAX + sizeof("_4294967295"),
                 sizeof(((struct sockaddr_un *)NULL)->sun_path));
}

Test(vsock_host, a_path_that_cannot_be_made_is_refused)
{
    char path[64];
    expect_refused("", "no path");
    snprintf(path, sizeof(path), "%s/nowhere/v", rig.dir);
    expect_refused(path, "No such file or directory");
    snprintf(path, sizeof(path), "%s/v/v", rig.dir);
    expect_refused(path, "Not a directory");
    expect_refused(rig.dir, "exists and is not a socket");
}

Test(vsock_host, a_path_that_is_in_use_is_refused)
{
    expect_refused(rig.path, "in use");
    uint32_t port;
    close(connect_to_guest(5, &port)); /* which did no harm to its owner */
}

Test(vsock_host, a_file_is_never_replaced)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/file", rig.dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    expect_refused(path, "exists and is not a socket");
    cr_assert_eq(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/link", rig.dir);
    cr_assert_eq(symlink("file", path), 0);
    expect_refused(path, "exists and is not a socket");
}

Test(vsock_host, a_socket_that_nobody_listens_on_any_more_is_replaced)
{
    char path[128];
    struct thaw_error err;
    close(host_listen(".stale"));
    snprintf(path, sizeof(path), "%s.stale", rig.path);
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(try_path(path, &err), 0, "%s", err.message);
    cr_assert_neq(access(path, F_OK), 0, "and removed at the end");
}

Test(vsock_host, at_the_end_another_owners_file_stays)
{
    char path[128];
    struct vsock_listener listener;
    struct thaw_error err = {0};
    snprintf(path, sizeof(path), "%s.mine", rig.path);
    cr_assert_eq(vsock_listen(path, &listener, &err), 0, "%s", err.message);
    unlink(path);
    int other = host_listen(".mine");
    vsock_unlisten(&listener);
    vsock_unlisten(&listener);
    cr_assert_eq(access(path, F_OK), 0);
    close(other);
}

Test(vsock_host, cids_that_a_guest_cannot_have_are_refused)
{
    static const uint64_t rows[] = {0, 1, 2, 0xffffffff, 0x100000000, UINT64_MAX};
    char path[64];
    snprintf(path, sizeof(path), "%s/other", rig.dir);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct virtio_device *device = NULL;
        struct thaw_error err = {0};
        const struct vsock_config config = {.path = path, .guest_cid = rows[i]};
        cr_assert_eq(vsock_create(&config, &rig.driver.context, &device, &err), -EINVAL);
        cr_assert_eq(err.failure, THAW_FAIL_USAGE);
        cr_assert_neq(access(path, F_OK), 0, "no file was made");
    }
}

/* ---- the line ----------------------------------------------------------------------------- */

Test(vsock_host, lines_are_read_exactly)
{
    static const struct {
        const char *text;
        int64_t port; /* -1: refused */
    } rows[] = {{"CONNECT 0", 0},
                {"CONNECT 52", 52},
                {"CONNECT 4294967295", 4294967295},
                {"CONNECT 007", 7},
                {"CONNECT 4294967296", -1},
                {"CONNECT 18446744073709551616", -1},
                {"CONNECT ", -1},
                {"CONNECT", -1},
                {"", -1},
                {"CONNECT  5", -1},
                {"CONNECT 5\r", -1},
                {"CONNECT +5", -1},
                {"CONNECT 0x5", -1},
                {"CONNECTED 5", -1},
                {" CONNECT 5", -1}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t port = 0;
        bool good = vsock_line_parse(rows[i].text, (unsigned)strlen(rows[i].text), &port);
        cr_assert_eq(good, rows[i].port >= 0, "%s", rows[i].text);
        cr_assert(!good || port == rows[i].port, "%s", rows[i].text);
    }
    uint32_t port;
    cr_assert_not(vsock_line_parse("CONNECT 5\0", 10, &port), "a NUL is no digit");
}

/* ---- what was not taken ------------------------------------------------------------------- */

Test(vsock_host, the_backlog_keeps_the_order_across_the_rings_end)
{
    static unsigned char out[1024], in[65536];
    struct vsock_backlog backlog = {0};
    size_t written = 0, seen = 0;
    int fd[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    for (int round = 0; round < 3000; round++) {
        if (backlog.length + sizeof(out) <= VSOCK_WINDOW) {
            for (size_t i = 0; i < sizeof(out); i++, written++)
                out[i] = (unsigned char)(written * 31 + written / 256);
            struct iovec iov[] = {{.iov_base = out, .iov_len = 300},
                                  {.iov_base = out + 300, .iov_len = sizeof(out) - 300}};
            cr_assert_geq(vsock_backlog_write(&backlog, fd[0], iov, 2), 0);
        }
        ssize_t n = round % 7 == 0 ? recv(fd[1], in, 5000, 0) : 0;
        for (ssize_t i = 0; i < n; i++, seen++)
            cr_assert_eq(in[i], (unsigned char)(seen * 31 + seen / 256), "byte %zu", seen);
        cr_assert_geq(vsock_backlog_flush(&backlog, fd[0]), 0);
    }
    cr_assert_gt(backlog.length, 0, "the test must have come to the ring");
    while (seen < written) {
        ssize_t n = recv(fd[1], in, sizeof(in), 0);
        for (ssize_t i = 0; i < n; i++, seen++)
            cr_assert_eq(in[i], (unsigned char)(seen * 31 + seen / 256), "byte %zu", seen);
        cr_assert_geq(vsock_backlog_flush(&backlog, fd[0]), 0);
    }
    cr_assert_null(backlog.ring, "memory only while it is needed");
    close(fd[1]);
    struct iovec iov = {.iov_base = out, .iov_len = 1};
    cr_assert_eq(vsock_backlog_write(&backlog, fd[0], &iov, 1), -EPIPE);
    close(fd[0]);
}
