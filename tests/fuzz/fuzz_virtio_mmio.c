/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio-mmio, and what every device has, with the plainest device there can be:
 * it copies what it reads to what it may write, and finishes some requests later. */
#include "tests/fuzz/virtio_harness.h"

#include <errno.h>

#define QUEUES      3u
#define PENDING_MAX 4u

struct echo_state {
    uint8_t config[16];
    uint64_t finished;
};

struct echo {
    struct virtio_device base;
    struct echo_state state; /* config[0] under 16 */
    bool active;
    struct virtq_chain chain;
    unsigned pending_count;
    struct pending {
        unsigned queue;
        uint16_t head;
        uint32_t length;
    } pending[PENDING_MAX];
};

static struct echo *echo_of(struct virtio_device *device)
{
    return (struct echo *)device;
}

static void finish_one(struct echo *echo)
{
    struct pending pending = echo->pending[--echo->pending_count];
    virtq_push(&echo->base.queues[pending.queue], pending.head, pending.length);
    virtio_notify_driver(&echo->base, pending.queue);
    echo->state.finished++;
}

static void copy(struct echo *echo, unsigned queue)
{
    uint8_t bytes[64];
    const struct virtq_chain *chain = &echo->chain;
    uint32_t n = chain->readable < chain->writable ? chain->readable : chain->writable;
    n = n < sizeof(bytes) ? n : (uint32_t)sizeof(bytes);
    require(virtq_chain_read(chain, 0, bytes, n) == 0);
    require(virtq_chain_write(chain, 0, bytes, n) == 0);
    if (echo->pending_count == PENDING_MAX)
        finish_one(echo);
    echo->pending[echo->pending_count++] = (struct pending){queue, chain->head, n};
}

static void echo_activate(struct virtio_device *device)
{
    require(!echo_of(device)->active);
    echo_of(device)->active = true;
}

static void echo_reset(struct virtio_device *device)
{
    echo_of(device)->active = false;
    echo_of(device)->pending_count = 0;
}

static void echo_notify(struct virtio_device *device, unsigned queue)
{
    struct echo *echo = echo_of(device);
    int rc;
    require(virtio_is_active(device) && !device->stopped && queue < QUEUES);
    require(device->queues[queue].ready && !device->queues[queue].broken);
    virtq_want_notifications(&device->queues[queue], false);
    while ((rc = virtq_pop(&device->queues[queue], &echo->chain)) > 0)
        copy(echo, queue);
    virtq_want_notifications(&device->queues[queue], true);
    if (rc < 0)
        virtio_fail(device);
}

static void echo_config_read(struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
    require(offset <= sizeof(echo_of(device)->state.config) &&
            size <= sizeof(echo_of(device)->state.config) - offset);
    memcpy(to, echo_of(device)->state.config + offset, size);
}

static void echo_config_write(struct virtio_device *device, uint32_t offset, const void *from,
                              uint32_t size)
{
    require(offset <= sizeof(echo_of(device)->state.config) &&
            size <= sizeof(echo_of(device)->state.config) - offset);
    memcpy(echo_of(device)->state.config + offset, from, size);
    echo_of(device)->state.config[0] %= 16;
}

static void echo_stop(struct virtio_device *device)
{
    while (echo_of(device)->pending_count > 0)
        finish_one(echo_of(device));
}

static void echo_resume(struct virtio_device *device)
{
    require(!device->stopped);
}

static void echo_save(struct virtio_device *device, void *state)
{
    memcpy(state, &echo_of(device)->state, sizeof(struct echo_state));
}

static int echo_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    const struct echo_state *saved = state;
    if (saved->config[0] >= 16)
        return thaw_fail(err, EINVAL, "echo: state");
    echo_of(device)->state = *saved;
    echo_of(device)->active = device->status & VIRTIO_STATUS_DRIVER_OK;
    return 0;
}

static void echo_destroy(struct virtio_device *device)
{
    free(device);
}

static const struct virtio_ops ops = {
    .name = "echo",
    .id = 42,
    .activate = echo_activate,
    .reset = echo_reset,
    .notify = echo_notify,
    .config_read = echo_config_read,
    .config_write = echo_config_write,
    .config_size = sizeof(((struct echo_state *)NULL)->config),
    .stop = echo_stop,
    .resume = echo_resume,
    .state_size = sizeof(struct echo_state),
    .save = echo_save,
    .load = echo_load,
    .destroy = echo_destroy,
};

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    struct echo *echo = calloc(1, sizeof(*echo));
    (void)err;
    require(echo);
    virtio_device_init(&echo->base, &ops, &rig->context, 0xff, QUEUES, 32);
    *out = &echo->base;
    return 0;
}

static void host(struct fuzz_rig *rig, struct fuzz_input *in)
{
    struct echo *echo = echo_of(rig->mmio.device);
    if (fuzz_u8(in) & 1)
        virtio_config_changed(&echo->base);
    else if (echo->pending_count > 0)
        finish_one(echo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {.create = create, .host = host};
    fuzz_virtio(&target, NULL, data, size);
    return 0;
}
