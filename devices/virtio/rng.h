/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng (virtio 1.2, 5.4): random bytes of the host's kernel for the guest's. A buffer gets at
 * most RNG_REQUEST_MAX bytes, however large it is; the rate is limited by a token bucket.
 */
#ifndef THAW_DEVICES_VIRTIO_RNG_H
#define THAW_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/device.h"

#define RNG_REQUEST_MAX 65536u

struct rng_config {
    uint64_t bytes_per_second; /* 0: no limit */
    uint64_t burst;            /* bytes that may be taken at once after a rest; at least 1 */
};

struct rng_state {
    uint64_t tokens; /* bytes that may be taken now; without a limit 0 */
};

/* THAW_FAIL_USAGE for a limit with no burst, or one beyond 2^40. */
int rng_create(const struct rng_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err);

#endif
