/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/thread.h"

#include <criterion/criterion.h>
#include <signal.h>

static void *note_mask(void *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return NULL;
}

static sigset_t mask_of_thread(const int *signals)
{
    pthread_t thread;
    sigset_t mask;
    cr_assert_eq(thread_start(&thread, signals, note_mask, &mask), 0);
    pthread_join(thread, NULL);
    return mask;
}

Test(thread, no_signal_reaches_a_thread_but_those_it_was_started_with)
{
    sigset_t mask = mask_of_thread((const int[]){SIGTTIN, SIGBUS, 0});
    for (int signal = 1; signal < 32; signal++) {
        bool open = signal == SIGTTIN || signal == SIGBUS || signal == SIGKILL || signal == SIGSTOP;
        cr_assert_eq(sigismember(&mask, signal), !open, "%d", signal);
    }
}

Test(thread, no_signal_at_all_reaches_a_thread_that_was_started_with_none)
{
    sigset_t mask = mask_of_thread(NULL);
    cr_assert(sigismember(&mask, SIGTERM));
    cr_assert(sigismember(&mask, SIGBUS));
    cr_assert(sigismember(&mask, SIGRTMIN));
}

Test(thread, the_signals_of_who_starts_a_thread_stay_as_they_were)
{
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    mask_of_thread(NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 32; signal++)
        cr_assert_eq(sigismember(&before, signal), sigismember(&after, signal), "%d", signal);
}
