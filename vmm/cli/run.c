/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw run`: boot a guest, run its workload, pass its output and status on. */
#include "thaw/spec.h"
#include "vmm/base/clock.h"
#include "vmm/base/kvm.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/guest_files.h"
#include "vmm/cli/result.h"
#include "vmm/cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* A stock Linux kernel does not get through its boot on a PVM host: say so at once, and what
 * works. A kernel named alone may be a freestanding guest, which does. */
static int check_host(const struct run_options *o, struct thaw_error *err)
{
    if (!o->bundle || kvm_host_kind() != KVM_HOST_PVM)
        return 0;
    return thaw_fail_as(err, THAW_FAIL_HOST, ENOTSUP,
                        "host: its KVM is page-table based (PVM) and cannot run a stock Linux "
                        "guest; use the nested rig: scripts/nested build/thaw run ...");
}

/* A workload's stdout has nothing in it but what the workload writes there; the kernel's last words
 * are on stderr. A kernel alone has only its console to speak. */
static int open_console(const struct run_options *o, struct thaw_error *err)
{
    if (o->console)
        return cli_open_console(o->console, err);
    return o->bundle || snapshot_takes_stdout(&o->snapshot) ? STDERR_FILENO : STDOUT_FILENO;
}

/* What a workload gets without asking: its standard streams; random numbers, at a rate that no
 * program notices and no guest can drain the host with; and a way to give memory back. */
static void add_usual_devices(struct machine_devices *devices, int stdout_fd)
{
    devices->has_ports = devices->has_rng = devices->has_balloon = true;
    devices->ports = (struct ports_config){
        .stdin_fd = STDIN_FILENO, .stdout_fd = stdout_fd, .stderr_fd = STDERR_FILENO};
    devices->rng = (struct rng_config){.bytes_per_second = 1u << 20, .burst = 256u << 10};
    devices->balloon.reporting = true;
}

/* Before the user's own disks. Init looks for its serial number, which must be the only one. */
static int add_root_disk(struct machine_devices *devices, const struct bundle *bundle,
                         struct thaw_error *err)
{
    if (!bundle || !bundle->root_image)
        return 0;
    if (devices->disk_count == MACHINE_DISKS_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENOSPC,
                            "--disk: a guest has at most %u, the image's own is one of them",
                            MACHINE_DISKS_MAX);
    for (unsigned i = 0; i < devices->disk_count; i++) {
        const char *serial = devices->disks[i].serial;
        if (serial && strcmp(serial, THAW_SPEC_ROOT_SERIAL) == 0)
            return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                                "--disk serial=%s: is that of the image's own disk", serial);
    }
    memmove(devices->disks + 1, devices->disks, devices->disk_count * sizeof(*devices->disks));
    devices->disks[0] = (struct blk_config){
        .path = bundle->root_image, .serial = THAW_SPEC_ROOT_SERIAL, .read_only = true};
    devices->disk_count++;
    return 0;
}

/* The place of the snapshot, before the guest boots for nothing. */
static int begin_capture(struct capture *capture, const struct run_options *o,
                         const struct guest_files *files, const struct machine_devices *devices,
                         const struct run_result *result, struct thaw_error *err)
{
    const struct bundle *bundle = files->bundle;
    const struct capture_config config = {
        .want = o->snapshot.want,
        .sync = o->snapshot.sync,
        .anyway = o->snapshot.anyway,
        .stream_fd = STDOUT_FILENO,
        .started_ns = result->started_ns,
        .kernel = files->kernel,
        .rootfs = bundle && bundle->root_image ? bundle->root_image : files->rootfs,
        .devices = devices,
        .mailbox = bundle ? &o->mailbox : NULL,
        .terminal = bundle && bundle->terminal,
        .entrypoint = bundle ? bundle->args : NULL,
        .entrypoint_count = bundle ? bundle->entrypoint_count : 0,
    };
    return capture_begin(capture, &config, err);
}

static int run_machine(const struct run_options *o, const struct machine_config *config,
                       const struct session_config *session, struct run_result *result,
                       struct thaw_error *err)
{
    if (o->devices.vsock.path)
        cli_allow_many_descriptors();
    session_block_signals();
    cleanup_machine struct machine *machine = NULL;
    int rc = machine_create(config, &machine, err);
    if (rc < 0)
        return rc;
    rc = session_run(machine, session, &result->session, err);
    result_collect(result, machine);
    return rc;
}

static int run_guest(const struct run_options *o, const struct guest_files *files,
                     struct run_result *result, struct thaw_error *err)
{
    int console_fd = open_console(o, err);
    if (console_fd < 0)
        return console_fd;
    cleanup_close int owned = o->console ? console_fd : -1;
    (void)owned;

    struct machine_devices devices = o->devices;
    if (o->bundle)
        add_usual_devices(&devices,
                          snapshot_takes_stdout(&o->snapshot) ? STDERR_FILENO : STDOUT_FILENO);
    int rc = add_root_disk(&devices, files->bundle, err);
    if (rc < 0)
        return rc;
    struct mailbox_content mailbox = o->mailbox;
    capture_prepare_mailbox(&o->snapshot.want, &mailbox);
    const struct machine_config config = {
        .vm = {.memory_size = o->memory, .vcpus = (unsigned)o->cpus},
        .kernel = files->kernel,
        .cmdline = files->cmdline,
        .initramfs = files->initramfs,
        .mailbox = o->bundle ? &mailbox : NULL,
        .devices = &devices,
        .console_fd = console_fd,
        .console_moves = o->bundle && !o->console && !snapshot_takes_stdout(&o->snapshot),
    };
    cleanup_capture struct capture capture = {.publish = PUBLISH_NONE};
    bool wanted = snapshot_is_wanted(&o->snapshot.want);
    if (wanted)
        rc = begin_capture(&capture, o, files, &devices, result, err);
    const struct session_config session = {
        .input_fd = STDIN_FILENO,
        .terminal = files->bundle && files->bundle->terminal && !wanted,
        .timeout_ns = o->timeout_ns,
        .capture = wanted ? &capture : NULL,
    };
    if (rc == 0)
        rc = run_machine(o, &config, &session, result, err);
    result->capture = capture.report;
    return rc;
}

static int prepare_and_run(const struct run_options *o, struct guest_files *files,
                           struct run_result *result, struct thaw_error *err)
{
    int rc = o->export_directory ? 0 : check_host(o, err);
    if (rc == 0)
        rc = guest_files_collect(files, o, err);
    if (rc < 0)
        return rc;
    if (o->export_directory)
        return guest_files_export(files, o->export_directory, err);
    return run_guest(o, files, result, err);
}

int cli_run(int argc, char **argv)
{
    struct run_result result = {.started_ns = clock_monotonic_ns()};
    struct thaw_error err = {0};
    struct run_options options;

    int rc = run_options_parse(&options, argc, argv, &err);
    if (rc > 0)
        return 0;
    struct guest_files files = {0};
    if (rc == 0)
        rc = prepare_and_run(&options, &files, &result, &err);

    int own = options.snapshot.want.out_path ? (int)err.failure : CLI_STATUS_OWN_FAILURE;
    int status = rc < 0 ? own : result.session.status;
    if (result.capture.taken && !options.json)
        result_print_capture(&result.capture, options.snapshot.want.out_path);
    if (options.json)
        result_print_json(&result, files.bundle, status, &err);
    else if (rc < 0)
        cli_report(&err);
    bundle_destroy(files.bundle);
    return status;
}
