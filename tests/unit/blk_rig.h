/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of a virtio disk that knows what it must read: the model of the disk's content. */
#ifndef THAW_TESTS_BLK_RIG_H
#define THAW_TESTS_BLK_RIG_H

#include "devices/virtio/blk.h"
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <linux/virtio_blk.h>
#include <string.h>

#define RIG_SECTORS 2048u
#define RIG_SIZE    (RIG_SECTORS * 512u)
#define RIG_ALL                                                                                    \
    (1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES)

struct blk_rig {
    struct fake_driver driver;
    struct virtio_device *device; /* the driver's */
    uint32_t random;
    char model[RIG_SIZE];
};

struct blk_rig_request {
    uint64_t header, data, status;
};

static inline uint32_t blk_rig_random(struct blk_rig *rig)
{
    rig->random = rig->random * 1664525u + 1013904223u;
    return rig->random >> 8;
}

static inline void blk_rig_start(struct blk_rig *rig, const struct blk_config *config,
                                 uint64_t features)
{
    struct thaw_error err = {0};
    fake_driver_init(&rig->driver);
    cr_assert_eq(blk_create(config, &rig->driver.context, &rig->device, &err), 0, "%s",
                 err.message);
    fake_driver_attach(&rig->driver, rig->device);
    fake_driver_start(&rig->driver, features);
}

static inline void blk_rig_end(struct blk_rig *rig)
{
    fake_driver_destroy(&rig->driver);
}

/* In three parts of odd sizes, where there is something to cut. */
static inline unsigned blk_rig_put_data(uint64_t at, uint32_t size, bool writable,
                                        struct fake_buffer *buffers)
{
    uint32_t first = size > 700 ? 333 : 0, second = size > 700 ? size - 700 : 0;
    const uint32_t parts[] = {first, second, size - first - second};
    unsigned count = 0;
    for (unsigned i = 0; i < 3; at += parts[i++])
        if (parts[i] > 0)
            buffers[count++] = (struct fake_buffer){at, parts[i], writable};
    return count;
}

/* `data`: for the device to read; NULL: for it to write. */
static inline struct blk_rig_request blk_rig_offer(struct blk_rig *rig, uint32_t type,
                                                   uint64_t sector, const void *data, uint32_t size)
{
    struct fake_driver *driver = &rig->driver;
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};
    struct blk_rig_request r = {.header = fake_driver_alloc(driver, sizeof(header)),
                                .data = fake_driver_alloc(driver, size + 1),
                                .status = fake_driver_alloc(driver, 1)};
    memcpy(fake_driver_at(driver, r.header, sizeof(header)), &header, sizeof(header));
    if (data)
        memcpy(fake_driver_at(driver, r.data, size), data, size);
    *(uint8_t *)fake_driver_at(driver, r.status, 1) = 0xee;
    struct fake_buffer buffers[5] = {{.address = r.header, .length = sizeof(header)}};
    unsigned count = 1 + blk_rig_put_data(r.data, size, !data, buffers + 1);
    buffers[count++] = (struct fake_buffer){r.status, 1, true};
    fake_driver_send(driver, 0, buffers, count);
    return r;
}

/* Until nothing is in flight any more. */
static inline void blk_rig_settle(struct blk_rig *rig)
{
    fake_driver_kick(&rig->driver, 0);
    for (unsigned turns = 0; turns < 1000 && !virtio_is_quiet(rig->device); turns++)
        loop_turn(rig->driver.loop, 10);
    fake_driver_run_loop(&rig->driver, 0);
}

static inline uint8_t blk_rig_answer(struct blk_rig *rig, const struct blk_rig_request *r)
{
    uint32_t head, length;
    blk_rig_settle(rig);
    cr_assert(fake_driver_used(&rig->driver, 0, &head, &length), "no answer");
    rig->driver.next_alloc = r->header; /* the next one goes to the same place */
    return *(uint8_t *)fake_driver_at(&rig->driver, r->status, 1);
}

/* Writes what was never there before; returns the device's answer. */
static inline uint8_t blk_rig_write(struct blk_rig *rig, uint64_t sector, uint64_t sectors)
{
    char *model = rig->model + sector * 512;
    for (size_t i = 0; i < sectors * 512; i++)
        model[i] = (char)blk_rig_random(rig);
    struct blk_rig_request r =
        blk_rig_offer(rig, VIRTIO_BLK_T_OUT, sector, model, (uint32_t)sectors * 512);
    return blk_rig_answer(rig, &r);
}

/* `type`: discard or write zeroes. */
static inline uint8_t blk_rig_clear(struct blk_rig *rig, uint32_t type, uint64_t sector,
                                    uint64_t sectors)
{
    const struct virtio_blk_discard_write_zeroes range = {.sector = sector,
                                                          .num_sectors = (uint32_t)sectors};
    memset(rig->model + sector * 512, 0, sectors * 512);
    struct blk_rig_request r = blk_rig_offer(rig, type, 0, &range, sizeof(range));
    return blk_rig_answer(rig, &r);
}

static inline void blk_rig_expect(struct blk_rig *rig, uint64_t sector, uint64_t sectors)
{
    uint32_t size = (uint32_t)sectors * 512;
    struct blk_rig_request r = blk_rig_offer(rig, VIRTIO_BLK_T_IN, sector, NULL, size);
    cr_assert_eq(blk_rig_answer(rig, &r), VIRTIO_BLK_S_OK);
    const void *data = fake_driver_at(&rig->driver, r.data, size);
    cr_assert_eq(memcmp(data, rig->model + sector * 512, size), 0, "sectors %d to %d", (int)sector,
                 (int)(sector + sectors));
}

/* One step of a random row: something written, cleared or nothing; then it is read. */
static inline void blk_rig_step(struct blk_rig *rig)
{
    uint64_t sectors = blk_rig_random(rig) % (blk_rig_random(rig) % 8 ? 9 : 200) + 1;
    uint64_t sector = blk_rig_random(rig) % (RIG_SECTORS - sectors + 1);
    uint32_t what = blk_rig_random(rig) % 8;
    uint8_t status = VIRTIO_BLK_S_OK;
    if (what < 3)
        status = blk_rig_write(rig, sector, sectors);
    else if (what < 5)
        status = blk_rig_clear(rig, what == 3 ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES,
                               sector, sectors);
    cr_assert_eq(status, VIRTIO_BLK_S_OK);
    blk_rig_expect(rig, sector, sectors);
}

#endif
