/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREAD_STACK (1u << 20)

static const struct verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", "boot a microVM and run a workload in it, or freeze it", cli_run},
    {"restore", "go on with a frozen one, any number of times", cli_restore},
    {"snapshot", "inspect, verify, pack and unpack snapshots", cli_snapshot},
    {"image", "import container images for run, list and remove them", cli_image},
    {"doctor", "say what this host can run, and what to mend", cli_doctor},
    {"bench", "measure boots, restores and captures, phase by phase", cli_bench},
};

static bool is_version(const char *argument)
{
    return strcmp(argument, "--version") == 0 || strcmp(argument, "-V") == 0;
}

static void print_help(void)
{
    puts("thaw: a microVM monitor for Linux/KVM\n"
         "\n"
         "Usage: thaw VERB [OPTIONS]\n"
         "\n"
         "Verbs:");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        printf("  %-9s %s\n", verbs[i].name, verbs[i].summary);
    puts("\n"
         "  thaw VERB --help   teaches a verb\n"
         "  thaw --version     prints the version\n"
         "\n"
         "A first try: make a bundle and run it.\n"
         "  mkdir -p web/rootfs && (cd web && runc spec)    # then fill web/rootfs\n"
         "  thaw run --bundle web");
}

static int unknown(const char *what, const char *name)
{
    struct thaw_error err;
    thaw_fail_as(&err, THAW_FAIL_USAGE, EINVAL, "%s: unknown %s (see thaw --help)", name, what);
    cli_report(&err);
    return THAW_FAIL_USAGE;
}

/* A descriptor 0, 1 or 2 that the caller left closed would be taken by the next open, and a guest's
 * output would end up in it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* A stack of the usual 8 MiB holds a whole huge page, and where the host gives these to everybody,
 * the first touch of each thread's stack costs 2 MiB: many times what an idle clone has of its own.
 */
static void limit_stacks(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (pthread_attr_setstacksize(&attr, THREAD_STACK) == 0)
        pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    limit_stacks();
    /* A reader of our output that goes away is an error to report, not a reason to die with a
     * guest in mid-air. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow as it has to */

    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return argc > 1 ? 0 : THAW_FAIL_USAGE;
    }
    if (is_version(name) || (argc == 3 && is_version(argv[2]))) {
        puts("thaw " THAW_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return unknown(name[0] == '-' ? "option" : "verb", name);
}
