/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's own network: there is no other network namespace, so init sets it up. */
#ifndef THAW_INIT_NETWORK_H
#define THAW_INIT_NETWORK_H

#include "guest/init-oci/failure.h"
#include "thaw/mailbox.h"

/* Brings the loopback interface up; the kernel gives it 127.0.0.1/8 and ::1. */
int network_loopback_up(struct failure *failure);

/* Gives eth0 the MAC address, IPv4 address and default route that the mailbox names. Settings
 * for an interface that is not there are a failure; no settings are none. */
int network_apply(const struct thaw_mailbox_header *header, struct failure *failure);

#endif
