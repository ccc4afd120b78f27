/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quiet points, where the monitor may write a snapshot: init is blocked in a read of the
 * control port, nothing is half said, no timer of init's runs. A doorbell leads out, with a new
 * mailbox: in the same VM as before, or in a clone of it, and init cannot tell which.
 */
#ifndef THAW_INIT_QUIET_H
#define THAW_INIT_QUIET_H

#include "guest/init-oci/init.h"

/* Before the workload's execve: sends workload-pre-exec, and becomes what the new mailbox says. */
int quiet_hold(struct init *init, struct failure *failure);

/* At any other time: stops the workload, answers `quiesced seq=<seq>`, becomes what the new mailbox
 * says, and lets the workload go on. A workload that cannot be stopped in time goes on at once, and
 * nothing is answered. */
int quiet_quiesce(struct init *init, uint64_t seq, struct failure *failure);

#endif
