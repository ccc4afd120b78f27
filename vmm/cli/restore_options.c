/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/restore_options.h"

#include "vmm/cli/device_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: thaw restore SNAPSHOT [OPTIONS] [-- ARG...]\n"
    "\n"
    "Thaws a guest that `thaw run --snapshot-out` has frozen; `-`: one that comes on stdin.\n"
    "Any number may run at once from one snapshot; they share the memory that they do not\n"
    "change. From one that was taken before the workload began (pre-exec), each runs it afresh:\n"
    "with the arguments, environment and input given here, its own random numbers and the right\n"
    "time. From one that was taken later, the workload goes on where it stood.\n"
    "\n"
    "      --env KEY[=VALUE]     a variable of the workload's environment\n"
    "      --stdin FILE          the workload's input; default: thaw's own\n"
    "      --hostname NAME       the clone's host name\n"
    "      --disk NAME=PATH      the image of a disk is there now; a writable one is written to\n"
    "      --net ethN=TAP[,mac=ADDRESS][,ip=ADDRESS/PREFIX[,gw=ADDRESS]]\n"
    "                            a network card's other end; ethN=fd=N: a descriptor\n"
    "      --vsock PATH          where the socket goes\n"
    "      --console FILE        the kernel's console goes there and not to stderr\n"
    "      --clock WHICH         frozen (default): the guest's clocks go on where they stood, but\n"
    "                            for the time of day, which init sets; realtime: all of them have\n"
    "                            moved on meanwhile\n"
    "      --memory MODE         auto (default), map, prefetch or eager: see --explain\n"
    "      --no-io-uring         read with threads, as where io_uring is refused\n"
    "      --hold                thaw it, but leave it where it stands until SIGUSR1\n"
    "      --verify              compare every page with its checksum first\n"
    "      --explain             say how memory would come back, and end\n"
    "      --timing              when it is over, say how long everything took\n"
    "%s"
    "  -t, --timeout SECONDS     give up after that long\n"
    "      --json                when it is over, one JSON object on stderr\n"
    "  -h, --help                this text\n"
    "\n"
    "Exit status: the workload's own, as of thaw run; 20 to 27 when the snapshot was refused and\n"
    "nothing ran; 125 for every other failure of thaw or the guest. With --snapshot-out 0 or the\n"
    "failure's number.\n"
    "\n"
    "Example:\n"
    "  thaw run --bundle web --snapshot-on-pre-exec --snapshot-out web.snap\n"
    "  thaw restore web.snap --env COLOR=red -- /bin/echo hello\n";

static const char record_help[] =
    "Usage: thaw snapshot record-workingset SNAPSHOT [OPTIONS] [-- ARG...]\n"
    "\n"
    "Restores the snapshot once, with the options of thaw restore, and notes which pages the "
    "guest\n"
    "wants and in which order, until its workload or --timeout ends. They are put together in the\n"
    "snapshot's file `workingset`, from which a restore reads them in one go when the memory is "
    "not\n"
    "in the page cache. Run a workload that is like the later ones.\n";

enum {
    OPT_ENV = 256,
    OPT_STDIN,
    OPT_HOSTNAME,
    OPT_DISK,
    OPT_NET,
    OPT_VSOCK,
    OPT_CONSOLE,
    OPT_CLOCK,
    OPT_MEMORY,
    OPT_HOLD,
    OPT_VERIFY,
    OPT_EXPLAIN,
    OPT_TIMING,
    OPT_JSON,
    OPT_NO_IO_URING,
};

static const struct option longs[] = {
    {"env", required_argument, NULL, OPT_ENV},
    {"stdin", required_argument, NULL, OPT_STDIN},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"disk", required_argument, NULL, OPT_DISK},
    {"net", required_argument, NULL, OPT_NET},
    {"vsock", required_argument, NULL, OPT_VSOCK},
    {"console", required_argument, NULL, OPT_CONSOLE},
    {"clock", required_argument, NULL, OPT_CLOCK},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"no-io-uring", no_argument, NULL, OPT_NO_IO_URING},
    {"hold", no_argument, NULL, OPT_HOLD},
    {"verify", no_argument, NULL, OPT_VERIFY},
    {"explain", no_argument, NULL, OPT_EXPLAIN},
    {"timing", no_argument, NULL, OPT_TIMING},
    {"timeout", required_argument, NULL, 't'},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    SNAPSHOT_LONG_OPTIONS,
    {0},
};

/* NAME=PATH, cut at the '='. */
static int add_disk(struct restore_options *o, char *text, struct thaw_error *err)
{
    char *path = strchr(text, '=');
    if (!path || path == text || path[1] == '\0')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--disk %s: expected NAME=PATH", text);
    if (o->config.disk_count == MACHINE_DISKS_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, ENOSPC, "--disk: at most %u", MACHINE_DISKS_MAX);
    *path++ = '\0';
    o->config.disks[o->config.disk_count++] = (struct relocation){.name = text, .path = path};
    return 0;
}

