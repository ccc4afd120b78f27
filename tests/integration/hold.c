/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold [OPTION...] KERNEL BUNDLE ARG...: drives the handshake that snapshots use, without the
 * snapshot: the doorbell rings in the same VM. Exits with the workload's status; says on stderr
 * what happened, a word for each step.
 *
 *   --boot FLAG[,FLAG]   what the mailbox of the boot asks for: hold (without the option),
 * listeners, beat (heartbeats every 50 ms), or plain for nothing
 *   --steps STEP[,STEP]  held,silence,resume,cheap,end without the option
 *   --warmup COMMAND     as thaw run's
 *   --streams            gives the guest ports for its streams; without, they are on the console
 *
 * The steps that wait:
 *   held         workload-pre-exec came       held-again     and once more
 *   told-again   a line came that was said before
 *   listener=N   port N is listened on        no-listener    nothing will listen
 *   beats=N      N heartbeats came            end            the workload ended
 *   sleep=MS     some time passed             exec           workload-exec came
 *   silence      300 ms passed, and the guest said nothing
 * The steps that act:
 *   quiesce=N    asks, and waits for the answer    signal=N     sends the workload a signal
 *   resume       rings with ARG..., a variable, a hostname, a stdin in the mailbox
 *   ring, ring-hold, ring-beat, ring-listeners     rings with that and a hostname
 *   spoiled      rings with a mailbox that does not fit its checksum
 * The steps that check:
 *   cheap        at most 12 exits to userspace from the doorbell's KVM_RUN to execve
 *   beaten=N     at least N heartbeats came in all, each higher than the last
 *   mute         no heartbeat came since the last ring, or answer
 */
#include "devices/machine.h"
#include "vmm/bundle/bundle.h"
#include "vmm/bundle/rootfs.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 60000
#define SILENCE_MS  300
#define BEAT_MS     50
#define EXITS_MAX   12
#define LINE_MAX    64

struct session {
    struct machine *machine;
    char **argv; /* of the invocation */
    struct guest_observation seen;
    uint64_t repeated;   /* how often it was seen to hold again */
    uint64_t ignored;    /* lines said again until the last ring */
    uint64_t beats_then; /* heartbeats at the last ring or answer */
    struct thaw_error *err;
};

static int wrong(struct session *s, const char *what)
{
    return thaw_fail_as(s->err, THAW_FAIL_GUEST_INIT, EIO, "%s%s%s", what,
                        s->seen.failed ? ": " : "", s->seen.failed ? s->seen.failure : "");
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* Until the control port has something new; false when the guest has ended or time is up. */
static bool wait_for_news(struct session *s, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = s->machine->vm->ended_fd, .events = POLLIN},
                           {.fd = s->machine->news_fd, .events = POLLIN}};
    int n = poll(fds, 2, timeout_ms);
    machine_observe(s->machine, &s->seen);
    return n > 0 && !fds[0].revents;
}

typedef bool has_come(const struct session *s, uint64_t number);

static bool pre_exec(const struct session *s, uint64_t number)
{
    (void)number;
    return s->seen.pre_exec_ready;
}

static bool exec(const struct session *s, uint64_t number)
{
    (void)number;
    return s->seen.exec;
}

static bool ended(const struct session *s, uint64_t number)
{
    (void)number;
    return s->seen.exited;
}

static bool nobody_listens(const struct session *s, uint64_t number)
{
    (void)number;
    return s->seen.no_listener;
}

static bool held_again(const struct session *s, uint64_t number)
{
    return s->seen.pre_execs > number;
}

static bool listens(const struct session *s, uint64_t number)
{
    for (unsigned i = 0; i < s->seen.listener_count; i++) {
        if (s->seen.listeners[i].port == number)
            return true;
    }
    return false;
}

static bool beats(const struct session *s, uint64_t number)
{
    return s->seen.heartbeats >= number;
}

static bool quiesced(const struct session *s, uint64_t number)
{
    return s->seen.quiesced && s->seen.quiesced_seq == number;
}

static int await(struct session *s, has_come *condition, uint64_t number, const char *otherwise)
{
    machine_observe(s->machine, &s->seen);
    while (!condition(s, number)) {
        if (!wait_for_news(s, DEADLINE_MS) && !condition(s, number))
            return wrong(s, otherwise);
    }
    return 0;
}

/* What was said before counts as ignored, and is no news: looked for every now and then. */
static int await_repetition(struct session *s)
{
    for (int i = 0; i < DEADLINE_MS / BEAT_MS; i++) {
        wait_for_news(s, BEAT_MS);
        if (s->seen.dropped.ignored > s->ignored)
            return 0;
    }
    return wrong(s, "did not say it again");
}

static int be_silent(struct session *s)
{
    struct pollfd quiet = {.fd = s->machine->news_fd, .events = POLLIN};
    machine_observe(s->machine, &s->seen);
    return poll(&quiet, 1, SILENCE_MS) == 0 ? 0 : wrong(s, "spoke while it was held");
}

