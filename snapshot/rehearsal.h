/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is held at pre-exec goes through a clone's first steps before any clone does.
 *
 * Once before the capture: a doorbell, with a mailbox that says HOLD again. Init becomes what that
 * says and is back. Kernel work that comes due at the first waking (callbacks of RCU, a thread for
 * a queue of work, slabs) is behind it then, and is not repeated in each clone.
 *
 * And once after it, when the guest's memory is saved and what becomes of the guest does not
 * matter: now it is let go, with a program that does nothing (init itself, told so). KVM notes
 * which pages it writes on its way. A restore gives the guest its own copies of those before it
 * runs, beside the making of the VM, where a page that is first read and then written costs three
 * faults. It is a hint: without it, or with a wrong one, a clone takes longer or has some more
 * pages of its own.
 */
#ifndef THAW_SNAPSHOT_REHEARSAL_H
#define THAW_SNAPSHOT_REHEARSAL_H

#include "devices/machine.h"
#include "snapshot/written.h"

struct rehearsal_config {
    const struct mailbox_content *mailbox; /* what init was told, HOLD among it; borrowed */
    /* See struct quiesce_config. */
    int (*interrupted)(void *ctx, struct thaw_error *err);
    void *ctx;
};

/*
 * Of a running machine whose init has said `workload-pre-exec` and is held; init has said so again
 * when it returns 0. THAW_FAIL_QUIESCE: init did not come back; THAW_FAIL_ENDED.
 */
int rehearse_waking(struct machine *machine, const struct rehearsal_config *config,
                    struct guest_observation *seen, struct thaw_error *err);

/*
 * Of a paused one (machine_pause), whose snapshot has been taken: nothing that it says is passed on
 * any more (machine_mute). The pages are put into `written` (empty before), sorted; none when there
 * are more than WRITTEN_PAGES_MAX. Afterwards the guest is of no use, and its vCPUs are stopped.
 * It is given a second, and less is noted where that was not enough.
 */
int rehearse_exec(struct machine *machine, const struct rehearsal_config *config,
                  struct page_runs *written, struct thaw_error *err);

#endif
