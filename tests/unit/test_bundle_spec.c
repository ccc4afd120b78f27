/* SPDX-License-Identifier: Apache-2.0 */
/* The flat spec that comes out of a good config.json, record by record. */
#include "tests/unit/test_bundle_support.h"

#include "guest/init-oci/spec.h"
#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

static struct bundle *load_fixture(const char *name, const struct bundle_options *options)
{
    size_t size;
    cleanup_free char *text = bundle_read_fixture(name, &size);
    struct bundle *bundle = NULL;
    struct thaw_error err;
    int rc = bundle_load_text(text, size, options, &bundle, &err);
    cr_assert_eq(rc, 0, "%s: %s", name, err.message);
    return bundle;
}

static const char *const good[] = {"good/minimal.json", "good/runc-spec.json",
                                   "good/runc-spec-rootless.json", "good/engine.json"};
#define GOOD_COUNT (sizeof(good) / sizeof(good[0]))

Test(bundle_spec, the_header_describes_the_file)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        cleanup_bundle struct bundle *bundle = load_fixture(good[i], NULL);
        struct thaw_spec_header header;
        memcpy(&header, bundle->spec, sizeof(header));
        cr_expect_eq(header.magic, THAW_SPEC_MAGIC);
        cr_expect_eq(header.version, THAW_SPEC_VERSION);
        cr_expect_eq(header.length, bundle->spec_size);
        cr_expect_eq(header.reserved, 0);
        cr_expect_eq(header.checksum, XXH3_64bits((const char *)bundle->spec + sizeof(header),
                                                  bundle->spec_size - sizeof(header)));
    }
}

Test(bundle_spec, the_guests_own_parser_takes_what_is_written)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        cleanup_bundle struct bundle *bundle = load_fixture(good[i], NULL);
        struct spec spec;
        struct spec_problem problem;
        int rc = spec_parse(bundle->spec, bundle->spec_size, &spec, &problem);
        cr_assert_eq(rc, 0, "%s: record 0x%x %s", good[i], problem.tag, problem.why);
        cr_expect_eq(spec.args.count, bundle->arg_count);
        spec_free(&spec);
    }
}

Test(bundle_spec, the_same_config_gives_the_same_bytes)
{
    cleanup_bundle struct bundle *one = load_fixture("good/engine.json", NULL);
    cleanup_bundle struct bundle *two = load_fixture("good/engine.json", NULL);
    cr_assert_eq(one->spec_size, two->spec_size);
    cr_assert_eq(memcmp(one->spec, two->spec, one->spec_size), 0);
}

Test(bundle_spec, args_env_and_cwd_are_kept_in_order)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    cr_assert_eq(spec_count(bundle, THAW_SPEC_ARG), 3);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ARG, 0, 0, 0), "/usr/bin/server");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ARG, 2, 0, 0), "0.0.0.0:8080");
    cr_assert_eq(spec_count(bundle, THAW_SPEC_ENV), 3);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ENV, 0, 0, 0), "PATH=/usr/bin:/bin");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ENV, 1, 0, 0), "EMPTY=");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_CWD, 0, 0, 0), "/srv");
}

Test(bundle_spec, the_monitor_sees_args_hostname_terminal_and_annotations)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    cr_assert_eq(bundle->arg_count, 3);
    cr_assert_str_eq(bundle->args[1], "--listen");
    cr_assert_str_eq(bundle->hostname, "engine");
    cr_assert_not(bundle->terminal);
    cr_assert_str_eq(bundle_annotation(bundle, "org.example.one"), "1");
    cr_assert_str_eq(bundle_annotation(bundle, "org.example.empty"), "");
    cr_assert_null(bundle_annotation(bundle, "org.example.none"));

    cleanup_bundle struct bundle *runc = load_fixture("good/runc-spec.json", NULL);
    cr_assert(runc->terminal);
    cr_assert_null(bundle_annotation(runc, "org.example.one"));
}

Test(bundle_spec, annotations_are_the_only_records_that_a_reader_may_skip)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    cr_assert_eq(spec_count(bundle, THAW_SPEC_ANNOTATION), 2);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ANNOTATION, 0, 0, 0), "org.example.one");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_ANNOTATION, 0, 0, 1), "1");
    cr_assert_not(THAW_SPEC_ANNOTATION & THAW_SPEC_CRITICAL);
}

