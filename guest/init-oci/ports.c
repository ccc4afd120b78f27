/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/ports.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/file.h"
#include "thaw/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DRIVER      "/sys/bus/virtio/drivers/virtio_console"
#define CLASS       "/sys/class/virtio-ports"
#define PORTS       3
#define WAIT_MS     2000 /* for a console of somebody else's, which never has these ports */
#define NODE_MAX    300
#define KERNEL_SAYS 1 /* multicast group of the kernel's own uevents */

static const char *const names[PORTS] = {THAW_PORT_STDIN, THAW_PORT_STDOUT, THAW_PORT_STDERR};

static bool has_console(void)
{
    DIR *driver = opendir(DRIVER);
    if (!driver)
        return false;
    bool found = false;
    for (const struct dirent *entry; !found && (entry = readdir(driver));)
        found = strncmp(entry->d_name, "virtio", strlen("virtio")) == 0;
    closedir(driver);
    return found;
}

/* Which of the names a port has; -1: none of them, or not yet any. */
static int index_of(const char *port)
{
    char path[NODE_MAX], name[64];
    snprintf(path, sizeof(path), CLASS "/%s/name", port);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
    if (size <= 0)
        return -1;
    name[size] = '\0';
    name[strcspn(name, "\n")] = '\0';
    for (int i = 0; i < PORTS; i++) {
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    return -1;
}

/* Fills in the nodes of the ports that are there; true when all are. */
static bool scan(char nodes[PORTS][NODE_MAX])
{
    DIR *class = opendir(CLASS);
    if (!class)
        return false;
    for (const struct dirent *entry; (entry = readdir(class));) {
        int i = entry->d_name[0] == '.' ? -1 : index_of(entry->d_name);
        if (i >= 0)
            snprintf(nodes[i], NODE_MAX, "/dev/%s", entry->d_name);
    }
    closedir(class);
    return nodes[0][0] && nodes[1][0] && nodes[2][0];
}

static int listen_to_kernel(void)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_SAYS};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        file_close(&fd);
    return fd;
}

/* Whatever it says, the answer is in sysfs. False: it said nothing until the deadline. */
static bool hear(int kernel, int64_t deadline_ms)
{
    char message[2048];
    struct pollfd wait = {.fd = kernel, .events = POLLIN};
    int64_t left = deadline_ms - clock_ms();
    if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
        return false;
    while (recv(kernel, message, sizeof(message), 0) > 0)
        ;
    return true;
}

/* The ear is open before the first look: nothing happens between the two unheard. */
static bool wait_for_nodes(char nodes[PORTS][NODE_MAX])
{
    cleanup_close int kernel = listen_to_kernel();
    int64_t deadline_ms = clock_ms() + WAIT_MS;
    while (!scan(nodes)) {
        if (!hear(kernel, deadline_ms))
            return false;
    }
    return true;
}

static int open_node(const char *node, int flags)
{
    int fd = open(node, flags | O_CLOEXEC);
    unlink(node);
    return fd;
}

bool ports_find(struct ports *ports)
{
    char nodes[PORTS][NODE_MAX] = {0};
    *ports = (struct ports){.input = -1, .outputs = {-1, -1}};
    if (!has_console() || !wait_for_nodes(nodes))
        return false;
    ports->input = open_node(nodes[0], O_PATH);
    for (int i = 0; i < 2; i++)
        ports->outputs[i] = open_node(nodes[1 + i], O_WRONLY | O_NONBLOCK);
    if (ports->input >= 0 && ports->outputs[0] >= 0 && ports->outputs[1] >= 0)
        return true;
    file_close(&ports->input);
    file_close(&ports->outputs[0]);
    file_close(&ports->outputs[1]);
    return false;
}

int ports_open_input(const struct ports *ports)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ports->input);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
