/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/queue.h"

#include <errno.h>
#include <string.h>

/* 2.7.5. Fields are little-endian, as every host is that thaw runs on. */
struct virtq_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     ((uint16_t)1)

/* Both rings begin with flags and index; the ring follows; an event index stands behind it. */
#define RING_FLAGS  0
#define RING_INDEX  1
#define RING_HEADER 4u /* bytes */
#define RING_EVENT  2u /* bytes */

struct virtq_used {
    uint32_t id, length;
};

_Static_assert(sizeof(struct virtq_desc) == 16 && sizeof(struct virtq_used) == 8,
               "layouts of virtio 1.2, 2.7");
_Static_assert(sizeof(struct virtq_state) == 40, "no padding");

/* ---- memory that the driver changes at the same time -------------------------------------- */

static uint16_t load16(const uint16_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store16(uint16_t *at, uint16_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* What was written before is seen before what is read after: both sides write one index and then
 * read the other's. */
static void full_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static const uint16_t *used_event(const struct virtq *q)
{
    return q->avail + RING_HEADER / 2 + q->layout.size;
}

static uint16_t *avail_event(const struct virtq *q)
{
    return q->used + (RING_HEADER + q->layout.size * sizeof(struct virtq_used)) / 2;
}

/* ---- on and off --------------------------------------------------------------------------- */

void virtq_init(struct virtq *q, const struct guest_memory *memory, uint16_t size_max)
{
    *q = (struct virtq){.memory = memory, .size_max = size_max};
}

static bool is_power_of_two(uint16_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static int check_layout(const struct virtq *q, const struct virtq_layout *l)
{
    bool fits = is_power_of_two(l->size) && l->size <= q->size_max;
    bool aligned = l->desc % 16 == 0 && l->avail % 2 == 0 && l->used % 4 == 0;
    return fits && aligned ? 0 : -EINVAL;
}

int virtq_enable(struct virtq *q, const struct virtq_layout *layout, uint64_t features)
{
    virtq_reset(q);
    int rc = check_layout(q, layout);
    if (rc < 0)
        return rc;
    uint64_t size = layout->size;
    void *desc = guest_memory_at(q->memory, layout->desc, size * sizeof(struct virtq_desc));
    void *avail = guest_memory_at(q->memory, layout->avail, RING_HEADER + size * 2 + RING_EVENT);
    void *used = guest_memory_at(q->memory, layout->used,
                                 RING_HEADER + size * sizeof(struct virtq_used) + RING_EVENT);
    if (!desc || !avail || !used)
        return -EFAULT;
    q->layout = *layout;
    q->desc = desc;
    q->avail = avail;
    q->used = used;
    q->event_idx = features & VIRTIO_F_EVENT_IDX;
    q->indirect = features & VIRTIO_F_INDIRECT_DESC;
    q->ready = true;
    return 0;
}

void virtq_reset(struct virtq *q)
{
    virtq_init(q, q->memory, q->size_max);
}

/* ---- which heads are in flight ------------------------------------------------------------ */

static bool is_in_flight(const struct virtq *q, uint16_t head)
{
    return q->heads[head / 64] >> (head % 64) & 1;
}

static void set_in_flight(struct virtq *q, uint16_t head)
{
    q->heads[head / 64] |= 1ull << (head % 64);
    q->in_flight++;
}

static void clear_in_flight(struct virtq *q, uint16_t head)
{
    q->heads[head / 64] &= ~(1ull << (head % 64));
    q->in_flight--;
}

/* ---- taking ------------------------------------------------------------------------------- */

static int break_queue(struct virtq *q, int code, const char *why)
{
    q->broken = true;
    q->why = why;
    return -code;
}

void virtq_break(struct virtq *q, const char *why)
{
    if (q->ready && !q->broken)
        (void)break_queue(q, EINVAL, why);
}

static int add_buffer(struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *desc)
{
    bool writable = desc->flags & DESC_WRITE;
    if (!writable && chain->writable_count > 0)
        return break_queue(q, EINVAL, "readable buffer behind a writable one");
    if (desc->length == 0)
        return 0;
    void *host = guest_memory_at(q->memory, desc->address, desc->length);
    if (!host)
        return break_queue(q, EFAULT, "buffer outside of RAM");
    uint32_t *total = writable ? &chain->writable : &chain->readable;
    if (__builtin_add_overflow(*total, desc->length, total))
        return break_queue(q, EINVAL, "chain longer than 4 GiB");

    unsigned at = chain->readable_count + chain->writable_count;
    chain->iov[at] = (struct iovec){.iov_base = host, .iov_len = desc->length};
    if (writable)
        chain->writable_count++;
    else
        chain->readable_count++;
    return 0;
}

/* A table of descriptors, the queue's own or an indirect one. */
struct table {
    const struct virtq_desc *desc;
    uint32_t size;
    bool indirect;
};

static int open_indirect(struct virtq *q, const struct table *in, const struct virtq_desc *desc,
                         struct table *out)
{
    if (!q->indirect || in->indirect || desc->flags & DESC_NEXT)
        return break_queue(q, EINVAL, "indirect table where none may be");
    uint32_t size = desc->length / sizeof(struct virtq_desc);
    if (size == 0 || size > VIRTQ_SIZE_MAX || desc->length % sizeof(struct virtq_desc) != 0)
        return break_queue(q, EINVAL, "indirect table of a bad size");
    *out = (struct table){.desc = guest_memory_at(q->memory, desc->address, desc->length),
                          .size = size,
                          .indirect = true};
    return out->desc ? 0 : break_queue(q, EFAULT, "indirect table outside of RAM");
}

/* Follows the links. Each buffer counts, so a loop ends at the longest chain there can be. A table
 * does not: Linux's console fills one with as many pages as a large pipe has, 256. */
static int walk(struct virtq *q, uint16_t head, struct virtq_chain *chain)
{
    struct table table = {.desc = q->desc, .size = q->layout.size};
    uint32_t index = head;
    for (unsigned count = 0; count < VIRTQ_SIZE_MAX;) {
        if (index >= table.size)
            return break_queue(q, EINVAL, "descriptor index beyond its table");
        struct virtq_desc desc;
        memcpy(&desc, table.desc + index, sizeof(desc)); /* read once: the driver may change it */
        if (desc.flags & DESC_INDIRECT) {                /* once: there is none within a table */
            int rc = open_indirect(q, &table, &desc, &table);
            if (rc < 0)
                return rc;
            index = 0;
            continue;
        }
        count++;
        int rc = add_buffer(q, chain, &desc);
        if (rc < 0 || !(desc.flags & DESC_NEXT))
            return rc;
        index = desc.next;
    }
    return break_queue(q, ELOOP, "descriptor chain without an end");
}

static uint16_t avail_index(const struct virtq *q)
{
    return load16(&q->avail[RING_INDEX]);
}

uint16_t virtq_added(const struct virtq *q)
{
    return q->ready ? avail_index(q) : 0;
}

/* How many entries of the available ring are there to look at; more than the size: nonsense. */
static uint16_t pending(const struct virtq *q)
{
    return (uint16_t)(avail_index(q) - q->next_avail);
}

bool virtq_has_work(const struct virtq *q)
{
    return q->ready && !q->broken && pending(q) != 0;
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
    if (!virtq_has_work(q))
        return 0;
    if (pending(q) > q->layout.size)
        return break_queue(q, EINVAL, "available index too far ahead");
    const uint16_t *ring = q->avail + RING_HEADER / 2;
    uint16_t head = load16(&ring[q->next_avail & (q->layout.size - 1)]);
    if (head >= q->layout.size)
        return break_queue(q, EINVAL, "chain head beyond the queue");
    if (is_in_flight(q, head))
        return break_queue(q, EBUSY, "chain head that is in flight already");

    chain->head = head;
    chain->readable_count = chain->writable_count = 0;
    chain->readable = chain->writable = 0;
    int rc = walk(q, head, chain);
    if (rc < 0)
        return rc;
    set_in_flight(q, head);
    q->next_avail++;
    return 1;
}

void virtq_unpop(struct virtq *q, const struct virtq_chain *chain)
{
    clear_in_flight(q, chain->head);
    q->next_avail--;
}

/* ---- giving back -------------------------------------------------------------------------- */

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    if (!q->ready || head >= q->layout.size || !is_in_flight(q, head))
        return;
    clear_in_flight(q, head);
    const struct virtq_used entry = {.id = head, .length = written};
    char *ring = (char *)q->used + RING_HEADER;
    memcpy(ring + (q->next_used & (q->layout.size - 1)) * sizeof(entry), &entry, sizeof(entry));
    store16(&q->used[RING_INDEX], ++q->next_used);
}

void virtq_want_notifications(struct virtq *q, bool wanted)
{
    if (!q->ready)
        return;
    if (!q->event_idx)
        store16(&q->used[RING_FLAGS], (uint16_t)(wanted ? 0 : USED_NO_NOTIFY));
    else if (wanted) /* an index left behind asks for nothing */
        store16(avail_event(q), avail_index(q));
    full_fence();
}

bool virtq_interrupt_due(struct virtq *q)
{
    uint16_t before = q->signalled, now = q->next_used;
    if (!q->ready || before == now)
        return false;
    q->signalled = now;
    full_fence();
    if (!q->event_idx)
        return !(load16(&q->avail[RING_FLAGS]) & AVAIL_NO_INTERRUPT);
    /* The driver's index is among those just passed (2.7.7.2). */
    uint16_t event = load16(used_event(q));
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

/* ---- state -------------------------------------------------------------------------------- */

void virtq_save(const struct virtq *q, struct virtq_state *state)
{
    *state = (struct virtq_state){
        .desc = q->layout.desc,
        .avail = q->layout.avail,
        .used = q->layout.used,
        .size = q->layout.size,
        .ready = q->ready,
        .next_avail = q->next_avail,
        .next_used = q->next_used,
        .signalled = q->signalled,
        .broken = q->broken,
    };
}

int virtq_load(struct virtq *q, const struct virtq_state *state, uint64_t features)
{
    virtq_reset(q);
    if (state->ready > 1 || state->broken > 1 || state->reserved[0] || state->reserved[1])
        return -EINVAL;
    if (!state->ready)
        return 0;
    const struct virtq_layout layout = {
        .size = state->size, .desc = state->desc, .avail = state->avail, .used = state->used};
    int rc = virtq_enable(q, &layout, features);
    if (rc < 0)
        return rc;
    q->next_avail = state->next_avail;
    q->next_used = state->next_used;
    q->signalled = state->signalled;
    q->broken = state->broken;
    return 0;
}

/* ---- the bytes of a chain ----------------------------------------------------------------- */

static unsigned slice(const struct iovec *from, unsigned count, uint64_t offset, uint64_t len,
                      struct iovec *to)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count && len > 0; i++) {
        if (offset >= from[i].iov_len) {
            offset -= from[i].iov_len;
            continue;
        }
        uint64_t part = from[i].iov_len - offset;
        if (part > len)
            part = len;
        to[n++] = (struct iovec){.iov_base = (char *)from[i].iov_base + offset, .iov_len = part};
        len -= part;
        offset = 0;
    }
    return n;
}

unsigned virtq_chain_readable(const struct virtq_chain *chain, uint64_t offset, uint64_t len,
                              struct iovec *iov)
{
    return slice(chain->iov, chain->readable_count, offset, len, iov);
}

unsigned virtq_chain_writable(const struct virtq_chain *chain, uint64_t offset, uint64_t len,
                              struct iovec *iov)
{
    return slice(chain->iov + chain->readable_count, chain->writable_count, offset, len, iov);
}

static bool is_within(uint64_t offset, uint64_t len, uint64_t size)
{
    return offset <= size && len <= size - offset;
}

int virtq_chain_read(const struct virtq_chain *chain, uint64_t offset, void *to, uint64_t len)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    if (!is_within(offset, len, chain->readable))
        return -EINVAL;
    unsigned count = virtq_chain_readable(chain, offset, len, iov);
    for (unsigned i = 0; i < count; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to = (char *)to + iov[i].iov_len;
    }
    return 0;
}

int virtq_chain_write(const struct virtq_chain *chain, uint64_t offset, const void *from,
                      uint64_t len)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    if (!is_within(offset, len, chain->writable))
        return -EINVAL;
    unsigned count = virtq_chain_writable(chain, offset, len, iov);
    for (unsigned i = 0; i < count; i++) {
        memcpy(iov[i].iov_base, from, iov[i].iov_len);
        from = (const char *)from + iov[i].iov_len;
    }
    return 0;
}
