/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the monitor. Signals are the business of the thread that owns the machine: no other
 * takes one, but for those that it has to. */
#ifndef THAW_BASE_THREAD_H
#define THAW_BASE_THREAD_H

#include <pthread.h>

/* Starts a thread with every signal blocked but those of `signals`, which ends with 0; NULL: none.
 * 0 or a negative errno; `thread` is the caller's to join. */
int thread_start(pthread_t *thread, const int *signals, void *(*run)(void *), void *arg);

#endif
