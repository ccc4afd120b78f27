/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/fault.h"

#include "vmm/cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256

/* What the handler needs. Written while it is not installed. */
static struct {
    const struct restore *restore;
    int terminal_fd;
    bool is_terminal;
    struct termios terminal;
} watched;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    char line[LINE_MAX_BYTES];
    (void)context;
    const struct memory_load *load = watched.restore->load;
    bool of_a_page = info->si_code == BUS_ADRERR && load;
    size_t size =
        of_a_page ? memory_load_describe_fault(load, info->si_addr, line, sizeof(line)) : 0;
    if (size > 0) {
        if (watched.is_terminal)
            (void)tcsetattr(watched.terminal_fd, TCSANOW, &watched.terminal);
        (void)!write(STDERR_FILENO, line, size);
        _exit(CLI_STATUS_OWN_FAILURE);
    }
    /* Not ours. It is delivered when the handler returns. */
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void fault_watch(const struct restore *restore, int terminal_fd)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    watched.restore = restore;
    watched.terminal_fd = terminal_fd;
    watched.is_terminal = tcgetattr(terminal_fd, &watched.terminal) == 0;
    (void)sigaction(SIGBUS, &action, NULL);
}

void fault_unwatch(void)
{
    signal(SIGBUS, SIG_DFL);
}

static bool was_truncated(const struct restore *restore)
{
    char line[LINE_MAX_BYTES];
    struct stat status;
    if (restore->load)
        return memory_load_describe_fault(restore->load, NULL, line, sizeof(line)) > 0;
    /* A recording copies its pages from the file one by one. */
    return restore->recorder && fstat(restore->memory_fd, &status) == 0 &&
           (uint64_t)status.st_size < restore->map.pages * GUEST_PAGE_SIZE;
}

int fault_explain(const struct restore *restore, struct thaw_error *err)
{
    if (err->failure != THAW_FAIL_KVM_INTERNAL || !was_truncated(restore))
        return thaw_error_code(err);
    /* Both ways in which a page can be missed are told alike. */
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EFAULT,
                        "memory: the file was truncated while it was in use");
}
