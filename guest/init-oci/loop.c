/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/init.h"

#include "guest/init-oci/file.h"
#include "guest/init-oci/limits.h"
#include "guest/init-oci/quiet.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define SIGNAL_STATUS 128 /* as shells say it */

enum poll_index {
    POLL_CONTROL,
    POLL_SIGNALS,
    POLL_REPORTS,
    POLL_SURVIVORS,
    POLL_WATCH,
    POLL_STREAMS = POLL_WATCH + WATCH_POLL_COUNT,
    POLL_COUNT = POLL_STREAMS + STREAMS_POLL_COUNT,
};

/* ---- the monitor's requests --------------------------------------------------------------- */

/* To the first process, and only while it is not reaped: afterwards its number may be somebody
 * else's. Then what it has left behind gets the signal. A workload that is process 1 of a PID
 * namespace ignores what it has no handler for, SIGTERM too, as under runc: pid_namespaces(7). */
static void signal_workload(const struct init *init, int number)
{
    if (init->lingers)
        cgroup_signal(&init->cgroup, number);
    else if (init->child.pid > 0 && !init->ended)
        kill(init->child.pid, number);
}

/* A doorbell that nobody waits for says nothing. */
void init_heed(struct init *init, const struct control_request *request)
{
    switch (request->kind) {
    case CONTROL_REQUEST_SIGNAL:
        signal_workload(init, (int)request->number);
        break;
    case CONTROL_REQUEST_STDIN_EOF:
        streams_set_eof(&init->streams, request->number);
        break;
    case CONTROL_REQUEST_WINSIZE:
        streams_set_size(&init->streams, request->rows, request->cols);
        break;
    case CONTROL_REQUEST_QUIESCE:
    case CONTROL_REQUEST_DOORBELL:
        break;
    }
}

static int handle_control(struct init *init, struct failure *failure)
{
    struct control_request request;
    if (control_fill(&init->control) < 0)
        file_close(&init->control.fd);
    int rc = 0;
    while (rc == 0 && control_next(&init->control, &request)) {
        if (request.kind == CONTROL_REQUEST_QUIESCE)
            rc = quiet_quiesce(init, request.number, failure);
        else
            init_heed(init, &request);
    }
    return rc;
}

/* ---- children ----------------------------------------------------------------------------- */

void init_report_survivors(struct init *init)
{
    if (init->lingers && init->watch.wants_listeners && !watch_look(&init->watch, &init->control))
        control_send(&init->control, THAW_MSG_NO_LISTENER);
}

/* A workload that goes into the background is let, where the monitor has ever waited for it to
 * listen: else the end of its first process would be the end of what was waited for. */
static void note_end(struct init *init, int status)
{
    init->ended = true;
    init->status = WIFSIGNALED(status) ? SIGNAL_STATUS + WTERMSIG(status) : WEXITSTATUS(status);
    init->lingers = init->ready && init->status == 0 && init->watch.ever_wanted_listeners &&
                    cgroup_read_events(&init->cgroup).populated;
    init_report_survivors(init);
}

static void reap(struct init *init)
{
    struct signalfd_siginfo info;
    ssize_t n = read(init->signals, &info, sizeof(info)); /* many children, one signal */
    (void)n;

    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == init->child.pid)
            note_end(init, status);
    }
}

static int handle_created(struct init *init, const struct child_report *report,
                          struct failure *failure)
{
    if (report->terminal >= 0) {
        int master = child_take_descriptor(&init->child, report->terminal, failure);
        if (master < 0)
            return master;
        int rc = streams_attach_terminal(&init->streams, master, failure);
        if (rc < 0)
            return rc;
    }
    int rc = namespaces_open(init->child.pid, &init->namespaces, failure);
    if (rc == 0)
        rc = limits_apply(&init->spec, init->child.pid, failure);
    return rc < 0 ? rc : child_continue(&init->child, failure);
}

/* The pipe ends when the child executes the workload, or itself. */
static int handle_report(struct init *init, struct failure *failure)
{
    struct child_report report;
    if (child_receive(&init->child, &report) < 0) {
        file_close(&init->child.reports);
        return 0;
    }
    switch ((enum child_report_kind)report.kind) {
    case CHILD_CREATED:
        return handle_created(init, &report, failure);
    case CHILD_READY:
        init->ready = true;
        return 0;
    case CHILD_FAILED:
        *failure = report.failure;
        return -ECHILD;
    }
    return fail_plainly(failure, "the workload's child sent report %u", report.kind);
}

/* Both have to be seen: a last report may still be in the pipe of a child that has ended. */
static int check_child(const struct init *init, struct failure *failure)
{
    if (init->ready || !init->ended || init->child.reports >= 0)
        return 0;
    return fail_plainly(failure, "the workload's set-up ended with status %d", init->status);
}

/* ---- the loop ----------------------------------------------------------------------------- */

static int wait_once(struct init *init, struct pollfd fds[POLL_COUNT], struct failure *failure)
{
    fds[POLL_CONTROL] = (struct pollfd){.fd = init->control.fd, .events = POLLIN};
    fds[POLL_SIGNALS] = (struct pollfd){.fd = init->signals, .events = POLLIN};
    fds[POLL_REPORTS] = (struct pollfd){.fd = init->child.reports, .events = POLLIN};
    fds[POLL_SURVIVORS] =
        (struct pollfd){.fd = init->lingers ? init->cgroup.events : -1, .events = POLLPRI};
    watch_poll(&init->watch, fds + POLL_WATCH);
    streams_poll(&init->streams, fds + POLL_STREAMS);
    /* What came right behind the doorbell that ended a hold has been read together with it. */
    bool is_read = init->control.input_start < init->control.input_end;
    if (poll(fds, POLL_COUNT, is_read ? 0 : -1) < 0 && errno != EINTR)
        return fail(failure, errno, "poll");
    if (is_read)
        fds[POLL_CONTROL].revents |= POLLIN;
    return 0;
}

int init_wait(struct init *init, init_condition *condition, struct failure *failure)
{
    for (;;) {
        streams_pump(&init->streams);
        if (condition(init))
            return 0;
        struct pollfd fds[POLL_COUNT] = {0};
        int rc = wait_once(init, fds, failure);
        if (rc == 0 && fds[POLL_REPORTS].revents)
            rc = handle_report(init, failure);
        if (rc == 0 && fds[POLL_SIGNALS].revents)
            reap(init);
        if (rc == 0)
            rc = check_child(init, failure);
        if (rc < 0)
            return rc;
        if (fds[POLL_SURVIVORS].revents)
            init->lingers = cgroup_read_events(&init->cgroup).populated;
        watch_serve(&init->watch, fds + POLL_WATCH, &init->control);
        rc = fds[POLL_CONTROL].revents ? handle_control(init, failure) : 0;
        if (rc < 0)
            return rc;
    }
}
