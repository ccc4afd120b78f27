/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes this VM itself, and no clone of another: fresh random numbers, the time, a name,
 * addresses. Only PID 1 does this, and before the workload is let go.
 */
#ifndef THAW_INIT_IDENTITY_H
#define THAW_INIT_IDENTITY_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/mailbox.h"

#include <stdbool.h>

/* Applies entropy, time, host name and network of a valid message, in this order, and wipes the
 * entropy. `workload` is a pidfd whose UTS namespace gets the host name; -1: init's own. */
int identity_apply(const struct mailbox *mailbox, struct mailbox_message *message, int workload,
                   struct failure *failure);

#endif
