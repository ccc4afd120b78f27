/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock_table.h"

#include "devices/virtio/vsock_host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define PAYLOAD_MAX      65536u /* of a packet to the guest */
#define BUCKETS          256u
#define RESETS_MAX       1024u /* RSTs that wait for a buffer; more are lost */
#define HOST_PORTS_FIRST 0x40000000u

enum stage {
    STAGE_LINE,   /* a host program has yet to say which port it wants */
    STAGE_STREAM, /* known to both sides */
    STAGE_LINGER, /* the guest is done with it, the host has yet to take the rest */
    STAGE_DEAD,   /* to be freed when nobody holds a pointer to it any more */
};

struct connection {
    struct vsock_table *table;
    enum stage stage;
    struct vsock_stream stream;
    int fd;                     /* -1: closed */
    struct loop_source *source; /* NULL: the host program has hung up */
    struct vsock_line line;
    struct vsock_backlog backlog;
    bool readable; /* there may be something to read from fd */
    bool ended;    /* the end of what the host sends was read */
    bool is_ready; /* in the list `ready` */
    LIST_ENTRY(connection) in_all;
    LIST_ENTRY(connection) in_bucket; /* STAGE_STREAM only */
    TAILQ_ENTRY(connection) in_ready;
};

LIST_HEAD(connection_list, connection);
TAILQ_HEAD(ready_list, connection);

/* A RST for a packet that belongs to no connection, or to one that has just ended. */
struct reset {
    uint32_t host_port, guest_port;
    uint16_t type;
};

struct vsock_table {
    struct loop *loop;
    void (*changed)(void *ctx);
    void *changed_ctx;
    struct vsock_listener listener;
    struct loop_source *listener_source;
    int spare_fd; /* closed to take and refuse a connection when there are no descriptors left */

    struct connection_list all, dead, buckets[BUCKETS];
    struct ready_list ready; /* those with a packet for the guest, in turn */
    unsigned count;
    uint32_t next_port;
    bool hold_requests;

    struct reset resets[RESETS_MAX];
    unsigned first_reset, reset_count;
};

/* ---- connections -------------------------------------------------------------------------- */

static struct connection_list *bucket(struct vsock_table *t, uint32_t host_port,
                                      uint32_t guest_port)
{
    uint32_t hash = (host_port ^ guest_port * 0x9e3779b1u) * 0x85ebca6bu;
    return &t->buckets[hash >> 24];
}

static struct connection *find(struct vsock_table *t, uint32_t host_port, uint32_t guest_port)
{
    struct connection *c = LIST_FIRST(bucket(t, host_port, guest_port));
    while (c && (c->stream.host_port != host_port || c->stream.guest_port != guest_port))
        c = LIST_NEXT(c, in_bucket);
    return c;
}

/* The stream is set up: packets find the connection from now on. */
static void enlist(struct connection *c)
{
    c->stage = STAGE_STREAM;
    LIST_INSERT_HEAD(bucket(c->table, c->stream.host_port, c->stream.guest_port), c, in_bucket);
}

static void set_ready(struct connection *c, bool ready)
{
    if (c->is_ready == ready)
        return;
    c->is_ready = ready;
    if (ready)
        TAILQ_INSERT_TAIL(&c->table->ready, c, in_ready);
    else
        TAILQ_REMOVE(&c->table->ready, c, in_ready);
}

/* The guest's part of it is over: its ports may be used again. */
static void delist(struct connection *c)
{
    set_ready(c, false);
    if (c->stage == STAGE_STREAM)
        LIST_REMOVE(c, in_bucket);
}

static void close_fd(struct connection *c)
{
    loop_remove(take(c->source));
    if (c->fd >= 0)
        close(take_fd(&c->fd));
}

static void bury(struct connection *c)
{
    delist(c);
    close_fd(c);
    vsock_backlog_free(&c->backlog);
    c->stage = STAGE_DEAD;
    LIST_REMOVE(c, in_all);
    LIST_INSERT_HEAD(&c->table->dead, c, in_all);
    c->table->count--;
}

