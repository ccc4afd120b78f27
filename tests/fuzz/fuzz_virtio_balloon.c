/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon: pages given up and reported, right and wrong ones, and a host that changes its
 * mind. */
#include "devices/virtio/balloon.h"
#include "tests/fuzz/virtio_harness.h"

#define RAM_PAGES (FUZZ_MEMORY_SIZE / BALLOON_PAGE_SIZE)

static int create(struct fuzz_rig *rig, struct virtio_device **out, struct thaw_error *err)
{
    const struct balloon_config config = {.target_pages = 3, .reporting = *(const bool *)rig->host};
    return balloon_create(&config, &rig->context, out, err);
}

static void request(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint32_t pfns[64];
    unsigned queue = fuzz_u8(in) % BALLOON_QUEUES, count = fuzz_u8(in) % 64;
    struct fuzz_buffer buffer;
    for (unsigned i = 0; i < count; i++)
        pfns[i] = fuzz_u8(in);
    if (count > 0 && pfns[0] == UINT8_MAX)
        pfns[0] = fuzz_u32(in);
    if (queue == BALLOON_QUEUE_REPORTING)
        buffer = (struct fuzz_buffer){.address = fuzz_u8(in) * (uint64_t)BALLOON_PAGE_SIZE,
                                      .length = count * BALLOON_PAGE_SIZE,
                                      .writable = true};
    else
        buffer = fuzz_readable(rig, pfns, count * (uint32_t)sizeof(pfns[0]));
    fuzz_send(rig, queue, &buffer, 1);
    fuzz_kick(rig, queue);
}

static void host(struct fuzz_rig *rig, struct fuzz_input *in)
{
    loop_lock(rig->loop);
    balloon_set_target(rig->mmio.device, fuzz_u32(in));
    loop_unlock(rig->loop);
}

static void check(struct fuzz_rig *rig)
{
    struct balloon_counters counters;
    balloon_counters(rig->mmio.device, &counters);
    require(counters.target_pages <= RAM_PAGES);
    require(counters.inflated_bytes % BALLOON_PAGE_SIZE == 0);
    require(counters.reported_bytes % BALLOON_PAGE_SIZE == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuzz_target target = {
        .create = create, .request = request, .host = host, .check = check};
    bool reporting = size > 0 && (data[0] & 1) == 0;
    fuzz_virtio(&target, &reporting, data, size);
    return 0;
}
