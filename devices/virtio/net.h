/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1): an Ethernet card whose cable ends in a TAP interface of the host.
 *
 * Offers MAC, MTU and STATUS. Left out: the control queue, more than one pair of queues, mergeable
 * buffers, and every offload, so a frame is at most MTU + 18 bytes and complete. The header in
 * front of each frame is made here in both directions and never passed through.
 *
 * The frames that nobody has taken wait in the TAP: with no buffer from the driver the device does
 * not read, and with a TAP that is full it does not write.
 */
#ifndef THAW_DEVICES_VIRTIO_NET_H
#define THAW_DEVICES_VIRTIO_NET_H

#include "devices/virtio/device.h"

#define VIRTIO_NET_F_MTU    (1ull << 3)
#define VIRTIO_NET_F_MAC    (1ull << 5)
#define VIRTIO_NET_F_STATUS (1ull << 16)

enum { NET_QUEUE_RX, NET_QUEUE_TX, NET_QUEUES };

struct net_config {
    const char *tap; /* name of an interface, see tap_open(); NULL: use `fd` */
    int fd;          /* without `tap`: every read and write is one frame with its header */
    uint8_t mac[6];  /* all zero: net_default_mac() */
    uint16_t mtu;    /* 68 to 65535 bytes; 0: that of `tap`, 1500 without */
};

/* Takes over `fd`, and makes it nonblocking; it is closed with the device, or right away when
 * creation fails. Any descriptor will do here: tap_adopt() checks one from the command line. */
int net_create(const struct net_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err);

/* A locally administered unicast address. With a name always the same one, so that what a guest
 * and its neighbours remember stays true over restarts: two guests in one Ethernet whose TAPs
 * have the same name (in two network namespaces) need addresses of their own. NULL: a random one.
 */
void net_default_mac(const char *tap, uint8_t mac[6]);

struct net_counters {
    uint64_t rx_frames, rx_bytes, rx_dropped; /* to the guest; bytes without headers */
    uint64_t tx_frames, tx_bytes, tx_dropped; /* from the guest */
};

/* Under the loop's lock. */
void net_counters(const struct virtio_device *device, struct net_counters *out);

/* What the driver has read of the configuration. A restored device goes on showing it, whatever
 * `mac` and `mtu` it was created with; a clone's own address comes by the mailbox. */
struct net_state {
    uint8_t mac[6];
    uint16_t mtu;
    uint16_t link_up; /* 0 or 1; when it is otherwise now, the driver hears of it on resume */
    uint16_t reserved;
};
_Static_assert(sizeof(struct net_state) == 12, "no padding");

#endif
