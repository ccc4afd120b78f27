/* SPDX-License-Identifier: Apache-2.0 */
/* config.json that is refused: each with the sentence that says why. */
#include "tests/unit/test_bundle_support.h"

#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void expect_refused(const char *text, size_t size, const char *message)
{
    struct bundle *bundle = NULL;
    struct thaw_error err;
    int rc = bundle_load_text(text, size, NULL, &bundle, &err);
    cr_assert_lt(rc, 0, "accepted, although %s", message);
    cr_assert_null(bundle);
    cr_expect_str_eq(err.message, message);
    cr_expect_eq(err.failure, THAW_FAIL_CONFIG, "%s", message);
    cr_expect_eq(rc, -err.code);
}

Test(bundle_config, malformed_json_is_refused_with_line_and_column)
{
    static const struct {
        const char *fixture, *message;
    } rows[] = {
        {"array.json", "config.json: must be an object, not an array"},
        {"cut-off.json", "config.json:4:0: '}' expected near end of file"},
        {"duplicate-key.json", "config.json:1:51: duplicate object key near '\"hostname\"'"},
        {"empty.json", "config.json:1:0: '[' or '{' expected near end of file"},
        {"missing-comma.json", "config.json:3:36: '}' expected near '\"cwd\"'"},
        {"not-utf8.json", "config.json:1:37: unable to decode byte 0xff near '\"'"},
        {"nul-in-string.json", "config.json:1:46: a string must not contain \\u0000"},
        {"too-big-integer.json", "config.json:1:26: too big integer near '18446744073709551616'"},
        {"too-deep.json", "config.json:1:2049: maximum parsing depth reached near '['"},
        {"two-documents.json", "config.json:2:1: end of file expected near '{'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "bad/%s", rows[i].fixture);
        size_t size;
        cleanup_free char *text = bundle_read_fixture(name, &size);
        expect_refused(text, size, rows[i].message);
    }
}

struct refusal {
    const char *patch; /* merged into the minimal config */
    const char *message;
};

static void expect_refusals(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *text = bundle_patched_config(rows[i].patch);
        char message[THAW_ERROR_MESSAGE_MAX];
        snprintf(message, sizeof(message), "config.json: %s", rows[i].message);
        expect_refused(text, strlen(text), message);
    }
}
#define EXPECT_REFUSALS(rows) expect_refusals(rows, sizeof(rows) / sizeof((rows)[0]))

