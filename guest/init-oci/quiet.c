/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/quiet.h"

#include "guest/init-oci/identity.h"

#include <unistd.h>

#define FREEZE_TIMEOUT_MS 4000 /* the monitor gives up after 5 s */

static void answer(const struct init *init, uint64_t seq)
{
    control_send(&init->control, THAW_MSG_QUIESCED " seq=%llu", (unsigned long long)seq);
}

/* The monitor may ask again, with another number: it is as quiet as before. */
static int await_doorbell(struct init *init, struct failure *failure)
{
    struct control_request request;
    for (;;) {
        while (control_next(&init->control, &request)) {
            if (request.kind == CONTROL_REQUEST_DOORBELL)
                return 0;
            if (request.kind == CONTROL_REQUEST_QUIESCE)
                answer(init, request.number);
            else
                init_heed(init, &request);
        }
        int rc = control_fill(&init->control);
        if (rc < 0)
            return fail(failure, -rc, "%s", THAW_CONTROL_TTY);
    }
}

static int become_new(struct init *init, struct failure *failure)
{
    int rc = await_doorbell(init, failure);
    if (rc < 0)
        return rc;
    mailbox_report_resumed(&init->mailbox);
    mailbox_message_free(&init->message);
    if (!mailbox_read(&init->mailbox, &init->message))
        return fail_plainly(failure, "mailbox: not valid after the doorbell");
    rc = watch_follow(&init->watch, &init->message.header, failure);
    if (rc < 0)
        return rc;
    return identity_apply(&init->mailbox, &init->message, &init->namespaces, failure);
}

static int let_go_on(struct init *init, struct failure *failure)
{
    int rc = cgroup_thaw(&init->cgroup);
    return rc < 0 ? fail(failure, -rc, "cgroup.freeze") : 0;
}

/* The entropy that came with the boot, or told to hold, is of no more use once the monitor is to
 * ring: what counts then is in the mailbox. It must not be in a snapshot. */
static void forget_entropy(struct init *init)
{
    if (init->message.valid)
        mailbox_forget_entropy(&init->mailbox, &init->message);
}

/* ---- before execve ------------------------------------------------------------------------ */

/* Nothing of the workload has run, unless there was a warm-up: it may have read boot_id, and what
 * it left behind would run on before the new identity is there. */
static int hold_after_warmup(struct init *init, struct failure *failure)
{
    int rc = cgroup_freeze(&init->cgroup, FREEZE_TIMEOUT_MS);
    if (rc < 0)
        return fail(failure, -rc, "what the warm-up command left behind does not stop");
    streams_drain(&init->streams);
    sync();
    control_send(&init->control, THAW_MSG_PRE_EXEC);
    rc = become_new(init, failure);
    if (rc == 0)
        rc = boot_id_renew(&init->boot_id, &init->namespaces, failure);
    return rc < 0 ? rc : let_go_on(init, failure);
}

int quiet_hold(struct init *init, struct failure *failure)
{
    int rc;
    watch_stop(&init->watch);
    forget_entropy(init);
    if (init->spec.warmup) {
        rc = hold_after_warmup(init, failure);
    } else {
        streams_drain(&init->streams);
        control_send(&init->control, THAW_MSG_PRE_EXEC);
        rc = become_new(init, failure);
    }
    watch_start(&init->watch);
    return rc;
}

/* ---- while it runs ------------------------------------------------------------------------ */

/* Everything that was said before is out, so that a clone does not repeat it. */
static bool stand_still(struct init *init)
{
    if (cgroup_freeze(&init->cgroup, FREEZE_TIMEOUT_MS) < 0)
        return false;
    streams_drain(&init->streams);
    sync();
    return true;
}

static int rest(struct init *init, uint64_t seq, struct failure *failure)
{
    forget_entropy(init);
    answer(init, seq);
    int rc = become_new(init, failure);
    if (rc == 0)
        rc = boot_id_renew(&init->boot_id, &init->namespaces, failure);
    return rc;
}

int quiet_quiesce(struct init *init, uint64_t seq, struct failure *failure)
{
    watch_stop(&init->watch);
    int rc = stand_still(init) ? rest(init, seq, failure) : 0;
    if (rc == 0)
        rc = let_go_on(init, failure);
    if (rc < 0)
        return rc;
    mailbox_report_exec(&init->mailbox);
    watch_start(&init->watch);
    init_report_survivors(init);
    return 0;
}
