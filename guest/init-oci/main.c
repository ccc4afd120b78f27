/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init-oci, the guest's PID 1: it brings the machine up, prepares the workload of /thaw.spec, lets
 * it go at the monitor's word, pumps its streams, and says how it ended. This file is the order of
 * events.
 */
#include "guest/init-oci/init.h"

#include "guest/init-oci/clock.h"
#include "guest/init-oci/disks.h"
#include "guest/init-oci/file.h"
#include "guest/init-oci/identity.h"
#include "guest/init-oci/network.h"
#include "guest/init-oci/quiet.h"
#include "guest/init-oci/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

/* ---- the machine -------------------------------------------------------------------------- */

static int mount_kernel_file_systems(struct failure *failure)
{
    static const struct {
        const char *type, *path, *data;
    } mounts[] = {
        {"devtmpfs", "/dev", NULL},
        {"proc", "/proc", NULL},
        {"sysfs", "/sys", NULL},
        /* nsdelegate: a workload with a cgroup namespace cannot lift its own limits. */
        {"cgroup2", CGROUP_MOUNT, "nsdelegate"},
    };
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        mkdir(mounts[i].path, 0755); /* sysfs has the last one; mount says what is missing */
        if (mount(mounts[i].type, mounts[i].path, mounts[i].type, 0, mounts[i].data) < 0)
            return fail(failure, errno, "init: %s", mounts[i].path);
    }
    return 0;
}

/* Away from the console, on which only the workload speaks from now on. It also keeps numbers 0
 * to 2 taken, where the kernel found no console to open. */
static int park_own_streams(struct failure *failure)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        return fail(failure, errno, "init: /dev/null");
    for (int i = 0; i < 3; i++) {
        if (dup2(null, i) < 0)
            return fail(failure, errno, "init: standard streams");
    }
    if (null > 2)
        close(null);
    return 0;
}

/* PID 1 takes no signal that it has no handler for; SIGCHLD comes through a descriptor. */
static int take_over_signals(struct init *init, struct failure *failure)
{
    sigset_t all;
    sigset_t child;
    sigfillset(&all);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return fail(failure, errno, "init: sigprocmask");
    init->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return init->signals < 0 ? fail(failure, errno, "init: signalfd") : 0;
}

/* Before hello: whether the ports are open then tells the monitor which of the two it is. */
static int open_streams(struct init *init, struct failure *failure)
{
    struct ports ports;
    if (ports_find(&ports)) {
        streams_use_ports(&init->streams, &ports);
        return 0;
    }
    int console = uart_open(THAW_CONSOLE_TTY, false, failure);
    if (console < 0)
        return console;
    streams_use_console(&init->streams, console);
    return 0;
}

static int open_ports(struct init *init, struct failure *failure)
{
    int rc = control_open(&init->control, failure);
    if (rc == 0)
        rc = open_streams(init, failure);
    if (rc < 0)
        return rc;
    control_send(&init->control, THAW_MSG_HELLO " init-oci %s", THAW_VERSION);
    return 0;
}

/* Without a valid mailbox init never holds, and touches the window no more. */
static int read_mailbox(struct init *init, struct failure *failure)
{
    mailbox_map(&init->mailbox);
    if (!mailbox_read(&init->mailbox, &init->message)) {
        init->mailbox.window = NULL;
        return 0;
    }
    return watch_follow(&init->watch, &init->message.header, failure);
}

static int bring_up(struct init *init, struct failure *failure)
{
    umask(0022);
    int rc = rootfs_leave_initial(failure);
    if (rc == 0)
        rc = mount_kernel_file_systems(failure);
    if (rc == 0)
        rc = park_own_streams(failure);
    if (rc == 0)
        rc = take_over_signals(init, failure);
    if (rc == 0)
        rc = open_ports(init, failure);
    if (rc == 0)
        rc = read_mailbox(init, failure);
    if (rc == 0)
        rc = network_loopback_up(failure);
    if (rc == 0)
        watch_start(&init->watch);
    return rc;
}

