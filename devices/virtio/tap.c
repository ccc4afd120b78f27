/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/tap.h"

#include "vmm/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TUN_DEVICE "/dev/net/tun"
#define TAP_FLAGS  (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static int check_name(const char *name, struct thaw_error *err)
{
    size_t len = strlen(name);
    if (len == 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net tap=: a name is missing");
    if (len >= IFNAMSIZ)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENAMETOOLONG,
                            "--net tap=%.32s: longer than the %d characters of an interface's name",
                            name, IFNAMSIZ - 1);
    if (if_nametoindex(name) == 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENODEV,
                            "--net tap=%s: there is no such interface; make it with: "
                            "ip tuntap add dev %s mode tap user $USER",
                            name, name);
    return 0;
}

static int open_device(const char *name, struct thaw_error *err)
{
    int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    int code = errno;
    const char *mend = code == ENOENT || code == ENODEV || code == ENXIO ? "; try: modprobe tun"
                       : code == EACCES || code == EPERM ? "; it needs to be readable and writable"
                                                         : "";
    return thaw_fail_as(err, THAW_FAIL_IO, code, "--net tap=%s: " TUN_DEVICE ": %s%s", name,
                        strerrordesc_np(code), mend);
}

/* What TUNSETIFF says, for people. */
static int refused(const char *name, int code, struct thaw_error *err)
{
    switch (code) {
    case EBUSY:
        return thaw_fail_as(err, THAW_FAIL_IO, code,
                            "--net tap=%s: in use by another program (one guest to a TAP)", name);
    case EPERM:
    case EACCES:
        return thaw_fail_as(err, THAW_FAIL_IO, code,
                            "--net tap=%s: not yours to use; make it with: "
                            "ip tuntap add dev %s mode tap user $USER",
                            name, name);
    case EINVAL:
        return thaw_fail_as(err, THAW_FAIL_USAGE, code,
                            "--net tap=%s: not a TAP interface with one queue", name);
    default:
        return thaw_fail_as(err, THAW_FAIL_IO, code, "--net tap=%s: TUNSETIFF: %s", name,
                            strerrordesc_np(code));
    }
}

/* Whatever the user before us may have left switched on. */
static int set_header(int fd, struct thaw_error *err)
{
    int size = TAP_HEADER_SIZE;
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return thaw_fail(err, errno, "TUNSETVNETHDRSZ");
    if (ioctl(fd, TUNSETOFFLOAD, 0ul) < 0)
        return thaw_fail(err, errno, "TUNSETOFFLOAD");
    return 0;
}

static uint16_t mtu_of(const char *name)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) < 0 || request.ifr_mtu < 0 ||
        request.ifr_mtu > UINT16_MAX)
        return 0;
    return (uint16_t)request.ifr_mtu;
}

int tap_open(const char *name, struct tap *tap, struct thaw_error *err)
{
    int rc = check_name(name, err);
    if (rc < 0)
        return rc;
    cleanup_close int fd = open_device(name, err);
    if (fd < 0)
        return fd;
    struct ifreq request = {.ifr_flags = (short)TAP_FLAGS};
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        return refused(name, errno, err);
    if (set_header(fd, err) < 0)
        return thaw_context(err, "--net tap=%s", name);
    *tap = (struct tap){.fd = take_fd(&fd), .mtu = mtu_of(name)};
    return 0;
}

/* ---- a descriptor from elsewhere ---------------------------------------------------------- */

static int check_flags(int fd, short flags, struct thaw_error *err)
{
    if (!(flags & IFF_TAP))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net fd=%d: a TUN interface, which has no Ethernet frames", fd);
    if (!(flags & IFF_VNET_HDR))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net fd=%d: opened without IFF_VNET_HDR", fd);
    return 0;
}

/* It was inherited, so it would be again, by every helper. */
static int set_descriptor(int fd, struct thaw_error *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return thaw_fail(err, errno, "FD_CLOEXEC");
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return thaw_fail(err, errno, "O_NONBLOCK");
    return 0;
}

int tap_adopt(int fd, struct tap *tap, struct thaw_error *err)
{
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) < 0) {
        const char *why = errno == EBADF ? "not an open descriptor" : "not a TAP interface";
        return thaw_fail_as(err, THAW_FAIL_USAGE, errno, "--net fd=%d: %s", fd, why);
    }
    int rc = check_flags(fd, request.ifr_flags, err);
    if (rc < 0)
        return rc;
    if (set_header(fd, err) < 0 || set_descriptor(fd, err) < 0)
        return thaw_context(err, "--net fd=%d", fd);
    /* Its name may mean another interface here: the MTU stays unknown. */
    *tap = (struct tap){.fd = fd};
    return 0;
}
