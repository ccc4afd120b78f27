/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream connection of a virtio socket (virtio 1.2, 5.10.6): what may come when, how much may
 * be sent, what is due to the guest. Pure: no socket, no queue, no memory of the guest.
 *
 * Counters of bytes are modulo 2^32, as on the wire; only their differences mean something.
 */
#ifndef THAW_DEVICES_VIRTIO_VSOCK_STREAM_H
#define THAW_DEVICES_VIRTIO_VSOCK_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/* How much the guest may send before the host has taken it: what we advertise as buf_alloc, and the
 * most that is ever kept for a stream. Bytes. */
#define VSOCK_WINDOW 65536u

#define VSOCK_TYPE_STREAM 1u

/* 5.10.6. */
enum vsock_op {
    VSOCK_OP_REQUEST = 1,
    VSOCK_OP_RESPONSE = 2,
    VSOCK_OP_RST = 3,
    VSOCK_OP_SHUTDOWN = 4,
    VSOCK_OP_RW = 5,
    VSOCK_OP_CREDIT_UPDATE = 6,
    VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: the sender of the packet will receive no more, will send no more. */
enum { VSOCK_NO_RECEIVE = 1, VSOCK_NO_SEND = 2, VSOCK_NO_MORE = 3 };

/* On the wire; little-endian, as every host is that thaw runs on. */
struct vsock_header {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t len; /* of the payload that follows */
    uint16_t type, op;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt;
} __attribute__((packed));

_Static_assert(sizeof(struct vsock_header) == 44, "layout of virtio 1.2, 5.10.6");

enum vsock_phase {
    VSOCK_REQUESTED, /* the host asks, the guest has not answered */
    VSOCK_OPEN,
};

struct vsock_stream {
    enum vsock_phase phase;
    uint32_t host_port, guest_port;

    uint32_t sent;                    /* bytes to the guest */
    uint32_t guest_window, guest_fwd; /* what it said last: buf_alloc and fwd_cnt */
    bool asked;                       /* for credit, since it last said something */

    uint32_t received;  /* bytes from the guest */
    uint32_t forwarded; /* of these, taken by the host: our fwd_cnt */
    uint32_t told;      /* the fwd_cnt that the guest knows */

    uint32_t guest_shut, host_shut; /* VSOCK_NO_*: what each side will not do any more */
    unsigned due;                   /* control packets for the guest: bits 1 << op */
};

/* What a packet means for the host's side. */
enum vsock_event {
    VSOCK_NOTHING,  /* but there may be credit now, or a packet due */
    VSOCK_ACCEPTED, /* the guest has accepted the host's request */
    VSOCK_DATA,     /* the payload is for the host; it is counted as received */
    VSOCK_SHUT,     /* guest_shut has grown, and is not all yet */
    VSOCK_ENDED,    /* the guest's side is gone. Data that it sent before still counts */
    VSOCK_FINISHED, /* the same, and it waits for a RST as the answer */
    VSOCK_VIOLATED, /* a rule is broken: answer with RST, and end */
};

/* A new stream that the host asks for: a REQUEST is due. */
void vsock_stream_request(struct vsock_stream *stream, uint32_t host_port, uint32_t guest_port);

/* A new stream that the guest asked for with this REQUEST, and gets: a RESPONSE is due. */
void vsock_stream_accept(struct vsock_stream *stream, const struct vsock_header *request);

/* A packet of this stream from the guest, its payload known to be there. */
enum vsock_event vsock_stream_receive(struct vsock_stream *stream, const struct vsock_header *in);

/* The host took `bytes` of what was received. An update is due once a quarter of the window is
 * free that the guest does not know of. */
void vsock_stream_forward(struct vsock_stream *stream, uint32_t bytes);

/* How many bytes may be sent to the guest now. 0 when its counters make no sense. */
uint32_t vsock_stream_credit(const struct vsock_stream *stream);

/* There would be something to send, and no credit: asks for it, once per stall. */
void vsock_stream_starve(struct vsock_stream *stream);

/* The host's side will not do this any more: a SHUTDOWN is due if that is news. */
void vsock_stream_shut(struct vsock_stream *stream, uint32_t flags);

/* The next control packet due: its op, or 0. `may_request`: REQUEST is not held back. */
unsigned vsock_stream_due(const struct vsock_stream *stream, bool may_request);

/* Fills in the header of a packet to the guest that is about to be sent, and counts it as sent.
 * The CIDs are the caller's. `len` only with RW, at most the credit. */
void vsock_stream_send(struct vsock_stream *stream, unsigned op, uint32_t len,
                       struct vsock_header *out);

#endif