/* ethN=TAP,... or ethN=fd=N,...: what `run` takes, behind the card's name. */
static int add_net(struct restore_options *o, char *text, struct thaw_error *err)
{
    struct machine_devices devices = {0};
    struct mailbox_content elsewhere = {0}; /* of a card that the mailbox has no room for */
    char whole[512];
    unsigned number = strncmp(text, "eth", 3) == 0 ? (unsigned)(text[3] - '0') : MACHINE_NETS_MAX;
    if (number >= MACHINE_NETS_MAX || text[4] != '=')
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--net %s: expected ethN=TAP or ethN=fd=N, N below %u", text,
                            MACHINE_NETS_MAX);
    const char *rest = text + 5;
    const char *prefix =
        strncmp(rest, "fd=", 3) == 0 || strncmp(rest, "tap=", 4) == 0 ? "" : "tap=";
    int n = snprintf(whole, sizeof(whole), "%s%s", prefix, rest);
    char *kept = n > 0 && (size_t)n < sizeof(whole) ? strdup(whole) : NULL;
    if (!kept) /* the devices point into it until the process ends */
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net %s: too long", text);
    int rc = device_option_net(&devices, number == 0 ? &o->mailbox : &elsewhere, kept, err);
    if (rc < 0)
        return rc;
    const struct net_config *net = &devices.nets[0];
    if (number > 0 && (elsewhere.ipv4_prefix > 0 || memcmp(net->mac, elsewhere.mac, 6) != 0))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--net eth%u: ip= and mac= are for eth0",
                            number);
    o->config.nets[number] = *net;
    if (number == 0)
        memcpy(o->mailbox.mac, net->mac, sizeof(o->mailbox.mac));
    return 0;
}

static int set_clock(struct restore_options *o, const char *name, struct thaw_error *err)
{
    if (strcmp(name, "frozen") != 0 && strcmp(name, "realtime") != 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--clock %s: frozen or realtime", name);
    o->config.clock = name[0] == 'f' ? ARCH_CLOCK_FROZEN : ARCH_CLOCK_REALTIME;
    return 0;
}

static int set_memory(struct restore_options *o, const char *name, struct thaw_error *err)
{
    if (restore_mode_parse(name, &o->config.mode))
        return 0;
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--memory %s: auto, map, prefetch or eager",
                        name);
}

static int set_option(struct restore_options *o, int option, struct thaw_error *err)
{
    switch (option) {
    case 't':
        return cli_parse_seconds("--timeout", optarg, &o->timeout_ns, err);
    case OPT_ENV:
        return cli_add_variable(o->env, &o->env_count, optarg, err);
    case OPT_STDIN:
        o->input = optarg;
        return 0;
    case OPT_HOSTNAME:
        o->mailbox.hostname = optarg;
        return 0;
    case OPT_DISK:
        return add_disk(o, optarg, err);
    case OPT_NET:
        return add_net(o, optarg, err);
    case OPT_VSOCK:
        o->config.vsock_path = optarg;
        return 0;
    case OPT_CONSOLE:
        o->console = optarg;
        return 0;
    case OPT_CLOCK:
        return set_clock(o, optarg, err);
    case OPT_MEMORY:
        return set_memory(o, optarg, err);
    case OPT_NO_IO_URING:
        o->config.no_io_uring = true;
        return 0;
    case OPT_HOLD:
        o->config.hold = true;
        return 0;
    case OPT_VERIFY:
        o->config.verify = true;
        return 0;
    case OPT_EXPLAIN:
        o->config.explain = true;
        return 0;
    case OPT_TIMING:
        o->timing = true;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    default:
        return option >= OPT_SNAPSHOT_FIRST ? snapshot_option_set(&o->snapshot, option, err)
                                            : thaw_error_code(err);
    }
}

static int take_path(struct restore_options *o, int argc, char **argv, struct thaw_error *err)
{
    int rc = cli_take_word(argc, argv, "restore", &o->config.path, err);
    if (rc < 0)
        return rc;
    if (!o->config.path)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "restore: needs a snapshot's directory (see thaw restore --help)");
    if (o->config.record && (snapshot_is_wanted(&o->snapshot.want) || o->config.explain))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "record-workingset: does not go with --snapshot-* and --explain");
    if (snapshot_is_stream(o->config.path) && (o->config.mode != RESTORE_AUTO || o->config.explain))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "restore -: a stream comes as it comes: no --memory, no --explain");
    return snapshot_options_check(&o->snapshot, err);
}

int restore_options_parse(struct restore_options *o, bool record, int argc, char **argv,
                          struct thaw_error *err)
{
    *o = (struct restore_options){.config = {.record = record}};
    for (unsigned i = 0; i < MACHINE_NETS_MAX; i++)
        o->config.nets[i].fd = -1;
    argc = cli_split_arguments(argc, argv, &o->args, &o->arg_count);
    int c, rc = 0;
    while (rc == 0 && (c = cli_next_option(argc, argv, ":t:h", longs, err)) != -1) {
        if (c == 'h') {
            if (record)
                fputs(record_help, stdout);
            else
                printf(help, snapshot_options_help);
            return 1;
        }
        rc = set_option(o, c, err);
    }
    return rc < 0 ? rc : take_path(o, argc, argv, err);
}
