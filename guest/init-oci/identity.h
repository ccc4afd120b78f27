/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes this VM itself, and no clone of another: fresh random numbers, the time, a name,
 * addresses. Only PID 1 does this, and before the workload is let go.
 */
#ifndef THAW_INIT_IDENTITY_H
#define THAW_INIT_IDENTITY_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/mailbox.h"
#include "guest/init-oci/namespaces.h"

/* Applies entropy, time, host name and network of a valid message, in this order. The host name is
 * the workload's, or init's own while `namespaces` has none. Entropy and time are good once: they
 * are struck out of the message, and a second call applies the rest alone. */
int identity_apply(const struct mailbox *mailbox, struct mailbox_message *message,
                   const struct namespaces *namespaces, struct failure *failure);

#endif