/* ---- acting ------------------------------------------------------------------------------- */

static int ring(struct session *s, const struct mailbox_content *content, bool spoil)
{
    struct machine *machine = s->machine;
    machine_observe(machine, &s->seen);
    s->beats_then = s->seen.heartbeats;
    s->ignored = s->seen.dropped.ignored;
    int rc = vm_pause(machine->vm, s->err);
    if (rc == 0)
        rc = mailbox_write(&machine->vm->memory, content, s->err);
    if (rc == 0 && spoil)
        rc = mailbox_clear_entropy(&machine->vm->memory, s->err);
    if (rc < 0)
        return rc;

    machine->vm->mark = guest_memory_at(&machine->vm->memory,
                                        THAW_MAILBOX_GPA + THAW_MAILBOX_REPORT_OFFSET +
                                            offsetof(struct thaw_mailbox_report, exec_ns),
                                        sizeof(uint64_t));
    struct vcpu *vcpu = &machine->vm->vcpus[0];
    vcpu->exits_to_mark = 0;
    vcpu->exits = (struct vcpu_exits){0};
    rc = control_doorbell(machine->control);
    return rc < 0 ? thaw_fail(s->err, -rc, "doorbell") : vm_resume(machine->vm, s->err);
}

static int resume(struct session *s)
{
    static const char *const env[] = {"COLOR=from the mailbox", NULL};
    static const char input[] = "a line of stdin\n";
    const struct mailbox_content content = {
        .argv = (const char *const *)s->argv,
        .env = env,
        .has_stdin = true,
        .stdin_data = input,
        .stdin_len = strlen(input),
        .hostname = "clone",
    };
    return ring(s, &content, false);
}

static struct mailbox_content content_of(const char *flags)
{
    return (struct mailbox_content){
        .hold = strstr(flags, "hold"),
        .listeners = strstr(flags, "listeners"),
        .heartbeat_ms = strstr(flags, "beat") ? BEAT_MS : 0,
    };
}

static int ring_with(struct session *s, const char *flags)
{
    struct mailbox_content content = content_of(flags);
    content.hostname = "clone";
    return ring(s, &content, false);
}

static int spoil(struct session *s)
{
    const struct mailbox_content content = {0};
    return ring(s, &content, true);
}

static int ask(struct session *s, uint64_t seq)
{
    char line[LINE_MAX];
    (void)snprintf(line, sizeof(line), THAW_REQ_QUIESCE " seq=%" PRIu64, seq);
    int rc = control_send_line(s->machine->control, line);
    if (rc < 0)
        return thaw_fail(s->err, -rc, "quiesce");
    rc = await(s, quiesced, seq, "never quiet");
    s->beats_then = s->seen.heartbeats;
    return rc;
}

static int send_signal(struct session *s, uint64_t number)
{
    char line[LINE_MAX];
    (void)snprintf(line, sizeof(line), THAW_REQ_SIGNAL " number=%" PRIu64, number);
    int rc = control_send_line(s->machine->control, line);
    return rc < 0 ? thaw_fail(s->err, -rc, "signal") : 0;
}

/* ---- checking ----------------------------------------------------------------------------- */

static int was_cheap(struct session *s)
{
    struct thaw_mailbox_report report;
    int rc = mailbox_read_report(&s->machine->vm->memory, &report, s->err);
    if (rc < 0)
        return rc;
    if (report.resumed_ns == 0 || report.exec_ns < report.resumed_ns)
        return wrong(s, "left no times in the mailbox");
    if (s->seen.exec)
        return wrong(s, "said workload-exec, which a resumed guest must not");
    uint64_t exits = s->machine->vm->vcpus[0].exits_to_mark;
    fprintf(stderr, "(%" PRIu64 " exits, %" PRIu64 " us) ", exits,
            (report.exec_ns - report.resumed_ns) / 1000);
    return exits > 0 && exits <= EXITS_MAX ? 0 : wrong(s, "took too many exits");
}

static int has_beaten(struct session *s, uint64_t number)
{
    machine_observe(s->machine, &s->seen);
    if (s->seen.heartbeats < number || s->seen.heartbeats != s->seen.heartbeat_counter)
        return wrong(s, "heartbeats are missing");
    return 0;
}

static int is_mute(struct session *s)
{
    machine_observe(s->machine, &s->seen);
    return s->seen.heartbeats == s->beats_then ? 0 : wrong(s, "beats unasked");
}

/* ---- steps -------------------------------------------------------------------------------- */

static int sleep_for(struct session *s, uint64_t ms)
{
    poll(NULL, 0, (int)ms);
    machine_observe(s->machine, &s->seen);
    return 0;
}

