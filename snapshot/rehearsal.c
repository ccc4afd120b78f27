/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/rehearsal.h"

#include "thaw/wire.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <poll.h>

#define NS_PER_MS   1000000ull
#define DEADLINE_MS 5000u
#define TRIAL_MS    1000u
#define WAIT_MAX_MS 50 /* from one question whether to go on to the next */

/* ---- waking ------------------------------------------------------------------------------- */

/* While the vCPUs are stopped. */
static int ring(struct machine *m, const struct mailbox_content *mailbox, struct thaw_error *err)
{
    int rc = mailbox_write(&m->vm->memory, mailbox, err);
    if (rc == 0 && control_doorbell(m->control) < 0)
        rc = thaw_fail_as(err, THAW_FAIL_QUIESCE, EAGAIN, "guest: no room for the doorbell");
    return rc;
}

static int wait_for_news(struct machine *m, int timeout_ms, bool *ended, struct thaw_error *err)
{
    struct pollfd fds[] = {{.fd = m->vm->ended_fd, .events = POLLIN},
                           {.fd = m->news_fd, .events = POLLIN}};
    if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
        return thaw_fail(err, errno, "poll");
    *ended = fds[0].revents != 0;
    return 0;
}

/* One look whether init is back. */
static int look(struct machine *m, const struct rehearsal_config *config,
                struct guest_observation *seen, struct thaw_error *err)
{
    bool ended = false;
    int rc = config->interrupted ? config->interrupted(config->ctx, err) : 0;
    if (rc == 0)
        rc = wait_for_news(m, WAIT_MAX_MS, &ended, err);
    machine_observe(m, seen);
    if (rc == 0 && ended)
        return thaw_fail_as(err, THAW_FAIL_ENDED, ESHUTDOWN,
                            "guest: ended before the snapshot was taken");
    return rc;
}

static int await_pre_exec(struct machine *m, const struct rehearsal_config *config,
                          struct guest_observation *seen, uint64_t before, struct thaw_error *err)
{
    uint64_t deadline_ns = clock_monotonic_ns() + DEADLINE_MS * NS_PER_MS;
    int rc = 0;
    while (rc == 0 && seen->pre_execs == before) {
        if (clock_monotonic_ns() >= deadline_ns)
            return thaw_fail_as(err, THAW_FAIL_QUIESCE, ETIMEDOUT,
                                "guest: init did not come back to pre-exec within %u ms; no "
                                "snapshot was taken",
                                DEADLINE_MS);
        rc = look(m, config, seen, err);
    }
    return rc;
}

/* Init drops nothing that comes before it reads, so it need not be at rest yet. */
int rehearse_waking(struct machine *m, const struct rehearsal_config *config,
                    struct guest_observation *seen, struct thaw_error *err)
{
    machine_observe(m, seen);
    uint64_t before = seen->pre_execs;
    int rc = vm_pause(m->vm, err);
    if (rc == 0)
        rc = ring(m, config->mailbox, err);
    if (rc == 0)
        rc = vm_resume(m->vm, err);
    return rc < 0 ? rc : await_pre_exec(m, config, seen, before, err);
}

/* ---- execve ------------------------------------------------------------------------------- */

/* Whether the program is there: it only waits, and so does everybody else. With the vCPUs stopped.
 */
static bool has_arrived(struct machine *m)
{
    struct thaw_mailbox_report report;
    struct thaw_error ignored = {0};
    return mailbox_read_report(&m->vm->memory, &report, &ignored) == 0 && report.exec_ns != 0 &&
           vm_is_idle(m->vm);
}

/* Until it has arrived, has ended, or its time is over. Leaves the vCPUs stopped. */
static int run_to_rest(struct machine *m, const struct rehearsal_config *config,
                       struct thaw_error *err)
{
    uint64_t deadline_ns = clock_monotonic_ns() + TRIAL_MS * NS_PER_MS;
    bool over = false;
    int rc = machine_resume(m, err);
    for (int wait_ms = 1; rc == 0 && !over; wait_ms *= 2) {
        rc = wait_for_news(m, wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS, &over, err);
        if (rc == 0 && config->interrupted)
            rc = config->interrupted(config->ctx, err);
        if (rc < 0 || over || vm_pause(m->vm, err) < 0)
            break;
        over = has_arrived(m) || clock_monotonic_ns() >= deadline_ns;
        rc = over ? 0 : vm_resume(m->vm, err);
    }
    vm_stop(m->vm);
    return rc;
}

static int get_written(const struct machine *m, struct page_runs *written, struct thaw_error *err)
{
    int rc = written_by_guest(m->vm, written, err);
    if (page_runs_pages(written) > WRITTEN_PAGES_MAX)
        page_runs_free(written);
    return rc;
}

int rehearse_exec(struct machine *m, const struct rehearsal_config *config,
                  struct page_runs *written, struct thaw_error *err)
{
    static const char *const program[] = {"/proc/self/exe", THAW_INIT_REHEARSE, NULL};
    struct mailbox_content mailbox = *config->mailbox;
    mailbox.hold = false;
    mailbox.argv = program;
    mailbox.has_stdin = true; /* none of the user's is taken */
    mailbox.stdin_len = 0;
    machine_mute(m);
    int rc = guest_memory_log_writes(&m->vm->memory, m->vm->fd, true, err);
    if (rc == 0)
        rc = ring(m, &mailbox, err);
    if (rc == 0)
        rc = run_to_rest(m, config, err);
    return rc == 0 ? get_written(m, written, err) : rc;
}