static void push_reset(struct vsock_table *t, uint32_t host_port, uint32_t guest_port,
                       uint16_t type)
{
    if (t->reset_count == RESETS_MAX)
        return;
    unsigned at = (t->first_reset + t->reset_count++) % RESETS_MAX;
    t->resets[at] = (struct reset){.host_port = host_port, .guest_port = guest_port, .type = type};
}

/* Ends a connection at once, on both sides. */
static void reset_connection(struct connection *c)
{
    push_reset(c->table, c->stream.host_port, c->stream.guest_port, VSOCK_TYPE_STREAM);
    bury(c);
}

/* Whether the guest knows nothing of it yet. */
static bool is_unheard_of(const struct connection *c)
{
    return c->stream.due & (1u << VSOCK_OP_REQUEST);
}

/* Whether what the host sends is wanted at all. */
static bool takes_data(const struct connection *c)
{
    return c->stage == STAGE_STREAM && c->stream.phase == VSOCK_OPEN && !c->ended &&
           !(c->stream.guest_shut & VSOCK_NO_RECEIVE);
}

static bool has_packet(const struct connection *c)
{
    if (c->stage != STAGE_STREAM)
        return false;
    return vsock_stream_due(&c->stream, !c->table->hold_requests) ||
           (takes_data(c) && c->readable && vsock_stream_credit(&c->stream) > 0);
}

static uint32_t wanted_events(const struct connection *c)
{
    bool reads = c->stage == STAGE_LINE || (takes_data(c) && !c->readable);
    return (reads ? EPOLLIN : 0u) | (c->backlog.length > 0 ? EPOLLOUT : 0u);
}

/* To be called when anything about a connection has changed. */
static void update(struct connection *c)
{
    if (c->stage == STAGE_DEAD)
        return;
    if (takes_data(c) && c->readable && vsock_stream_credit(&c->stream) == 0)
        vsock_stream_starve(&c->stream);
    set_ready(c, has_packet(c));
    /* Only the guest's RST is to come: a descriptor is not needed for that. */
    if (c->stage == STAGE_STREAM && c->stream.host_shut == VSOCK_NO_MORE)
        close_fd(c);
    if (c->source)
        loop_set_events(c->source, wanted_events(c));
}

/* ---- guest to host ------------------------------------------------------------------------ */

/* The host program does not read any more. */
static void stop_receiving(struct connection *c)
{
    vsock_backlog_free(&c->backlog);
    vsock_stream_forward(&c->stream, c->stream.received - c->stream.forwarded);
    if (c->stage == STAGE_LINGER)
        bury(c);
    else if (c->stage == STAGE_STREAM && c->stream.phase == VSOCK_OPEN)
        vsock_stream_shut(&c->stream, VSOCK_NO_RECEIVE);
}

static void deliver(struct connection *c, const struct virtq_chain *chain, uint32_t len)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    unsigned count = virtq_chain_readable(chain, sizeof(struct vsock_header), len, iov);
    int taken = vsock_backlog_write(&c->backlog, c->fd, iov, count);
    if (taken >= 0)
        vsock_stream_forward(&c->stream, (uint32_t)taken);
    else if (taken == -EPIPE)
        stop_receiving(c);
    else
        reset_connection(c);
}

/* Passes on what the guest will not do any more; its end only behind its last byte. */
static void apply_guest_shutdown(struct connection *c)
{
    if (c->fd < 0)
        return;
    if (c->stream.guest_shut & VSOCK_NO_RECEIVE)
        (void)shutdown(c->fd, SHUT_RD);
    if ((c->stream.guest_shut & VSOCK_NO_SEND) && c->backlog.length == 0)
        (void)shutdown(c->fd, SHUT_WR);
}

