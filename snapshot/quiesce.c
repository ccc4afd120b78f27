/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/quiesce.h"

#include "thaw/wire.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <poll.h>

#define NS_PER_MS     1000000ull
#define FLUSH_MS      100u /* for the host's readers, at each look */
#define BETWEEN_LOOKS 1    /* ms, doubled at each look in vain */
#define DOUBLINGS     6u
#define WAIT_MAX      50 /* ms, from one question whether to go on to the next */
#define COPIES        3u /* of a guest at rest: it may wake up, but not all the time */

enum quiesce_step quiesce_next(const struct quiesce_view *v)
{
    bool settled = v->quiet && (v->idle || !v->must_be_idle);
    if (v->paused && v->can_ask && !v->asked)
        return QUIESCE_RESUME;
    if (v->paused && settled && v->quiet_ns && v->now_ns - v->quiet_ns >= v->wanted_ns)
        return v->to_copy ? QUIESCE_COPY : QUIESCE_CAPTURE;
    if (v->paused)
        return QUIESCE_RESUME;
    if (v->now_ns >= v->deadline_ns)
        return QUIESCE_GIVE_UP;
    if (v->can_ask && !v->asked)
        return QUIESCE_ASK;
    if (v->asked && !v->answered)
        return QUIESCE_WAIT;
    return QUIESCE_PAUSE;
}

struct quiesce {
    struct machine *machine;
    const struct quiesce_config *config;
    struct guest_observation *seen;
    struct quiesce_view view;
    unsigned pauses;
    const char *in_flight;         /* at the last look; NULL: nothing */
    bool devices_run;              /* the last look was over before they were stopped */
    uint64_t rested_ns, paused_ns; /* see struct quiesce_report */
    bool copied;
    unsigned copies;
};

static int ended(struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_ENDED, ESHUTDOWN,
                        "guest: ended before the snapshot was taken");
}

/* Init may say hello at any time until the capture. From then on it holds what the mailbox said,
 * its entropy too, and would go on with that in every clone: it has to be asked. Without a mailbox
 * it could never be told to go on again. */
static void observe(struct quiesce *q)
{
    struct quiesce_view *v = &q->view;
    machine_observe(q->machine, q->seen);
    v->answered = q->seen->quiesced;
    v->can_ask = q->seen->hello && q->machine->has_mailbox && !q->config->at_pre_exec;
    v->must_be_idle = v->can_ask || q->config->at_pre_exec || q->config->quiesce_ms > 0;
}

/* Its answer, or the end of the guest, whatever comes first. */
static int wait_for_news(struct quiesce *q, int timeout_ms, struct thaw_error *err)
{
    struct pollfd fds[] = {{.fd = q->machine->vm->ended_fd, .events = POLLIN},
                           {.fd = q->machine->news_fd, .events = POLLIN}};
    if (poll(fds, 2, timeout_ms < WAIT_MAX ? timeout_ms : WAIT_MAX) < 0 && errno != EINTR)
        return thaw_fail(err, errno, "poll");
    observe(q);
    return fds[0].revents ? ended(err) : 0;
}

/* There is one snapshot in the life of a process, so one number will do. No room in the port:
 * again, a little later. */
static int ask(struct quiesce *q, struct thaw_error *err)
{
    q->view.asked = control_send_line(q->machine->control, THAW_REQ_QUIESCE " seq=1") == 0;
    return q->view.asked ? 0 : wait_for_news(q, BETWEEN_LOOKS, err);
}

/* A guest that does not rest is not worth stopping its devices for, which would only give it more
 * to do afterwards. */
static int stop_all(struct quiesce *q, struct thaw_error *err)
{
    struct quiesce_view *v = &q->view;
    int rc = vm_pause(q->machine->vm, err);
    observe(q);
    v->paused = rc == 0;
    v->quiet = false;
    v->idle = rc == 0 && vm_is_idle(q->machine->vm);
    q->in_flight = NULL;
    q->devices_run = v->must_be_idle && !v->idle;
    if (rc < 0 || q->devices_run)
        return rc;
    rc = machine_pause(q->machine, FLUSH_MS, err);
    q->in_flight = rc == 0 ? machine_in_flight(q->machine) : NULL;
    v->quiet = rc == 0 && !q->in_flight;
    return rc;
}

/* Stops the guest and notes what it looks like. */
static int look(struct quiesce *q, struct thaw_error *err)
{
    struct quiesce_view *v = &q->view;
    int rc = stop_all(q, err);
    if (rc < 0)
        return rc;
    q->pauses++;
    q->rested_ns = q->paused_ns = v->now_ns;
    v->now_ns = clock_monotonic_ns();
    if (!v->quiet || (v->must_be_idle && !v->idle))
        v->quiet_ns = 0;
    else if (v->quiet_ns == 0)
        v->quiet_ns = v->now_ns;
    return 0;
}