Test(bundle_config, what_is_wrong_at_the_top_is_named)
{
    static const struct refusal rows[] = {
        {"{\"ociVersion\": null}", "ociVersion: is required"},
        {"{\"ociVersion\": 1}", "ociVersion: must be a string, not a number"},
        {"{\"ociVersion\": \"2.0.0\"}",
         "ociVersion: 2.0.0 is not a version 1.x of the OCI runtime specification"},
        {"{\"ociVersion\": \"1.0\"}",
         "ociVersion: 1.0 is not a version 1.x of the OCI runtime specification"},
        {"{\"ociVersion\": \"1.0.0x\"}",
         "ociVersion: 1.0.0x is not a version 1.x of the OCI runtime specification"},
        {"{\"process\": null}", "process: is required"},
        {"{\"process\": []}", "process: must be an object, not an array"},
        {"{\"root\": null}", "root: is required"},
        {"{\"root\": {\"path\": \"\"}}", "root.path: must not be empty"},
        {"{\"root\": {\"readonly\": \"yes\"}}", "root.readonly: must be a boolean, not a string"},
        {"{\"hostname\": 5}", "hostname: must be a string, not a number"},
        {"{\"hostname\": \"hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\"}",
         "hostname: must have at most 64 bytes"},
        {"{\"domainname\": true}", "domainname: must be a string, not a boolean"},
        {"{\"annotations\": []}", "annotations: must be an object, not an array"},
        {"{\"annotations\": {\"a.b\": 1}}", "annotations.a.b: must be a string, not a number"},
        {"{\"annotations\": {\"\": \"x\"}}",
         "annotations.: an annotation's name must not be empty"},
        {"{\"hooks\": {\"prestart\": [{\"path\": \"/x\"}]}}",
         "hooks.prestart: hooks are not run: a microVM has no host-side container to hook into"},
        {"{\"hooks\": {\"createRuntime\": [{}]}}",
         "hooks.createRuntime: hooks are not run: a microVM has no host-side container to hook "
         "into"},
        {"{\"hooks\": {\"createContainer\": [{}]}}",
         "hooks.createContainer: hooks are not run: a microVM has no host-side container to hook "
         "into"},
        {"{\"hooks\": {\"startContainer\": [{}]}}",
         "hooks.startContainer: hooks are not run: a microVM has no host-side container to hook "
         "into"},
        {"{\"hooks\": {\"poststart\": [{}]}}",
         "hooks.poststart: hooks are not run: a microVM has no host-side container to hook into"},
        {"{\"hooks\": {\"poststop\": [{}]}}",
         "hooks.poststop: hooks are not run: a microVM has no host-side container to hook into"},
        {"{\"hooks\": {\"poststop\": {}}}", "hooks.poststop: must be an array, not an object"},
        {"{\"vm\": {\"kernel\": {\"path\": \"/k\"}}}",
         "vm: the kernel and the machine are given to thaw, not by the bundle"},
        {"{\"windows\": {\"layerFolders\": []}}", "windows: the guest is Linux"},
        {"{\"solaris\": {\"milestone\": \"x\"}}", "solaris: the guest is Linux"},
        {"{\"zos\": {\"devices\": []}}", "zos: the guest is Linux"},
        {"{\"freebsd\": {\"jail\": {}}}", "freebsd: the guest is Linux"},
        {"{\"mounts\": {}}", "mounts: must be an array, not an object"},
        {"{\"linux\": 3}", "linux: must be an object, not a number"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, what_is_wrong_with_the_process_is_named)
{
    static const struct refusal rows[] = {
        {"{\"process\": {\"args\": null}}", "process.args: is required"},
        {"{\"process\": {\"args\": []}}", "process.args: must not be empty"},
        {"{\"process\": {\"args\": [\"\"]}}", "process.args[0]: must not be empty"},
        {"{\"process\": {\"args\": [\"a\", 1.5]}}",
         "process.args[1]: must be a string, not a number with a fraction"},
        {"{\"process\": {\"args\": [null]}}", "process.args[0]: is required"},
        {"{\"process\": {\"args\": \"sh\"}}", "process.args: must be an array, not a string"},
        {"{\"process\": {\"cwd\": null}}", "process.cwd: is required"},
        {"{\"process\": {\"cwd\": \"srv\"}}", "process.cwd: must be an absolute path"},
        {"{\"process\": {\"env\": [\"A=1\", \"B\"]}}",
         "process.env[1]: must have the form NAME=value"},
        {"{\"process\": {\"env\": [\"=x\"]}}", "process.env[0]: must have the form NAME=value"},
        {"{\"process\": {\"user\": {\"uid\": -1}}}",
         "process.user.uid: must be between 0 and 4294967294"},
        {"{\"process\": {\"user\": {\"gid\": 4294967295}}}",
         "process.user.gid: must be between 0 and 4294967294"},
        {"{\"process\": {\"user\": {\"umask\": 512}}}",
         "process.user.umask: must be between 0 and 511"},
        {"{\"process\": {\"user\": {\"additionalGids\": [1, \"2\"]}}}",
         "process.user.additionalGids[1]: must be an integer, not a string"},
        {"{\"process\": {\"capabilities\": {\"bounding\": [\"CAP_KILL\", \"CAP_FLY\"]}}}",
         "process.capabilities.bounding[1]: unknown capability CAP_FLY"},
        {"{\"process\": {\"capabilities\": {\"effective\": [\"CAP_KILL\"]}}}",
         "process.capabilities.effective: has a capability that permitted has not"},
        {"{\"process\": {\"capabilities\": {\"inheritable\": [\"CAP_KILL\"]}}}",
         "process.capabilities.inheritable: has a capability that bounding has not"},
        {"{\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_X\", \"soft\": 1, \"hard\": 1}]}}",
         "process.rlimits[0].type: unknown limit RLIMIT_X"},
        {"{\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CPU\", \"soft\": 1}]}}",
         "process.rlimits[0].hard: is required"},
        {"{\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CPU\", \"soft\": 2, \"hard\": 1}]}}",
         "process.rlimits[0].soft: must not be above the hard limit"},
        {"{\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CPU\", \"soft\": 1, \"hard\": 1},"
         "{\"type\": \"RLIMIT_CPU\", \"soft\": 1, \"hard\": 1}]}}",
         "process.rlimits[1].type: a second limit of the same type"},
        {"{\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CPU\", \"soft\": -1, \"hard\": 1}]}}",
         "process.rlimits[0].soft: must be between 0 and 18446744073709551615"},
        {"{\"process\": {\"noNewPrivileges\": 1}}",
         "process.noNewPrivileges: must be a boolean, not a number"},
        {"{\"process\": {\"oomScoreAdj\": 1001}}",
         "process.oomScoreAdj: must be between -1000 and 1000"},
        {"{\"process\": {\"terminal\": true, \"consoleSize\": {\"height\": 65536}}}",
         "process.consoleSize.height: must be between 0 and 65535"},
        {"{\"process\": {\"apparmorProfile\": \"p\"}}",
         "process.apparmorProfile: the guest kernel has no AppArmor"},
        {"{\"process\": {\"selinuxLabel\": \"l\"}}",
         "process.selinuxLabel: the guest kernel has no SELinux"},
        {"{\"process\": {\"commandLine\": \"x\"}}",
         "process.commandLine: the guest is Linux: use args"},
        {"{\"process\": {\"scheduler\": {\"policy\": \"SCHED_ISO\"}}}",
         "process.scheduler.policy: unknown scheduling policy SCHED_ISO"},
        {"{\"process\": {\"scheduler\": {\"policy\": \"SCHED_RR\"}}}",
         "process.scheduler.priority: must be between 1 and 99 for a real-time policy"},
        {"{\"process\": {\"scheduler\": {\"policy\": \"SCHED_OTHER\", \"priority\": 1}}}",
         "process.scheduler.priority: must be 0: only real-time policies have priorities up to "
         "99"},
        {"{\"process\": {\"scheduler\": {\"policy\": \"SCHED_OTHER\", \"nice\": 20}}}",
         "process.scheduler.nice: must be between -20 and 19"},
        {"{\"process\": {\"scheduler\": {\"policy\": \"SCHED_OTHER\","
         "\"flags\": [\"SCHED_FLAG_UTIL_CLAMP_MIN\"]}}}",
         "process.scheduler.flags[0]: the guest kernel does not clamp utilization"},
        {"{\"process\": {\"ioPriority\": {\"class\": \"IOPRIO_CLASS_X\"}}}",
         "process.ioPriority.class: unknown I/O class IOPRIO_CLASS_X"},
        {"{\"process\": {\"ioPriority\": {\"class\": \"IOPRIO_CLASS_BE\", \"priority\": 8}}}",
         "process.ioPriority.priority: must be between 0 and 7"},
        {"{\"process\": {\"execCPUAffinity\": {\"initial\": 1}}}",
         "process.execCPUAffinity.initial: must be a string, not a number"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, what_is_wrong_with_a_mount_is_named)
{
    static const struct refusal rows[] = {
        {"{\"mounts\": [3]}", "mounts[0]: must be an object, not a number"},
        {"{\"mounts\": [{\"type\": \"proc\"}]}", "mounts[0].destination: is required"},
        {"{\"mounts\": [{\"destination\": \"\", \"type\": \"proc\"}]}",
         "mounts[0].destination: must not be empty"},
        {"{\"mounts\": [{\"destination\": \"/x\"}]}",
         "mounts[0].type: is required unless the mount is a bind mount"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [1]}]}",
         "mounts[0].options[0]: must be a string, not a number"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [\"\"]}]}",
         "mounts[0].options[0]: must not be empty"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\","
         "\"options\": [\"idmap\"]}]}",
         "mounts[0].options[0]: option idmap is not supported"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\","
         "\"options\": [\"ro\", \"ridmap\"]}]}",
         "mounts[0].options[1]: option ridmap is not supported"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\","
         "\"options\": [\"rnosuid\"]}]}",
         "mounts[0].options[0]: option rnosuid is not supported"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\","
         "\"options\": [\"shared\", \"slave\"]}]}",
         "mounts[0].options[1]: a second mount propagation"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\","
         "\"uidMappings\": [{\"containerID\": 0}]}]}",
         "mounts[0].uidMappings: mounts with id mappings are not supported"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"ext4\","
         "\"source\": \"/dev/../x\"}]}",
         "mounts[0].source: must not have \"..\" in it"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"type\": \"bind\"}]}",
         "mounts[0].source: is required for a bind mount"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"source\": \"/etc\","
         "\"options\": [\"rbind\"]}]}",
         "mounts[0]: bind mount of host path /etc needs option \"ro\": a microVM does not write "
         "to host directories"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"source\": \"/dev/../etc\","
         "\"options\": [\"bind\", \"ro\", \"rw\"]}]}",
         "mounts[0]: bind mount of host path /etc needs option \"ro\": a microVM does not write "
         "to host directories"},
        {"{\"mounts\": [{\"destination\": \"/x\", \"source\": \"/no/such/file\","
         "\"options\": [\"bind\", \"ro\"]}]}",
         "mounts[0].source: /no/such/file: No such file or directory"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, what_is_wrong_in_linux_is_named)
{
    static const struct refusal rows[] = {
        {"{\"linux\": {\"namespaces\": [{\"type\": \"moon\"}]}}",
         "linux.namespaces[0].type: unknown namespace type moon"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"pid\"}]}}",
         "linux.namespaces[1].type: a second namespace of the same type"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"pid\", \"path\": \"/proc/1/ns/pid\"}]}}",
         "linux.namespaces[0].path: a microVM cannot join a namespace of the host"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"user\"}]}}",
         "linux.uidMappings: is required with a user namespace"},
        {"{\"linux\": {\"uidMappings\": [{\"containerID\": 0, \"hostID\": 0, \"size\": 1}]}}",
         "linux.uidMappings: needs a user namespace"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"user\"}],"
         "\"uidMappings\": [{\"containerID\": 0, \"hostID\": 0, \"size\": 0}]}}",
         "linux.uidMappings[0]: not a range of ids"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"user\"}],"
         "\"uidMappings\": [{\"containerID\": 0, \"hostID\": 4294967295, \"size\": 1}]}}",
         "linux.uidMappings[0]: not a range of ids"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"user\"}],"
         "\"uidMappings\": [{\"containerID\": 0, \"size\": 1}]}}",
         "linux.uidMappings[0].hostID: is required"},
        {"{\"linux\": {\"timeOffsets\": {\"monotonic\": {\"secs\": 1}}}}",
         "linux.timeOffsets: needs a time namespace"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"time\"}],"
         "\"timeOffsets\": {\"realtime\": {\"secs\": 1}}}}",
         "linux.timeOffsets.realtime: not a clock that can have an offset"},
        {"{\"linux\": {\"namespaces\": [{\"type\": \"time\"}],"
         "\"timeOffsets\": {\"boottime\": {\"nanosecs\": 1000000000}}}}",
         "linux.timeOffsets.boottime.nanosecs: must be between 0 and 999999999"},
        {"{\"linux\": {\"maskedPaths\": [\"proc\"]}}",
         "linux.maskedPaths[0]: must be an absolute path"},
        {"{\"linux\": {\"readonlyPaths\": [\"/a\", \"b\"]}}",
         "linux.readonlyPaths[1]: must be an absolute path"},
        {"{\"linux\": {\"sysctl\": {\"../etc/passwd\": \"x\"}}}",
         "linux.sysctl.../etc/passwd: not the name of a kernel parameter"},
        {"{\"linux\": {\"sysctl\": {\"net.ipv4.ip_forward\": 1}}}",
         "linux.sysctl.net.ipv4.ip_forward: must be a string, not a number"},
        {"{\"linux\": {\"rootfsPropagation\": \"ro\"}}",
         "linux.rootfsPropagation: unknown mount propagation ro"},
        {"{\"linux\": {\"personality\": {\"domain\": \"BSD\"}}}",
         "linux.personality.domain: unknown execution domain BSD"},
        {"{\"linux\": {\"personality\": {\"domain\": \"LINUX\", \"flags\": [\"X\"]}}}",
         "linux.personality.flags: OCI defines no flags yet"},
        {"{\"linux\": {\"cgroupsPath\": \"/a/../../b\"}}",
         "linux.cgroupsPath: must not have \".\" or \"..\" in it"},
        {"{\"linux\": {\"cgroupsPath\": \"//\"}}",
         "linux.cgroupsPath: the root cgroup belongs to the guest's init"},
        {"{\"linux\": {\"intelRdt\": {\"closID\": \"x\"}}}",
         "linux.intelRdt: a microVM cannot control the host's caches and memory bandwidth"},
        {"{\"linux\": {\"mountLabel\": \"x\"}}",
         "linux.mountLabel: the guest kernel has no SELinux"},
        {"{\"linux\": {\"netDevices\": {\"eth0\": {}}}}",
         "linux.netDevices: host network devices cannot be moved into a microVM"},
        {"{\"linux\": {\"memoryPolicy\": {\"mode\": \"x\"}}}",
         "linux.memoryPolicy: the guest has one memory node"},
        {"{\"linux\": {\"devices\": [{\"path\": \"/dev/x\", \"type\": \"x\"}]}}",
         "linux.devices[0].type: unknown device type x"},
        {"{\"linux\": {\"devices\": [{\"path\": \"x\", \"type\": \"p\"}]}}",
         "linux.devices[0].path: must be an absolute path"},
        {"{\"linux\": {\"devices\": [{\"path\": \"/dev/x\", \"type\": \"c\", \"major\": 1}]}}",
         "linux.devices[0].minor: is required"},
        {"{\"linux\": {\"devices\": [{\"path\": \"/dev/x\", \"type\": \"b\", \"major\": 4096,"
         "\"minor\": 0}]}}",
         "linux.devices[0].major: must be between 0 and 4095"},
        {"{\"linux\": {\"devices\": [{\"path\": \"/dev/mem\", \"type\": \"c\", \"major\": 1,"
         "\"minor\": 1}]}}",
         "linux.devices[0]: this device is kept for the guest's init"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, what_is_wrong_with_the_resources_is_named)
{
    static const struct refusal rows[] = {
        {"{\"linux\": {\"resources\": {\"memory\": {\"limit\": -2}}}}",
         "linux.resources.memory.limit: must be between -1 and 9223372036854775807"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"swap\": 5}}}}",
         "linux.resources.memory.swap: needs a memory limit"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"limit\": 9, \"swap\": 5}}}}",
         "linux.resources.memory.swap: counts memory and swap: it must not be below limit"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"kernel\": 5}}}}",
         "linux.resources.memory.kernel: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"kernelTCP\": 5}}}}",
         "linux.resources.memory.kernelTCP: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"swappiness\": 0}}}}",
         "linux.resources.memory.swappiness: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"disableOOMKiller\": true}}}}",
         "linux.resources.memory.disableOOMKiller: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"memory\": {\"useHierarchy\": false}}}}",
         "linux.resources.memory.useHierarchy: cgroup v2 is always hierarchical"},
        {"{\"linux\": {\"resources\": {\"cpu\": {\"idle\": 2}}}}",
         "linux.resources.cpu.idle: must be between 0 and 1"},
        {"{\"linux\": {\"resources\": {\"cpu\": {\"cpus\": \"all\"}}}}",
         "linux.resources.cpu.cpus: must be a list such as 0-3,7"},
        {"{\"linux\": {\"resources\": {\"cpu\": {\"realtimeRuntime\": 950000}}}}",
         "linux.resources.cpu.realtimeRuntime: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"pids\": {\"limit\": \"max\"}}}}",
         "linux.resources.pids.limit: must be an integer, not a string"},
        {"{\"linux\": {\"resources\": {\"blockIO\": {\"weight\": 5}}}}",
         "linux.resources.blockIO.weight: must be 0 or between 10 and 1000"},
        {"{\"linux\": {\"resources\": {\"blockIO\": {\"leafWeight\": 5}}}}",
         "linux.resources.blockIO.leafWeight: cgroup v2 has no such setting"},
        {"{\"linux\": {\"resources\": {\"blockIO\":"
         "{\"throttleReadBpsDevice\": [{\"major\": 8, \"minor\": 0}]}}}}",
         "linux.resources.blockIO.throttleReadBpsDevice[0].rate: is required"},
        {"{\"linux\": {\"resources\": {\"hugepageLimits\":"
         "[{\"pageSize\": \"../x\", \"limit\": 1}]}}}",
         "linux.resources.hugepageLimits[0].pageSize: must be a size such as 2MB"},
        {"{\"linux\": {\"resources\": {\"network\": {\"classID\": 1}}}}",
         "linux.resources.network.classID: cgroup v2 has no such controller"},
        {"{\"linux\": {\"resources\": {\"network\": {\"priorities\": [{}]}}}}",
         "linux.resources.network.priorities: cgroup v2 has no such controller"},
        {"{\"linux\": {\"resources\": {\"rdma\": {\"mlx5_1\": {\"hcaHandles\": 3}}}}}",
         "linux.resources.rdma: the guest has no RDMA devices"},
        {"{\"linux\": {\"resources\": {\"unified\": {\"../memory.max\": \"1\"}}}}",
         "linux.resources.unified.../memory.max: not the name of a cgroup file"},
        {"{\"linux\": {\"resources\": {\"unified\": {\"..\": \"1\"}}}}",
         "linux.resources.unified...: not the name of a cgroup file"},
        {"{\"linux\": {\"resources\": {\"devices\": [{\"access\": \"r\"}]}}}",
         "linux.resources.devices[0].allow: is required"},
        {"{\"linux\": {\"resources\": {\"devices\": [{\"allow\": true}]}}}",
         "linux.resources.devices[0].access: is required"},
        {"{\"linux\": {\"resources\": {\"devices\": [{\"allow\": true, \"access\": \"rx\"}]}}}",
         "linux.resources.devices[0].access: must be made of r, w and m"},
        {"{\"linux\": {\"resources\": {\"devices\":"
         "[{\"allow\": true, \"type\": \"p\", \"access\": \"r\"}]}}}",
         "linux.resources.devices[0].type: unknown device type p"},
        {"{\"linux\": {\"resources\": {\"devices\": [{\"allow\": true, \"type\": \"c\","
         "\"major\": 4, \"minor\": 65, \"access\": \"rw\"}]}}}",
         "linux.resources.devices[0]: this device is kept for the guest's init"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, what_is_wrong_with_a_seccomp_profile_is_named)
{
    static const struct refusal rows[] = {
        {"{\"linux\": {\"seccomp\": {\"syscalls\": []}}}",
         "linux.seccomp.defaultAction: is required"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_NOPE\"}}}",
         "linux.seccomp.defaultAction: unknown seccomp action SCMP_ACT_NOPE"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_NOTIFY\"}}}",
         "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY needs an agent on the host"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"defaultErrnoRet\": 1}}}",
         "linux.seccomp.defaultErrnoRet: the action does not return an errno"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ERRNO\","
         "\"defaultErrnoRet\": 4096}}}",
         "linux.seccomp.defaultErrnoRet: must be between 0 and 4095"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"listenerPath\": \"/run/agent\"}}}",
         "linux.seccomp.listenerPath: seccomp agents are not supported"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"architectures\": [\"SCMP_ARCH_VAX\"]}}}",
         "linux.seccomp.architectures[0]: unknown architecture SCMP_ARCH_VAX"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"flags\": [\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"]}}}",
         "linux.seccomp.flags[0]: is for SCMP_ACT_NOTIFY, which needs an agent on the host"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"syscalls\": [{\"names\": [], \"action\": \"SCMP_ACT_KILL\"}]}}}",
         "linux.seccomp.syscalls[0].names: must not be empty"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"syscalls\": [{\"names\": [\"read\"]}]}}}",
         "linux.seccomp.syscalls[0].action: is required"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"syscalls\": [{\"names\": [\"read\"], \"action\": \"SCMP_ACT_KILL\","
         "\"args\": [{\"index\": 6, \"value\": 0, \"op\": \"SCMP_CMP_EQ\"}]}]}}}",
         "linux.seccomp.syscalls[0].args[0].index: must be between 0 and 5"},
        {"{\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\","
         "\"syscalls\": [{\"names\": [\"read\"], \"action\": \"SCMP_ACT_KILL\","
         "\"args\": [{\"index\": 0, \"value\": 0, \"op\": \"SCMP_CMP_X\"}]}]}}}",
         "linux.seccomp.syscalls[0].args[0].op: unknown operator SCMP_CMP_X"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, control_characters_of_the_file_do_not_reach_the_message)
{
    static const struct refusal rows[] = {
        {"{\"linux\": {\"rootfsPropagation\": \"a\\nb\\u001bc\"}}",
         "linux.rootfsPropagation: unknown mount propagation a?b?c"},
    };
    EXPECT_REFUSALS(rows);
}

Test(bundle_config, an_integer_above_int64_is_a_number_like_any_other)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"ociVersion\": \"1.0.0\", \"process\": {\"args\": [18446744073709551615]}}",
         "config.json: process.args[0]: must be a string, not a number"},
        {"{\"ociVersion\": \"1.0.0\", \"process\": {\"args\": [\"a\"], \"cwd\": \"/\","
         "\"oomScoreAdj\": 9223372036854775808}}",
         "config.json: process.oomScoreAdj: must be between -1000 and 1000"},
        {"{\"a\": [9223372036854775808, 18446744073709551615,\"18446744073709551615\"] 3}",
         "config.json:1:74: '}' expected near '3'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_refused(rows[i].text, strlen(rows[i].text), rows[i].message);
}

Test(bundle_config, a_config_larger_than_4_mib_is_refused)
{
    size_t size = (4u << 20) + 1;
    cleanup_free char *text = malloc(size);
    memset(text, ' ', size);
    struct bundle *bundle = NULL;
    struct thaw_error err;
    cr_assert_eq(bundle_load_text(text, size, NULL, &bundle, &err), -EFBIG);
    cr_assert_eq(err.failure, THAW_FAIL_CONFIG);
}

Test(bundle_config, a_config_that_needs_more_than_a_spec_may_have_is_refused)
{
    enum { LENGTH = 2 << 20 };
    cleanup_free char *text = malloc(LENGTH + 200);
    int n = sprintf(text, "{\"ociVersion\": \"1.0.0\", \"root\": {\"path\": \"rootfs\"},"
                          "\"process\": {\"cwd\": \"/\", \"args\": [\"");
    memset(text + n, 'a', LENGTH);
    strcpy(text + n + LENGTH, "\"]}}");
    struct bundle *bundle = NULL;
    struct thaw_error err;
    cr_assert_eq(bundle_load_text(text, strlen(text), NULL, &bundle, &err), -E2BIG);
    cr_assert_eq(err.failure, THAW_FAIL_CONFIG);
    cr_assert_str_eq(
        err.message,
        "config.json: needs more than the 1048576 bytes that a workload spec may have");
}

static int load_directory(const char *path, struct thaw_error *err)
{
    struct bundle *bundle = NULL;
    *err = (struct thaw_error){0};
    int rc = bundle_load(path, NULL, &bundle, err);
    bundle_destroy(bundle);
    return rc;
}

Test(bundle_config, a_missing_bundle_config_or_root_is_an_invalid_bundle)
{
    struct thaw_error err;
    cr_assert_eq(load_directory("/no/such/bundle", &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_BUNDLE);
    cr_assert_str_eq(err.message, "/no/such/bundle: No such file or directory");

    struct bundle_directory directory;
    char message[256];
    bundle_directory_make(&directory);
    cr_assert_eq(load_directory(directory.path, &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_BUNDLE);
    snprintf(message, sizeof(message), "%s/config.json: No such file or directory", directory.path);
    cr_assert_str_eq(err.message, message);

    size_t size;
    cleanup_free char *text = bundle_read_fixture("good/minimal.json", &size);
    bundle_directory_write(&directory, "config.json", text, size);
    cr_assert_eq(load_directory(directory.path, &err), 0, "%s", err.message);

    char rootfs[256];
    snprintf(rootfs, sizeof(rootfs), "%s/rootfs", directory.path);
    cr_assert_eq(rmdir(rootfs), 0);
    cr_assert_eq(load_directory(directory.path, &err), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_BUNDLE);
    bundle_directory_write(&directory, "rootfs", "", 0);
    cr_assert_eq(load_directory(directory.path, &err), -ENOTDIR);
    cr_assert_eq(err.failure, THAW_FAIL_BUNDLE);
    bundle_directory_remove(&directory);
}

/* Writes over config.json in place and loads: one directory for many attempts. */
static int load_again(const struct bundle_directory *directory, const void *text, size_t size,
                      struct thaw_error *err)
{
    bundle_directory_write(directory, "config.json", text, size);
    return load_directory(directory->path, err);
}

Test(bundle_config, every_truncation_of_a_good_config_is_refused)
{
    struct bundle_directory directory;
    bundle_directory_make(&directory);
    size_t size;
    cleanup_free char *text = bundle_read_fixture("good/engine.json", &size);
    while (size > 0 && text[size - 1] == '\n')
        size--;

    struct thaw_error err;
    cr_assert_eq(load_again(&directory, text, size, &err), 0, "%s", err.message);
    for (size_t length = 0; length < size; length++) {
        cr_assert_eq(load_again(&directory, text, length, &err), -EINVAL, "%zu bytes", length);
        cr_assert_eq(err.failure, THAW_FAIL_CONFIG, "%zu bytes", length);
    }
    bundle_directory_remove(&directory);
}

Test(bundle_config, a_config_with_any_byte_changed_loads_or_is_refused_with_a_reason)
{
    struct bundle_directory directory;
    bundle_directory_make(&directory);
    size_t size;
    cleanup_free char *text = bundle_read_fixture("good/engine.json", &size);

    unsigned seed = 1; /* the same changes each time */
    for (int i = 0; i < 6000; i++) {
        size_t at = (size_t)rand_r(&seed) % size;
        char kept = text[at];
        text[at] = (char)rand_r(&seed);
        struct thaw_error err;
        int rc = load_again(&directory, text, size, &err);
        cr_assert(rc == 0 || (rc < 0 && err.message[0] != '\0' && err.failure != THAW_FAIL_NONE &&
                              err.failure != THAW_FAIL_INTERNAL),
                  "byte %zu: %d %s", at, rc, err.message);
        text[at] = kept;
    }
    bundle_directory_remove(&directory);
}