Test(bundle_spec, user_umask_and_groups_are_kept)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    struct thaw_spec_user user;
    const uint8_t *payload =
        spec_need(bundle, THAW_SPEC_USER, 0, sizeof(user) + 2 * sizeof(uint32_t));
    memcpy(&user, payload, sizeof(user));
    cr_assert_eq(user.uid, 1000);
    cr_assert_eq(user.gid, 1000);
    cr_assert_eq(user.umask, 022);
    cr_assert_eq(user.additional_gid_count, 2);
    uint32_t gids[2];
    memcpy(gids, payload + sizeof(user), sizeof(gids));
    cr_assert_eq(gids[0], 5);
    cr_assert_eq(gids[1], 27);

    cleanup_bundle struct bundle *minimal = load_fixture("good/minimal.json", NULL);
    memcpy(&user, spec_need(minimal, THAW_SPEC_USER, 0, sizeof(user)), sizeof(user));
    cr_assert_eq(user.uid, 0);
    cr_assert_eq(user.umask, THAW_SPEC_NO_UMASK);
}

Test(bundle_spec, ambient_capabilities_that_the_kernel_would_refuse_are_left_out)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    const uint64_t bind = 1ull << CAP_NET_BIND_SERVICE, chown = 1ull << CAP_CHOWN;
    struct thaw_spec_capabilities sets;
    memcpy(&sets, spec_need(bundle, THAW_SPEC_CAPABILITIES, 0, sizeof(sets)), sizeof(sets));
    cr_assert_eq(sets.bounding, chown | bind | 1ull << CAP_KILL);
    cr_assert_eq(sets.permitted, chown | bind);
    cr_assert_eq(sets.effective, bind);
    cr_assert_eq(sets.inheritable, bind);
    cr_assert_eq(sets.ambient, bind, "CAP_CHOWN is not inheritable");

    cleanup_bundle struct bundle *minimal = load_fixture("good/minimal.json", NULL);
    cr_assert_eq(spec_count(minimal, THAW_SPEC_CAPABILITIES), 0);
}

Test(bundle_spec, limits_reach_from_0_to_infinity)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    struct thaw_spec_rlimit limit;
    memcpy(&limit, spec_need(bundle, THAW_SPEC_RLIMIT, 0, sizeof(limit)), sizeof(limit));
    cr_assert_eq(limit.resource, RLIMIT_NOFILE);
    cr_assert_eq(limit.soft, 1024);
    cr_assert_eq(limit.hard, 1048576);
    memcpy(&limit, spec_need(bundle, THAW_SPEC_RLIMIT, 1, sizeof(limit)), sizeof(limit));
    cr_assert_eq(limit.resource, RLIMIT_CORE);
    cr_assert_eq(limit.soft, 0);
    cr_assert_eq(limit.hard, RLIM_INFINITY);
}

Test(bundle_spec, every_64_bit_integer_is_read_exactly)
{
    static const uint64_t values[] = {
        INT64_MAX,           1ull << 63,     (1ull << 63) + 1, 9999999999999999999u,
        0xffffffff00000000u, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"args\":"
                 "[\"a\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":%llu,"
                 "\"hard\":%llu}]}}",
                 (unsigned long long)values[i], (unsigned long long)values[i]);
        struct bundle *bundle = NULL;
        struct thaw_error err;
        cr_assert_eq(bundle_load_text(text, strlen(text), NULL, &bundle, &err), 0, "%s",
                     err.message);
        struct thaw_spec_rlimit limit;
        memcpy(&limit, spec_need(bundle, THAW_SPEC_RLIMIT, 0, sizeof(limit)), sizeof(limit));
        cr_expect_eq(limit.soft, values[i]);
        cr_expect_eq(limit.hard, values[i]);
        bundle_destroy(bundle);
    }
}

