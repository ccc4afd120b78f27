/* SPDX-License-Identifier: Apache-2.0 */
/* The split queue alone: what a driver writes into its rings, and what a snapshot says of them. */
#include "devices/virtio/queue.h"
#include "tests/fuzz/fuzz.h"

/* Two regions with a hole, so that buffers can straddle an end. */
#define LOW_SIZE  0x10000ull
#define HIGH      0x20000ull
#define HIGH_SIZE 0x4000ull

enum {
    OP_ENABLE,
    OP_WRITE,
    OP_DESC,
    OP_OFFER,
    OP_POP,
    OP_UNPOP,
    OP_PUSH,
    OP_NOTIFICATIONS,
    OP_INTERRUPT,
    OP_RESET,
    OP_SAVE,
    OP_LOAD,
    OP_COUNT
};

struct rig {
    struct guest_memory memory;
    struct virtq q;
    uint64_t features;
    unsigned in_flight;       /* popped and not pushed, as counted here */
    bool can_unpop;           /* the last operation was a pop that gave a chain */
    struct virtq_chain chain; /* last, so that ASan sees its end */
};

static bool is_ram(const struct rig *rig, const struct iovec *iov)
{
    for (unsigned i = 0; i < rig->memory.region_count; i++) {
        const struct guest_region *region = &rig->memory.regions[i];
        uintptr_t start = (uintptr_t)region->host, at = (uintptr_t)iov->iov_base;
        if (at >= start && at - start < region->size && iov->iov_len <= region->size - (at - start))
            return true;
    }
    return false;
}

static void check_chain(const struct rig *rig)
{
    const struct virtq_chain *chain = &rig->chain;
    unsigned count = (unsigned)chain->readable_count + chain->writable_count;
    uint64_t readable = 0, writable = 0;
    require(count <= VIRTQ_SIZE_MAX && chain->head < rig->q.layout.size);
    for (unsigned i = 0; i < count; i++) {
        require(is_ram(rig, &chain->iov[i]) && chain->iov[i].iov_len > 0);
        *(i < chain->readable_count ? &readable : &writable) += chain->iov[i].iov_len;
    }
    require(readable == chain->readable && writable == chain->writable);
}

/* Slices of a part are as long as asked, as far as the part goes. */
static void check_slices(const struct rig *rig, struct fuzz_input *in)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    uint64_t offset = fuzz_u16(in), len = fuzz_u16(in), total = 0, size = rig->chain.writable;
    unsigned count = virtq_chain_writable(&rig->chain, offset, len, iov);
    for (unsigned i = 0; i < count; i++) {
        require(is_ram(rig, &iov[i]));
        total += iov[i].iov_len;
    }
    uint64_t behind = offset < size ? size - offset : 0;
    require(total == (len < behind ? len : behind));

    char bytes[256] = {0};
    uint64_t n = len % sizeof(bytes);
    bool fits = offset <= rig->chain.readable && n <= rig->chain.readable - offset;
    require((virtq_chain_read(&rig->chain, offset, bytes, n) == 0) == fits);
    fits = offset <= size && n <= size - offset;
    require((virtq_chain_write(&rig->chain, offset, bytes, n) == 0) == fits);
}

static void pop(struct rig *rig, struct fuzz_input *in)
{
    bool could = rig->q.ready && !rig->q.broken;
    int rc = virtq_pop(&rig->q, &rig->chain);
    require(could || rc == 0);
    require((rc < 0) == (could && rig->q.broken) && (rc >= 0 || rig->q.why));
    rig->can_unpop = rc == 1;
    if (rc != 1)
        return;
    rig->in_flight++;
    check_chain(rig);
    check_slices(rig, in);
}

static void unpop(struct rig *rig, bool allowed)
{
    if (!allowed)
        return;
    virtq_unpop(&rig->q, &rig->chain);
    rig->in_flight--;
    require(virtq_has_work(&rig->q));
}

static void push(struct rig *rig, struct fuzz_input *in)
{
    uint16_t head = fuzz_u8(in) == 0 ? rig->chain.head : fuzz_u16(in), before = rig->q.in_flight;
    uint16_t used = rig->q.next_used;
    virtq_push(&rig->q, head, fuzz_u32(in));
    require(rig->q.in_flight == before || rig->q.in_flight + 1 == before);
    require((uint16_t)(rig->q.next_used - used) == before - rig->q.in_flight);
    rig->in_flight -= (unsigned)before - rig->q.in_flight;
}