/* ---- the workload ------------------------------------------------------------------------- */

static int read_spec(struct init *init, struct failure *failure)
{
    size_t size;
    int rc = file_read_all(AT_FDCWD, THAW_SPEC_PATH, THAW_SPEC_SIZE_MAX, &init->spec_file, &size);
    if (rc < 0)
        return fail(failure, -rc, "%s", THAW_SPEC_PATH);
    struct spec_problem problem;
    rc = spec_parse(init->spec_file, size, &init->spec, &problem);
    if (rc < 0 && problem.offset == 0)
        return fail_plainly(failure, "%s: %s", THAW_SPEC_PATH, problem.why);
    if (rc < 0)
        return fail_plainly(failure, "%s: record %u at byte %zu %s", THAW_SPEC_PATH,
                            problem.tag & ~THAW_SPEC_CRITICAL, problem.offset, problem.why);
    return 0;
}

static bool is_ready(const struct init *init)
{
    return init->ready;
}

static int prepare_workload(struct init *init, struct failure *failure)
{
    int rc = read_spec(init, failure);
    if (rc == 0)
        rc = disks_mount(&init->spec, failure);
    if (rc < 0)
        return rc;
    rc = cgroup_create(&init->spec, &init->cgroup, failure);
    if (rc < 0)
        return rc;

    int ends[3] = {-1, -1, -1};
    rc = streams_open(&init->streams, &init->spec, ends, failure);
    if (rc == 0)
        rc = child_start(&init->spec, init->cgroup.dir, ends, &init->child, failure);
    for (int i = 0; i < 3; i++)
        file_close(&ends[i]);
    return rc < 0 ? rc : init_wait(init, is_ready, failure);
}

/* ---- the instant -------------------------------------------------------------------------- */

static bool must_hold(const struct init *init)
{
    return init->message.valid && (init->message.header.flags & THAW_MAILBOX_HOLD);
}

/* What the mailbox says of a boot. It was written before the guest's clocks began. */
static int apply_identity(struct init *init, struct failure *failure)
{
    if (!init->message.valid)
        return 0;
    init->message.header.wall_clock_ns += clock_ns(CLOCK_MONOTONIC);
    return identity_apply(&init->mailbox, &init->message, &init->namespaces, failure);
}

/* THAW_GENERATION comes first, so that the invocation's own environment may override it. */
static int release(struct init *init, struct failure *failure)
{
    const struct mailbox_message *message = &init->message;
    char generation[sizeof("THAW_GENERATION=") + 2 * sizeof(message->header.generation)] =
        "THAW_GENERATION=";
    char *at = generation + strlen(generation);
    for (size_t i = 0; i < sizeof(message->header.generation); i++)
        at += sprintf(at, "%02x", message->header.generation[i]);

    bool invoke = message->header.flags & THAW_MAILBOX_INVOKE;
    size_t envc = invoke ? message->header.envc : 0;
    cleanup_free const char **envp = calloc(envc + 1, sizeof(*envp));
    if (!envp)
        return fail(failure, ENOMEM, "invocation");
    envp[0] = generation;
    if (envc > 0)
        memcpy(envp + 1, message->envp, envc * sizeof(*envp));
    const struct invocation invocation = {
        .argv = message->argv,
        .argc = invoke ? message->header.argc : 0,
        .envp = envp,
        .envc = message->valid ? envc + 1 : 0,
    };
    watch_workload(&init->watch);
    mailbox_report_exec(&init->mailbox);
    return child_release(&init->child, &invocation, failure);
}

static int let_go(struct init *init, struct failure *failure)
{
    const struct thaw_mailbox_header *header = &init->message.header;
    int rc = 0;
    if (header->flags & THAW_MAILBOX_STDIN)
        streams_give_input(&init->streams, init->message.input, header->stdin_len);
    else
        rc = streams_begin(&init->streams, failure);
    if (rc == 0)
        rc = release(init, failure);
    mailbox_message_free(&init->message);
    return rc;
}

