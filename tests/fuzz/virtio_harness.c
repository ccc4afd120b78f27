/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/virtio_harness.h"

#include "tests/unit/fake_driver.h" /* the names of registers and descriptor flags */

#include <errno.h>
#include <fcntl.h>

#define RINGS_STEP    0x4000ull
#define FIRST_ALLOC   0x40000ull
#define BUFFER_MAX    0x10000u
#define BUFFERS_MAX   8u
#define TURNS_MAX     64u
#define TRANSPORT_MIN offsetof(struct virtio_state, queues)

/* What the bytes of an input mean. New ones at the end: the kept corpus is written in them. */
enum {
    OP_START,
    OP_REQUEST,
    OP_KICK,
    OP_TURN,
    OP_HOST,
    OP_SEND,
    OP_INDIRECT,
    OP_DESC,
    OP_OFFER,
    OP_WRITE_MEMORY,
    OP_WRITE_REGISTER,
    OP_ACCESS,
    OP_STOP,
    OP_RESUME,
    OP_RELOAD,
    OP_RELOAD_CORRUPT,
    OP_RESET,
    OP_BURST,
    OP_COUNT
};

/* ---- what the device does with its queues ------------------------------------------------- */

int __real_virtq_pop(struct virtq *q, struct virtq_chain *chain);
void __real_virtq_unpop(struct virtq *q, const struct virtq_chain *chain);
void __real_virtq_push(struct virtq *q, uint16_t head, uint32_t written);
void __real_virtq_reset(struct virtq *q);
int __wrap_virtq_pop(struct virtq *q, struct virtq_chain *chain);
void __wrap_virtq_unpop(struct virtq *q, const struct virtq_chain *chain);
void __wrap_virtq_push(struct virtq *q, uint16_t head, uint32_t written);
void __wrap_virtq_reset(struct virtq *q);

static struct fuzz_rig *rig_of(const struct virtq *q)
{
    return (struct fuzz_rig *)(uintptr_t)q->memory;
}

static struct fuzz_queue *queue_of(const struct virtq *q)
{
    struct fuzz_rig *rig = rig_of(q);
    ptrdiff_t index = q - rig->mmio.device->queues;
    require(index >= 0 && index < rig->mmio.device->queue_count);
    return &rig->queues[index];
}

int __wrap_virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
    int rc = __real_virtq_pop(q, chain);
    if (rc != 1)
        return rc;
    struct fuzz_rig *rig = rig_of(q);
    require(virtio_is_active(rig->mmio.device) && !rig->mmio.device->stopped);
    queue_of(q)->in_flight++;
    queue_of(q)->writable[chain->head] = chain->writable;
    rig->readable += chain->readable;
    rig->seen += chain->readable;
    return rc;
}

void __wrap_virtq_unpop(struct virtq *q, const struct virtq_chain *chain)
{
    require(q->ready && queue_of(q)->in_flight > 0);
    queue_of(q)->in_flight--;
    rig_of(q)->readable -= chain->readable;
    __real_virtq_unpop(q, chain);
}

void __wrap_virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    require(q->ready && head < q->layout.size && (q->heads[head / 64] >> (head % 64) & 1));
    require(written <= queue_of(q)->writable[head]);
    queue_of(q)->in_flight--;
    queue_of(q)->written += written;
    __real_virtq_push(q, head, written);
}

void __wrap_virtq_reset(struct virtq *q)
{
    queue_of(q)->in_flight = 0;
    __real_virtq_reset(q);
}

static void on_interrupt(void *ctx)
{
    const struct fuzz_rig *rig = ctx;
    require(rig->mmio.device->status & VIRTIO_STATUS_DRIVER_OK);
}

/* ---- the driver --------------------------------------------------------------------------- */

static void write_register(struct fuzz_rig *rig, uint64_t offset, uint32_t value)
{
    virtio_mmio_bus_ops.write(&rig->mmio, offset, 4, value);
}

static uint32_t read_register(struct fuzz_rig *rig, uint64_t offset)
{
    uint64_t value;
    virtio_mmio_bus_ops.read(&rig->mmio, offset, 4, &value);
    require(value <= UINT32_MAX);
    return (uint32_t)value;
}

