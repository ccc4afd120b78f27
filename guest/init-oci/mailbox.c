/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "guest/init-oci/mailbox.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xxhash.h>

void mailbox_map(struct mailbox *mailbox)
{
    mailbox->window = NULL;
    cleanup_close int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *window = mmap(NULL, THAW_MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t)THAW_MAILBOX_GPA);
    if (window != MAP_FAILED)
        mailbox->window = window;
}

/* ---- checking the copy -------------------------------------------------------------------- */

static bool header_is_sane(const struct thaw_mailbox_header *header)
{
    return header->magic == THAW_MAILBOX_MAGIC && header->version == THAW_MAILBOX_VERSION &&
           header->body_len <= THAW_MAILBOX_BODY_MAX && header->argc <= header->body_len &&
           header->envc <= header->body_len && header->stdin_len <= header->body_len &&
           header->stdin_len <= THAW_MAILBOX_STDIN_MAX && header->ipv4_prefix <= 32 &&
           memchr(header->hostname, '\0', sizeof(header->hostname));
}

static bool checksum_fits(const struct mailbox_message *message)
{
    struct thaw_mailbox_header header = message->header;
    header.checksum = 0;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, &header, sizeof(header));
    XXH3_64bits_update(&state, message->body, header.body_len);
    bool fits = XXH3_64bits_digest(&state) == message->header.checksum;
    /* Both hold the entropy: the state buffers its input. */
    explicit_bzero(&header, sizeof(header));
    explicit_bzero(&state, sizeof(state));
    return fits;
}

/* Cuts `count` strings out of [*offset, end) of the body. NULL when they are not there. */
static const char **cut_strings(const struct mailbox_message *message, size_t *offset, size_t end,
                                size_t count)
{
    const char **strings = calloc(count + 1, sizeof(*strings));
    for (size_t i = 0; strings && i < count; i++) {
        const char *start = message->body + *offset;
        const char *nul = memchr(start, '\0', end - *offset);
        if (!nul) {
            free(strings);
            return NULL;
        }
        strings[i] = start;
        *offset += (size_t)(nul - start) + 1;
    }
    return strings;
}

/* The body is exactly its strings and the standard input. */
static bool cut_body(struct mailbox_message *message)
{
    const struct thaw_mailbox_header *header = &message->header;
    size_t offset = 0;
    size_t strings_end = header->body_len - header->stdin_len;
    message->argv = cut_strings(message, &offset, strings_end, header->argc);
    if (!message->argv)
        return false;
    message->envp = cut_strings(message, &offset, strings_end, header->envc);
    if (!message->envp || offset != strings_end)
        return false;
    message->input = message->body + offset;
    return true;
}

bool mailbox_read(const struct mailbox *mailbox, struct mailbox_message *message)
{
    *message = (struct mailbox_message){0};
    if (!mailbox->window)
        return false;
    memcpy(&message->header, mailbox->window, sizeof(message->header));
    if (!header_is_sane(&message->header))
        return false;
    message->body = malloc(message->header.body_len + 1);
    if (!message->body)
        return false;
    memcpy(message->body, mailbox->window + sizeof(message->header), message->header.body_len);
    message->valid = checksum_fits(message) && cut_body(message);
    return message->valid;
}

void mailbox_message_free(struct mailbox_message *message)
{
    free(message->argv);
    free(message->envp);
    free(message->body);
    explicit_bzero(message, sizeof(*message));
}

/* ---- what init writes --------------------------------------------------------------------- */

void mailbox_forget_entropy(const struct mailbox *mailbox, struct mailbox_message *message)
{
    explicit_bzero(message->header.entropy, sizeof(message->header.entropy));
    explicit_bzero(mailbox->window + offsetof(struct thaw_mailbox_header, entropy),
                   sizeof(message->header.entropy));
}

static void report(const struct mailbox *mailbox, size_t offset, uint64_t value)
{
    if (mailbox->window)
        memcpy(mailbox->window + THAW_MAILBOX_REPORT_OFFSET + offset, &value, sizeof(value));
}

void mailbox_report_resumed(const struct mailbox *mailbox)
{
    report(mailbox, offsetof(struct thaw_mailbox_report, resumed_ns), clock_ns(CLOCK_MONOTONIC));
}

void mailbox_report_exec(const struct mailbox *mailbox)
{
    report(mailbox, offsetof(struct thaw_mailbox_report, exec_ns), clock_ns(CLOCK_MONOTONIC));
    report(mailbox, offsetof(struct thaw_mailbox_report, exec_realtime_ns),
           clock_ns(CLOCK_REALTIME));
}
