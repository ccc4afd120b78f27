/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/device_options.h"

#include "devices/virtio/tap.h"
#include "vmm/cli/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define GUEST_CID_DEFAULT 3u /* the first that is free: 0 to 2 mean the hypervisor and the host */
#define GUEST_CID_MAX     0xfffffffeull

const char device_options_help[] =
    "      --disk PATH[,ro|,overlay][,mount=DIR][,serial=TEXT]\n"
    "                            a disk: a file or block device; its file system (ext4, EROFS) is\n"
    "                            mounted at DIR; several become vda, vdb...\n"
    "                            overlay: what the guest writes is gone at its end\n"
    "      --net tap=NAME|fd=N[,mac=ADDRESS][,ip=ADDRESS/PREFIX[,gw=ADDRESS]]\n"
    "                            a network card on a TAP interface; several become eth0, eth1...\n"
    "                            ip, gw: the guest's IPv4 address and gateway, eth0 only\n"
    "      --vsock PATH[,cid=N]  sockets between host and guest: connect to PATH and write\n"
    "                            `CONNECT port`; the guest's to the host come to PATH_port\n"
    "      --balloon SIZE        take that much memory from the guest at its start\n";

/* The next item of the list at `*rest`, split at its '='. False: none is left. */
static bool next_item(char **rest, char **key, char **value)
{
    if (!*rest)
        return false;
    *key = strsep(rest, ",");
    *value = strchr(*key, '=');
    if (*value)
        *(*value)++ = '\0';
    return true;
}

static int unknown_item(const char *option, const char *key, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "%s: %s is not one of its parts", option,
                        *key ? key : "an empty word");
}

static int too_many(const char *option, unsigned max, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_USAGE, ENOSPC, "%s: a guest has at most %u", option, max);
}

/* A serial number that is the only one of its kind, where the user has not chosen one. */
static const char *const default_serials[MACHINE_DISKS_MAX] = {"disk0", "disk1", "disk2", "disk3",
                                                               "disk4", "disk5", "disk6", "disk7"};

static int check_disk(const struct machine_devices *devices, const struct blk_config *disk,
                      const char *mount, struct thaw_error *err)
{
    if (*disk->path == '\0')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--disk: needs a path");
    if (disk->read_only && disk->overlay)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--disk %s: either ro or overlay",
                            disk->path);
    if (mount && mount[0] != '/')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--disk mount=%s: must be absolute",
                            mount);
    if (*disk->serial == '\0' || *disk->serial == '.' || strchr(disk->serial, '/'))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--disk serial=%s: must be a word without '/'", disk->serial);
    for (unsigned i = 0; i < devices->disk_count; i++) {
        if (strcmp(devices->disks[i].serial, disk->serial) == 0)
            return thaw_fail_as(err, THAW_FAIL_USAGE, EEXIST, "--disk serial=%s: two disks have it",
                                disk->serial);
        if (strcmp(devices->disks[i].path, disk->path) == 0)
            return thaw_fail_as(err, THAW_FAIL_USAGE, EEXIST, "--disk %s: was given twice",
                                disk->path);
    }
    return 0;
}

int device_option_disk(struct machine_devices *devices, const char **mount, char *text,
                       struct thaw_error *err)
{
    if (devices->disk_count == MACHINE_DISKS_MAX)
        return too_many("--disk", MACHINE_DISKS_MAX, err);
    char *rest = text, *key, *value;
    struct blk_config disk = {.path = strsep(&rest, ","),
                              .serial = default_serials[devices->disk_count]};
    *mount = NULL;
    while (next_item(&rest, &key, &value)) {
        if (strcmp(key, "ro") == 0 && !value)
            disk.read_only = true;
        else if (strcmp(key, "overlay") == 0 && !value)
            disk.overlay = true;
        else if (strcmp(key, "serial") == 0 && value)
            disk.serial = value;
        else if (strcmp(key, "mount") == 0 && value)
            *mount = value;
        else
            return unknown_item("--disk", key, err);
    }
    int rc = check_disk(devices, &disk, *mount, err);
    if (rc == 0)
        devices->disks[devices->disk_count++] = disk;
    return rc;
}

/* Six pairs of hexadecimal digits; not a group's address (bit 0), which no card has. */
static int parse_mac(const char *text, uint8_t mac[6], struct thaw_error *err)
{
    int end = 0;
    int n = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
                   &mac[3], &mac[4], &mac[5], &end);
    bool is_whole = n == 6 && end == 17 && text[end] == '\0' && strpbrk(text, " +-xX") == NULL;
    if (is_whole && !(mac[0] & 1) && memcmp(mac, (uint8_t[6]){0}, 6) != 0)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                        "--net mac=%s: expected one card's address, such as 02:00:00:00:00:01",
                        text);
}

static int parse_ipv4(const char *key, const char *text, uint8_t ipv4[4], struct thaw_error *err)
{
    if (inet_pton(AF_INET, text, ipv4) == 1)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net %s=%s: not an IPv4 address", key,
                        text);
}

