/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP interfaces of the host (Documentation/networking/tuntap.rst): Ethernet frames through a file
 * descriptor, each behind a virtio_net_hdr. All offloads are off: frames have their checksums and
 * are no longer than the interface's MTU allows.
 */
#ifndef THAW_DEVICES_VIRTIO_TAP_H
#define THAW_DEVICES_VIRTIO_TAP_H

#include "vmm/base/error.h"

#include <stdint.h>

/* The header of a queue whose features include VERSION_1 (virtio 1.2, 5.1.6). */
#define TAP_HEADER_SIZE 12

struct tap {
    int fd;       /* nonblocking; the caller's to close */
    uint16_t mtu; /* bytes; 0: not known */
};

/*
 * Opens the interface `name` of this network namespace, which must exist: a name with a typing
 * error should not become an interface that nothing is connected to. THAW_FAIL_USAGE for what is
 * wrong with the name, THAW_FAIL_IO for what the host refuses; the message begins with
 * "--net tap=NAME: " and names the mend where there is one.
 */
int tap_open(const char *name, struct tap *tap, struct thaw_error *err);

/*
 * Prepares a descriptor that somebody else has opened, maybe in another network namespace, so that
 * it is like one of tap_open(). It must be attached to a TAP with IFF_NO_PI and IFF_VNET_HDR. The
 * latter and that it is a TAP are checked (THAW_FAIL_USAGE, "--net fd=N: "); IFF_NO_PI cannot be:
 * TUNGETIFF uses its bit for IFF_NOFILTER. On success `tap->fd` is `fd` itself, closed on exec, and
 * nonblocking from now on for everybody that shares it. On failure it is as it was or partly
 * prepared, and open.
 */
int tap_adopt(int fd, struct tap *tap, struct thaw_error *err);

#endif
