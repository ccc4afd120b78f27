/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw restore`: a frozen guest goes on, once or any number of times. */
#include "vmm/base/clock.h"
#include "vmm/base/file.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/fault.h"
#include "vmm/cli/progress.h"
#include "vmm/cli/restore_options.h"
#include "vmm/cli/result.h"
#include "vmm/cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static bool reads_stdin(const struct restore_options *o)
{
    return snapshot_is_stream(o->config.path);
}

/* ---- what this clone is told -------------------------------------------------------------- */

/* The image's entrypoint, then what came after "--". */
static const char **compose_args(const struct restore_options *o, const struct snapshot_meta *meta,
                                 struct thaw_error *err)
{
    const char **args = calloc(meta->entrypoint_count + o->arg_count + 1, sizeof(*args));
    if (!args) {
        thaw_fail(err, ENOMEM, "arguments");
        return NULL;
    }
    size_t count = 0;
    const char *at = meta->entrypoint;
    for (; count < meta->entrypoint_count; at += strlen(at) + 1)
        args[count++] = at;
    for (size_t i = 0; i < o->arg_count; i++)
        args[count++] = o->args[i];
    return args;
}

/* What is given must find somebody who takes it. */
static int check_invocation(const struct restore_options *o, const struct snapshot_meta *meta,
                            struct thaw_error *err)
{
    bool invokes = o->arg_count > 0 || o->env_count > 0;
    if (invokes && meta->point != SNAPSHOT_POINT_PRE_EXEC)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: was taken with the workload under way (%s): arguments and --env "
                            "come too late",
                            o->config.path, snapshot_point_name(meta->point));
    if (o->mailbox.hostname && !meta->has_mailbox)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--hostname: this guest has no init that would set it");
    if (o->config.hold && meta->point == SNAPSHOT_POINT_RUNNING)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--hold: this guest has no init that waits");
    for (unsigned i = meta->net_count; i < MACHINE_NETS_MAX; i++)
        if (o->config.nets[i].tap || o->config.nets[i].fd >= 0)
            return thaw_fail_as(err, THAW_FAIL_USAGE, ENODEV,
                                "--net eth%u: the snapshot has %u network cards", i,
                                meta->net_count);
    if (o->snapshot.want.on_pre_exec && meta->point != SNAPSHOT_POINT_PRE_EXEC)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--snapshot-on-pre-exec: the snapshot was taken after it");
    return 0;
}

/* ---- running ------------------------------------------------------------------------------ */

struct run {
    const struct restore_options *options;
    struct restore restore;
    struct capture capture;
    struct run_result *result;
    struct machine *machine; /* borrowed, while it runs */
    const struct mailbox_content *mailbox;
    struct record_report recorded;
};

static void guest_runs(void *ctx)
{
    struct run *run = ctx;
    restore_running(&run->restore);
}

static int wake_guest(void *ctx, struct thaw_error *err)
{
    struct run *run = ctx;
    return restore_wake(&run->restore, run->machine, run->mailbox, err);
}

static int begin_capture(struct run *run, struct thaw_error *err)
{
    const struct restore_options *o = run->options;
    if (!snapshot_is_wanted(&o->snapshot.want))
        return 0;
    const struct capture_config config = {
        .want = o->snapshot.want,
        .sync = o->snapshot.sync,
        .anyway = o->snapshot.anyway,
        .stream_fd = STDOUT_FILENO,
        .started_ns = run->result->started_ns,
        .devices = &run->restore.devices,
        .parent = run->restore.meta,
        .mailbox = run->mailbox,
        .backed = &run->restore.map.data,
        .terminal = run->restore.meta->terminal,
    };
    return capture_begin(&run->capture, &config, err);
}

static int run_session(struct run *run, struct machine *machine, int input_fd,
                       struct thaw_error *err)
{
    const struct restore_options *o = run->options;
    bool wanted = snapshot_is_wanted(&o->snapshot.want);
    const struct session_config session = {
        .input_fd = input_fd,
        .terminal = run->restore.meta->terminal && !wanted,
        .timeout_ns = o->timeout_ns,
        .capture = wanted ? &run->capture : NULL,
        .started = guest_runs,
        .wake = o->config.hold ? wake_guest : NULL,
        .ctx = run,
    };
    int rc = session_run(machine, &session, &run->result->session, err);
    result_collect(run->result, machine);
    run->result->capture = run->capture.report;
    return rc;
}

static int thaw_guest(struct run *run, const struct mailbox_content *mailbox, int input_fd,
                      struct thaw_error *err)
{
    const struct restore_options *o = run->options;
    if (run->restore.meta->vsock.present)
        cli_allow_many_descriptors();
    session_block_signals();
    fault_watch(&run->restore, input_fd);
    cleanup_machine struct machine *machine = NULL;
    int rc = restore_build(&run->restore, mailbox, &machine, err);
    run->machine = machine;
    run->mailbox = mailbox;
    if (rc == 0)
        rc = begin_capture(run, err);
    if (rc == 0)
        rc = run_session(run, machine, input_fd, err);
    if (rc < 0)
        rc = fault_explain(&run->restore, err);
    run->result->restore = run->restore.times;
    if (o->config.record && (rc == 0 || err->failure == THAW_FAIL_TIMEOUT)) {
        *err = (struct thaw_error){0};
        rc = restore_record(&run->restore, &run->recorded, err);
    }
    /* What happens beside the guest ends before its memory goes. */
    fault_unwatch();
    restore_stop(&run->restore);
    capture_end(&run->capture);
    return rc;
}

/* eth0 keeps the address that it was given at the bake, unless there is another one now. */
static void use_recorded_address(const struct snapshot_ipv4 *ipv4, struct mailbox_content *mailbox)
{
    if (mailbox->ipv4_prefix > 0 || ipv4->prefix == 0)
        return;
    mailbox->ipv4_prefix = ipv4->prefix;
    memcpy(mailbox->ipv4, ipv4->address, sizeof(mailbox->ipv4));
    memcpy(mailbox->ipv4_gateway, ipv4->gateway, sizeof(mailbox->ipv4_gateway));
}

static int prepare_mailbox(const struct run *run, const char **args,
                           struct mailbox_content *mailbox, struct thaw_error *err)
{
    const struct restore_options *o = run->options;
    *mailbox = o->mailbox;
    mailbox->argv = o->arg_count > 0 ? args : NULL;
    mailbox->env = o->env;
    use_recorded_address(&run->restore.meta->ipv4, mailbox);
    capture_prepare_mailbox(&o->snapshot.want, mailbox);
    return check_invocation(o, run->restore.meta, err);
}

static int open_input(const struct restore_options *o, struct thaw_error *err)
{
    const char *path = o->input ? o->input : reads_stdin(o) ? "/dev/null" : NULL;
    if (!path)
        return STDIN_FILENO;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        return fd;
    return thaw_fail_io(err, errno, "--stdin %s", path);
}

static int explain(const struct restore *restore, bool json, struct thaw_error *err)
{
    json_t *object = json ? restore_plan_json(&restore->plan) : NULL;
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER)
                        : restore_plan_text(&restore->plan);
    json_decref(object);
    if (!text)
        return thaw_fail(err, ENOMEM, "plan");
    fputs(text, stdout);
    if (json)
        putchar('\n');
    free(text);
    return 0;
}

static int verify(struct restore *restore, struct thaw_error *err)
{
    struct progress progress = progress_of("verify", restore->map.pages);
    return restore_verify(restore, progress_pages, &progress, err);
}

/* As under `thaw run`: a kernel alone has only its console to speak. */
static void place_console(struct restore *restore, const struct restore_options *o)
{
    if (!o->console && !snapshot_takes_stdout(&o->snapshot) && !restore->meta->has_mailbox)
        restore->config.console_fd = STDOUT_FILENO;
}

/* The descriptors that only live as long as the guest. */
static int run_with(struct run *run, const struct restore_config *config, int input_fd,
                    struct thaw_error *err)
{
    int rc = restore_open(&run->restore, config, err);
    if (rc == 0 && run->options->config.explain)
        return explain(&run->restore, run->options->json, err);
    if (rc == 0 && config->verify)
        rc = verify(&run->restore, err);
    if (rc < 0)
        return rc;
    place_console(&run->restore, run->options);
    struct mailbox_content mailbox;
    cleanup_free const char **args = compose_args(run->options, run->restore.meta, err);
    if (!args)
        return thaw_error_code(err);
    rc = prepare_mailbox(run, args, &mailbox, err);
    return rc < 0 ? rc : thaw_guest(run, &mailbox, input_fd, err);
}

static int restore_and_run(struct run *run, struct thaw_error *err)
{
    const struct restore_options *o = run->options;
    struct restore_config config = o->config;
    int input_fd = open_input(o, err);
    if (input_fd < 0)
        return input_fd;
    int console_fd = o->console ? cli_open_console(o->console, err) : STDERR_FILENO;
    if (console_fd < 0)
        return console_fd;
    cleanup_close int owned_input = input_fd != STDIN_FILENO ? input_fd : -1;
    cleanup_close int owned_console = o->console ? console_fd : -1;
    cleanup_close int end_fd = reads_stdin(o) ? session_open_end_fd(err) : -1;
    (void)owned_input;
    (void)owned_console;
    if (reads_stdin(o) && end_fd < 0)
        return end_fd;
    config.stream_fd = STDIN_FILENO;
    config.end_fd = end_fd;
    config.console_fd = console_fd;
    config.console_moves = !o->console && !snapshot_takes_stdout(&o->snapshot);
    config.ports = (struct ports_config){
        .stdin_fd = input_fd,
        .stdout_fd = snapshot_takes_stdout(&o->snapshot) ? STDERR_FILENO : STDOUT_FILENO,
        .stderr_fd = STDERR_FILENO};
    return run_with(run, &config, input_fd, err);
}

/* A snapshot that was refused has its own numbers: nothing has run that could have given them. */
static int exit_status(const struct restore_options *o, const struct run_result *result,
                       const struct thaw_error *err)
{
    bool refused = err->failure >= THAW_FAIL_SNAPSHOT && err->failure <= THAW_FAIL_SNAPSHOT_DISK &&
                   !result->first_run_ns;
    if (err->code == 0)
        return result->session.status;
    return refused || o->snapshot.want.out_path ? (int)err->failure : CLI_STATUS_OWN_FAILURE;
}

int cli_restore(int argc, char **argv)
{
    struct run_result result = {.started_ns = clock_monotonic_ns()};
    struct thaw_error err = {0};
    struct restore_options options;
    int rc = restore_options_parse(&options, false, argc, argv, &err);
    if (rc > 0)
        return 0;
    struct run run = {.options = &options, .result = &result, .capture = {.publish = PUBLISH_NONE}};
    if (rc == 0) {
        restore_and_run(&run, &err);
        restore_close(&run.restore);
    }
    int status = exit_status(&options, &result, &err);
    if (options.timing && err.code == 0 && !options.config.explain)
        result_print_timing(&result);
    if (result.capture.taken && !options.json)
        result_print_capture(&result.capture, options.snapshot.want.out_path);
    if (options.json && !(options.config.explain && err.code == 0))
        result_print_json(&result, NULL, status, &err);
    else if (err.code)
        cli_report(&err);
    return status;
}

int cli_record(int argc, char **argv, struct thaw_error *err)
{
    struct run_result result = {.started_ns = clock_monotonic_ns()};
    struct restore_options options;
    int rc = restore_options_parse(&options, true, argc, argv, err);
    if (rc != 0)
        return rc;
    struct run run = {.options = &options, .result = &result, .capture = {.publish = PUBLISH_NONE}};
    rc = restore_and_run(&run, err);
    restore_close(&run.restore);
    if (rc < 0)
        return rc;
    const char *kind = run.recorded.approximate ? "true" : "false";
    unsigned long long pages = run.recorded.pages;
    if (options.json)
        fprintf(stderr, "{\"ok\":true,\"pages\":%llu,\"approximate\":%s}\n", pages, kind);
    else
        fprintf(stderr, "thaw: working set of %s: %llu pages%s\n", options.config.path, pages,
                run.recorded.approximate ? ", approximate" : "");
    if (options.timing)
        result_print_timing(&result);
    return 0;
}