Test(bundle_spec, scheduling_settings_are_kept)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    struct thaw_spec_scheduler scheduler;
    memcpy(&scheduler, spec_need(bundle, THAW_SPEC_SCHEDULER, 0, sizeof(scheduler)),
           sizeof(scheduler));
    cr_assert_eq(scheduler.policy, SCHED_FIFO);
    cr_assert_eq(scheduler.priority, 10);
    cr_assert_eq(scheduler.flags, 1, "SCHED_FLAG_RESET_ON_FORK");

    int32_t value;
    memcpy(&value, spec_need(bundle, THAW_SPEC_IOPRIORITY, 0, sizeof(value)), sizeof(value));
    cr_assert_eq(value, IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | 4);
    memcpy(&value, spec_need(bundle, THAW_SPEC_OOM_SCORE_ADJ, 0, sizeof(value)), sizeof(value));
    cr_assert_eq(value, -500);
    spec_need(bundle, THAW_SPEC_NO_NEW_PRIVS, 0, 0);
}

Test(bundle_spec, the_terminal_has_the_callers_size_when_there_is_one)
{
    const char *patch = "{\"process\": {\"terminal\": true,"
                        "\"consoleSize\": {\"height\": 24, \"width\": 80}}}";
    cleanup_free char *text = bundle_patched_config(patch);
    const struct bundle_options sizes[] = {{0}, {.rows = 50, .cols = 132}, {.rows = 50}};
    const uint16_t expected[][2] = {{24, 80}, {50, 132}, {24, 80}};
    for (size_t i = 0; i < 3; i++) {
        struct bundle *bundle = NULL;
        struct thaw_error err;
        cr_assert_eq(bundle_load_text(text, strlen(text), &sizes[i], &bundle, &err), 0);
        struct thaw_spec_terminal terminal;
        memcpy(&terminal, spec_need(bundle, THAW_SPEC_TERMINAL, 0, sizeof(terminal)),
               sizeof(terminal));
        cr_expect_eq(terminal.rows, expected[i][0]);
        cr_expect_eq(terminal.cols, expected[i][1]);
        bundle_destroy(bundle);
    }
    cleanup_bundle struct bundle *none =
        bundle_load_patched("{\"process\": {\"consoleSize\": {\"height\": 24, \"width\": 80}}}");
    cr_assert_eq(spec_count(none, THAW_SPEC_TERMINAL), 0, "a size alone makes no terminal");
}

Test(bundle_spec, the_warmup_command_is_the_callers)
{
    const struct bundle_options options = {.warmup = "curl -s localhost"};
    cleanup_bundle struct bundle *bundle = load_fixture("good/minimal.json", &options);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_WARMUP, 0, 0, 0), "curl -s localhost");
    cleanup_bundle struct bundle *none = load_fixture("good/minimal.json", NULL);
    cr_assert_eq(spec_count(none, THAW_SPEC_WARMUP), 0);
}

Test(bundle_spec, root_and_names_are_kept)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    spec_need(bundle, THAW_SPEC_ROOT_READONLY, 0, 0);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_HOSTNAME, 0, 0, 0), "engine");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_DOMAINNAME, 0, 0, 0), "example.test");
    uint32_t propagation;
    memcpy(&propagation, spec_need(bundle, THAW_SPEC_ROOT_PROPAGATION, 0, sizeof(propagation)),
           sizeof(propagation));
    cr_assert_eq(propagation, MS_SLAVE | MS_REC);
    size_t length = strlen(bundle->root);
    cr_assert_str_eq(bundle->root + length - strlen("/rootfs"), "/rootfs");

    cleanup_bundle struct bundle *absolute =
        bundle_load_patched("{\"root\": {\"path\": \"/usr\", \"readonly\": false}}");
    cr_assert_str_eq(absolute->root, "/usr");
    cr_assert_eq(spec_count(absolute, THAW_SPEC_ROOT_READONLY), 0);
}

struct expected_mount {
    uint64_t flags, propagation;
    uint32_t extra;
    const char *source, *destination, *type, *data;
};

static void expect_mount(const struct bundle *bundle, size_t n, const struct expected_mount *want)
{
    const size_t at = sizeof(struct thaw_spec_mount);
    size_t length = 0;
    struct thaw_spec_mount mount;
    memcpy(&mount, spec_find(bundle, THAW_SPEC_MOUNT, n, &length), sizeof(mount));
    cr_expect_eq(mount.flags, want->flags, "flags of mount %zu are 0x%lx", n, mount.flags);
    cr_expect_eq(mount.propagation, want->propagation);
    cr_expect_eq(mount.extra, want->extra);
    cr_expect_eq(mount.reserved, 0);
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, n, at, 0), want->source);
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, n, at, 1), want->destination);
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, n, at, 2), want->type);
    cr_expect_str_eq(spec_string(bundle, THAW_SPEC_MOUNT, n, at, 3), want->data);
}

