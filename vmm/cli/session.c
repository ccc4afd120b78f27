/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/session.h"

#include "thaw/wire.h"
#include "vmm/base/clock.h"
#include "vmm/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#define PROBE_PERIOD_NS 1000000000ull
#define INPUT_CHUNK     4096u
#define IMPATIENT_SIGNAL                                                                           \
    3u /* so many SIGINT or SIGTERM end the session whatever the workload does */

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

struct session {
    struct machine *machine;
    const struct session_config *config;
    struct guest_observation seen;
    uint64_t deadline_ns;   /* CLOCK_MONOTONIC; 0: none */
    uint64_t next_probe_ns; /* CLOCK_MONOTONIC */
    int signal_fd;
    unsigned impatience;
    struct terminal terminal; /* the user's, as it was */
    /* A guest without ports has its standard input on the console. Here: what was read for it and
     * not yet taken by the UART. */
    bool feeds_console;
    char input[INPUT_CHUNK];
    size_t input_at, input_size;
    uint64_t input_total;     /* bytes that the UART has taken */
    uint64_t input_pushed_ns; /* CLOCK_MONOTONIC of the last offer */
    uint64_t input_resume_ns; /* no offer before: see handle_room() */
    bool input_ended, input_end_sent;
    bool greeted; /* init's hello was acted upon */
    bool woken;   /* a held guest was let go */
    bool ended;
    bool flushing; /* the guest is over, its output is not */
};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(set, forwarded[i]);
    sigaddset(set, SIGQUIT);
    sigaddset(set, SIGWINCH);
}

void session_block_signals(void)
{
    sigset_t set;
    signal_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int session_open_end_fd(struct thaw_error *err)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
        sigaddset(&set, ending[i]);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? thaw_fail(err, errno, "signalfd") : fd;
}

/* A control line that the port has no room for is dropped: its staging ring holds dozens, and a
 * guest that reads none of them does not act on them either. */
__attribute__((format(printf, 2, 3))) static int tell_guest(struct session *s, const char *line,
                                                            ...)
{
    char text[THAW_CONTROL_LINE_MAX];
    va_list args;
    va_start(args, line);
    vsnprintf(text, sizeof(text), line, args);
    va_end(args);
    return control_send_line(s->machine->control, text);
}

static void send_window_size(struct session *s)
{
    unsigned short rows, cols;
    if (s->config->terminal && s->seen.hello && terminal_size(s->config->input_fd, &rows, &cols))
        tell_guest(s, THAW_REQ_WINSIZE " rows=%u cols=%u", rows, cols);
}

static int interrupt(struct thaw_error *err, unsigned signal, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_INTERRUPTED, EINTR, "signal %s: %s",
                        sigabbrev_np((int)signal), why);
}

/* Ends the session (with an error) or passes the signal on. */
static int handle_signal(struct session *s, unsigned signal, struct thaw_error *err)
{
    if (s->flushing) /* nobody else is there to take it */
        return signal == SIGWINCH ? 0
                                  : interrupt(err, signal, "output: its reader did not take all");
    if (signal == SIGWINCH) {
        send_window_size(s);
        return 0;
    }
    if (s->config->wake && !s->woken && signal == SIGUSR1) {
        s->woken = true;
        return s->config->wake(s->config->ctx, err);
    }
    if (s->config->wake && !s->woken)
        return interrupt(err, signal, "the clone was held");
    if (s->config->capture)
        return interrupt(err, signal, "no snapshot was taken");
    if (signal == SIGQUIT)
        return interrupt(err, signal, "the guest was stopped");
    if (!s->seen.hello)
        return interrupt(err, signal, "the guest was stopped before its init ran");
    if ((signal == SIGINT || signal == SIGTERM) && ++s->impatience >= IMPATIENT_SIGNAL)
        return interrupt(err, signal, "came three times; the guest was stopped");
    tell_guest(s, THAW_REQ_SIGNAL " number=%u", signal);
    return 0;
}

