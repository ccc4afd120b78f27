/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Either end of a virtio socket, in a guest or on the host. ADDRESS is vsock:CID:PORT, unix:PATH,
 * or hybrid:PATH:PORT (a guest's port as a host program reaches it).
 *
 *   vsock_peer echo ADDRESS COUNT       sends back what comes until the end, COUNT connections
 *   vsock_peer load ADDRESS COUNT SIZE  COUNT connections at once, SIZE bytes each: writes them,
 *                                       stops sending, and wants the same bytes and the end back
 *   vsock_peer refused ADDRESS          wants a connection to be refused
 *
 * Prints a line and exits 0 when all was as it should be.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BATCH 64

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_vm vm;
    };
    socklen_t size;
    bool is_hybrid;
    unsigned port; /* hybrid: the guest's */
};

struct peer {
    int fd;
    unsigned index;
    uint64_t to_send, sent, seen;
    char kept[8192]; /* echo: read and not yet written */
    size_t length, at;
    bool ended, done;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("vsock_peer: ", stderr);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (%s)\n", strerror(errno));
    va_end(args);
    exit(1);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void set_path(struct address *a, const char *path, size_t length)
{
    if (length >= sizeof(a->un.sun_path))
        die("path too long: %s", path);
    a->un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(a->un.sun_path, path, length);
    a->size = sizeof(a->un);
}

static struct address parse(const char *text)
{
    struct address a = {0};
    unsigned cid, port;
    const char *colon = strrchr(text, ':');
    if (sscanf(text, "vsock:%u:%u", &cid, &port) == 2) {
        a.vm = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
        a.size = sizeof(a.vm);
    } else if (strncmp(text, "unix:", 5) == 0) {
        set_path(&a, text + 5, strlen(text + 5));
    } else if (strncmp(text, "hybrid:", 7) == 0 && colon > text + 7) {
        set_path(&a, text + 7, (size_t)(colon - text - 7));
        a.is_hybrid = true;
        a.port = (unsigned)strtoul(colon + 1, NULL, 10);
    } else {
        die("what address is %s?", text);
    }
    return a;
}

static bool read_ok(int fd)
{
    char line[32] = "";
    for (size_t i = 0; i < sizeof(line) - 1; i++) {
        if (read(fd, line + i, 1) != 1)
            return false;
        if (line[i] == '\n')
            return strncmp(line, "OK ", 3) == 0;
    }
    return false;
}

/* The descriptor, or -1. */
static int dial(const struct address *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    bool good = connect(fd, &a->any, a->size) == 0;
    if (good && a->is_hybrid)
        good = dprintf(fd, "CONNECT %u\n", a->port) > 0 && read_ok(fd);
    if (good)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

static int serve(const struct address *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, &a->any, a->size) < 0 || listen(fd, 256) < 0)
        die("listen");
    puts("listening");
    fflush(stdout);
    return fd;
}

static void unblock(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        die("fcntl");
}

/* ---- polling ------------------------------------------------------------------------------ */

static void watch(int epoll, int op, int fd, uint32_t events, void *ctx)
{
    struct epoll_event event = {.events = events, .data.ptr = ctx};
    if (epoll_ctl(epoll, op, fd, &event) < 0)
        die("epoll_ctl");
}

static bool would_block(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- echo --------------------------------------------------------------------------------- */

static void echo_step(struct peer *p)
{
    if (p->length == 0 && !p->ended) {
        ssize_t n = read(p->fd, p->kept, sizeof(p->kept));
        if (n < 0 && !would_block(n))
            die("echo: read");
        p->ended = n == 0;
        p->length = n > 0 ? (size_t)n : 0;
        p->at = 0;
    }
    if (p->length > 0) {
        ssize_t n = write(p->fd, p->kept + p->at, p->length);
        if (n < 0 && !would_block(n))
            die("echo: write");
        p->at += n > 0 ? (size_t)n : 0;
        p->length -= n > 0 ? (size_t)n : 0;
    }
    p->done = p->ended && p->length == 0;
}

static void add_echo(int epoll, int listener)
{
    struct peer *p = calloc(1, sizeof(*p));
    if (!p || (p->fd = accept(listener, NULL, NULL)) < 0)
        die("accept");
    unblock(p->fd);
    watch(epoll, EPOLL_CTL_ADD, p->fd, EPOLLIN, p);
}

static void echo(const struct address *a, unsigned count)
{
    struct epoll_event events[BATCH];
    int listener = serve(a), epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (unsigned finished = 0; finished < count;) {
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (!p) {
                add_echo(epoll, listener);
                continue;
            }
            echo_step(p);
            if (!p->done) {
                watch(epoll, EPOLL_CTL_MOD, p->fd, p->length > 0 ? EPOLLOUT : EPOLLIN, p);
                continue;
            }
            close(p->fd);
            free(p);
            finished++;
        }
    }
    printf("echoed %u\n", count);
}