Test(bundle_spec, the_mounts_of_runc_spec_come_out_as_mount_takes_them)
{
    static const struct expected_mount mounts[] = {
        {0, 0, 0, "proc", "/proc", "proc", ""},
        {MS_NOSUID | MS_STRICTATIME, 0, 0, "tmpfs", "/dev", "tmpfs", "mode=755,size=65536k"},
        {MS_NOSUID | MS_NOEXEC, 0, 0, "devpts", "/dev/pts", "devpts",
         "newinstance,ptmxmode=0666,mode=0620,gid=5"},
        {MS_NOSUID | MS_NOEXEC | MS_NODEV, 0, 0, "shm", "/dev/shm", "tmpfs",
         "mode=1777,size=65536k"},
        {MS_NOSUID | MS_NOEXEC | MS_NODEV, 0, 0, "mqueue", "/dev/mqueue", "mqueue", ""},
        {MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, 0, 0, "sysfs", "/sys", "sysfs", ""},
        {MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY, 0, 0, "cgroup",
         "/sys/fs/cgroup", "cgroup", ""},
    };
    cleanup_bundle struct bundle *bundle = load_fixture("good/runc-spec.json", NULL);
    const size_t count = sizeof(mounts) / sizeof(mounts[0]);
    cr_assert_eq(spec_count(bundle, THAW_SPEC_MOUNT), count);
    for (size_t i = 0; i < count; i++)
        expect_mount(bundle, i, &mounts[i]);
    cr_assert_eq(bundle->pack_count, 0);
}

Test(bundle_spec, options_are_applied_in_order_and_paths_made_absolute)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    const struct expected_mount tmp = {
        MS_NOSUID, MS_PRIVATE | MS_REC, THAW_SPEC_MOUNT_TMPCOPYUP, "tmpfs", "/tmp",
        "tmpfs",   "size=1m,mode=1777"};
    const struct expected_mount sys = {MS_BIND | MS_REC | MS_NOSUID | MS_RDONLY,
                                       0,
                                       THAW_SPEC_MOUNT_RECURSIVE_RO,
                                       "/sys",
                                       "/sys",
                                       "bind",
                                       ""};
    expect_mount(bundle, 1, &tmp);
    expect_mount(bundle, 2, &sys);
}

Test(bundle_spec, a_read_only_bind_of_a_host_path_is_packed)
{
    cleanup_bundle struct bundle *bundle = bundle_load_patched(
        "{\"mounts\": ["
        "{\"destination\": \"/a\", \"type\": \"bind\", \"source\": \"rootfs\","
        "\"options\": [\"ro\"]},"
        "{\"destination\": \"/b\", \"type\": \"none\", \"source\": \"/usr/../usr//share/.\","
        "\"options\": [\"rbind\", \"rro\", \"nodev\"]},"
        "{\"destination\": \"/c\", \"source\": \"/dev/shm\", \"options\": [\"bind\"]},"
        "{\"destination\": \"/d\", \"source\": \"/devices\", \"type\": \"tmpfs\"}]}");
    const struct expected_mount mounts[] = {
        {MS_BIND | MS_RDONLY, 0, THAW_SPEC_MOUNT_PACKED, "/binds/0", "/a", "bind", ""},
        {MS_BIND | MS_REC | MS_NODEV, 0, THAW_SPEC_MOUNT_PACKED | THAW_SPEC_MOUNT_RECURSIVE_RO,
         "/binds/1", "/b", "bind", ""},
        {MS_BIND, 0, 0, "/dev/shm", "/c", "bind", ""},
        {0, 0, 0, "/devices", "/d", "tmpfs", ""},
    };
    for (size_t i = 0; i < 4; i++)
        expect_mount(bundle, i, &mounts[i]);
    cr_assert_eq(bundle->pack_count, 2);
    cr_assert_str_eq(bundle->packs[0].name, "binds/0");
    size_t length = strlen(bundle->packs[0].source);
    cr_assert_str_eq(bundle->packs[0].source + length - strlen("/rootfs"), "/rootfs");
    cr_assert_str_eq(bundle->packs[1].source, "/usr/share");
    cr_assert_str_eq(bundle->packs[1].name, "binds/1");
}

