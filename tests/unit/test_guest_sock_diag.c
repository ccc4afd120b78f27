/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's answers about sockets, run on the host: real ones, and ones no kernel gives. */
#include "guest/init-oci/sock_diag.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENING 10
#define SEQ       7u

struct ports {
    unsigned count;
    uint16_t ports[64];
};

static void note(void *ctx, uint16_t port)
{
    struct ports *ports = ctx;
    ports->ports[ports->count++ % 64] = port;
}

struct datagram {
    char bytes[1024];
    size_t size;
};

static void put(struct datagram *to, uint16_t type, uint32_t seq, const void *body, size_t size)
{
    const struct nlmsghdr header = {
        .nlmsg_len = (uint32_t)(sizeof(header) + size), .nlmsg_type = type, .nlmsg_seq = seq};
    memcpy(to->bytes + to->size, &header, sizeof(header));
    if (size > 0)
        memcpy(to->bytes + to->size + sizeof(header), body, size);
    to->size += NLMSG_ALIGN(sizeof(header) + size);
}

static void put_socket(struct datagram *to, uint32_t seq, uint16_t port)
{
    const struct inet_diag_msg socket = {.idiag_state = LISTENING, .id.idiag_sport = htons(port)};
    put(to, SOCK_DIAG_BY_FAMILY, seq, &socket, sizeof(socket));
}

Test(guest_sock_diag, every_listening_port_of_a_datagram_is_found)
{
    struct datagram datagram = {0};
    struct ports found = {0};
    put_socket(&datagram, SEQ, 80);
    put_socket(&datagram, SEQ, 65535);
    cr_expect_eq(sock_diag_parse(datagram.bytes, datagram.size, SEQ, note, &found), SOCK_DIAG_MORE);
    put(&datagram, NLMSG_DONE, SEQ, NULL, 0);
    put_socket(&datagram, SEQ, 81);
    cr_expect_eq(sock_diag_parse(datagram.bytes, datagram.size, SEQ, note, &found), SOCK_DIAG_DONE);
    cr_assert_eq(found.count, 4, "what follows the end is not read");
    cr_expect_eq(found.ports[2], 80);
    cr_expect_eq(found.ports[3], 65535);
}

Test(guest_sock_diag, an_error_ends_the_answer)
{
    const struct nlmsgerr error = {.error = -ENOENT};
    struct datagram datagram = {0};
    struct ports found = {0};
    put(&datagram, NLMSG_ERROR, SEQ, &error, sizeof(error));
    cr_expect_eq(sock_diag_parse(datagram.bytes, datagram.size, SEQ, note, &found), SOCK_DIAG_DONE);
    cr_expect_eq(found.count, 0);
}

Test(guest_sock_diag, the_rest_of_an_earlier_answer_is_skipped)
{
    struct datagram datagram = {0};
    struct ports found = {0};
    put_socket(&datagram, SEQ - 1, 80);
    put(&datagram, NLMSG_DONE, SEQ - 1, NULL, 0);
    put_socket(&datagram, SEQ, 81);
    cr_expect_eq(sock_diag_parse(datagram.bytes, datagram.size, SEQ, note, &found), SOCK_DIAG_MORE);
    cr_assert_eq(found.count, 1);
    cr_expect_eq(found.ports[0], 81);
}

Test(guest_sock_diag, only_sockets_that_listen_on_a_port_count)
{
    struct inet_diag_msg socket = {.idiag_state = 1, .id.idiag_sport = htons(80)};
    struct datagram datagram = {0};
    struct ports found = {0};
    put(&datagram, SOCK_DIAG_BY_FAMILY, SEQ, &socket, sizeof(socket));
    put_socket(&datagram, SEQ, 0);
    put(&datagram, SOCK_DIAG_BY_FAMILY, SEQ, &socket, sizeof(socket) - 1); /* cut off */
    sock_diag_parse(datagram.bytes, datagram.size, SEQ, note, &found);
    cr_expect_eq(found.count, 0);
}

/* From a block of exactly that size: the sanitizer watches its end. */
static struct ports parse_copy(const char *bytes, size_t size)
{
    struct ports found = {0};
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    sock_diag_parse(copy, size, SEQ, note, &found);
    free(copy);
    return found;
}

Test(guest_sock_diag, a_datagram_cut_off_anywhere_is_read_as_far_as_it_goes)
{
    struct datagram datagram = {0};
    put_socket(&datagram, SEQ, 80);
    size_t one = datagram.size;
    put_socket(&datagram, SEQ, 81);
    for (size_t size = 0; size <= datagram.size; size++)
        cr_expect_eq(parse_copy(datagram.bytes, size).count, size / one, "%zu bytes", size);
}

Test(guest_sock_diag, lengths_that_lie_end_the_datagram)
{
    static const uint32_t lengths[] = {0, 1, 15, 16, 17, 0x7fffffff, 0xfffffffd, 0xffffffff};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct datagram datagram = {0};
        put_socket(&datagram, SEQ, 80);
        memcpy(datagram.bytes, &lengths[i], sizeof(lengths[i]));
        cr_expect_eq(parse_copy(datagram.bytes, datagram.size).count, 0, "%u", lengths[i]);
    }
}

Test(guest_sock_diag, random_bytes_do_no_harm)
{
    char bytes[256];
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)rand_r(&seed);
        const uint32_t length = (uint32_t)rand_r(&seed) % 300;
        const uint32_t seq = SEQ;
        memcpy(bytes, &length, sizeof(length));
        memcpy(bytes + offsetof(struct nlmsghdr, nlmsg_seq), &seq, sizeof(seq));
        parse_copy(bytes, (size_t)rand_r(&seed) % sizeof(bytes));
    }
}

/* ---- this machine's own kernel ------------------------------------------------------------- */

static uint16_t listen_on(int fd, int family)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    socklen_t size = sizeof(address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    return ntohs(family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                   : ((struct sockaddr_in6 *)&address)->sin6_port);
}

struct search {
    uint16_t port;
    bool found;
};

static void compare(void *ctx, uint16_t port)
{
    struct search *search = ctx;
    search->found |= port == search->port;
}

/* -1: this kernel does not answer. */
static int kernel_names(uint8_t family, uint16_t port)
{
    struct search search = {.port = port};
    const struct sock_diag_question question = sock_diag_ask(family, SEQ);
    char answer[16384];
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -1;
    ssize_t n = send(fd, &question, sizeof(question), 0);
    int answers = 0;
    while (n > 0 && (n = recv(fd, answer, sizeof(answer), 0)) > 0) {
        answers++;
        if (sock_diag_parse(answer, (size_t)n, SEQ, compare, &search) == SOCK_DIAG_DONE)
            break;
    }
    close(fd);
    return answers > 0 ? search.found : -1;
}

Test(guest_sock_diag, a_port_that_this_process_listens_on_is_in_the_kernels_answer)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < 2; i++) {
        int fd = socket(families[i], SOCK_STREAM, 0);
        uint16_t port = listen_on(fd, families[i]);
        int named = port ? kernel_names(families[i], port) : -1;
        if (named >= 0) /* a kernel without this family, or without sock_diag, has no say */
            cr_expect_eq(named, 1, "family %u port %u", families[i], port);
        if (fd >= 0)
            close(fd);
    }
}
