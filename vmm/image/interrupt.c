/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/interrupt.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void interrupt_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void interrupt_block(void)
{
    sigset_t set;
    interrupt_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int interrupt_check(struct thaw_error *err)
{
    static const struct timespec now = {0};
    sigset_t set, blocked;
    interrupt_set(&set);
    /* Where nobody has blocked them, they end the process by themselves. */
    if (sigprocmask(SIG_SETMASK, NULL, &blocked) < 0 || !sigismember(&blocked, SIGTERM))
        return 0;
    int number = sigtimedwait(&set, NULL, &now);
    if (number <= 0)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_INTERRUPTED, ECANCELED, "interrupted by SIG%s",
                        sigabbrev_np(number));
}
