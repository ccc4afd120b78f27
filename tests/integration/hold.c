/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold KERNEL BUNDLE ARG...: boots the bundle with a mailbox that says HOLD, waits for
 * workload-pre-exec, writes a new invocation (argv, one variable, a hostname, a stdin) into the
 * mailbox, rings the doorbell, and exits with the workload's status. On stderr: what happened,
 * `held` and `resumed`. This is the handshake that a snapshot will use, without the snapshot.
 */
#include "devices/machine.h"
#include "vmm/bundle/bundle.h"
#include "vmm/bundle/rootfs.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define DEADLINE_MS 60000

static int fail(const struct thaw_error *err)
{
    fprintf(stderr, "hold: %s\n", err->message);
    return 125;
}

/* Waits until the control port has something new; false when the guest has ended or time is up. */
static bool wait_for_news(struct machine *machine, struct guest_observation *seen)
{
    struct pollfd fds[] = {{.fd = machine->vm->ended_fd, .events = POLLIN},
                           {.fd = machine->news_fd, .events = POLLIN}};
    int n = poll(fds, 2, DEADLINE_MS);
    machine_observe(machine, seen);
    return n > 0 && !fds[0].revents;
}

static int resume(struct machine *machine, char **argv, struct thaw_error *err)
{
    static const char *const env[] = {"COLOR=from the mailbox", NULL};
    static const char input[] = "a line of stdin\n";
    const struct mailbox_content content = {
        .hold = true,
        .argv = (const char *const *)argv,
        .env = env,
        .has_stdin = true,
        .stdin_data = input,
        .stdin_len = strlen(input),
        .hostname = "clone",
    };
    int rc = mailbox_write(&machine->vm->memory, &content, err);
    return rc < 0 ? rc : control_doorbell(machine->control);
}

static int run(struct machine *machine, char **argv, struct thaw_error *err)
{
    struct guest_observation seen = {0};
    int rc = machine_start(machine, err);
    while (rc == 0 && !seen.pre_exec_ready && wait_for_news(machine, &seen))
        ;
    if (rc < 0 || !seen.pre_exec_ready)
        return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, EIO, "never held: %s", seen.failure);
    fputs("held\n", stderr);

    /* A held init is blocked in a read: nothing is said, and nothing runs, until the doorbell. */
    struct pollfd quiet = {.fd = machine->news_fd, .events = POLLIN};
    if (poll(&quiet, 1, 300) != 0)
        return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, EIO, "spoke while it was held");

    rc = resume(machine, argv, err);
    while (rc == 0 && !seen.exited && wait_for_news(machine, &seen))
        ;
    if (rc < 0 || !seen.exited)
        return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, EIO, "never ended: %s", seen.failure);
    if (seen.exec)
        return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, EIO,
                            "said workload-exec, which a resumed guest must not");

    struct thaw_mailbox_report report;
    rc = mailbox_read_report(&machine->vm->memory, &report, err);
    if (rc == 0 && (report.resumed_ns == 0 || report.exec_ns < report.resumed_ns))
        return thaw_fail_as(err, THAW_FAIL_GUEST_INIT, EIO, "left no times in the mailbox");
    fputs("resumed\n", stderr);
    writer_flush(machine->console, DEADLINE_MS);
    return rc < 0 ? rc : seen.exit_status;
}

int main(int argc, char **argv)
{
    struct thaw_error err = {0};
    if (argc < 4)
        return 2;

    cleanup_bundle struct bundle *bundle = NULL;
    char archive[4096];
    if (bundle_load(argv[2], NULL, &bundle, &err) < 0 ||
        rootfs_archive(bundle, archive, sizeof(archive), &err) < 0)
        return fail(&err);

    const struct mailbox_content hold = {.hold = true};
    const struct machine_config config = {
        .vm = {.memory_size = 128ull << 20, .vcpus = 1},
        .kernel = argv[1],
        .cmdline = "console=ttyS0 loglevel=1 panic=-1 reboot=k,panic_warm",
        .initramfs = {.spec = bundle->spec,
                      .spec_size = bundle->spec_size,
                      .archive_count = 1,
                      .archives = {archive}},
        .mailbox = &hold,
        .console_fd = STDOUT_FILENO,
    };
    cleanup_machine struct machine *machine = NULL;
    if (machine_create(&config, &machine, &err) < 0)
        return fail(&err);
    int status = run(machine, argv + 3, &err);
    return status < 0 ? fail(&err) : status;
}