static void flush(struct connection *c)
{
    int taken = vsock_backlog_flush(&c->backlog, c->fd);
    if (taken < 0) {
        stop_receiving(c);
        return;
    }
    vsock_stream_forward(&c->stream, (uint32_t)taken);
    if (c->backlog.length > 0)
        return;
    if (c->stage == STAGE_LINGER)
        bury(c);
    else
        apply_guest_shutdown(c);
}

/* The guest's side is gone. What it sent before still reaches the host program. */
static void leave(struct connection *c)
{
    if (c->backlog.length == 0 || !c->source) {
        bury(c);
        return;
    }
    delist(c);
    c->stage = STAGE_LINGER;
    (void)shutdown(c->fd, SHUT_RD);
}

static void greet(struct connection *c)
{
    char text[sizeof("OK 4294967295\n")];
    int length = snprintf(text, sizeof(text), "OK %u\n", c->stream.host_port);
    /* The first bytes into this socket: they fit, or the program is gone, which is found out when
     * it is read from. */
    (void)send(c->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (!c->source)
        vsock_stream_shut(&c->stream, VSOCK_NO_RECEIVE);
}

static void handle(struct connection *c, const struct vsock_header *header,
                   const struct virtq_chain *chain)
{
    switch (vsock_stream_receive(&c->stream, header)) {
    case VSOCK_ACCEPTED:
        greet(c);
        break;
    case VSOCK_DATA:
        deliver(c, chain, header->len);
        break;
    case VSOCK_SHUT:
        apply_guest_shutdown(c);
        break;
    case VSOCK_FINISHED:
        push_reset(c->table, c->stream.host_port, c->stream.guest_port, VSOCK_TYPE_STREAM);
        leave(c);
        break;
    case VSOCK_ENDED:
        leave(c);
        break;
    case VSOCK_VIOLATED:
        reset_connection(c);
        break;
    case VSOCK_NOTHING:
        break;
    }
    update(c);
}

static void on_connection(void *ctx, uint32_t events);

/* Takes over `fd`; NULL when there are too many, or no memory. */
static struct connection *new_connection(struct vsock_table *t, int fd)
{
    cleanup_close int owned = fd;
    struct thaw_error ignored = {0};
    struct connection *c = t->count < VSOCK_CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return NULL;
    if (loop_add(t->loop, fd, 0, on_connection, c, &c->source, &ignored) < 0) {
        free(c);
        return NULL;
    }
    c->table = t;
    c->fd = take_fd(&owned);
    t->count++;
    LIST_INSERT_HEAD(&t->all, c, in_all);
    return c;
}

static bool open_for_guest(struct vsock_table *t, const struct vsock_header *request)
{
    if (t->count >= VSOCK_CONNECTIONS_MAX)
        return false;
    int fd = vsock_connect(t->listener.path, request->dst_port);
    struct connection *c = fd < 0 ? NULL : new_connection(t, fd);
    if (!c)
        return false;
    vsock_stream_accept(&c->stream, request);
    enlist(c);
    update(c);
    return true;
}

void vsock_table_receive(struct vsock_table *t, const struct vsock_header *header,
                         const struct virtq_chain *chain)
{
    bool is_whole = header->len <= chain->readable - sizeof(*header);
    bool is_stream = header->type == VSOCK_TYPE_STREAM;
    struct connection *c = is_stream ? find(t, header->dst_port, header->src_port) : NULL;
    if (c && is_whole)
        handle(c, header, chain);
    else if (c)
        reset_connection(c);
    else if (is_stream && header->op == VSOCK_OP_REQUEST && open_for_guest(t, header))
        return;
    else if (header->op != VSOCK_OP_RST)
        push_reset(t, header->dst_port, header->src_port, header->type);
}

/* ---- host to guest ------------------------------------------------------------------------ */

/* Reads from the host program into the buffer, behind the header. Returns the bytes. */
static uint32_t read_payload(struct connection *c, const struct virtq_chain *chain)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    uint32_t wanted = chain->writable - (uint32_t)sizeof(struct vsock_header);
    uint32_t credit = vsock_stream_credit(&c->stream);
    if (wanted > credit)
        wanted = credit;
    if (wanted > PAYLOAD_MAX)
        wanted = PAYLOAD_MAX;
    unsigned count = virtq_chain_writable(chain, sizeof(struct vsock_header), wanted, iov);
    ssize_t n = readv(c->fd, iov, (int)count);
    if (n > 0) {
        /* Less than there is room for: nothing is left, unless the end is. */
        c->readable = (uint32_t)n == wanted || !c->source;
        return (uint32_t)n;
    }
    c->readable = false;
    if (n == 0) {
        c->ended = true;
        vsock_stream_shut(&c->stream, VSOCK_NO_SEND);
    } else if (errno != EAGAIN && errno != EINTR) {
        reset_connection(c);
    }
    return 0;
}

