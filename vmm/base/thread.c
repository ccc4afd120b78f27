/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/thread.h"

#include <signal.h>

int thread_start(pthread_t *thread, const int *signals, void *(*run)(void *), void *arg)
{
    sigset_t blocked;
    sigfillset(&blocked);
    for (; signals && *signals != 0; signals++)
        sigdelset(&blocked, *signals);

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int error = pthread_attr_setsigmask_np(&attr, &blocked);
    if (error == 0)
        error = pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return -error;
}
