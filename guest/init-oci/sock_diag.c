/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/sock_diag.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

#define LISTENING 10 /* TCP_LISTEN; <netinet/tcp.h> and the kernel's headers clash */

struct sock_diag_question sock_diag_ask(uint8_t family, uint32_t seq)
{
    return (struct sock_diag_question){
        .header = {.nlmsg_len = sizeof(struct sock_diag_question),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = seq},
        .request = {.sdiag_family = family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1u << LISTENING},
    };
}

static void take_socket(const char *at, size_t size, sock_diag_found *found, void *ctx)
{
    struct inet_diag_msg socket;
    if (size < sizeof(socket))
        return;
    memcpy(&socket, at, sizeof(socket));
    uint16_t port = ntohs(socket.id.idiag_sport);
    if (socket.idiag_state == LISTENING && port > 0)
        found(ctx, port);
}

enum sock_diag_state sock_diag_parse(const void *datagram, size_t size, uint32_t seq,
                                     sock_diag_found *found, void *ctx)
{
    const char *at = datagram;
    struct nlmsghdr header;
    while (size >= sizeof(header)) {
        memcpy(&header, at, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > size)
            break;
        if (header.nlmsg_seq == seq) {
            if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR)
                return SOCK_DIAG_DONE;
            if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
                take_socket(at + sizeof(header), header.nlmsg_len - sizeof(header), found, ctx);
        }
        size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
        if (step > size)
            break;
        at += step;
        size -= step;
    }
    return SOCK_DIAG_MORE;
}