/* A mailbox that a held init finds after the doorbell may say HOLD once more: a snapshot of a clone
 * that has not begun yet. */
static int reach_instant(struct init *init, struct failure *failure)
{
    int rc = 0;
    bool held = must_hold(init);
    if (!held) {
        control_send(&init->control, THAW_MSG_PRE_EXEC);
        rc = apply_identity(init, failure);
    }
    while (rc == 0 && must_hold(init))
        rc = quiet_hold(init, failure);
    if (rc < 0)
        return rc;
    /* After a resume the mailbox's report says it, which costs no exit. */
    if (!held)
        control_send(&init->control, THAW_MSG_EXEC);
    return let_go(init, failure);
}

/* ---- the end ------------------------------------------------------------------------------ */

static bool has_ended(const struct init *init)
{
    return init->ended && !init->lingers;
}

static bool has_said_all(const struct init *init)
{
    return streams_are_done(&init->streams);
}

/* What the workload left behind ends with it, and so do the streams. */
static int see_it_end(struct init *init, struct failure *failure)
{
    int rc = init_wait(init, has_ended, failure);
    if (rc == 0)
        rc = cgroup_kill(&init->cgroup, failure);
    streams_end(&init->streams);
    if (rc == 0)
        rc = init_wait(init, has_said_all, failure);
    if (rc < 0)
        return rc;
    streams_flush(&init->streams);
    disks_release(&init->spec);
    control_send(&init->control, THAW_MSG_EXIT " status=%d", init->status);
    return 0;
}

static int run(struct init *init, struct failure *failure)
{
    int rc = bring_up(init, failure);
    if (rc == 0)
        rc = prepare_workload(init, failure);
    if (rc == 0)
        rc = reach_instant(init, failure);
    if (rc == 0)
        rc = see_it_end(init, failure);
    return rc;
}

/* Without a control port there is only the kernel's console, and perhaps nobody there. */
static void complain_on_console(const struct failure *failure)
{
    cleanup_close int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (console >= 0)
        dprintf(console, "init-oci: %s\n", failure->reason);
}

/* What the warm-up has printed comes before the reason. */
static void report_failure(struct init *init, const struct failure *failure)
{
    if (init->control.fd < 0) {
        complain_on_console(failure);
        return;
    }
    streams_flush(&init->streams);
    control_send(&init->control, THAW_MSG_FAILED " reason=%s", failure->reason);
}

int main(int argc, char **argv)
{
    /* As a workload, for the monitor: see THAW_INIT_REHEARSE. */
    if (argc == 2 && strcmp(argv[1], THAW_INIT_REHEARSE) == 0)
        return pause();
    if (getpid() != 1) {
        dprintf(STDERR_FILENO, "init-oci %s: is the first process of a microVM, nothing else\n",
                THAW_VERSION);
        return EXIT_FAILURE;
    }
    struct failure failure = {.reason = ""};
    struct init *init = calloc(1, sizeof(*init));
    if (init) {
        init->control.fd = -1;
        init->child = (struct child){.pid = -1, .pidfd = -1, .reports = -1, .orders = -1};
        init->cgroup = (struct cgroup){.dir = -1, .events = -1};
        init->namespaces = NAMESPACES_NONE;
        streams_init(&init->streams);
        watch_init(&init->watch);
        if (run(init, &failure) < 0)
            report_failure(init, &failure);
        if (init->control.fd >= 0)
            uart_drain(init->control.fd);
    }
    /* The monitor has stopped the machine by now. Another one sees a reset, and no last words of
     * the kernel behind the workload's output. */
    (void)file_write_value(AT_FDCWD, "/proc/sys/kernel/printk", "0");
    reboot(RB_AUTOBOOT);
    return EXIT_FAILURE;
}
