/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/invocation.h"

#include "guest/init-oci/file.h"
#include "thaw/mailbox.h"

#include <errno.h>
#include <string.h>

/* What a mailbox can hold, and THAW_GENERATION. */
#define SIZE_LIMIT (THAW_MAILBOX_SIZE + 64u)

struct message_header {
    uint32_t size; /* of all strings, their NULs counted */
    uint32_t argc, envc;
};

static size_t size_of(const char *const *strings, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += strlen(strings[i]) + 1;
    return size;
}

static char *append(char *to, const char *const *strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to = stpcpy(to, strings[i]) + 1;
    return to;
}

int invocation_send(int fd, const struct invocation *invocation)
{
    size_t size =
        size_of(invocation->argv, invocation->argc) + size_of(invocation->envp, invocation->envc);
    if (size > SIZE_LIMIT)
        return -E2BIG;
    struct message_header header = {
        .size = (uint32_t)size,
        .argc = (uint32_t)invocation->argc,
        .envc = (uint32_t)invocation->envc,
    };
    /* One write: the child wakes up once. */
    char *message = malloc(sizeof(header) + size);
    if (!message)
        return -ENOMEM;
    memcpy(message, &header, sizeof(header));
    char *at = append(message + sizeof(header), invocation->argv, invocation->argc);
    append(at, invocation->envp, invocation->envc);
    int rc = file_write_full(fd, message, sizeof(header) + size);
    free(message);
    return rc;
}

/* Cuts `count` strings out of [*at, end); NULL when they are not there. */
static const char **cut(char **at, const char *end, size_t count)
{
    const char **strings = calloc(count + 1, sizeof(*strings));
    for (size_t i = 0; strings && i < count; i++) {
        char *nul = memchr(*at, '\0', (size_t)(end - *at));
        if (!nul) {
            free(strings);
            return NULL;
        }
        strings[i] = *at;
        *at = nul + 1;
    }
    return strings;
}

int invocation_receive(int fd, struct invocation *invocation)
{
    *invocation = (struct invocation){0};
    struct message_header header;
    int rc = file_read_full(fd, &header, sizeof(header));
    if (rc < 0)
        return rc;
    if (header.size > SIZE_LIMIT || header.argc > header.size || header.envc > header.size)
        return -EPROTO;
    invocation->bytes = malloc(header.size + 1);
    if (!invocation->bytes)
        return -ENOMEM;
    rc = file_read_full(fd, invocation->bytes, header.size);
    if (rc < 0)
        return rc;

    char *at = invocation->bytes;
    const char *end = at + header.size;
    invocation->argc = header.argc;
    invocation->envc = header.envc;
    invocation->argv = cut(&at, end, header.argc);
    invocation->envp = invocation->argv ? cut(&at, end, header.envc) : NULL;
    return invocation->envp ? 0 : -EPROTO;
}

void invocation_free(struct invocation *invocation)
{
    free(invocation->argv);
    free(invocation->envp);
    free(invocation->bytes);
    *invocation = (struct invocation){0};
}
