/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rng.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>

#define DEVICE_ID  4u
#define QUEUE_SIZE 64u
#define BATCH      64u /* requests at a time, so that other devices get their turn */
#define LIMIT_MAX  (1ull << 40)
#define SECOND_NS  1000000000ull

struct rng {
    struct virtio_device base;
    struct rng_config config;
    uint64_t tokens;
    uint64_t refilled_ns; /* when tokens were last added */
    int timer_fd;
    struct loop_source *timer_source;
};

_Static_assert(sizeof(struct rng_state) == 8, "no padding");

/* ---- the bucket --------------------------------------------------------------------------- */

static bool is_limited(const struct rng *rng)
{
    return rng->config.bytes_per_second > 0;
}

/* The time that has not made a whole byte is left for the next call. */
static void refill(struct rng *rng)
{
    const uint64_t rate = rng->config.bytes_per_second, now = clock_monotonic_ns();
    uint64_t elapsed = now - rng->refilled_ns;
    uint64_t room = rng->config.burst - rng->tokens;
    unsigned __int128 made = (unsigned __int128)elapsed * rate / SECOND_NS;
    if (made >= room) {
        rng->tokens = rng->config.burst;
        rng->refilled_ns = now;
        return;
    }
    rng->tokens += (uint64_t)made;
    rng->refilled_ns += (uint64_t)(made * SECOND_NS / rate);
}

static void set_timer(const struct rng *rng, uint64_t ns)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)}};
    (void)timerfd_settime(rng->timer_fd, 0, &when, NULL);
}

/* ---- requests ----------------------------------------------------------------------------- */

/* The host's kernel gives at once whatever is asked for, once it has booted. */
static uint32_t fill(const struct virtq_chain *chain, uint32_t len)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    unsigned count = virtq_chain_writable(chain, 0, len, iov);
    uint32_t done = 0;
    for (unsigned i = 0; i < count; i++) {
        ssize_t n = getrandom(iov[i].iov_base, iov[i].iov_len, GRND_NONBLOCK);
        if (n > 0)
            done += (uint32_t)n;
        if (n != (ssize_t)iov[i].iov_len)
            break;
    }
    return done;
}

static uint32_t request_size(const struct rng *rng, const struct virtq_chain *chain)
{
    uint64_t most = RNG_REQUEST_MAX;
    if (is_limited(rng) && rng->config.burst < most)
        most = rng->config.burst;
    return chain->writable < most ? chain->writable : (uint32_t)most;
}

/* Whether `len` bytes may be given now; if not, it is tried again when they may. */
static bool may_take(struct rng *rng, uint32_t len)
{
    if (!is_limited(rng))
        return true;
    refill(rng);
    if (rng->tokens >= len)
        return true;
    unsigned __int128 missing = len - rng->tokens;
    uint64_t rate = rng->config.bytes_per_second;
    set_timer(rng, (uint64_t)((missing * SECOND_NS + rate - 1) / rate));
    return false;
}

static void serve_one(struct rng *rng, const struct virtq_chain *chain, uint32_t len)
{
    uint32_t done = fill(chain, len);
    if (is_limited(rng))
        rng->tokens -= done;
    virtq_push(&rng->base.queues[0], chain->head, done);
}

/* Takes a chain; when there is none, asks to be told of the next one. */
static int pop_or_wait(struct rng *rng, struct virtq_chain *chain)
{
    struct virtq *q = &rng->base.queues[0];
    int rc = virtq_pop(q, chain);
    if (rc == 0) {
        virtq_want_notifications(q, true);
        rc = virtq_pop(q, chain); /* one may have come between */
    }
    if (rc > 0 && chain->readable > 0) { /* 5.4.6.1: nothing to be read */
        virtq_unpop(q, chain);
        rc = -EINVAL;
    }
    if (rc < 0)
        virtio_fail(&rng->base);
    return rc;
}

