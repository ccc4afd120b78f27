/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's program can see of its uniqueness and of its clocks. Static, without a libc of the
 * guest's.
 *
 *   probe identity     one line per thing in which two clones must differ
 *   probe clocks       realtime, monotonic and boottime in nanoseconds
 *   probe count        a nonce and a counter that live in memory alone: a line every 20 ms, for
 * ever probe timer MS     arms a timer, says so, and when it has expired how long that was by the
 * clock
 *
 * The last two listen on TCP port 7000 from their first line on, which is a snapshot's trigger.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS  INT64_C(1000000)

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void print_hex(const char *name, const unsigned char *bytes, size_t size)
{
    printf("%s ", name);
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    putchar('\n');
}

static int identity(void)
{
    unsigned char bytes[16];
    char boot_id[64] = "";
    int on_stack;
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        return 1;
    print_hex("getrandom", bytes, sizeof(bytes));
    print_hex("at_random", (const unsigned char *)getauxval(AT_RANDOM), 16);
    printf("stack %p\n", (void *)&on_stack);
    const char *generation = getenv("THAW_GENERATION");
    printf("generation %s\n", generation ? generation : "none");
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    if (fd < 0 || read(fd, boot_id, sizeof(boot_id) - 1) <= 0)
        return 1;
    printf("boot_id %s", boot_id);
    return 0;
}

static int clocks(void)
{
    printf("realtime %" PRId64 "\nmonotonic %" PRId64 "\nboottime %" PRId64 "\n",
           now_ns(CLOCK_REALTIME), now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_BOOTTIME));
    return 0;
}

static void listen_somewhere(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7000)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 1) < 0)
        exit(3);
}

static int count(void)
{
    unsigned char nonce[8];
    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        return 1;
    for (unsigned long i = 0;; i++) {
        printf("%lu ", i);
        print_hex("nonce", nonce, sizeof(nonce));
        fflush(stdout);
        if (i == 0)
            listen_somewhere();
        usleep(20000);
    }
}

static int timer(long ms)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * NS_PER_MS}};
    uint64_t expirations;
    int64_t armed_ns = now_ns(CLOCK_MONOTONIC);
    if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) < 0)
        return 1;
    printf("armed\n");
    fflush(stdout);
    listen_somewhere();
    if (read(fd, &expirations, sizeof(expirations)) != sizeof(expirations))
        return 1;
    printf("fired %" PRIu64 " after %" PRId64 "\n", expirations,
           (now_ns(CLOCK_MONOTONIC) - armed_ns) / NS_PER_MS);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "identity") == 0)
        return identity();
    if (strcmp(what, "clocks") == 0)
        return clocks();
    if (strcmp(what, "count") == 0)
        return count();
    if (strcmp(what, "timer") == 0 && argc == 3)
        return timer(atol(argv[2]));
    return 2;
}
