/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock_stream.h"

#define BIT(op) (1u << (op))

void vsock_stream_request(struct vsock_stream *stream, uint32_t host_port, uint32_t guest_port)
{
    *stream = (struct vsock_stream){.phase = VSOCK_REQUESTED,
                                    .host_port = host_port,
                                    .guest_port = guest_port,
                                    .due = BIT(VSOCK_OP_REQUEST)};
}

void vsock_stream_accept(struct vsock_stream *stream, const struct vsock_header *request)
{
    *stream = (struct vsock_stream){.phase = VSOCK_OPEN,
                                    .host_port = request->dst_port,
                                    .guest_port = request->src_port,
                                    .guest_window = request->buf_alloc,
                                    .guest_fwd = request->fwd_cnt,
                                    .due = BIT(VSOCK_OP_RESPONSE)};
}

/* ---- from the guest ----------------------------------------------------------------------- */

static enum vsock_event receive_response(struct vsock_stream *stream)
{
    /* An answer to a question that was not asked yet is none. */
    if (stream->phase != VSOCK_REQUESTED || (stream->due & BIT(VSOCK_OP_REQUEST)))
        return VSOCK_VIOLATED;
    stream->phase = VSOCK_OPEN;
    return VSOCK_ACCEPTED;
}

static enum vsock_event receive_data(struct vsock_stream *stream, uint32_t len)
{
    uint32_t kept = stream->received - stream->forwarded;
    if ((stream->guest_shut & VSOCK_NO_SEND) || len > VSOCK_WINDOW - kept)
        return VSOCK_VIOLATED;
    stream->received += len;
    if (!(stream->host_shut & VSOCK_NO_RECEIVE))
        return len > 0 ? VSOCK_DATA : VSOCK_NOTHING;
    /* It was on its way when the host stopped reading. */
    vsock_stream_forward(stream, len);
    return VSOCK_NOTHING;
}

static enum vsock_event receive_shutdown(struct vsock_stream *stream, uint32_t flags)
{
    stream->guest_shut |= flags & VSOCK_NO_MORE;
    return stream->guest_shut == VSOCK_NO_MORE ? VSOCK_FINISHED : VSOCK_SHUT;
}

enum vsock_event vsock_stream_receive(struct vsock_stream *stream, const struct vsock_header *in)
{
    if (in->op == VSOCK_OP_RST)
        return VSOCK_ENDED;
    stream->guest_window = in->buf_alloc;
    stream->guest_fwd = in->fwd_cnt;
    if (vsock_stream_credit(stream) > 0)
        stream->asked = false;
    if (in->op == VSOCK_OP_RESPONSE)
        return receive_response(stream);
    if (stream->phase != VSOCK_OPEN)
        return VSOCK_VIOLATED;
    switch (in->op) {
    case VSOCK_OP_RW:
        return receive_data(stream, in->len);
    case VSOCK_OP_SHUTDOWN:
        return receive_shutdown(stream, in->flags);
    case VSOCK_OP_CREDIT_REQUEST:
        stream->due |= BIT(VSOCK_OP_CREDIT_UPDATE);
        return VSOCK_NOTHING;
    case VSOCK_OP_CREDIT_UPDATE:
        return VSOCK_NOTHING;
    default:
        return VSOCK_VIOLATED;
    }
}

void vsock_stream_forward(struct vsock_stream *stream, uint32_t bytes)
{
    stream->forwarded += bytes;
    if (stream->forwarded - stream->told >= VSOCK_WINDOW / 4)
        stream->due |= BIT(VSOCK_OP_CREDIT_UPDATE);
}

/* ---- to the guest ------------------------------------------------------------------------- */

uint32_t vsock_stream_credit(const struct vsock_stream *stream)
{
    uint32_t in_flight = stream->sent - stream->guest_fwd;
    return in_flight < stream->guest_window ? stream->guest_window - in_flight : 0;
}

void vsock_stream_starve(struct vsock_stream *stream)
{
    if (stream->asked)
        return;
    stream->asked = true;
    stream->due |= BIT(VSOCK_OP_CREDIT_REQUEST);
}

void vsock_stream_shut(struct vsock_stream *stream, uint32_t flags)
{
    if ((stream->host_shut | flags) == stream->host_shut)
        return;
    stream->host_shut |= flags;
    stream->due |= BIT(VSOCK_OP_SHUTDOWN);
}

unsigned vsock_stream_due(const struct vsock_stream *stream, bool may_request)
{
    /* RESPONSE goes before everything else. */
    static const enum vsock_op order[] = {VSOCK_OP_RESPONSE, VSOCK_OP_CREDIT_UPDATE,
                                          VSOCK_OP_CREDIT_REQUEST, VSOCK_OP_SHUTDOWN};
    if (stream->phase == VSOCK_REQUESTED)
        return may_request && (stream->due & BIT(VSOCK_OP_REQUEST)) ? VSOCK_OP_REQUEST : 0;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (stream->due & BIT(order[i]))
            return order[i];
    return 0;
}

void vsock_stream_send(struct vsock_stream *stream, unsigned op, uint32_t len,
                       struct vsock_header *out)
{
    /* Every packet carries our counters, and so is an update. */
    stream->due &= ~(BIT(op) | BIT(VSOCK_OP_CREDIT_UPDATE));
    stream->told = stream->forwarded;
    stream->sent += len;
    *out = (struct vsock_header){
        .src_port = stream->host_port,
        .dst_port = stream->guest_port,
        .len = len,
        .type = VSOCK_TYPE_STREAM,
        .op = (uint16_t)op,
        .flags = op == VSOCK_OP_SHUTDOWN ? stream->host_shut : 0,
        .buf_alloc = VSOCK_WINDOW,
        .fwd_cnt = stream->forwarded,
    };
}
