/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/network.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define LOOPBACK  "lo"
#define INTERFACE "eth0"

/* ioctls rather than netlink: four of them do, and they need no answers to be parsed. */
static int open_socket(struct failure *failure)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? fail(failure, errno, "network: socket") : fd;
}

static struct ifreq request_for(const char *name)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
    return request;
}

static int set_up(int fd, const char *name, bool up, struct failure *failure)
{
    struct ifreq request = request_for(name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return fail(failure, errno, "network: %s", name);
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return fail(failure, errno, "network: %s %s", name, up ? "up" : "down");
    return 0;
}

int network_loopback_up(struct failure *failure)
{
    cleanup_close int fd = open_socket(failure);
    return fd < 0 ? fd : set_up(fd, LOOPBACK, true, failure);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

static int change_mac(int fd, const uint8_t mac[6])
{
    struct ifreq request = request_for(INTERFACE);
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, mac, 6);
    return ioctl(fd, SIOCSIFHWADDR, &request) < 0 ? -errno : 0;
}

/* While the interface is up, where the driver can (virtio-net can): taking it down would lose the
 * routes of a workload that runs. */
static int set_mac(int fd, const uint8_t mac[6], struct failure *failure)
{
    int rc = change_mac(fd, mac);
    if (rc == -EBUSY) {
        rc = set_up(fd, INTERFACE, false, failure);
        if (rc < 0)
            return rc;
        rc = change_mac(fd, mac);
    }
    return rc < 0 ? fail(failure, -rc, "network: %s: MAC address", INTERFACE) : 0;
}

static struct sockaddr inet_address(const uint8_t bytes[4])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_addr, bytes, 4);
    struct sockaddr address;
    memcpy(&address, &in, sizeof(address));
    return address;
}

static int set_ipv4(int fd, const uint8_t ipv4[4], unsigned prefix, struct failure *failure)
{
    struct ifreq request = request_for(INTERFACE);
    request.ifr_addr = inet_address(ipv4);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0)
        return fail(failure, errno, "network: %s: IPv4 address", INTERFACE);

    uint32_t mask = htonl(UINT32_MAX << (32 - prefix)); /* prefix is 1 to 32 */
    request = request_for(INTERFACE);
    request.ifr_netmask = inet_address((const uint8_t *)&mask);
    if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
        return fail(failure, errno, "network: %s: IPv4 prefix %u", INTERFACE, prefix);
    return 0;
}

static int add_default_route(int fd, const uint8_t gateway[4], struct failure *failure)
{
    static const uint8_t any[4];
    struct rtentry route = {
        .rt_dst = inet_address(any),
        .rt_genmask = inet_address(any),
        .rt_gateway = inet_address(gateway),
        .rt_flags = RTF_UP | RTF_GATEWAY,
    };
    if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST)
        return fail(failure, errno, "network: %s: default route", INTERFACE);
    return 0;
}

int network_apply(const struct thaw_mailbox_header *header, struct failure *failure)
{
    bool has_mac = !is_zero(header->mac, sizeof(header->mac));
    bool has_ipv4 = header->ipv4_prefix > 0;
    if (!has_mac && !has_ipv4)
        return 0;

    cleanup_close int fd = open_socket(failure);
    if (fd < 0)
        return fd;
    int rc = has_mac ? set_mac(fd, header->mac, failure) : 0;
    if (rc == 0 && has_ipv4)
        rc = set_ipv4(fd, header->ipv4, header->ipv4_prefix, failure);
    if (rc == 0)
        rc = set_up(fd, INTERFACE, true, failure);
    /* After the interface is up: a route over one that is down is refused. */
    if (rc == 0 && has_ipv4 && !is_zero(header->ipv4_gateway, sizeof(header->ipv4_gateway)))
        rc = add_default_route(fd, header->ipv4_gateway, failure);
    return rc;
}