Test(bundle_spec, a_remount_is_passed_on_and_nothing_is_packed)
{
    cleanup_bundle struct bundle *bundle =
        bundle_load_patched("{\"mounts\": [{\"destination\": \"/etc\", \"source\": \"/etc\","
                            "\"options\": [\"bind\", \"remount\", \"ro\"]}]}");
    const struct expected_mount want = {
        MS_BIND | MS_REMOUNT | MS_RDONLY, 0, 0, "/etc", "/etc", "none", ""};
    expect_mount(bundle, 0, &want);
    cr_assert_eq(bundle->pack_count, 0);
}

Test(bundle_spec, namespaces_have_mount_always_and_network_never)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    uint64_t set;
    memcpy(&set, spec_need(bundle, THAW_SPEC_NAMESPACES, 0, sizeof(set)), sizeof(set));
    cr_assert_eq(set, (uint64_t)(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWUSER |
                                 CLONE_NEWCGROUP | CLONE_NEWTIME | CLONE_NEWNS));
    cleanup_bundle struct bundle *minimal = load_fixture("good/minimal.json", NULL);
    memcpy(&set, spec_need(minimal, THAW_SPEC_NAMESPACES, 0, sizeof(set)), sizeof(set));
    cr_assert_eq(set, (uint64_t)CLONE_NEWNS);
}

Test(bundle_spec, id_maps_and_time_offsets_are_kept)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    struct thaw_spec_id_map map;
    cr_assert_eq(spec_count(bundle, THAW_SPEC_UID_MAP), 1);
    cr_assert_eq(spec_count(bundle, THAW_SPEC_GID_MAP), 2);
    memcpy(&map, spec_need(bundle, THAW_SPEC_GID_MAP, 1, sizeof(map)), sizeof(map));
    cr_assert_eq(map.container_id, 1000);
    cr_assert_eq(map.host_id, 5000);
    cr_assert_eq(map.size, 1);

    int64_t offset[3];
    memcpy(offset, spec_need(bundle, THAW_SPEC_TIME_OFFSET, 0, sizeof(offset)), sizeof(offset));
    cr_assert_eq(offset[0], CLOCK_MONOTONIC);
    cr_assert_eq(offset[1], 86400);
    cr_assert_eq(offset[2], 5);
    memcpy(offset, spec_need(bundle, THAW_SPEC_TIME_OFFSET, 1, sizeof(offset)), sizeof(offset));
    cr_assert_eq(offset[0], CLOCK_BOOTTIME);
    cr_assert_eq(offset[1], -1);
}

Test(bundle_spec, kernel_settings_and_paths_are_kept)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_SYSCTL, 0, 0, 0), "net.core.somaxconn");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_SYSCTL, 0, 0, 1), "256");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_SYSCTL, 1, 0, 0), "net/ipv4/ip_forward");
    cr_assert_eq(spec_count(bundle, THAW_SPEC_MASKED_PATH), 2);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_MASKED_PATH, 1, 0, 0), "/sys/firmware");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_READONLY_PATH, 0, 0, 0), "/proc/sys");
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_CGROUP_PATH, 0, 0, 0), "/engine/web");
    uint32_t domain;
    memcpy(&domain, spec_need(bundle, THAW_SPEC_PERSONALITY, 0, sizeof(domain)), sizeof(domain));
    cr_assert_eq(domain, PER_LINUX32);
}

Test(bundle_spec, device_nodes_have_type_mode_owner_and_numbers)
{
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    struct thaw_spec_device device;
    size_t length;
    memcpy(&device, spec_find(bundle, THAW_SPEC_DEVICE, 0, &length), sizeof(device));
    cr_assert_eq(device.mode, S_IFCHR | 0660u);
    cr_assert_eq(device.uid, 1);
    cr_assert_eq(device.gid, 2);
    cr_assert_eq(device.major, 10);
    cr_assert_eq(device.minor, 229);
    cr_assert_str_eq(spec_string(bundle, THAW_SPEC_DEVICE, 0, sizeof(device), 0), "/dev/fuse");
    memcpy(&device, spec_find(bundle, THAW_SPEC_DEVICE, 1, &length), sizeof(device));
    cr_assert_eq(device.mode, S_IFIFO | 0666u);
}