/* One packet of this connection, if it has one after all. */
static bool send_packet(struct connection *c, const struct virtq_chain *chain,
                        struct vsock_header *out)
{
    uint32_t len = 0;
    unsigned op = vsock_stream_due(&c->stream, !c->table->hold_requests);
    if (op == 0 && has_packet(c)) {
        len = read_payload(c, chain);
        if (c->stage == STAGE_DEAD)
            return false;
        op = len > 0 ? VSOCK_OP_RW : vsock_stream_due(&c->stream, false);
    }
    if (op != 0)
        vsock_stream_send(&c->stream, op, len, out);
    return op != 0;
}

static void pop_reset(struct vsock_table *t, struct vsock_header *out)
{
    const struct reset *reset = &t->resets[t->first_reset];
    *out = (struct vsock_header){.src_port = reset->host_port,
                                 .dst_port = reset->guest_port,
                                 .type = reset->type,
                                 .op = VSOCK_OP_RST};
    t->first_reset = (t->first_reset + 1) % RESETS_MAX;
    t->reset_count--;
}

bool vsock_table_has_packets(const struct vsock_table *t)
{
    return t->reset_count > 0 || !TAILQ_EMPTY(&t->ready);
}

bool vsock_table_send(struct vsock_table *t, const struct virtq_chain *chain,
                      struct vsock_header *out)
{
    if (t->reset_count > 0) {
        pop_reset(t, out);
        return true;
    }
    struct connection *c = TAILQ_FIRST(&t->ready);
    if (!c)
        return false;
    set_ready(c, false);
    bool sent = send_packet(c, chain, out);
    update(c); /* if it has more, it is the last in turn now */
    return sent;
}

/* ---- events of the host's descriptors ----------------------------------------------------- */

static void request_port(struct connection *c, uint32_t guest_port)
{
    struct vsock_table *t = c->table;
    while (find(t, t->next_port, guest_port))
        t->next_port++;
    vsock_stream_request(&c->stream, t->next_port++, guest_port);
    if (t->next_port < HOST_PORTS_FIRST)
        t->next_port = HOST_PORTS_FIRST;
    enlist(c);
}

static void read_line(struct connection *c)
{
    uint32_t port;
    int rc = vsock_line_read(&c->line, c->fd, &port);
    if (rc > 0)
        request_port(c, port);
    else if (rc < 0 || !c->source)
        bury(c);
}

/* Nothing can be written any more; what was sent before the end is still there to be read. The
 * event would come again and again, so its source goes. */
static void hang_up(struct connection *c)
{
    loop_remove(take(c->source));
    stop_receiving(c);
    /* Its end will not be read where nothing is. */
    if (c->stage == STAGE_STREAM && (c->stream.guest_shut & VSOCK_NO_RECEIVE))
        vsock_stream_shut(&c->stream, VSOCK_NO_SEND);
}

/* Whether a program has closed before it was answered, with nothing sent ahead. */
static bool has_given_up(const struct connection *c)
{
    char byte;
    return c->stage == STAGE_STREAM && c->stream.phase == VSOCK_REQUESTED &&
           recv(c->fd, &byte, sizeof(byte), MSG_PEEK) <= 0;
}