static int handle_signals(struct session *s, struct thaw_error *err)
{
    struct signalfd_siginfo info;
    int rc = 0;
    while (rc == 0 && read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        rc = handle_signal(s, info.ssi_signo, err);
    return rc;
}

/* Hands what was read to the UART; at the end of input tells init after how many bytes. */
static void push_input(struct session *s)
{
    uint64_t now = clock_monotonic_ns();
    if (now < s->input_resume_ns)
        return;
    s->input_pushed_ns = now;
    size_t n = machine_input(s->machine, s->input + s->input_at, s->input_size - s->input_at);
    s->input_at += n;
    s->input_total += n;
    if (s->input_at < s->input_size)
        return;
    s->input_at = s->input_size = 0;
    if (s->input_ended && !s->input_end_sent)
        s->input_end_sent = tell_guest(s, THAW_REQ_STDIN_EOF " bytes=%llu",
                                       (unsigned long long)s->input_total) == 0;
}

static void read_input(struct session *s)
{
    ssize_t n = read(s->config->input_fd, s->input, sizeof(s->input));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    /* An unreadable stdin is an empty one, as for any program started with it closed. */
    if (n <= 0)
        s->input_ended = true;
    else
        s->input_size = (size_t)n;
    push_input(s);
}

/*
 * The guest has taken a whole burst. Its driver does that in the interrupt handler, which leaves
 * nobody time to tell the sender to stop, and a real line would be slow: give the rest of the guest
 * as much time as the burst took.
 */
static void handle_room(struct session *s)
{
    eventfd_t ignored;
    eventfd_read(s->machine->room_fd, &ignored);
    uint64_t now = clock_monotonic_ns();
    s->input_resume_ns = now + (now - s->input_pushed_ns);
}

static void handle_news(struct session *s)
{
    machine_observe(s->machine, &s->seen);
    if (s->greeted || !s->seen.hello)
        return;
    s->greeted = true;
    s->feeds_console = machine_streams_on_console(s->machine);
    /* Not before: until the workload can get a Ctrl-C, it is thaw that should. */
    if (s->config->terminal)
        terminal_make_raw(s->config->input_fd, &s->terminal);
    send_window_size(s);
}

/* Bytes that the UART had no room for, or an end of input that the control port had none for. */
static bool input_waits(const struct session *s)
{
    return s->input_at < s->input_size || (s->input_ended && !s->input_end_sent);
}

static int poll_timeout_ms(const struct session *s, uint64_t now)
{
    uint64_t until = s->next_probe_ns;
    if (s->deadline_ns && s->deadline_ns < until)
        until = s->deadline_ns;
    if (input_waits(s) && s->input_resume_ns > now && s->input_resume_ns < until)
        until = s->input_resume_ns;
    uint64_t wakeup_ns = s->config->capture ? capture_wakeup_ns(s->config->capture, s->machine) : 0;
    if (wakeup_ns && wakeup_ns < until)
        until = wakeup_ns;
    return until <= now ? 0 : (int)((until - now) / 1000000u) + 1;
}

static int time_is_up(const struct session *s, struct thaw_error *err)
{
    double seconds = (double)s->config->timeout_ns / 1e9;
    if (s->config->capture)
        return thaw_fail_as(err, THAW_FAIL_NOT_READY, ETIMEDOUT,
                            "guest: no snapshot was taken within --timeout %.3g s", seconds);
    return thaw_fail_as(err, THAW_FAIL_TIMEOUT, ETIMEDOUT,
                        "guest: still running after --timeout %.3g s", seconds);
}

static int check_clock(struct session *s, struct thaw_error *err)
{
    uint64_t now = clock_monotonic_ns();
    if (s->deadline_ns && now >= s->deadline_ns)
        return time_is_up(s, err);
    if (now >= s->next_probe_ns) {
        vm_probe(s->machine->vm);
        s->next_probe_ns = now + PROBE_PERIOD_NS;
    }
    return 0;
}

/* While a snapshot is being taken: a signal, or --timeout. */
static int interrupts_capture(void *ctx, struct thaw_error *err)
{
    struct session *s = ctx;
    int rc = handle_signals(s, err);
    if (rc == 0 && s->deadline_ns && clock_monotonic_ns() >= s->deadline_ns)
        rc = time_is_up(s, err);
    return rc;
}

/* Takes the snapshot when its time has come; the session is over with it. */
static int check_trigger(struct session *s, struct thaw_error *err)
{
    struct capture *capture = s->config->capture;
    if (!capture || s->ended)
        return 0;
    enum snapshot_trigger trigger = capture_due(capture, s->machine, &s->seen);
    if (trigger == SNAPSHOT_TRIGGER_NONE)
        return 0;
    s->ended = true;
    capture->config.interrupted = interrupts_capture;
    capture->config.ctx = s;
    return capture_take(capture, s->machine, trigger, &s->seen, err);
}

/* One turn of the event loop. */
static int turn(struct session *s, struct thaw_error *err)
{
    /* stdin is read once init listens, and only when the last chunk is gone. */
    bool want_input = s->feeds_console && !s->input_ended && s->input_size == 0;
    struct pollfd fds[] = {
        {.fd = s->machine->vm->ended_fd, .events = POLLIN},
        {.fd = s->machine->news_fd, .events = POLLIN},
        {.fd = s->machine->room_fd, .events = POLLIN},
        {.fd = s->signal_fd, .events = POLLIN},
        {.fd = want_input ? s->config->input_fd : -1, .events = POLLIN},
    };
    if (poll(fds, sizeof(fds) / sizeof(fds[0]), poll_timeout_ms(s, clock_monotonic_ns())) < 0 &&
        errno != EINTR)
        return thaw_fail(err, errno, "poll");

    s->ended = fds[0].revents != 0;
    if (fds[1].revents)
        handle_news(s);
    if (fds[2].revents)
        handle_room(s);
    if (fds[4].revents)
        read_input(s);
    else if (input_waits(s))
        push_input(s);
    int rc = fds[3].revents ? handle_signals(s, err) : 0;
    if (rc == 0)
        rc = check_trigger(s, err);
    return rc < 0 || s->ended ? rc : check_clock(s, err);
}

/* Waits until the guest's output is written, still minding signals and the clock: a reader
 * that takes its time is waited for, one that never comes back is not. */
static int flush_output(struct session *s, struct thaw_error *err)
{
    int rc = 0;
    s->flushing = true;
    while (rc == 0 && !machine_flush(s->machine, 50)) {
        rc = handle_signals(s, err);
        if (rc == 0 && s->deadline_ns && clock_monotonic_ns() >= s->deadline_ns)
            rc = thaw_fail_as(err, THAW_FAIL_TIMEOUT, ETIMEDOUT,
                              "output: its reader took nothing until --timeout ran out");
    }
    return rc;
}

/* Output that could not be written is a failure, whatever the workload's status. */
static int check_output(struct session *s, struct thaw_error *err)
{
    int code = machine_output_error(s->machine);
    if (code == 0)
        return 0;
    return thaw_fail_io(err, code, "output");
}

/* The end as the user is told it. */
static int explain(const struct session *s, const struct vm_end *end, int *status,
                   struct thaw_error *err)
{
    const char *detail = end->detail;
    switch (end->kind) {
    case VM_END_WORKLOAD:
        if (s->seen.failed)
            return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, ENOEXEC, "guest init: %s",
                                s->seen.failure);
        *status = s->seen.exit_status;
        return 0;
    case VM_END_SHUTDOWN:
        *status = end->status;
        return 0;
    case VM_END_HALTED:
        return thaw_fail_as(err, THAW_FAIL_GUEST_SHUTDOWN, ESHUTDOWN,
                            "guest: powered off without a workload status");
    case VM_END_RESET:
        if (arch_reset_was_panic(&s->machine->vm->memory))
            return thaw_fail_as(err, THAW_FAIL_GUEST_PANIC, EIO,
                                "guest: kernel panic (its last words are on the console)");
        return thaw_fail_as(err, THAW_FAIL_GUEST_REBOOT, ERESTART,
                            "guest: rebooted without a workload status");
    case VM_END_TRIPLE_FAULT:
        return thaw_fail_as(err, THAW_FAIL_TRIPLE_FAULT, EIO, "guest: triple fault on %s", detail);
    case VM_END_KVM_ERROR:
        return thaw_fail_as(err, THAW_FAIL_KVM_INTERNAL, EIO, "KVM: %s", detail);
    case VM_END_NONE:
        break;
    }
    return thaw_fail_as(err, THAW_FAIL_INTERNAL, EIO, "guest: ended for an unknown reason");
}

