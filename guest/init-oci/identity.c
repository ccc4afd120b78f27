/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/identity.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/file.h"
#include "guest/init-oci/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>

#define ENTROPY_SIZE  sizeof(((struct thaw_mailbox_header *)NULL)->entropy)
#define BITS_PER_BYTE 8

/* struct rand_pool_info of linux/random.h, with room. */
struct pool_info {
    int entropy_bits;
    int size;
    uint8_t bytes[ENTROPY_SIZE];
};

/* Credited, then mixed into every CPU's generator at once: RNDADDENTROPY alone would leave the
 * generators as the snapshot has them until their next reseed, up to a minute later. */
static int reseed(const uint8_t entropy[ENTROPY_SIZE], struct failure *failure)
{
    cleanup_close int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(failure, errno, "entropy: /dev/urandom");

    struct pool_info info = {.entropy_bits = ENTROPY_SIZE * BITS_PER_BYTE, .size = ENTROPY_SIZE};
    memcpy(info.bytes, entropy, ENTROPY_SIZE);
    int rc = 0;
    if (ioctl(fd, RNDADDENTROPY, &info) < 0)
        rc = fail(failure, errno, "entropy: RNDADDENTROPY");
    else if (ioctl(fd, RNDRESEEDCRNG) < 0)
        rc = fail(failure, errno, "entropy: RNDRESEEDCRNG");
    explicit_bzero(&info, sizeof(info));
    return rc;
}

static int set_clock(uint64_t wall_clock_ns, struct failure *failure)
{
    struct timespec now = {
        .tv_sec = (time_t)(wall_clock_ns / NS_PER_SEC),
        .tv_nsec = (long)(wall_clock_ns % NS_PER_SEC),
    };
    return clock_settime(CLOCK_REALTIME, &now) < 0 ? fail(failure, errno, "clock_settime") : 0;
}

static int set_hostname(const void *name, struct failure *failure)
{
    return sethostname(name, strlen(name)) < 0
               ? fail(failure, errno, "hostname %s", (const char *)name)
               : 0;
}

int identity_apply(const struct mailbox *mailbox, struct mailbox_message *message,
                   const struct namespaces *namespaces, struct failure *failure)
{
    struct thaw_mailbox_header *header = &message->header;
    int rc = header->flags & THAW_MAILBOX_ENTROPY ? reseed(header->entropy, failure) : 0;
    mailbox_forget_entropy(mailbox, message);
    if (rc == 0 && (header->flags & THAW_MAILBOX_TIME))
        rc = set_clock(header->wall_clock_ns, failure);
    header->flags &= ~(uint32_t)(THAW_MAILBOX_ENTROPY | THAW_MAILBOX_TIME);
    if (rc == 0 && header->hostname[0])
        rc = namespaces_visit_names(namespaces, set_hostname, header->hostname, failure);
    if (rc == 0)
        rc = network_apply(header, failure);
    return rc;
}