/* So that a program which tries until the guest is up leaves nothing behind. */
static void withdraw(struct connection *c)
{
    if (is_unheard_of(c))
        bury(c);
    else
        reset_connection(c);
}

static void on_connection(void *ctx, uint32_t events)
{
    struct connection *c = ctx;
    struct vsock_table *t = c->table;
    bool is_over = events & (EPOLLHUP | EPOLLERR);
    if (is_over)
        hang_up(c);
    else if (events & EPOLLOUT)
        flush(c);
    if (c->stage == STAGE_LINE)
        read_line(c);
    if (is_over && has_given_up(c))
        withdraw(c);
    if (is_over || (events & EPOLLIN))
        c->readable = true;
    update(c);
    t->changed(t->changed_ctx);
    vsock_table_sweep(t);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Without descriptors the program would wait for ever, and its connection keep the loop busy. */
static void refuse_one(struct vsock_table *t)
{
    if (t->spare_fd >= 0)
        close(take_fd(&t->spare_fd));
    int fd = vsock_take(&t->listener);
    if (fd >= 0)
        close(fd);
    t->spare_fd = open_spare();
}

static void on_listener(void *ctx, uint32_t events)
{
    (void)events;
    struct vsock_table *t = ctx;
    int fd = vsock_take(&t->listener);
    if (fd == -EMFILE || fd == -ENFILE)
        refuse_one(t);
    if (fd < 0)
        return;
    struct connection *c = new_connection(t, fd);
    if (c)
        update(c);
}

/* ---- all of them -------------------------------------------------------------------------- */

static void update_all(struct vsock_table *t)
{
    for (struct connection *c = LIST_FIRST(&t->all); c; c = LIST_NEXT(c, in_all))
        update(c);
}

void vsock_table_hold_requests(struct vsock_table *t, bool hold)
{
    t->hold_requests = hold;
    update_all(t);
}

void vsock_table_reset(struct vsock_table *t)
{
    struct connection *c, *next;
    for (c = LIST_FIRST(&t->all); c; c = next) {
        next = LIST_NEXT(c, in_all);
        if (c->stage == STAGE_STREAM && !is_unheard_of(c))
            bury(c);
    }
    t->first_reset = t->reset_count = 0;
    vsock_table_hold_requests(t, false);
    vsock_table_sweep(t);
}

void vsock_table_sweep(struct vsock_table *t)
{
    struct connection *c;
    while ((c = LIST_FIRST(&t->dead))) {
        LIST_REMOVE(c, in_all);
        free(c);
    }
}

void vsock_table_destroy(struct vsock_table *t)
{
    struct connection *c;
    if (!t)
        return;
    while ((c = LIST_FIRST(&t->all)))
        bury(c);
    vsock_table_sweep(t);
    loop_remove(t->listener_source);
    vsock_unlisten(&t->listener);
    if (t->spare_fd >= 0)
        close(t->spare_fd);
    free(t);
}

static struct vsock_table *allocate(struct loop *loop, void (*changed)(void *ctx), void *ctx)
{
    struct vsock_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->loop = loop;
    t->changed = changed;
    t->changed_ctx = ctx;
    t->next_port = HOST_PORTS_FIRST;
    t->listener.fd = -1;
    TAILQ_INIT(&t->ready);
    t->spare_fd = open_spare();
    return t;
}

int vsock_table_create(const char *path, struct loop *loop, void (*changed)(void *ctx), void *ctx,
                       struct vsock_table **out, struct thaw_error *err)
{
    struct vsock_table *t = allocate(loop, changed, ctx);
    if (!t)
        return thaw_fail(err, ENOMEM, "virtio-vsock");
    int rc = vsock_listen(path, &t->listener, err);
    if (rc == 0)
        rc = loop_add(loop, t->listener.fd, EPOLLIN, on_listener, t, &t->listener_source, err);
    if (rc < 0) {
        vsock_table_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}