/* The end of a guest that a snapshot was wanted of. */
static int explain_bake(const struct session *s, const struct vm_end *end, struct thaw_error *err)
{
    int status = 0;
    if (s->config->capture->report.taken)
        return 0;
    if (explain(s, end, &status, err) < 0) {
        thaw_reclassify(err, THAW_FAIL_ENDED);
        return thaw_context(err, "no snapshot was taken");
    }
    return thaw_fail_as(err, THAW_FAIL_ENDED, ESHUTDOWN,
                        "guest: ended with status %d before a snapshot trigger fired", status);
}

static int run_to_end(struct session *s, struct session_result *result, struct thaw_error *err)
{
    s->signal_fd = -1;
    sigset_t set;
    signal_set(&set);
    cleanup_close int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        return thaw_fail(err, errno, "signalfd");
    s->signal_fd = signal_fd;

    int rc = machine_start(s->machine, err);
    if (rc == 0 && s->config->started)
        s->config->started(s->config->ctx);
    handle_news(s); /* a restored guest's init has said hello long ago */
    if (rc == 0)
        rc = check_trigger(s, err); /* a fast guest has said all that it will ever say */
    while (rc == 0 && !s->ended)
        rc = turn(s, err);
    vm_stop(s->machine->vm);
    machine_observe(s->machine, &s->seen);

    result->end = vm_end_get(s->machine->vm);
    result->seen = s->seen;
    if (rc == 0)
        rc = flush_output(s, err);
    if (rc == 0)
        rc = s->config->capture ? explain_bake(s, &result->end, err)
                                : explain(s, &result->end, &result->status, err);
    if (rc < 0 || (s->config->capture && s->config->capture->report.taken))
        return rc;
    return check_output(s, err);
}

int session_run(struct machine *machine, const struct session_config *config,
                struct session_result *result, struct thaw_error *err)
{
    uint64_t now = clock_monotonic_ns();
    struct session s = {
        .machine = machine,
        .config = config,
        .deadline_ns = config->timeout_ns ? now + config->timeout_ns : 0,
        .next_probe_ns = now + PROBE_PERIOD_NS,
    };

    int rc = run_to_end(&s, result, err);
    terminal_restore(&s.terminal);
    return rc;
}
