/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's standard streams: a virtio console (virtio 1.2, 5.3) with
 * VIRTIO_CONSOLE_F_MULTIPORT and three generic ports, named as in guest/include/thaw/wire.h. No
 * port is a console, and the window size does not travel here but over the control port.
 *
 * Output has backpressure: a chain is taken from the driver when there is room for its bytes in a
 * writer's ring (devices/writer.h). While the host's reader is slow the queue fills, and the
 * driver waits. A reader that went away is one that takes everything.
 *
 * Input is read straight into the driver's buffers, once the guest has opened the port and as long
 * as it has buffers. The end of the input closes the host's side of the port (PORT_OPEN 0), after
 * the last byte is in the used ring: a Linux guest reads all the bytes, and then 0.
 *
 * Nothing is ever in flight between two calls: a chain that is taken in part is put back, and how
 * far it got is kept. So the device can be stopped and saved at any time. What a writer's ring
 * holds belongs to the host; ports_flush() before a save leaves nothing in the queues either.
 */
#ifndef THAW_DEVICES_VIRTIO_PORTS_H
#define THAW_DEVICES_VIRTIO_PORTS_H

#include "devices/virtio/device.h"
#include "devices/writer.h"

#define PORTS_QUEUE_SIZE 32u
#define PORTS_COUNT      3u

#define VIRTIO_CONSOLE_F_MULTIPORT (1ull << 1)

enum ports_index { PORTS_STDIN, PORTS_STDOUT, PORTS_STDERR };

/* Queue numbers (5.3.2). */
#define PORTS_QUEUE_CONTROL_RX 2u
#define PORTS_QUEUE_CONTROL_TX 3u
static inline unsigned ports_queue_rx(unsigned port)
{
    return port == 0 ? 0 : 2 + 2 * port;
}
static inline unsigned ports_queue_tx(unsigned port)
{
    return ports_queue_rx(port) + 1;
}

/* The host's descriptors: borrowed; see writer_create() and input_open(). Two may be the same. */
struct ports_config {
    int stdin_fd, stdout_fd, stderr_fd;
};

/* Starts the threads of the two writers. */
int ports_create(const struct ports_config *config, const struct virtio_context *context,
                 struct virtio_device **out, struct thaw_error *err);

/* The functions below take the loop's lock themselves: not from a callback. */

/* Whether the guest has opened the port of its standard output: then the streams are here, and not
 * on the console. Linux's driver waits until the device has seen that; init says hello after it. */
bool ports_are_open(struct virtio_device *device);

/* Takes what the driver has put into the queues of both outputs, and waits until it is written or
 * discarded, for at most `timeout_ms`. Returns whether it is. Stop the vCPUs first, or it may
 * never come to that. */
bool ports_flush(struct virtio_device *device, unsigned timeout_ms);

/* What became of the streams, and what it cost. */
struct ports_report {
    uint64_t input;                            /* bytes given to the guest */
    struct writer_report outputs[PORTS_COUNT]; /* PORTS_STDOUT and PORTS_STDERR */
    uint64_t kicks, interrupts;                /* of the device, control messages included */
};
struct ports_report ports_report(struct virtio_device *device);

/* Everything that the guest writes from now on is discarded. For good; while the loop is stopped.
 */
void ports_mute(struct virtio_device *device);

/* What is kept in a snapshot: plain data without padding. */
struct ports_state {
    uint32_t taken[PORTS_COUNT];     /* bytes of the next chain that are dealt with already */
    uint8_t pending[PORTS_COUNT];    /* control messages that the driver has no buffer for yet */
    uint8_t guest_open[PORTS_COUNT]; /* 0 or 1 */
    uint8_t input_ended;             /* 0 or 1 */
    uint8_t reserved;
};

#endif