static void enable(struct rig *rig, struct fuzz_input *in)
{
    static const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC,
                                        VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC};
    uint8_t how = fuzz_u8(in);
    struct virtq_layout layout = {.size = 16, .desc = 0x1000, .avail = 0x2000, .used = 0x3000};
    if (how & 4)
        layout = (struct virtq_layout){.size = fuzz_u16(in),
                                       .desc = fuzz_u32(in),
                                       .avail = fuzz_u32(in),
                                       .used = fuzz_u32(in)};
    rig->features = features[how & 3];
    rig->in_flight = 0;
    int rc = virtq_enable(&rig->q, &layout, rig->features);
    require((rc == 0) == rig->q.ready);
}

static void write_memory(struct rig *rig, struct fuzz_input *in)
{
    char bytes[64];
    uint64_t at = fuzz_u16(in), n = fuzz_u8(in) % sizeof(bytes);
    fuzz_bytes(in, bytes, n);
    (void)guest_memory_write(&rig->memory, at, bytes, n);
}

/* A descriptor of the queue's own table, with all of its fields free. */
static void write_desc(struct rig *rig, struct fuzz_input *in)
{
    char bytes[16] = {0};
    uint64_t at = rig->q.layout.desc + 16ull * fuzz_u8(in);
    fuzz_bytes(in, bytes, 4); /* of the address */
    if (fuzz_u8(in) & 1)
        fuzz_bytes(in, bytes + 4, 8);
    else
        fuzz_bytes(in, bytes + 8, 2);
    fuzz_bytes(in, bytes + 12, 1);
    fuzz_bytes(in, bytes + 14, 1);
    (void)guest_memory_write(&rig->memory, at, bytes, sizeof(bytes));
}

static void offer(struct rig *rig, struct fuzz_input *in)
{
    uint16_t size = rig->q.layout.size, head = fuzz_small(in), index = 0;
    uint64_t avail = rig->q.layout.avail;
    if (!rig->q.ready || guest_memory_read(&rig->memory, avail + 2, &index, 2) < 0)
        return;
    (void)guest_memory_write(&rig->memory, avail + 4 + 2ull * (index % size), &head, 2);
    index++;
    (void)guest_memory_write(&rig->memory, avail + 2, &index, 2);
}

/* What was saved loads, and saves to the same. */
static void save(struct rig *rig)
{
    struct virtq_state first, second;
    virtq_save(&rig->q, &first);
    if (rig->in_flight > 0)
        return;
    require(virtq_load(&rig->q, &first, rig->features) == 0);
    virtq_save(&rig->q, &second);
    require(!first.ready || memcmp(&first, &second, sizeof(first)) == 0);
}

static void load(struct rig *rig, struct fuzz_input *in)
{
    struct virtq_state state, loaded;
    virtq_save(&rig->q, &state);
    fuzz_corrupt(in, &state, sizeof(state));
    rig->in_flight = 0;
    int rc = virtq_load(&rig->q, &state, rig->features);
    virtq_save(&rig->q, &loaded);
    require(rc == 0 || !rig->q.ready);
    require(rc < 0 || !state.ready || memcmp(&state, &loaded, sizeof(state)) == 0);
}

static void step(struct rig *rig, struct fuzz_input *in)
{
    bool can_unpop = rig->can_unpop;
    rig->can_unpop = false;
    switch (fuzz_u8(in) % OP_COUNT) {
    case OP_ENABLE:
        enable(rig, in);
        break;
    case OP_WRITE:
        write_memory(rig, in);
        break;
    case OP_DESC:
        write_desc(rig, in);
        break;
    case OP_OFFER:
        offer(rig, in);
        break;
    case OP_POP:
        pop(rig, in);
        break;
    case OP_UNPOP:
        unpop(rig, can_unpop);
        break;
    case OP_PUSH:
        push(rig, in);
        break;
    case OP_NOTIFICATIONS:
        virtq_want_notifications(&rig->q, fuzz_u8(in) & 1);
        break;
    case OP_INTERRUPT:
        (void)virtq_interrupt_due(&rig->q);
        require(!virtq_interrupt_due(&rig->q));
        break;
    case OP_RESET:
        virtq_reset(&rig->q);
        rig->in_flight = 0;
        break;
    case OP_SAVE:
        save(rig);
        break;
    default:
        load(rig, in);
        break;
    }
    require(rig->q.in_flight == rig->in_flight);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct guest_region regions[] = {{.gpa = 0, .size = LOW_SIZE},
                                           {.gpa = HIGH, .size = HIGH_SIZE}};
    struct fuzz_input in = {.at = data, .left = size};
    struct thaw_error err = {0};
    struct rig rig = {0};
    require(guest_memory_create(&rig.memory, regions, 2, &err) == 0);
    virtq_init(&rig.q, &rig.memory, VIRTQ_SIZE_MAX);
    while (fuzz_has(&in))
        step(&rig, &in);
    guest_memory_destroy(&rig.memory);
    return 0;
}