static void accept_features(struct fuzz_rig *rig, uint64_t refused)
{
    uint64_t features = rig->mmio.device->offered & ~refused;
    for (uint32_t i = 0; i < 2; i++) {
        write_register(rig, FAKE_REG_DRIVER_FEATURES_SEL, i);
        write_register(rig, FAKE_REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
}

static void start_queue(struct fuzz_rig *rig, unsigned index, uint16_t size)
{
    struct fuzz_queue *q = &rig->queues[index];
    q->size = size;
    q->next_desc = q->avail_index = 0;
    memset(guest_memory_at(&rig->memory, q->desc, RINGS_STEP), 0, RINGS_STEP);
    write_register(rig, FAKE_REG_QUEUE_SEL, index);
    write_register(rig, FAKE_REG_QUEUE_NUM, size);
    write_register(rig, FAKE_REG_QUEUE_DESC, (uint32_t)q->desc);
    write_register(rig, FAKE_REG_QUEUE_AVAIL, (uint32_t)q->avail);
    write_register(rig, FAKE_REG_QUEUE_USED, (uint32_t)q->used);
    write_register(rig, FAKE_REG_QUEUE_READY, 1);
    require(read_register(rig, FAKE_REG_QUEUE_READY) == 1);
}

static void check_reset(struct fuzz_rig *rig)
{
    struct virtio_device *device = rig->mmio.device;
    require(device->status == 0 && device->accepted == 0);
    require(device->interrupt_status == 0 && virtio_is_quiet(device));
    for (unsigned i = 0; i < device->queue_count; i++)
        require(!device->queues[i].ready && device->queues[i].in_flight == 0);
}

static void reset(struct fuzz_rig *rig)
{
    write_register(rig, FAKE_REG_STATUS, 0);
    check_reset(rig);
}

/* The whole initialisation sequence of 3.1.1. */
static void start(struct fuzz_rig *rig, struct fuzz_input *in)
{
    static const uint64_t refused[] = {0, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC,
                                       ~VIRTIO_F_VERSION_1};
    struct virtio_device *device = rig->mmio.device;
    uint8_t how = fuzz_u8(in);
    unsigned order = how >> 4 ? (how >> 4) % 9 : 4;
    uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    reset(rig);
    write_register(rig, FAKE_REG_STATUS, status);
    accept_features(rig, refused[how & 3]);
    write_register(rig, FAKE_REG_STATUS, status |= VIRTIO_STATUS_FEATURES_OK);
    require(read_register(rig, FAKE_REG_STATUS) == status);
    for (unsigned i = 0; i < device->queue_count; i++)
        if (device->queues[i].size_max >= 1u << order)
            start_queue(rig, i, (uint16_t)(1u << order));
    write_register(rig, FAKE_REG_STATUS, status | VIRTIO_STATUS_DRIVER_OK);
    require(read_register(rig, FAKE_REG_STATUS) & VIRTIO_STATUS_DRIVER_OK);
}

uint64_t fuzz_alloc(struct fuzz_rig *rig, uint32_t size)
{
    require(size <= BUFFER_MAX);
    if (rig->next_alloc + size > FUZZ_MEMORY_SIZE)
        rig->next_alloc = FIRST_ALLOC;
    uint64_t gpa = rig->next_alloc;
    rig->next_alloc += (size + 15ull) / 16 * 16;
    return gpa;
}

struct fuzz_buffer fuzz_readable(struct fuzz_rig *rig, const void *bytes, uint32_t size)
{
    struct fuzz_buffer buffer = {.address = fuzz_alloc(rig, size), .length = size};
    require(guest_memory_write(&rig->memory, buffer.address, bytes, size) == 0);
    return buffer;
}

struct fuzz_buffer fuzz_writable(struct fuzz_rig *rig, uint32_t size)
{
    return (struct fuzz_buffer){.address = fuzz_alloc(rig, size), .length = size, .writable = true};
}

static void write_desc(struct fuzz_rig *rig, uint64_t at, const struct fuzz_buffer *buffer,
                       unsigned flags, unsigned next)
{
    uint16_t link[2] = {(uint16_t)flags, (uint16_t)next};
    char desc[16];
    memcpy(desc, &buffer->address, 8);
    memcpy(desc + 8, &buffer->length, 4);
    memcpy(desc + 12, link, 4);
    (void)guest_memory_write(&rig->memory, at, desc, sizeof(desc));
}

static void offer(struct fuzz_rig *rig, struct fuzz_queue *q, uint16_t head)
{
    uint64_t entry = q->avail + 4 + 2ull * (q->avail_index % q->size);
    q->avail_index++;
    (void)guest_memory_write(&rig->memory, entry, &head, 2);
    (void)guest_memory_write(&rig->memory, q->avail + 2, &q->avail_index, 2);
}

void fuzz_send(struct fuzz_rig *rig, unsigned queue, const struct fuzz_buffer *buffers,
               unsigned count)
{
    struct fuzz_queue *q = &rig->queues[queue];
    uint16_t head = q->next_desc;
    for (unsigned i = 0; i < count; i++) {
        uint16_t at = q->next_desc;
        q->next_desc = (uint16_t)((at + 1) % q->size);
        unsigned flags = (buffers[i].writable ? FAKE_WRITE : 0) | (i + 1 < count ? FAKE_NEXT : 0);
        write_desc(rig, q->desc + 16ull * at, &buffers[i], flags, q->next_desc);
    }
    if (count > 0)
        offer(rig, q, head);
}

static void send_indirect(struct fuzz_rig *rig, unsigned queue, const struct fuzz_buffer *buffers,
                          unsigned count)
{
    struct fuzz_queue *q = &rig->queues[queue];
    struct fuzz_buffer table = {.address = fuzz_alloc(rig, 16 * count), .length = 16 * count};
    for (unsigned i = 0; i < count; i++) {
        unsigned flags = (buffers[i].writable ? FAKE_WRITE : 0) | (i + 1 < count ? FAKE_NEXT : 0);
        write_desc(rig, table.address + 16ull * i, &buffers[i], flags, i + 1);
    }
    write_desc(rig, q->desc + 16ull * q->next_desc, &table, FAKE_INDIRECT, 0);
    offer(rig, q, q->next_desc);
    q->next_desc = (uint16_t)((q->next_desc + 1) % q->size);
}

void fuzz_kick(struct fuzz_rig *rig, unsigned queue)
{
    write_register(rig, FAKE_REG_QUEUE_NOTIFY, queue);
}

/* ---- operations of the driver ------------------------------------------------------------- */

static unsigned queue_number(const struct fuzz_rig *rig, struct fuzz_input *in)
{
    return fuzz_u8(in) % rig->mmio.device->queue_count;
}

static struct fuzz_buffer any_buffer(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t bytes[0x80], kind = fuzz_u8(in);
    if (kind & 0x80)
        return fuzz_writable(rig, kind & 0x40 ? fuzz_u16(in) : kind & 0x3f);
    fuzz_bytes(in, bytes, kind);
    return fuzz_readable(rig, bytes, kind);
}

static void send_any(struct fuzz_rig *rig, struct fuzz_input *in, bool indirect)
{
    struct fuzz_buffer buffers[BUFFERS_MAX];
    unsigned queue = queue_number(rig, in), count = 1 + fuzz_u8(in) % BUFFERS_MAX;
    for (unsigned i = 0; i < count; i++)
        buffers[i] = any_buffer(rig, in);
    if (indirect)
        send_indirect(rig, queue, buffers, count);
    else
        fuzz_send(rig, queue, buffers, count);
}

/* The same request again and again with one notification: more than a device does in a turn. */
static void send_burst(struct fuzz_rig *rig, struct fuzz_input *in)
{
    unsigned queue = queue_number(rig, in), count = 1u + fuzz_u8(in);
    const struct fuzz_buffer buffer = any_buffer(rig, in);
    for (unsigned i = 0; i < count && i < rig->queues[queue].size; i++)
        fuzz_send(rig, queue, &buffer, 1);
    fuzz_kick(rig, queue);
}

/* A descriptor with every field free; bit 0 and 1 of its first byte say how wide they are. */
static void put_desc(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t wide = fuzz_u8(in);
    const struct fuzz_queue *q = &rig->queues[queue_number(rig, in)];
    uint64_t at = q->desc + 16ull * fuzz_u8(in);
    struct fuzz_buffer buffer = {.address = wide & 1 ? fuzz_u64(in) : fuzz_u16(in) * 16ull,
                                 .length = wide & 2 ? fuzz_u32(in) : fuzz_u8(in)};
    unsigned flags = fuzz_u8(in);
    write_desc(rig, at, &buffer, flags, fuzz_u8(in));
}

static void write_memory(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t bytes[64];
    uint64_t at = fuzz_u32(in) % FUZZ_MEMORY_SIZE, n = fuzz_u8(in) % sizeof(bytes);
    fuzz_bytes(in, bytes, n);
    (void)guest_memory_write(&rig->memory, at, bytes, n);
}

/* Any access, as the bus lets it through. */
static void access_register(struct fuzz_rig *rig, struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);
    unsigned size = 1u << (how % 4);
    uint64_t offset = fuzz_u16(in) % (VIRTIO_MMIO_SIZE - size + 1), value = UINT64_MAX;
    if (how & 4) {
        virtio_mmio_bus_ops.write(&rig->mmio, offset, size, fuzz_u64(in));
        return;
    }
    virtio_mmio_bus_ops.read(&rig->mmio, offset, size, &value);
    require(size == 8 || value >> (8 * size) == 0);
}

/* ---- stopping, saving, loading ------------------------------------------------------------ */

struct snapshot {
    struct virtio_state transport;
    uint64_t own[FUZZ_STATE_MAX / 8];
};

static void stop(struct fuzz_rig *rig)
{
    struct virtio_device *device = rig->mmio.device;
    loop_lock(rig->loop);
    virtio_stop(device);
    require(virtio_is_quiet(device));
    loop_unlock(rig->loop);
    for (unsigned i = 0; i < device->queue_count; i++)
        require(device->queues[i].in_flight == 0);
}

static void resume(struct fuzz_rig *rig)
{
    loop_lock(rig->loop);
    virtio_resume(rig->mmio.device);
    loop_unlock(rig->loop);
}

static void save(struct fuzz_rig *rig, struct snapshot *to)
{
    struct virtio_device *device = rig->mmio.device;
    memset(to, 0, sizeof(*to));
    require(device->ops->state_size <= FUZZ_STATE_MAX);
    virtio_mmio_save(&rig->mmio, &to->transport);
    if (device->ops->state_size > 0)
        device->ops->save(device, to->own);
}

static bool is_same(const struct snapshot *a, const struct snapshot *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static void create(struct fuzz_rig *rig)
{
    struct thaw_error err = {0};
    struct virtio_device *device = NULL;
    int rc = rig->target->create(rig, &device, &err);
    if (rc < 0)
        (void)fprintf(stderr, "%s\n", err.message);
    require(rc == 0);
    device->interrupt = on_interrupt;
    device->interrupt_ctx = rig;
    virtio_mmio_init(&rig->mmio, device);
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
        rig->queues[i].in_flight = 0;
}

static int load(struct fuzz_rig *rig, const struct snapshot *from)
{
    struct virtio_device *device = rig->mmio.device;
    struct snapshot before, after;
    struct thaw_error err = {0};
    save(rig, &before);
    int rc = virtio_mmio_load(&rig->mmio, &from->transport, &err);
    save(rig, &after);
    require(rc == 0 || (rc == -EINVAL && is_same(&before, &after)));
    if (rc < 0 || device->ops->state_size == 0)
        return rc;
    before = after;
    rc = device->ops->load(device, from->own, &err);
    save(rig, &after);
    require(rc == 0 || (rc == -EINVAL && is_same(&before, &after)));
    return rc;
}

/* The device ends, and another one goes on from its state; `corrupt`: or from another one. */
static void reload(struct fuzz_rig *rig, struct fuzz_input *in, bool corrupt)
{
    const struct virtio_ops *ops = rig->mmio.device->ops;
    struct snapshot saved, loaded;
    stop(rig);
    save(rig, &saved);
    if (corrupt) {
        size_t queues = rig->mmio.device->queue_count * sizeof(struct virtq_state);
        fuzz_corrupt(in, &saved.transport, TRANSPORT_MIN + queues);
        fuzz_corrupt(in, saved.own, ops->state_size);
    }
    for (unsigned round = 0; round < 2; round++) {
        virtio_destroy(rig->mmio.device);
        create(rig);
        stop(rig);
        int rc = load(rig, &saved);
        require(rc == 0 || (corrupt && round == 0));
        if (rc < 0) {
            reset(rig);
            break;
        }
        save(rig, &loaded);
        if (rig->target->loading_changes)
            rig->target->loading_changes(rig, saved.own);
        require((corrupt && round == 0) || is_same(&saved, &loaded));
        saved = loaded;
    }
    resume(rig);
}

/* ---- one input ---------------------------------------------------------------------------- */

static void turn(struct fuzz_rig *rig)
{
    for (unsigned i = 0; i < TURNS_MAX && loop_turn(rig->loop, 0) > 0; i++)
        ;
}

static void check(struct fuzz_rig *rig)
{
    struct virtio_device *device = rig->mmio.device;
    unsigned in_flight = 0;
    for (unsigned i = 0; i < device->queue_count; i++) {
        const struct virtq *q = &device->queues[i];
        require(q->in_flight == rig->queues[i].in_flight);
        in_flight += q->in_flight;
    }
    require(virtio_is_quiet(device) == (in_flight == 0));
    if (rig->target->check)
        rig->target->check(rig);
}

static void step_driver(struct fuzz_rig *rig, struct fuzz_input *in, unsigned op)
{
    switch (op) {
    case OP_START:
        start(rig, in);
        break;
    case OP_KICK:
        fuzz_kick(rig, fuzz_u8(in) % (VIRTIO_QUEUES_MAX + 1));
        break;
    case OP_SEND:
    case OP_INDIRECT:
        send_any(rig, in, op == OP_INDIRECT);
        break;
    case OP_BURST:
        send_burst(rig, in);
        break;
    case OP_DESC:
        put_desc(rig, in);
        break;
    case OP_OFFER: {
        struct fuzz_queue *q = &rig->queues[queue_number(rig, in)];
        offer(rig, q, fuzz_small(in));
        break;
    }
    case OP_WRITE_MEMORY:
        write_memory(rig, in);
        break;
    case OP_WRITE_REGISTER: {
        uint64_t offset = fuzz_u8(in) * 4ull;
        write_register(rig, offset, fuzz_u32(in));
        break;
    }
    case OP_ACCESS:
        access_register(rig, in);
        break;
    default:
        if (rig->target->request)
            rig->target->request(rig, in);
        break;
    }
}

static void step(struct fuzz_rig *rig, struct fuzz_input *in)
{
    unsigned op = fuzz_u8(in) % OP_COUNT;
    switch (op) {
    case OP_TURN:
        turn(rig);
        break;
    case OP_HOST:
        if (rig->target->host)
            rig->target->host(rig, in);
        break;
    case OP_STOP:
        stop(rig);
        break;
    case OP_RESUME:
        resume(rig);
        break;
    case OP_RELOAD:
    case OP_RELOAD_CORRUPT:
        reload(rig, in, op == OP_RELOAD_CORRUPT);
        break;
    case OP_RESET:
        reset(rig);
        break;
    default:
        step_driver(rig, in, op);
        break;
    }
    check(rig);
}

/* Which of the first descriptors are open; no input opens more. */
static uint64_t open_descriptors(void)
{
    uint64_t open = 0;
    for (int fd = 0; fd < 64; fd++)
        open |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
    return open;
}

static void set_up(struct fuzz_rig *rig)
{
    const struct guest_region region = {.gpa = 0, .size = FUZZ_MEMORY_SIZE};
    struct thaw_error err = {0};
    require(guest_memory_create(&rig->memory, &region, 1, &err) == 0);
    require(loop_create(&rig->loop, &err) == 0);
    rig->context = (struct virtio_context){.memory = &rig->memory, .loop = rig->loop};
    rig->next_alloc = FIRST_ALLOC;
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
        uint64_t base = RINGS_STEP * (i + 1);
        rig->queues[i] = (struct fuzz_queue){
            .desc = base, .avail = base + 0x1000, .used = base + 0x2000, .size = 16};
    }
    create(rig);
}

static void tear_down(struct fuzz_rig *rig)
{
    reset(rig);
    turn(rig);
    check_reset(rig);
    virtio_destroy(rig->mmio.device);
    if (rig->target->close)
        rig->target->close(rig);
    loop_destroy(rig->loop);
    guest_memory_destroy(&rig->memory);
}

void fuzz_virtio(const struct fuzz_target *target, void *host, const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct fuzz_rig rig = {.target = target, .host = host};
    uint64_t before = open_descriptors();
    set_up(&rig);
    while (fuzz_has(&in))
        step(&rig, &in);
    tear_down(&rig);
    require(target->has_threads || open_descriptors() == before);
}

/* ---- a hostile snapshot ------------------------------------------------------------------- */

/* Requests that wait in the rings, right or wrong, and anything anywhere. */
static void fill_memory(struct fuzz_rig *rig, struct fuzz_input *in)
{
    for (unsigned n = fuzz_u8(in) % 8; n > 0; n--)
        send_any(rig, in, false);
    for (unsigned n = fuzz_u8(in) % 8; n > 0 && rig->target->request; n--)
        rig->target->request(rig, in);
    for (unsigned n = fuzz_u8(in) % 8; n > 0; n--)
        write_memory(rig, in);
}

/* Guest memory and the device's state are as they were in some running machine. */
static void make_state(struct fuzz_rig *rig, struct fuzz_input *in, struct snapshot *state)
{
    const struct virtio_ops *ops = rig->mmio.device->ops;
    uint8_t how = fuzz_u8(in);
    if (how & 1)
        start(rig, in);
    fill_memory(rig, in);
    stop(rig);
    save(rig, state);
    if (how & 2)
        fuzz_bytes(in, &state->transport, sizeof(state->transport));
    if (how & 4)
        fuzz_bytes(in, state->own, ops->state_size);
    fuzz_corrupt(in, &state->transport, sizeof(state->transport));
    fuzz_corrupt(in, state->own, ops->state_size);
}

/* As device_state_wake() does. */
static void wake(struct fuzz_rig *rig)
{
    struct virtio_device *device = rig->mmio.device;
    if (atomic_load(&device->interrupt_status) != 0)
        device->interrupt(device->interrupt_ctx);
    resume(rig);
}

static void replace(struct fuzz_rig *rig)
{
    virtio_destroy(rig->mmio.device);
    create(rig);
    stop(rig);
}

static void live(struct fuzz_rig *rig, struct fuzz_input *in)
{
    wake(rig);
    check(rig);
    turn(rig);
    for (unsigned i = 0; i < rig->mmio.device->queue_count; i++)
        fuzz_kick(rig, i);
    turn(rig);
    check(rig);
    if (rig->target->host)
        rig->target->host(rig, in);
    turn(rig);
    check(rig);
}

static void check_stable(struct fuzz_rig *rig)
{
    struct snapshot saved, loaded;
    stop(rig);
    save(rig, &saved);
    replace(rig);
    require(load(rig, &saved) == 0);
    save(rig, &loaded);
    if (rig->target->loading_changes)
        rig->target->loading_changes(rig, saved.own);
    require(is_same(&saved, &loaded));
}

void fuzz_virtio_state(const struct fuzz_target *target, void *host, const uint8_t *data,
                       size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct fuzz_rig rig = {.target = target, .host = host};
    struct snapshot state;
    uint64_t before = open_descriptors();
    set_up(&rig);
    make_state(&rig, &in, &state);
    replace(&rig);
    if (load(&rig, &state) == 0) {
        check_stable(&rig);
        live(&rig, &in);
        check_stable(&rig);
    }
    tear_down(&rig);
    require(target->has_threads || open_descriptors() == before);
}
