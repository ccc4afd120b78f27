/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (virtio 1.2, 5.5): memory that the guest does not need goes back to the host. Two
 * ways: free page reporting, where the guest names pages that it has freed, of its own accord and
 * without giving them up; and the balloon proper, where the host asks for a number of pages and
 * the guest gives them up until the host wants fewer.
 *
 * Offers DEFLATE_ON_OOM: a guest that runs out takes pages back. Left out: statistics, hints,
 * page poisoning. Nothing that a guest says here can harm anybody but itself: only pages of its own
 * RAM are given back. What they contain afterwards is what they were mapped from: zeros, or the
 * snapshot.
 */
#ifndef THAW_DEVICES_VIRTIO_BALLOON_H
#define THAW_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/device.h"

#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define VIRTIO_BALLOON_F_REPORTING      (1ull << 5)

#define BALLOON_PAGE_SIZE 4096u /* of a PFN on the wire, whatever the guest's pages are */

/* With neither STATS_VQ nor FREE_PAGE_HINT, the reporting queue is number 4 after the
 * specification (5.5.2), but 2 for Linux, which leaves out the numbers of queues that do not exist,
 * and 3 for who counts only one of them: here each of the three is one. */
enum { BALLOON_QUEUE_INFLATE, BALLOON_QUEUE_DEFLATE, BALLOON_QUEUE_REPORTING, BALLOON_QUEUES = 5 };

struct balloon_config {
    uint32_t target_pages; /* of BALLOON_PAGE_SIZE; at most the guest's RAM */
    bool reporting;        /* offer free page reporting */
};

/* THAW_FAIL_USAGE for a target that is more than there is. */
int balloon_create(const struct balloon_config *config, const struct virtio_context *context,
                   struct virtio_device **out, struct thaw_error *err);

/* All below: under the loop's lock. */

/* How many pages the guest is to give up; more than there are are as many as there are. The
 * guest gets there in its own time. */
void balloon_set_target(struct virtio_device *device, uint32_t pages);

/* Counted since creation; a load brings the two numbers of pages alone. */
struct balloon_counters {
    uint32_t target_pages;
    uint32_t actual_pages;   /* what the guest says it has given up */
    uint64_t inflated_bytes; /* given back to the host by inflating */
    uint64_t reported_bytes; /* given back to the host by reporting */
    uint64_t refused;        /* ranges that were not whole pages of RAM, or that the host kept */
};
void balloon_counters(const struct virtio_device *device, struct balloon_counters *out);

struct balloon_state {
    uint32_t target_pages, actual_pages;
};
_Static_assert(sizeof(struct balloon_state) == 8, "no padding");

#endif
