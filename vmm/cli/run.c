/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw run`: boot a guest, run its workload, pass its output and status on. */
#include "thaw/spec.h"
#include "vmm/base/clock.h"
#include "vmm/base/file.h"
#include "vmm/base/kvm.h"
#include "vmm/bundle/bundle.h"
#include "vmm/bundle/image_store.h"
#include "vmm/bundle/rootfs.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/device_options.h"
#include "vmm/cli/result.h"
#include "vmm/cli/session.h"
#include "vmm/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define MEMORY_DEFAULT (128ull << 20)

/*
 * The kernel's command line, before --cmdline-extra. Quiet, since the console is thaw's stderr
 * here; a panic or oops ends the guest at once by the keyboard controller's reset, and leaves the
 * mark (warm) that tells a panic from a reboot. No bounce buffers: nothing here does DMA, and
 * they would take 64 MiB of a guest that reaches above 4 GiB.
 */
static const char cmdline_base[] =
    "console=ttyS0 loglevel=1 panic=-1 oops=panic reboot=k,panic_warm swiotlb=noforce";

struct run_options {
    const char *bundle, *kernel, *initrd, *cmdline_extra, *console, *warmup, *export_directory;
    uint64_t memory, cpus, timeout_ns;
    struct machine_devices devices;
    struct mailbox_content mailbox; /* for a bundle */
    char **args;                    /* what came after "--": the command line */
    size_t arg_count;               /* 0: the bundle's own */
    char image[4096];               /* directory of the image that was named: `bundle`, then */
    bool json;
};

static const char help[] =
    "Usage: thaw run IMAGE [OPTIONS] [-- ARG...]\n"
    "       thaw run --bundle DIR [OPTIONS] [-- ARG...]\n"
    "       thaw run --kernel FILE [OPTIONS]\n"
    "\n"
    "Boots a microVM and runs in it the process of an image (thaw image import makes one) or\n"
    "of an OCI bundle: a directory with a config.json (`runc spec` makes one) and a root file\n"
    "system. Its output appears here, stdin and signals reach it, and its exit status is\n"
    "thaw's. Without either, boots the given kernel alone. What comes after -- replaces the\n"
    "process's arguments; of an image, those after its entrypoint.\n"
    "\n"
    "  -b, --bundle DIR          the OCI bundle\n"
    "  -k, --kernel FILE         ELF vmlinux or bzImage; default: the one installed with thaw\n"
    "      --initrd FILE         an initramfs for --kernel, when there is no bundle\n"
    "  -m, --memory SIZE         guest memory, 32M to 32G; default 128M\n"
    "  -c, --cpus N              virtual CPUs, 1 to 8; default 1\n"
    "      --cmdline-extra TEXT  appended to the kernel's command line\n"
    "      --console FILE        the kernel's console goes there and not to stderr\n"
    "      --warmup COMMAND      run by /bin/sh in the guest, as the workload's user, before it\n"
    "%s"
    "  -t, --timeout SECONDS     give up after that long\n"
    "      --json                when it is over, one JSON object on stderr: status, times, exits\n"
    "      --export DIR          write kernel command line and initramfs there and do not run\n"
    "  -h, --help                this text\n"
    "\n"
    "Signals: INT, TERM, HUP, USR1, USR2 and WINCH are passed to the workload. A third INT or\n"
    "TERM, or QUIT, stops the guest.\n"
    "\n"
    "Exit status: the workload's own (128 + N when signal N killed it; 127 command not found,\n"
    "126 not executable), or 125 when thaw or the guest failed. Then stderr has one line,\n"
    "`thaw: what: why [name]`; the names are in thaw(1).\n"
    "\n"
    "Example:\n"
    "  thaw run --bundle web --memory 256M --cpus 2 --timeout 60\n";

enum {
    OPT_INITRD = 256,
    OPT_CMDLINE,
    OPT_CONSOLE,
    OPT_WARMUP,
    OPT_JSON,
    OPT_EXPORT,
    OPT_DISK,
    OPT_NET,
    OPT_VSOCK,
    OPT_BALLOON,
};

static const struct option longs[] = {
    {"bundle", required_argument, NULL, 'b'},
    {"kernel", required_argument, NULL, 'k'},
    {"initrd", required_argument, NULL, OPT_INITRD},
    {"memory", required_argument, NULL, 'm'},
    {"cpus", required_argument, NULL, 'c'},
    {"cmdline-extra", required_argument, NULL, OPT_CMDLINE},
    {"console", required_argument, NULL, OPT_CONSOLE},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"disk", required_argument, NULL, OPT_DISK},
    {"net", required_argument, NULL, OPT_NET},
    {"vsock", required_argument, NULL, OPT_VSOCK},
    {"balloon", required_argument, NULL, OPT_BALLOON},
    {"timeout", required_argument, NULL, 't'},
    {"json", no_argument, NULL, OPT_JSON},
    {"export", required_argument, NULL, OPT_EXPORT},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* Takes one option that has a value. */
static int set_option(struct run_options *o, int option, struct thaw_error *err)
{
    switch (option) {
    case 'b':
        o->bundle = optarg;
        return 0;
    case 'k':
        o->kernel = optarg;
        return 0;
    case 'm':
        return cli_parse_size("--memory", optarg, &o->memory, err);
    case 'c':
        return cli_parse_number("--cpus", optarg, 1, ARCH_VCPUS_MAX, &o->cpus, err);
    case 't':
        return cli_parse_seconds("--timeout", optarg, &o->timeout_ns, err);
    case OPT_INITRD:
        o->initrd = optarg;
        return 0;
    case OPT_CMDLINE:
        o->cmdline_extra = optarg;
        return 0;
    case OPT_CONSOLE:
        o->console = optarg;
        return 0;
    case OPT_WARMUP:
        o->warmup = optarg;
        return 0;
    case OPT_DISK:
        return device_option_disk(&o->devices, optarg, err);
    case OPT_NET:
        return device_option_net(&o->devices, &o->mailbox, optarg, err);
    case OPT_VSOCK:
        return device_option_vsock(&o->devices, optarg, err);
    case OPT_BALLOON:
        return device_option_balloon(&o->devices, optarg, err);
    case OPT_EXPORT:
        o->export_directory = optarg;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    default:
        return thaw_error_code(err);
    }
}

static int check_memory(uint64_t memory, struct thaw_error *err)
{
    struct sysinfo info;
    if (memory < ARCH_MEMORY_MIN || memory > ARCH_MEMORY_MAX || memory % GUEST_PAGE_SIZE != 0)
        return thaw_fail_as(err, THAW_FAIL_MEMORY, EINVAL,
                            "--memory: %llu KiB; a guest has 32M to 32G, in whole pages of 4K",
                            (unsigned long long)(memory >> 10));
    if (sysinfo(&info) == 0 && memory > (uint64_t)info.totalram * info.mem_unit)
        return thaw_fail_as(err, THAW_FAIL_MEMORY, ENOMEM, "--memory: %llu MiB; this host has %llu",
                            (unsigned long long)(memory >> 20),
                            (unsigned long long)((uint64_t)info.totalram * info.mem_unit >> 20));
    return 0;
}

/* One word before "--": an image of the store. */
static int take_image(struct run_options *o, int argc, char **argv, struct thaw_error *err)
{
    if (optind == argc)
        return 0;
    if (optind + 1 < argc)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: unexpected argument; a command comes after -- (see thaw run "
                            "--help)",
                            argv[optind + 1]);
    if (o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: either an image or --bundle (see thaw run --help)", argv[optind]);
    int rc = image_store_find(argv[optind], o->image, sizeof(o->image), err);
    o->bundle = o->image;
    return rc;
}

static int check_options(const struct run_options *o, struct thaw_error *err)
{
    if (!o->bundle && !o->kernel)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "run: needs an image, --bundle DIR or --kernel FILE (see thaw run "
                            "--help)");
    if (o->arg_count > 0 && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--: a command needs a bundle to run in");
    if (o->bundle && o->initrd)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--initrd: a bundle brings its own initramfs");
    if (o->warmup && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--warmup: needs --bundle");
    if (o->mailbox.ipv4_prefix > 0 && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net ip=: needs --bundle");
    int rc = check_memory(o->memory, err);
    if (rc == 0 && o->devices.balloon.target_pages >= o->memory / GUEST_PAGE_SIZE)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--balloon: leaves the guest nothing of its memory");
    return rc;
}

/* Takes the command line of the workload off the end. Before getopt_long(), which moves words
 * across "--". */
static int split_arguments(int argc, char **argv, struct run_options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") != 0)
            continue;
        o->args = argv + i + 1;
        o->arg_count = (size_t)(argc - i - 1);
        return i;
    }
    return argc;
}

/* 0: go on; 1: help was printed; negative: `err` is filled. */
static int parse_options(int argc, char **argv, struct run_options *o, struct thaw_error *err)
{
    *o = (struct run_options){.memory = MEMORY_DEFAULT, .cpus = 1};
    argc = split_arguments(argc, argv, o);
    int c, rc = 0;
    while (rc == 0 && (c = cli_next_option(argc, argv, ":b:k:m:c:t:h", longs, err)) != -1) {
        if (c == 'h') {
            printf(help, device_options_help);
            return 1;
        }
        rc = set_option(o, c, err);
    }
    if (rc == 0)
        rc = take_image(o, argc, argv, err);
    return rc < 0 ? rc : check_options(o, err);
}

/* Everything that a run needs from files before there is a guest. */
struct guest_files {
    struct bundle *bundle; /* NULL without --bundle */
    char rootfs[4096];     /* path of the packed root file system */
    char kernel[4096];
    char cmdline[ARCH_CMDLINE_MAX];
    struct initramfs initramfs;
};

static int find_kernel(const struct run_options *o, struct guest_files *files,
                       struct thaw_error *err)
{
    if (!o->kernel) {
        if (cli_find_installed("vmlinux", files->kernel, sizeof(files->kernel)) == 0)
            return 0;
        return thaw_fail_as(err, THAW_FAIL_KERNEL, ENOENT,
                            "kernel: no vmlinux next to thaw or in ../share/thaw (make kernel "
                            "builds it; --kernel names another)");
    }
    if (snprintf(files->kernel, sizeof(files->kernel), "%s", o->kernel) >=
        (int)sizeof(files->kernel))
        return thaw_fail_as(err, THAW_FAIL_KERNEL, ENAMETOOLONG, "kernel: path too long");
    return 0;
}

static int compose_cmdline(const struct run_options *o, struct guest_files *files,
                           struct thaw_error *err)
{
    int n = snprintf(files->cmdline, sizeof(files->cmdline), "%s%s%s", cmdline_base,
                     o->cmdline_extra ? " " : "", o->cmdline_extra ? o->cmdline_extra : "");
    if (n < 0 || (size_t)n >= sizeof(files->cmdline))
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG,
                            "--cmdline-extra: the kernel's command line holds %u bytes",
                            ARCH_CMDLINE_MAX - 1);
    return 0;
}

static int open_bundle(const struct run_options *o, struct guest_files *files,
                       struct thaw_error *err)
{
    struct bundle_options options = {
        .warmup = o->warmup, .args = o->args, .arg_count = o->arg_count};
    terminal_size(STDIN_FILENO, &options.rows, &options.cols);
    int rc = bundle_load(o->bundle, &options, &files->bundle, err);
    if (rc < 0)
        return rc;
    const struct bundle *bundle = files->bundle;
    bool archive = !bundle->root_image || bundle->pack_count > 0;
    rc = archive ? rootfs_archive(bundle, files->rootfs, sizeof(files->rootfs), err) : 0;
    if (rc < 0)
        return rc;
    files->initramfs = (struct initramfs){
        .spec = bundle->spec,
        .spec_size = bundle->spec_size,
        .archive_count = archive,
        .archives = {files->rootfs},
    };
    return 0;
}

static int collect_files(const struct run_options *o, struct guest_files *files,
                         struct thaw_error *err)
{
    int rc = o->bundle ? open_bundle(o, files, err) : 0;
    if (rc == 0 && !o->export_directory)
        rc = find_kernel(o, files, err);
    if (rc == 0)
        rc = compose_cmdline(o, files, err);
    if (rc == 0 && o->initrd)
        files->initramfs = (struct initramfs){.archive_count = 1, .archives = {o->initrd}};
    return rc;
}

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
    if (!o->console)
        return o->bundle ? STDERR_FILENO : STDOUT_FILENO;
    int fd = open(o->console, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) {
        thaw_fail(err, errno, "--console %s", o->console);
        return thaw_reclassify(err, THAW_FAIL_IO);
    }
    return fd;
}

/* What a workload gets without asking: its standard streams; random numbers, at a rate that no
 * program notices and no guest can drain the host with; and a way to give memory back. */
static void add_usual_devices(struct machine_devices *devices)
{
    devices->has_ports = devices->has_rng = devices->has_balloon = true;
    devices->ports = (struct ports_config){
        .stdin_fd = STDIN_FILENO, .stdout_fd = STDOUT_FILENO, .stderr_fd = STDERR_FILENO};
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
        add_usual_devices(&devices);
    int rc = add_root_disk(&devices, files->bundle, err);
    if (rc < 0)
        return rc;
    const struct machine_config config = {
        .vm = {.memory_size = o->memory, .vcpus = (unsigned)o->cpus},
        .kernel = files->kernel,
        .cmdline = files->cmdline,
        .initramfs = files->initramfs,
        .mailbox = o->bundle ? &o->mailbox : NULL,
        .devices = &devices,
        .console_fd = console_fd,
        .console_moves = o->bundle && !o->console,
    };
    const struct session_config session = {
        .input_fd = STDIN_FILENO,
        .terminal = files->bundle && files->bundle->terminal,
        .timeout_ns = o->timeout_ns,
    };
    session_block_signals();
    cleanup_machine struct machine *machine = NULL;
    rc = machine_create(&config, &machine, err);
    if (rc < 0)
        return rc;
    rc = session_run(machine, &session, &result->session, err);
    result_collect(result, machine);
    return rc;
}

static int export_file(const char *directory, const char *name, const struct guest_files *files,
                       struct thaw_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return thaw_fail_as(err, THAW_FAIL_IO, ENAMETOOLONG, "--export: path too long");
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        thaw_fail(err, errno, "--export %s", path);
        return thaw_reclassify(err, THAW_FAIL_IO);
    }
    int rc = strcmp(name, "cmdline") == 0
                 ? file_write_full(fd, files->cmdline, strlen(files->cmdline), err)
                 : initramfs_export(&files->initramfs, fd, err);
    if (rc < 0)
        unlink(path);
    return rc < 0 ? thaw_context(err, "--export %s", path) : 0;
}

static int export_guest(const struct run_options *o, const struct guest_files *files,
                        struct thaw_error *err)
{
    if (mkdir(o->export_directory, 0755) < 0 && errno != EEXIST) {
        thaw_fail(err, errno, "--export %s", o->export_directory);
        return thaw_reclassify(err, THAW_FAIL_IO);
    }
    int rc = export_file(o->export_directory, "initramfs", files, err);
    return rc < 0 ? rc : export_file(o->export_directory, "cmdline", files, err);
}

static int prepare_and_run(const struct run_options *o, struct guest_files *files,
                           struct run_result *result, struct thaw_error *err)
{
    int rc = o->export_directory ? 0 : check_host(o, err);
    if (rc == 0)
        rc = collect_files(o, files, err);
    if (rc < 0)
        return rc;
    return o->export_directory ? export_guest(o, files, err) : run_guest(o, files, result, err);
}

int cli_run(int argc, char **argv)
{
    struct run_result result = {.started_ns = clock_monotonic_ns()};
    struct thaw_error err = {0};
    struct run_options options;

    int rc = parse_options(argc, argv, &options, &err);
    if (rc > 0)
        return 0;
    struct guest_files files = {0};
    if (rc == 0)
        rc = prepare_and_run(&options, &files, &result, &err);

    int status = rc < 0 ? CLI_STATUS_OWN_FAILURE : result.session.status;
    if (options.json)
        result_print_json(&result, files.bundle, status, &err);
    else if (rc < 0)
        cli_report(&err);
    bundle_destroy(files.bundle);
    return status;
}
