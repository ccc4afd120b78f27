/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/run_options.h"

#include "vmm/bundle/image_store.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/device_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define MEMORY_DEFAULT (128ull << 20)

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
    "      --env KEY[=VALUE]     a variable of the workload's environment; KEY alone: as it is "
    "here\n"
    "      --warmup COMMAND      run by /bin/sh in the guest, as the workload's user, before it\n"
    "%s"
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
    "`thaw: what: why [name]`; the names are in thaw(1). With --snapshot-out 0 or the failure's\n"
    "own number: no workload has a say then.\n"
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
    OPT_ENV,
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
    {"env", required_argument, NULL, OPT_ENV},
    {"disk", required_argument, NULL, OPT_DISK},
    {"net", required_argument, NULL, OPT_NET},
    {"vsock", required_argument, NULL, OPT_VSOCK},
    {"balloon", required_argument, NULL, OPT_BALLOON},
    {"timeout", required_argument, NULL, 't'},
    {"json", no_argument, NULL, OPT_JSON},
    {"export", required_argument, NULL, OPT_EXPORT},
    {"help", no_argument, NULL, 'h'},
    SNAPSHOT_LONG_OPTIONS,
    {0},
};

static int add_disk(struct run_options *o, char *text, struct thaw_error *err)
{
    const char *mount;
    int rc = device_option_disk(&o->devices, &mount, text, err);
    if (rc < 0 || !mount)
        return rc;
    const struct blk_config *disk = &o->devices.disks[o->devices.disk_count - 1];
    o->mounts[o->mount_count++] = (struct bundle_disk){.path = disk->path,
                                                       .serial = disk->serial,
                                                       .destination = mount,
                                                       .read_only = disk->read_only};
    return 0;
}

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
    case OPT_ENV:
        return cli_add_variable(o->env, &o->env_count, optarg, err);
    case OPT_DISK:
        return add_disk(o, optarg, err);
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
        return option >= OPT_SNAPSHOT_FIRST ? snapshot_option_set(&o->snapshot, option, err)
                                            : thaw_error_code(err);
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
    const char *name;
    int rc = cli_take_word(argc, argv, "run", &name, err);
    if (rc < 0 || !name)
        return rc;
    if (o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: either an image or --bundle (see thaw run --help)", name);
    rc = image_store_find(name, o->image, sizeof(o->image), err);
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
    if (o->mount_count > 0 && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--disk mount=: needs an image or a bundle");
    if (o->env_count > 0 && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--env: needs an image or a bundle");
    if (o->warmup && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--warmup: needs --bundle");
    if (o->snapshot.want.on_pre_exec && !o->bundle)
        return thaw_fail_as(
            err, THAW_FAIL_USAGE, EINVAL,
            "--snapshot-on-pre-exec: needs an image or a bundle; a kernel alone has "
            "--snapshot-after-ms");
    if (o->mailbox.ipv4_prefix > 0 && !o->bundle)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net ip=: needs --bundle");
    int rc = check_memory(o->memory, err);
    if (rc == 0)
        rc = snapshot_options_check(&o->snapshot, err);
    if (rc == 0 && o->devices.balloon.target_pages >= o->memory / GUEST_PAGE_SIZE)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--balloon: leaves the guest nothing of its memory");
    return rc;
}

int run_options_parse(struct run_options *o, int argc, char **argv, struct thaw_error *err)
{
    *o = (struct run_options){.memory = MEMORY_DEFAULT, .cpus = 1};
    argc = cli_split_arguments(argc, argv, &o->args, &o->arg_count);
    int c, rc = 0;
    while (rc == 0 && (c = cli_next_option(argc, argv, ":b:k:m:c:t:h", longs, err)) != -1) {
        if (c == 'h') {
            printf(help, device_options_help, snapshot_options_help);
            return 1;
        }
        rc = set_option(o, c, err);
    }
    if (rc == 0)
        rc = take_image(o, argc, argv, err);
    return rc < 0 ? rc : check_options(o, err);
}