static int waiting_step(struct session *s, const char *step, uint64_t number)
{
    static const struct {
        const char *step;
        has_come *condition;
        const char *otherwise;
    } conditions[] = {
        {"held", pre_exec, "never held"},        {"exec", exec, "never began"},
        {"end", ended, "never ended"},           {"no-listener", nobody_listens, "never said so"},
        {"listener", listens, "never listened"}, {"beats", beats, "its heart stands still"},
    };
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (strcmp(step, conditions[i].step) == 0)
            return await(s, conditions[i].condition, number, conditions[i].otherwise);
    }
    return wrong(s, "no such step");
}

static int take_step(struct session *s, const char *step, uint64_t number)
{
    if (strcmp(step, "held-again") == 0)
        return await(s, held_again, ++s->repeated, "did not hold again");
    if (strcmp(step, "told-again") == 0)
        return await_repetition(s);
    if (strcmp(step, "silence") == 0)
        return be_silent(s);
    if (strcmp(step, "sleep") == 0)
        return sleep_for(s, number);
    if (strcmp(step, "quiesce") == 0)
        return ask(s, number);
    if (strcmp(step, "signal") == 0)
        return send_signal(s, number);
    if (strcmp(step, "resume") == 0)
        return resume(s);
    if (strcmp(step, "spoiled") == 0)
        return spoil(s);
    if (strncmp(step, "ring", strlen("ring")) == 0)
        return ring_with(s, step);
    if (strcmp(step, "cheap") == 0)
        return was_cheap(s);
    if (strcmp(step, "beaten") == 0)
        return has_beaten(s, number);
    if (strcmp(step, "mute") == 0)
        return is_mute(s);
    return waiting_step(s, step, number);
}

/* Returns the workload's status. */
static int run(struct session *s, char *steps)
{
    int rc = machine_start(s->machine, s->err);
    char *rest = NULL;
    for (char *step = strtok_r(steps, ",", &rest); rc == 0 && step;
         step = strtok_r(NULL, ",", &rest)) {
        char *number = strchr(step, '=');
        if (number)
            *number++ = '\0';
        rc = take_step(s, step, number ? strtoull(number, NULL, 10) : 0);
        fprintf(stderr, "%s ", step);
    }
    fputc('\n', stderr);
    vm_stop(s->machine->vm);
    machine_flush(s->machine, DEADLINE_MS);
    return rc < 0 ? rc : s->seen.exit_status;
}

/* ---- the machine -------------------------------------------------------------------------- */

struct options {
    const char *boot, *warmup;
    char steps[1024];
    bool streams;
};

static int parse_options(int argc, char **argv, struct options *options)
{
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--streams") == 0)
            options->streams = true;
        else if (strcmp(argv[at], "--boot") == 0)
            options->boot = argv[++at];
        else if (strcmp(argv[at], "--warmup") == 0)
            options->warmup = argv[++at];
        else if (strcmp(argv[at], "--steps") == 0)
            (void)snprintf(options->steps, sizeof(options->steps), "%s", argv[++at]);
        else
            return -1;
    }
    return argc - at < 3 ? -1 : at;
}

static int create(const struct options *options, char **argv, struct machine **machine,
                  struct thaw_error *err)
{
    cleanup_bundle struct bundle *bundle = NULL;
    char archive[4096];
    const struct bundle_options from = {.warmup = options->warmup};
    if (bundle_load(argv[1], &from, &bundle, err) < 0 ||
        rootfs_archive(bundle, archive, sizeof(archive), err) < 0)
        return thaw_error_code(err);

    const struct mailbox_content boot = content_of(options->boot);
    const struct machine_devices devices = {
        .has_ports = options->streams,
        .ports = {.stdin_fd = STDIN_FILENO, .stdout_fd = STDOUT_FILENO, .stderr_fd = STDOUT_FILENO},
    };
    const struct machine_config config = {
        .vm = {.memory_size = 128ull << 20, .vcpus = 1},
        .kernel = argv[0],
        .cmdline = "console=ttyS0 loglevel=1 panic=-1 reboot=k,panic_warm",
        .initramfs = {.spec = bundle->spec,
                      .spec_size = bundle->spec_size,
                      .archive_count = 1,
                      .archives = {archive}},
        .mailbox = &boot,
        .devices = &devices,
        .console_fd = options->streams ? STDERR_FILENO : STDOUT_FILENO,
    };
    return machine_create(&config, machine, err);
}

int main(int argc, char **argv)
{
    struct options options = {.boot = "hold", .steps = "held,silence,resume,end,cheap"};
    int at = parse_options(argc, argv, &options);
    if (at < 0)
        return 2;

    struct thaw_error err = {0};
    cleanup_machine struct machine *machine = NULL;
    int rc = create(&options, argv + at, &machine, &err);
    struct session session = {.machine = machine, .argv = argv + at + 2, .err = &err};
    if (rc == 0)
        rc = run(&session, options.steps);
    if (rc < 0)
        fprintf(stderr, "hold: %s\n", err.message);
    return rc < 0 ? 125 : rc;
}
