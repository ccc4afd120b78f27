/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10): stream sockets between the guest and programs of the host, which
 * see them as UNIX sockets (docs/vsock.md). Left out: SEQPACKET.
 *
 * Connections are not part of a snapshot. A restored guest is told to reset those it had
 * (5.10.6.7); its listeners stay.
 */
#ifndef THAW_DEVICES_VIRTIO_VSOCK_H
#define THAW_DEVICES_VIRTIO_VSOCK_H

#include "devices/virtio/device.h"

#define VSOCK_GUEST_CID_MIN 3ull /* 0 to 2 are taken (5.10.4) */
#define VSOCK_GUEST_CID_MAX 0xfffffffeull

struct vsock_config {
    const char *path;   /* the UNIX socket: made at creation, removed at the end */
    uint64_t guest_cid; /* VSOCK_GUEST_CID_MIN to VSOCK_GUEST_CID_MAX */
};

struct vsock_state {
    uint64_t guest_cid;
    uint32_t reset_pending; /* 0 or 1: the guest has yet to hear of an earlier restore */
    uint32_t reserved;
};

/* Needs a file descriptor for each connection: the caller sees to RLIMIT_NOFILE. THAW_FAIL_IO for
 * what is wrong with the path, THAW_FAIL_USAGE for the CID. */
int vsock_create(const struct vsock_config *config, const struct virtio_context *context,
                 struct virtio_device **out, struct thaw_error *err);

#endif