static void serve(struct rng *rng)
{
    struct virtq_chain chain;
    unsigned left = BATCH;
    for (; left > 0 && pop_or_wait(rng, &chain) > 0; left--) {
        uint32_t len = request_size(rng, &chain);
        if (!may_take(rng, len)) {
            virtq_unpop(&rng->base.queues[0], &chain);
            break;
        }
        serve_one(rng, &chain, len);
    }
    virtio_notify_driver(&rng->base, 0);
    if (left == 0)
        set_timer(rng, 1);
}

static void on_timer(void *ctx, uint32_t events)
{
    (void)events;
    struct rng *rng = ctx;
    uint64_t ignored;
    (void)!read(rng->timer_fd, &ignored, sizeof(ignored));
    if (!rng->base.stopped && virtio_is_active(&rng->base))
        serve(rng);
}

/* ---- operations --------------------------------------------------------------------------- */

static void rng_notify(struct virtio_device *device, unsigned queue)
{
    (void)queue;
    serve((struct rng *)device);
}

/* The bucket stays as it is: a reset is no way around the limit. */
static void rng_reset(struct virtio_device *device)
{
    set_timer((struct rng *)device, 0);
}

/* A request that is throttled stays in the ring: nothing is ever in flight. */
static void rng_stop(struct virtio_device *device)
{
    set_timer((struct rng *)device, 0);
}

static void rng_save(struct virtio_device *device, void *state)
{
    struct rng *rng = (struct rng *)device;
    if (is_limited(rng))
        refill(rng);
    *(struct rng_state *)state = (struct rng_state){.tokens = rng->tokens};
}

static int rng_load(struct virtio_device *device, const void *state, struct thaw_error *err)
{
    struct rng *rng = (struct rng *)device;
    const struct rng_state *saved = state;
    if (saved->tokens > rng->config.burst)
        return thaw_fail(err, EINVAL, "virtio-rng: state: tokens");
    rng->tokens = saved->tokens;
    rng->refilled_ns = clock_monotonic_ns();
    return 0;
}

static void rng_destroy(struct virtio_device *device)
{
    struct rng *rng = (struct rng *)device;
    loop_remove(rng->timer_source);
    if (rng->timer_fd >= 0)
        close(rng->timer_fd);
    free(rng);
}

static const struct virtio_ops ops = {
    .name = "virtio-rng",
    .id = DEVICE_ID,
    .reset = rng_reset,
    .notify = rng_notify,
    .stop = rng_stop,
    .state_size = sizeof(struct rng_state),
    .save = rng_save,
    .load = rng_load,
    .destroy = rng_destroy,
};

/* ---- creation ----------------------------------------------------------------------------- */

static int open_timer(struct rng *rng, struct thaw_error *err)
{
    rng->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (rng->timer_fd < 0)
        return thaw_fail(err, errno, "timerfd_create");
    return loop_add(rng->base.context.loop, rng->timer_fd, EPOLLIN, on_timer, rng,
                    &rng->timer_source, err);
}

static bool is_good(const struct rng_config *config)
{
    if (config->bytes_per_second == 0)
        return true;
    return config->bytes_per_second <= LIMIT_MAX && config->burst > 0 && config->burst <= LIMIT_MAX;
}

int rng_create(const struct rng_config *config, const struct virtio_context *context,
               struct virtio_device **out, struct thaw_error *err)
{
    if (!is_good(config))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "virtio-rng: limit out of range");
    struct rng *rng = calloc(1, sizeof(*rng));
    if (!rng)
        return thaw_fail(err, ENOMEM, "virtio-rng");
    rng->config = *config;
    if (is_limited(rng))
        rng->tokens = config->burst;
    else
        rng->config.burst = 0;
    rng->refilled_ns = clock_monotonic_ns();
    virtio_device_init(&rng->base, &ops, context, 0, 1, QUEUE_SIZE);
    int rc = open_timer(rng, err);
    if (rc < 0) {
        rng_destroy(&rng->base);
        return rc;
    }
    *out = &rng->base;
    return 0;
}
