/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw doctor`: what kind of host this is, what it can run, what costs time, and the mend. */
#include "vmm/base/cleanup.h"
#include "vmm/base/kvm.h"
#include "vmm/cli/cli.h"

#include <errno.h>
#include <jansson.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

enum finding_level { FINDING_OK, FINDING_SLOW, FINDING_LIMITED, FINDING_BROKEN };

struct finding {
    enum finding_level level;
    char what[64], state[128];
    const char *mend; /* NULL when there is nothing to mend */
};

#define FINDINGS_MAX 24

struct report {
    unsigned count;
    struct finding findings[FINDINGS_MAX];
};

__attribute__((format(printf, 5, 6))) static void add(struct report *report,
                                                      enum finding_level level, const char *what,
                                                      const char *mend, const char *state, ...)
{
    if (report->count == FINDINGS_MAX)
        return;
    struct finding *f = &report->findings[report->count++];
    f->level = level;
    f->mend = level == FINDING_OK ? NULL : mend;
    snprintf(f->what, sizeof(f->what), "%s", what);
    va_list args;
    va_start(args, state);
    vsnprintf(f->state, sizeof(f->state), state, args);
    va_end(args);
}

/* First line of a small file, or "" when it cannot be read. */
static void read_line(const char *path, char *line, size_t size)
{
    line[0] = '\0';
    cleanup_fclose FILE *f = fopen(path, "re");
    if (f && fgets(line, (int)size, f))
        line[strcspn(line, "\n")] = '\0';
}

static void check_host(struct report *report)
{
    struct thaw_error err = {0};
    cleanup_close int fd = kvm_open(&err);
    if (fd < 0) {
        add(report, FINDING_BROKEN, "/dev/kvm",
            err.code == EACCES || err.code == EPERM
                ? "sudo usermod -aG kvm \"$USER\", then log in again"
                : "sudo modprobe kvm_intel or kvm_amd (and virtualization enabled in the "
                  "firmware); without it, run under scripts/nested",
            "%s", err.message);
        return;
    }
    add(report, FINDING_OK, "/dev/kvm", NULL, "opens, API version %d", KVM_API_VERSION);

    if (kvm_host_kind() == KVM_HOST_PVM)
        add(report, FINDING_BROKEN, "host kind",
            "run thaw inside the nested rig: scripts/nested build/thaw run --bundle DIR",
            "PVM: KVM without hardware virtualization; it cannot run a stock Linux guest");
    else
        add(report, FINDING_OK, "host kind", NULL, "hardware virtualization");
}

static const char later_kernel[] = "a newer host kernel has it; guests boot without it";

/* What virtio devices cannot do without, and what is not needed to run but used by restores. */
static void check_capabilities(struct report *report)
{
    static const struct {
        long capability;
        const char *name;
        enum finding_level without;
        const char *mend;
    } wanted[] = {
        {KVM_CAP_IRQFD, "KVM_CAP_IRQFD", FINDING_BROKEN, "a newer host kernel has it"},
        {KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH", FINDING_BROKEN,
         "a newer host kernel (4.4) has it"},
        {KVM_CAP_XSAVE2, "KVM_CAP_XSAVE2", FINDING_SLOW, later_kernel},
        {KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER", FINDING_SLOW, later_kernel},
        {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK", FINDING_SLOW, later_kernel},
    };
    struct thaw_error err;
    cleanup_close int fd = kvm_open(&err);
    for (size_t i = 0; fd >= 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        int has = ioctl(fd, KVM_CHECK_EXTENSION, wanted[i].capability);
        add(report, has > 0 ? FINDING_OK : wanted[i].without, wanted[i].name, wanted[i].mend,
            has > 0 ? "yes" : "missing");
    }
}

static void check_io_uring(struct report *report)
{
    struct io_uring ring;
    int rc = io_uring_queue_init(1, &ring, 0);
    if (rc == 0)
        io_uring_queue_exit(&ring);
    add(report, rc == 0 ? FINDING_OK : FINDING_LIMITED, "io_uring",
        "sysctl kernel.io_uring_disabled=0, and no seccomp filter that forbids it; without it "
        "there are no disks and no images",
        "%s", rc == 0 ? "works" : strerror(-rc));
}

static void check_tun(struct report *report)
{
    bool usable = access("/dev/net/tun", R_OK | W_OK) == 0;
    add(report, usable ? FINDING_OK : FINDING_LIMITED, "/dev/net/tun",
        errno == ENOENT ? "sudo modprobe tun; without it there is no --net"
                        : "sudo chmod 666 /dev/net/tun; without it there is no --net",
        "%s", usable ? "can be opened" : strerror(errno));
}

static void check_nx_huge_pages(struct report *report)
{
    char value[32];
    read_line("/sys/module/kvm/parameters/nx_huge_pages", value, sizeof(value));
    if (value[0] == '\0')
        return;
    bool on = value[0] == 'Y' || value[0] == '1';
    add(report, on ? FINDING_SLOW : FINDING_OK, "kvm.nx_huge_pages",
        "where guests are trusted or the CPU is not affected: kvm.nx_huge_pages=never on the "
        "host's command line makes creating a VM cheaper",
        "%s", value);
}

static void check_cgroup(struct report *report)
{
    bool v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    add(report, v2 ? FINDING_OK : FINDING_SLOW, "cgroups",
        "boot the host with systemd.unified_cgroup_hierarchy=1: attaching KVM's threads to a v1 "
        "hierarchy costs milliseconds per VM",
        v2 ? "version 2" : "version 1 or none");

    cleanup_fclose FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[1024];
    while (v2 && mounts && fgets(line, sizeof(line), mounts))
        if (strstr(line, " cgroup2 ")) {
            bool favor = strstr(line, "favordynmods") != NULL;
            add(report, favor ? FINDING_OK : FINDING_SLOW, "cgroup favordynmods",
                "mount -o remount,favordynmods /sys/fs/cgroup avoids a grace period when KVM "
                "moves its worker thread",
                favor ? "on" : "off");
            return;
        }
}

static void check_memory(struct report *report)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return;
    unsigned long long mib = ((unsigned long long)info.totalram * info.mem_unit) >> 20;
    add(report, mib >= 512 ? FINDING_OK : FINDING_SLOW, "memory",
        "guests take 128 MiB unless told otherwise", "%llu MiB", mib);
}

static void check_kernel_image(struct report *report)
{
    char path[4096];
    bool found = cli_find_installed("vmlinux", path, sizeof(path)) == 0;
    add(report, found ? FINDING_OK : FINDING_BROKEN, "guest kernel",
        "build it with `make kernel`, or name one with thaw run --kernel",
        found ? "installed" : "no vmlinux next to thaw or in ../share/thaw");
}

static const char *level_name(enum finding_level level)
{
    static const char *const names[] = {"ok", "slow", "limited", "broken"};
    return names[level];
}

static void print_text(const struct report *report)
{
    struct utsname name;
    if (uname(&name) == 0)
        printf("%s %s %s\n", name.sysname, name.release, name.machine);
    for (unsigned i = 0; i < report->count; i++) {
        const struct finding *f = &report->findings[i];
        printf("%-7s  %-28s  %s\n", level_name(f->level), f->what, f->state);
        if (f->mend)
            printf("%-7s  %-28s  -> %s\n", "", "", f->mend);
    }
}

static void print_json(const struct report *report, bool can_run)
{
    json_t *findings = json_array();
    for (unsigned i = 0; i < report->count; i++) {
        const struct finding *f = &report->findings[i];
        json_array_append_new(findings,
                              json_pack("{s:s, s:s, s:s, s:s?}", "level", level_name(f->level),
                                        "what", f->what, "state", f->state, "mend", f->mend));
    }
    json_t *root = json_pack("{s:s, s:b, s:o}", "host_kind", kvm_host_kind_name(kvm_host_kind()),
                             "can_run", can_run, "findings", findings);
    json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(root);
}

static const char help[] =
    "Usage: thaw doctor [--json]\n"
    "\n"
    "Looks at this host and says what it can run: the kind of KVM, its capabilities,\n"
    "permissions, and settings that cost time. Each finding is ok, slow (it works, and\n"
    "the mend makes it faster), limited (guests run, but without what is named) or broken\n"
    "(no guest can run; the mend is named).\n"
    "\n"
    "  --json   one JSON object on stdout\n"
    "  --help   this text\n"
    "\n"
    "Exit status: 0 when a Linux guest can run here, 1 when not, 2 for a wrong option.\n";

int cli_doctor(int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct thaw_error err;
    bool json = false;
    int c;
    while ((c = cli_next_option(argc, argv, ":h", longs, &err)) != -1) {
        switch (c) {
        case 'j':
            json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            cli_report(&err);
            return THAW_FAIL_USAGE;
        }
    }

    struct report report = {0};
    check_host(&report);
    check_capabilities(&report);
    check_io_uring(&report);
    check_tun(&report);
    check_nx_huge_pages(&report);
    check_cgroup(&report);
    check_memory(&report);
    check_kernel_image(&report);

    bool can_run = true;
    for (unsigned i = 0; i < report.count; i++)
        can_run &= report.findings[i].level != FINDING_BROKEN;
    if (json)
        print_json(&report, can_run);
    else
        print_text(&report);
    return can_run ? 0 : 1;
}