/* ---- load --------------------------------------------------------------------------------- */

/* No two connections, and no two pieces of one, look alike. */
static char pattern(unsigned index, uint64_t offset)
{
    return (char)(offset * 167 + offset / 251 + offset / 4099 + index * 13u);
}

static void send_some(struct peer *p)
{
    char data[8192];
    uint64_t left = p->to_send - p->sent;
    size_t size = left < sizeof(data) ? (size_t)left : sizeof(data);
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(p->index, p->sent + i);
    ssize_t n = write(p->fd, data, size);
    if (n < 0 && !would_block(n))
        die("connection %u: write after %" PRIu64 " bytes", p->index, p->sent);
    p->sent += n > 0 ? (uint64_t)n : 0;
    if (p->sent == p->to_send && shutdown(p->fd, SHUT_WR) < 0)
        die("connection %u: shutdown", p->index);
}

static void check_some(struct peer *p)
{
    char data[8192];
    ssize_t n = read(p->fd, data, sizeof(data));
    if (n < 0 && !would_block(n))
        die("connection %u: read after %" PRIu64 " bytes", p->index, p->seen);
    p->done = n == 0;
    for (ssize_t i = 0; i < n; i++, p->seen++)
        if (data[i] != pattern(p->index, p->seen))
            die("connection %u: byte %" PRIu64 " is another", p->index, p->seen);
    if (p->done && p->seen != p->to_send)
        die("connection %u: ended after %" PRIu64 " bytes", p->index, p->seen);
}

static void load(const struct address *a, unsigned count, uint64_t size)
{
    struct epoll_event events[BATCH];
    int epoll = epoll_create1(0);
    struct peer *peers = calloc(count, sizeof(*peers));
    if (!peers)
        die("memory");
    for (unsigned i = 0; i < count; i++) {
        struct peer *p = &peers[i];
        *p = (struct peer){.fd = dial(a), .index = i, .to_send = size};
        if (p->fd < 0)
            die("connection %u: connect", i);
        unblock(p->fd);
        watch(epoll, EPOLL_CTL_ADD, p->fd, EPOLLIN | EPOLLOUT, p);
    }
    for (unsigned finished = 0; finished < count;) {
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) && p->sent < p->to_send)
                send_some(p);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                check_some(p);
            watch(epoll, EPOLL_CTL_MOD, p->fd, EPOLLIN | (p->sent < size ? EPOLLOUT : 0u), p);
            if (p->done) {
                close(p->fd);
                finished++;
            }
        }
    }
    printf("%u connections, %" PRIu64 " bytes each way, all as sent\n", count, size);
}

/* ---- the rest ----------------------------------------------------------------------------- */

static void refused(const struct address *a)
{
    int fd = dial(a);
    if (fd >= 0)
        die("accepted");
    puts("refused");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const struct address a = parse(argv[2]);
    if (strcmp(argv[1], "echo") == 0 && argc == 4)
        echo(&a, (unsigned)strtoul(argv[3], NULL, 10));
    else if (strcmp(argv[1], "load") == 0 && argc == 5)
        load(&a, (unsigned)strtoul(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    else if (strcmp(argv[1], "refused") == 0)
        refused(&a);
    else
        return 2;
    return fflush(stdout) == 0 ? 0 : 1;
}