Test(bundle_spec, resources_become_files_of_cgroup_v2)
{
    static const struct {
        const char *name, *value;
    } files[] = {
        {"memory.max", "536870912"},    {"memory.swap.max", "536870912"},
        {"memory.low", "268435456"},    {"memory.high", "500M"},
        {"cpu.weight", "39"},           {"cpu.max", "50000 100000"},
        {"cpu.max.burst", "1000"},      {"cpuset.cpus", "0-1"},
        {"cpuset.mems", "0"},           {"pids.max", "100"},
        {"io.weight", "254:0 10000"},   {"io.max", "254:0 wiops=max"},
        {"hugetlb.2MB.max", "4194304"}, {"hugetlb.2MB.rsvd.max", "4194304"},
    };
    cleanup_bundle struct bundle *bundle = load_fixture("good/engine.json", NULL);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *value = spec_cgroup_file(bundle, files[i].name);
        cr_assert_not_null(value, "%s", files[i].name);
        cr_expect_str_eq(value, files[i].value, "%s: %s", files[i].name, value);
    }
}

Test(bundle_spec, limits_that_mean_none_and_weights_at_their_ends_are_converted)
{
    static const struct {
        const char *resources, *file, *value; /* NULL: not written */
    } rows[] = {
        {"{\"memory\": {\"limit\": -1}}", "memory.max", "max"},
        {"{\"memory\": {\"limit\": -1}}", "memory.swap.max", "max"},
        {"{\"memory\": {\"limit\": 0}}", "memory.max", NULL},
        {"{\"memory\": {\"limit\": 4096, \"swap\": 4096}}", "memory.swap.max", "0"},
        {"{\"memory\": {\"limit\": 4096, \"swap\": -1}}", "memory.swap.max", "max"},
        {"{\"memory\": {\"limit\": -1, \"swap\": 4096}}", "memory.swap.max", "4096"},
        {"{\"memory\": {\"limit\": 4096}}", "memory.swap.max", NULL},
        {"{\"pids\": {\"limit\": -1}}", "pids.max", "max"},
        {"{\"pids\": {\"limit\": 0}}", "pids.max", NULL},
        {"{\"cpu\": {\"shares\": 0}}", "cpu.weight", NULL},
        {"{\"cpu\": {\"shares\": 1}}", "cpu.weight", "1"},
        {"{\"cpu\": {\"shares\": 2}}", "cpu.weight", "1"},
        {"{\"cpu\": {\"shares\": 262144}}", "cpu.weight", "10000"},
        {"{\"cpu\": {\"shares\": 9999999}}", "cpu.weight", "10000"},
        {"{\"cpu\": {\"shares\": 1024, \"idle\": 1}}", "cpu.weight", NULL},
        {"{\"cpu\": {\"shares\": 1024, \"idle\": 1}}", "cpu.idle", "1"},
        {"{\"cpu\": {\"quota\": -1}}", "cpu.max", "max 100000"},
        {"{\"cpu\": {\"quota\": 0}}", "cpu.max", NULL},
        {"{\"cpu\": {\"quota\": 5000}}", "cpu.max", "5000 100000"},
        {"{\"cpu\": {\"period\": 50000}}", "cpu.max", "max 50000"},
        {"{\"blockIO\": {\"weight\": 10}}", "io.weight", "default 1"},
        {"{\"blockIO\": {\"weight\": 1000}}", "io.weight", "default 10000"},
        {"{\"blockIO\": {\"throttleWriteBpsDevice\":"
         "[{\"major\": 8, \"minor\": 16, \"rate\": 5}]}}",
         "io.max", "8:16 wbps=5"},
        {"{\"blockIO\": {\"throttleReadIOPSDevice\":"
         "[{\"major\": 8, \"minor\": 16, \"rate\": 5}]}}",
         "io.max", "8:16 riops=5"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char patch[256];
        snprintf(patch, sizeof(patch), "{\"linux\": {\"resources\": %s}}", rows[i].resources);
        cleanup_bundle struct bundle *bundle = bundle_load_patched(patch);
        const char *value = spec_cgroup_file(bundle, rows[i].file);
        if (rows[i].value)
            cr_expect(value && strcmp(value, rows[i].value) == 0, "%s: %s", rows[i].resources,
                      value);
        else
            cr_expect_null(value, "%s: %s", rows[i].resources, value);
    }
}
