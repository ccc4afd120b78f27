/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng, without a limit, with one that is soon reached, and with one that never is. */
#include "devices/virtio/rng.h"
#include "tests/fuzz/virtio_harness.h"

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    /* Rates at which the time that a test takes makes no difference. */
    static const struct rng_config configs[] = {{0},
                                                {.bytes_per_second = 1, .burst = 100},
                                                {.bytes_per_second = 1ull << 40, .burst = 5000}};
    return rng_create(&configs[*(const unsigned *)rig->host], &rig->context, out, err);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    for (unsigned n = 1 + fuzz_u8(in) % 8; n > 0; n--) {
        const struct fuzz_buffer buffer = fuzz_writable(rig, fuzz_u16(in));
        fuzz_send(rig, 0, &buffer, 1);
    }
    fuzz_kick(rig, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.create = create, .request = request};
    unsigned config = size > 0 ? data[0] % 3 : 0;
    fuzz_virtio(&target, &config, data, size);
    return 0;
}
