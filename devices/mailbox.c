/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#define NS_PER_SEC 1000000000ull
#define HOSTNAME_MAX                                                                               \
    (sizeof(((struct thaw_mailbox_header *)NULL)->hostname) - 1) /* a NUL ends it */
#define STDIN_MAX ((size_t)THAW_MAILBOX_STDIN_MAX)

/* Sizes of the body's parts, checked: their sum fits. */
struct body_layout {
    uint32_t argc, envc;
    size_t strings; /* bytes, NULs included */
};

/* Counts strings into the layout, and stops as soon as they cannot fit: neither the sum nor the
 * count can overflow. */
static int measure(const char *const *strings, uint32_t *count, struct body_layout *layout,
                   struct thaw_error *err)
{
    for (*count = 0; strings && strings[*count]; ++*count) {
        size_t size = strlen(strings[*count]) + 1;
        if (size > THAW_MAILBOX_BODY_MAX - layout->strings)
            return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                                "invocation: arguments and environment are over %u bytes",
                                THAW_MAILBOX_BODY_MAX);
        layout->strings += size;
    }
    return 0;
}

static int check_env(const char *const *env, struct thaw_error *err)
{
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (!equals || equals == *env)
            return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                                "invocation: environment entry '%.64s' is not KEY=value", *env);
    }
    return 0;
}

static int check_identity(const struct mailbox_content *content, struct thaw_error *err)
{
    if (content->hostname && strlen(content->hostname) > HOSTNAME_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "invocation: hostname is over %zu bytes",
                            HOSTNAME_MAX);
    if (content->ipv4_prefix > 32)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "invocation: IPv4 prefix %u is over 32",
                            content->ipv4_prefix);
    return 0;
}

static int lay_out(const struct mailbox_content *content, struct body_layout *layout,
                   struct thaw_error *err)
{
    *layout = (struct body_layout){0};
    int rc = check_identity(content, err);
    if (rc == 0)
        rc = check_env(content->env, err);
    if (rc == 0)
        rc = measure(content->argv, &layout->argc, layout, err);
    if (rc == 0)
        rc = measure(content->env, &layout->envc, layout, err);
    if (rc < 0 || !content->has_stdin)
        return rc;

    if (content->stdin_len > STDIN_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "invocation: stdin of %zu bytes is over %zu", content->stdin_len,
                            STDIN_MAX);
    if (content->stdin_len > THAW_MAILBOX_BODY_MAX - layout->strings)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "invocation: arguments, environment and stdin are over %u bytes",
                            THAW_MAILBOX_BODY_MAX);
    return 0;
}

/* ---- the header --------------------------------------------------------------------------- */

static uint32_t flags_of(const struct mailbox_content *content, const struct body_layout *layout)
{
    uint32_t flags = THAW_MAILBOX_TIME | THAW_MAILBOX_ENTROPY;
    if (content->hold)
        flags |= THAW_MAILBOX_HOLD;
    if (content->listeners)
        flags |= THAW_MAILBOX_LISTENER;
    if (content->heartbeat_ms > 0)
        flags |= THAW_MAILBOX_HEARTBEAT;
    if (layout->argc + layout->envc > 0)
        flags |= THAW_MAILBOX_INVOKE;
    if (content->has_stdin)
        flags |= THAW_MAILBOX_STDIN;
    return flags;
}