static int parse_address(char *text, struct mailbox_content *mailbox, struct thaw_error *err)
{
    char *slash = strchr(text, '/');
    uint64_t prefix = 0;
    if (!slash)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net ip=%s: expected an address and a prefix, such as 10.0.0.2/24",
                            text);
    *slash = '\0';
    int rc = parse_ipv4("ip", text, mailbox->ipv4, err);
    if (rc == 0)
        rc = cli_parse_number("--net ip=ADDRESS/", slash + 1, 1, 32, &prefix, err);
    mailbox->ipv4_prefix = (uint8_t)prefix;
    return rc;
}

/* The guest's kernel would refuse a gateway that its own network does not have. */
static int check_gateway(const struct mailbox_content *mailbox, struct thaw_error *err)
{
    uint32_t ipv4, gateway;
    memcpy(&ipv4, mailbox->ipv4, sizeof(ipv4));
    memcpy(&gateway, mailbox->ipv4_gateway, sizeof(gateway));
    if (gateway == 0)
        return 0;
    if (mailbox->ipv4_prefix == 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net gw=: needs ip=");
    if (ntohl(ipv4 ^ gateway) >> (32 - mailbox->ipv4_prefix) != 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net gw=: not in the network of the guest's address");
    return 0;
}

/* One part of --net. A descriptor is tried at once: it may be anything. */
static int net_item(struct net_config *net, struct mailbox_content *mailbox, const char *key,
                    char *value, struct thaw_error *err)
{
    uint64_t fd;
    struct tap tap;
    if (strcmp(key, "tap") == 0) {
        net->tap = value;
        return 0;
    }
    if (strcmp(key, "mac") == 0)
        return parse_mac(value, net->mac, err);
    if (strcmp(key, "ip") == 0)
        return parse_address(value, mailbox, err);
    if (strcmp(key, "gw") == 0)
        return parse_ipv4(key, value, mailbox->ipv4_gateway, err);
    if (strcmp(key, "fd") != 0)
        return unknown_item("--net", key, err);
    int rc = cli_parse_number("--net fd=", value, 0, INT_MAX, &fd, err);
    if (rc == 0)
        rc = tap_adopt((int)fd, &tap, err);
    net->fd = rc == 0 ? tap.fd : -1;
    return rc;
}

/* The end of a cable takes one card. */
static int check_cable(const struct machine_devices *devices, const struct net_config *net,
                       struct thaw_error *err)
{
    if (!net->tap == (net->fd < 0))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net: needs either tap=NAME or fd=NUMBER");
    for (unsigned i = 0; i < devices->net_count; i++) {
        const struct net_config *other = &devices->nets[i];
        if (net->tap ? other->tap && strcmp(other->tap, net->tap) == 0 : other->fd == net->fd)
            return thaw_fail_as(err, THAW_FAIL_USAGE, EEXIST,
                                "--net: the same interface was given twice");
    }
    return 0;
}

int device_option_net(struct machine_devices *devices, struct mailbox_content *mailbox, char *text,
                      struct thaw_error *err)
{
    if (devices->net_count == MACHINE_NETS_MAX)
        return too_many("--net", MACHINE_NETS_MAX, err);
    char *rest = text, *key, *value;
    struct net_config net = {.fd = -1};
    struct mailbox_content address = {0};
    int rc = 0;
    while (rc == 0 && next_item(&rest, &key, &value))
        rc = value ? net_item(&net, &address, key, value, err) : unknown_item("--net", key, err);
    if (rc == 0)
        rc = check_cable(devices, &net, err);
    if (rc == 0 && address.ipv4_prefix > 0 && devices->net_count > 0)
        rc = thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net ip=: only for the first card");
    if (rc == 0)
        rc = check_gateway(&address, err);
    if (rc < 0)
        return rc;
    if (devices->net_count == 0) {
        memcpy(mailbox->ipv4, address.ipv4, sizeof(address.ipv4));
        memcpy(mailbox->ipv4_gateway, address.ipv4_gateway, sizeof(address.ipv4_gateway));
        mailbox->ipv4_prefix = address.ipv4_prefix;
    }
    devices->nets[devices->net_count++] = net;
    return 0;
}

int device_option_vsock(struct machine_devices *devices, char *text, struct thaw_error *err)
{
    char *rest = text, *key, *value;
    struct vsock_config vsock = {.path = strsep(&rest, ","), .guest_cid = GUEST_CID_DEFAULT};
    if (devices->vsock.path)
        return too_many("--vsock", 1, err);
    if (*vsock.path == '\0')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--vsock: needs a path");
    while (next_item(&rest, &key, &value)) {
        if (strcmp(key, "cid") != 0 || !value)
            return unknown_item("--vsock", key, err);
        int rc = cli_parse_number("--vsock cid=", value, GUEST_CID_DEFAULT, GUEST_CID_MAX,
                                  &vsock.guest_cid, err);
        if (rc < 0)
            return rc;
    }
    devices->vsock = vsock;
    return 0;
}

int device_option_balloon(struct machine_devices *devices, char *text, struct thaw_error *err)
{
    uint64_t bytes;
    int rc = cli_parse_size("--balloon", text, &bytes, err);
    if (rc < 0)
        return rc;
    if (bytes > ARCH_MEMORY_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ERANGE, "--balloon %s: no guest has so much",
                            text);
    devices->has_balloon = true;
    devices->balloon.target_pages = (uint32_t)(bytes / GUEST_PAGE_SIZE);
    return 0;
}