/* Being looked at keeps a guest from its rest: a slow one needs longer from look to look. */
static int go_on(struct quiesce *q, struct thaw_error *err)
{
    unsigned doublings = q->view.quiet_ns ? 0 : q->pauses - 1;
    q->view.paused = q->copied = false;
    int rc = q->devices_run ? vm_resume(q->machine->vm, err) : machine_resume(q->machine, err);
    int wait_ms = BETWEEN_LOOKS << (doublings < DOUBLINGS ? doublings : DOUBLINGS);
    return rc < 0 ? rc : wait_for_news(q, wait_ms, err);
}

/* The vCPUs alone, for a moment that a timer or two may need. */
static int stop_vcpus(struct quiesce *q, struct thaw_error *err)
{
    struct quiesce_view *v = &q->view;
    for (unsigned i = 0;; i++) {
        q->paused_ns = clock_monotonic_ns();
        int rc = vm_pause(q->machine->vm, err);
        observe(q);
        v->idle = rc == 0 && vm_is_idle(q->machine->vm);
        if (rc < 0 || v->idle || !v->must_be_idle || i == DOUBLINGS)
            return rc;
        rc = vm_resume(q->machine->vm, err);
        if (rc == 0)
            rc = wait_for_news(q, BETWEEN_LOOKS << i, err);
        if (rc < 0)
            return rc;
    }
}

/* The time for it is not the guest's. */
static int copy(struct quiesce *q, struct thaw_error *err)
{
    struct quiesce_view *v = &q->view;
    uint64_t began_ns = clock_monotonic_ns(), asked = machine_asked(q->machine);
    int rc = q->config->copy(q->config->copy_ctx, err);
    if (rc == 0)
        rc = stop_vcpus(q, err);
    v->now_ns = clock_monotonic_ns();
    v->deadline_ns += v->now_ns - began_ns;
    v->to_copy = v->must_be_idle && ++q->copies < COPIES;
    q->in_flight = machine_in_flight(q->machine);
    q->copied = !q->in_flight && machine_asked(q->machine) == asked;
    v->quiet = q->copied;
    if (!q->copied || (v->must_be_idle && !v->idle))
        v->quiet_ns = 0;
    else
        v->to_copy = false;
    return rc;
}

static int give_up(const struct quiesce *q, struct thaw_error *err)
{
    const char *who = "a virtual CPU", *what = "did not come to rest";
    if (q->in_flight) {
        who = q->in_flight;
        what = "had bytes in flight";
    }
    if (q->view.asked && !q->view.answered) {
        who = "init";
        what = "did not answer";
    }
    return thaw_fail_as(err, THAW_FAIL_QUIESCE, EBUSY,
                        "guest: not quiet within %llu ms: %s %s; no snapshot was taken",
                        (unsigned long long)(QUIESCE_DEADLINE_MS + q->config->quiesce_ms), who,
                        what);
}

static int take_step(struct quiesce *q, enum quiesce_step step, struct thaw_error *err)
{
    switch (step) {
    case QUIESCE_ASK:
        return ask(q, err);
    case QUIESCE_WAIT:
        return wait_for_news(q, (int)((q->view.deadline_ns - q->view.now_ns) / NS_PER_MS) + 1, err);
    case QUIESCE_PAUSE:
        return look(q, err);
    case QUIESCE_RESUME:
        return go_on(q, err);
    case QUIESCE_COPY:
        return copy(q, err);
    case QUIESCE_GIVE_UP:
        return give_up(q, err);
    case QUIESCE_CAPTURE:
        break;
    }
    return 0;
}

int snapshot_quiesce(struct machine *machine, const struct quiesce_config *config,
                     struct guest_observation *seen, struct quiesce_report *report,
                     struct thaw_error *err)
{
    uint64_t now = clock_monotonic_ns();
    struct quiesce q = {
        .machine = machine,
        .config = config,
        .seen = seen,
        .view = {.now_ns = now,
                 .deadline_ns = now + (QUIESCE_DEADLINE_MS + config->quiesce_ms) * NS_PER_MS,
                 .wanted_ns = config->quiesce_ms * NS_PER_MS,
                 .to_copy = config->copy},
    };
    enum quiesce_step step;
    int rc = 0;
    observe(&q);
    do {
        q.view.now_ns = clock_monotonic_ns();
        step = quiesce_next(&q.view);
        rc = config->interrupted ? config->interrupted(config->ctx, err) : 0;
        if (rc == 0)
            rc = take_step(&q, step, err);
    } while (rc == 0 && step != QUIESCE_CAPTURE);
    report->pauses = q.pauses;
    report->rested_ns = q.rested_ns;
    report->paused_ns = q.paused_ns;
    report->copied = q.copied;
    report->by_init = config->at_pre_exec || q.view.can_ask;
    return rc;
}
