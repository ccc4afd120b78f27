/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of listening TCP sockets, sock_diag(7): the bytes, pure. */
#ifndef THAW_INIT_SOCK_DIAG_H
#define THAW_INIT_SOCK_DIAG_H

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

/* A question for all listening TCP sockets of one address family. */
struct sock_diag_question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

struct sock_diag_question sock_diag_ask(uint8_t family, uint32_t seq);

typedef void sock_diag_found(void *ctx, uint16_t port);

enum sock_diag_state {
    SOCK_DIAG_MORE, /* another datagram follows */
    SOCK_DIAG_DONE, /* that was the last one, or the kernel refused */
};

/* Takes one datagram of the answer to question `seq`, at any alignment; calls `found` for every
 * listening port. What answers another question is skipped; what is cut off or malformed ends the
 * datagram. */
enum sock_diag_state sock_diag_parse(const void *datagram, size_t size, uint32_t seq,
                                     sock_diag_found *found, void *ctx);

#endif
