/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/device_options.h"

#include "vmm/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define GUEST_CID_DEFAULT 3u /* the first that is free: 0 to 2 mean the hypervisor and the host */
#define GUEST_CID_MAX     0xfffffffeull

const char device_options_help[] =
    "      --disk PATH[,ro][,serial=TEXT]\n"
    "                            a disk: a file or block device; several become vda, vdb...\n"
    "      --net tap=NAME|fd=N[,mac=ADDRESS]\n"
    "                            a network card on a TAP interface; several become eth0, eth1...\n"
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

int device_option_disk(struct machine_devices *devices, char *text, struct thaw_error *err)
{
    if (devices->disk_count == MACHINE_DISKS_MAX)
        return too_many("--disk", MACHINE_DISKS_MAX, err);
    char *rest = text, *key, *value;
    struct blk_config disk = {.path = strsep(&rest, ",")};
    if (*disk.path == '\0')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--disk: needs a path");
    while (next_item(&rest, &key, &value)) {
        if (strcmp(key, "ro") == 0 && !value)
            disk.read_only = true;
        else if (strcmp(key, "serial") == 0 && value)
            disk.serial = value;
        else
            return unknown_item("--disk", key, err);
    }
    devices->disks[devices->disk_count++] = disk;
    return 0;
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

int device_option_net(struct machine_devices *devices, char *text, struct thaw_error *err)
{
    if (devices->net_count == MACHINE_NETS_MAX)
        return too_many("--net", MACHINE_NETS_MAX, err);
    char *rest = text, *key, *value;
    struct net_config net = {.fd = -1};
    int rc = 0;
    while (rc == 0 && next_item(&rest, &key, &value)) {
        uint64_t fd;
        if (strcmp(key, "tap") == 0 && value)
            net.tap = value;
        else if (strcmp(key, "fd") == 0 && value) {
            rc = cli_parse_number("--net fd=", value, 0, INT_MAX, &fd, err);
            net.fd = (int)fd;
        } else if (strcmp(key, "mac") == 0 && value)
            rc = parse_mac(value, net.mac, err);
        else
            rc = unknown_item("--net", key, err);
    }
    if (rc == 0 && !net.tap == (net.fd < 0))
        rc =
            thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net: needs either tap=NAME or fd=NUMBER");
    if (rc == 0)
        devices->nets[devices->net_count++] = net;
    return rc;
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
