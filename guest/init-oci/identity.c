/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/identity.h"

#include "guest/init-oci/file.h"
#include "guest/init-oci/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define NS_PER_SEC    1000000000ull
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

static int set_hostname(const char *name, struct failure *failure)
{
    return sethostname(name, strlen(name)) < 0 ? fail(failure, errno, "hostname %s", name) : 0;
}

/* In the workload's UTS namespace, and back again. */
static int set_hostname_of(int workload, const char *name, struct failure *failure)
{
    cleanup_close int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (own < 0 || setns(workload, CLONE_NEWUTS) < 0)
        return fail(failure, errno, "hostname: the workload's namespace");
    int rc = set_hostname(name, failure);
    if (rc == 0 && setns(own, CLONE_NEWUTS) < 0)
        rc = fail(failure, errno, "hostname: init's namespace");
    return rc;
}

static int apply_hostname(const char *name, int workload, struct failure *failure)
{
    if (!*name)
        return 0;
    return workload >= 0 ? set_hostname_of(workload, name, failure) : set_hostname(name, failure);
}

int identity_apply(const struct mailbox *mailbox, struct mailbox_message *message, int workload,
                   struct failure *failure)
{
    const struct thaw_mailbox_header *header = &message->header;
    int rc = header->flags & THAW_MAILBOX_ENTROPY ? reseed(header->entropy, failure) : 0;
    mailbox_forget_entropy(mailbox, message);
    if (rc == 0 && (header->flags & THAW_MAILBOX_TIME))
        rc = set_clock(header->wall_clock_ns, failure);
    if (rc == 0)
        rc = apply_hostname(header->hostname, workload, failure);
    if (rc == 0)
        rc = network_apply(header, failure);
    return rc;
}