static int fill_random(void *bytes, size_t size, struct thaw_error *err)
{
    /* Up to 256 bytes come whole or not at all, and without EINTR, once the host's pool is
     * initialised (getrandom(2)); before that the call waits and a signal may end it. */
    ssize_t n;
    do
        n = getrandom(bytes, size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return thaw_fail(err, errno, "getrandom");
    return (size_t)n == size ? 0 : thaw_fail(err, EIO, "getrandom: short read");
}

static uint64_t wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* Everything but the checksum. */
static int fill_header(struct thaw_mailbox_header *header, const struct mailbox_content *content,
                       const struct body_layout *layout, struct thaw_error *err)
{
    size_t stdin_len = content->has_stdin ? content->stdin_len : 0;
    *header = (struct thaw_mailbox_header){
        .magic = THAW_MAILBOX_MAGIC,
        .version = THAW_MAILBOX_VERSION,
        .flags = flags_of(content, layout),
        .body_len = (uint32_t)(layout->strings + stdin_len),
        .argc = layout->argc,
        .envc = layout->envc,
        .stdin_len = (uint32_t)stdin_len,
        .ipv4_prefix = content->ipv4_prefix,
        .heartbeat_ms = content->heartbeat_ms,
    };
    memcpy(header->mac, content->mac, sizeof(header->mac));
    memcpy(header->ipv4, content->ipv4, sizeof(header->ipv4));
    memcpy(header->ipv4_gateway, content->ipv4_gateway, sizeof(header->ipv4_gateway));
    if (content->hostname)
        memcpy(header->hostname, content->hostname, strlen(content->hostname));

    int rc = fill_random(header->generation, sizeof(header->generation), err);
    if (rc == 0)
        rc = fill_random(header->entropy, sizeof(header->entropy), err);
    header->wall_clock_ns = wall_clock_ns();
    return rc;
}

/* ---- the window --------------------------------------------------------------------------- */

static void *window(const struct guest_memory *mem, struct thaw_error *err)
{
    void *at = guest_memory_at(mem, THAW_MAILBOX_GPA, THAW_MAILBOX_SIZE);
    if (!at)
        thaw_fail(err, EFAULT, "mailbox at 0x%x", THAW_MAILBOX_GPA);
    return at;
}

/* How far the last body reached, in bytes from the window's start: so little is touched of a
 * window that clones share. The guest can lie about it, within its own window. */
static size_t used_before(const void *at)
{
    struct thaw_mailbox_header old;
    memcpy(&old, at, sizeof(old));
    if (old.magic != THAW_MAILBOX_MAGIC)
        return sizeof(old);
    size_t body = old.body_len < THAW_MAILBOX_BODY_MAX ? old.body_len : THAW_MAILBOX_BODY_MAX;
    return sizeof(old) + body;
}

static char *append(char *to, const void *from, size_t size)
{
    if (size > 0)
        memcpy(to, from, size);
    return to + size;
}

static char *append_strings(char *to, const char *const *strings)
{
    for (; strings && *strings; strings++)
        to = append(to, *strings, strlen(*strings) + 1);
    return to;
}

/* Everything into the window. The checksum is taken there, over one piece: no vCPU runs, and a
 * guest that could change the bytes meanwhile would only spoil its own mailbox. */
static void store(char *at, struct thaw_mailbox_header *header,
                  const struct mailbox_content *content)
{
    size_t before = used_before(at);
    header->checksum = 0;
    char *end = append(at, header, sizeof(*header));
    end = append_strings(end, content->argv);
    end = append_strings(end, content->env);
    end = append(end, content->stdin_data, header->stdin_len);
    if (end < at + before)
        memset(end, 0, (size_t)(at + before - end));
    memset(at + THAW_MAILBOX_REPORT_OFFSET, 0, sizeof(struct thaw_mailbox_report));

    header->checksum = XXH3_64bits(at, (size_t)(end - at));
    memcpy(at + offsetof(struct thaw_mailbox_header, checksum), &header->checksum,
           sizeof(header->checksum));
}

int mailbox_write(const struct guest_memory *mem, const struct mailbox_content *content,
                  struct thaw_error *err)
{
    struct body_layout layout;
    int rc = lay_out(content, &layout, err);
    if (rc < 0)
        return rc;

    char *at = window(mem, err);
    if (!at)
        return thaw_error_code(err);

    struct thaw_mailbox_header header;
    rc = fill_header(&header, content, &layout, err);
    if (rc == 0)
        store(at, &header, content);
    explicit_bzero(&header, sizeof(header)); /* the guest's entropy is the guest's alone */
    return rc;
}

int mailbox_read_report(const struct guest_memory *mem, struct thaw_mailbox_report *report,
                        struct thaw_error *err)
{
    const char *at = window(mem, err);
    if (!at)
        return thaw_error_code(err);
    memcpy(report, at + THAW_MAILBOX_REPORT_OFFSET, sizeof(*report));
    return 0;
}

int mailbox_clear_entropy(const struct guest_memory *mem, struct thaw_error *err)
{
    char *at = window(mem, err);
    if (!at)
        return thaw_error_code(err);
    explicit_bzero(at + offsetof(struct thaw_mailbox_header, entropy),
                   sizeof(((struct thaw_mailbox_header *)NULL)->entropy));
    return 0;
}
