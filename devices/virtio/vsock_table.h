/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All connections of a virtio socket: each a stream (vsock_stream.h) and a UNIX socket
 * (vsock_host.h), found by their ports, sending to the guest in turn. Payload goes between the
 * sockets and the guest's buffers directly; what a host program does not read is kept, up to
 * VSOCK_WINDOW bytes each.
 *
 * Under the loop's lock, like all of a device. Connections that have ended are freed by
 * vsock_table_sweep() alone.
 */
#ifndef THAW_DEVICES_VIRTIO_VSOCK_TABLE_H
#define THAW_DEVICES_VIRTIO_VSOCK_TABLE_H

#include "devices/virtio/queue.h"
#include "devices/virtio/vsock_stream.h"
#include "vmm/core/loop.h"

#define VSOCK_CONNECTIONS_MAX 1024u /* of both directions; what comes beyond is refused */

struct vsock_table;

/* Listens at `path` (see vsock_listen() for errors). `changed(ctx)` is called when something has
 * come from a host program: there may be packets. */
int vsock_table_create(const char *path, struct loop *loop, void (*changed)(void *ctx), void *ctx,
                       struct vsock_table **out, struct thaw_error *err);

/* NULL is allowed. */
void vsock_table_destroy(struct vsock_table *table);

/* A packet from the guest, the right CIDs seen to; its payload stands in `chain` behind the
 * header. An answer, if it needs one, is a packet to be sent. */
void vsock_table_receive(struct vsock_table *table, const struct vsock_header *header,
                         const struct virtq_chain *chain);

/* Whether vsock_table_send() is worth a try. */
bool vsock_table_has_packets(const struct vsock_table *table);

/* The next packet to the guest, but for the CIDs in its header: the payload is put into `chain`,
 * behind the place of the header. `chain` has room for more than a header. False: there was
 * none. */
bool vsock_table_send(struct vsock_table *table, const struct virtq_chain *chain,
                      struct vsock_header *out);

/* While held, connections that the host asks for wait. */
void vsock_table_hold_requests(struct vsock_table *table, bool hold);

/* The guest has forgotten everything: so does the table, but for what the guest has not heard of
 * yet, and what is still to be read by a host program. Nothing is held any more. */
void vsock_table_reset(struct vsock_table *table);

/* To be called at the end of whatever may have ended a connection. */
void vsock_table_sweep(struct vsock_table *table);

#endif
