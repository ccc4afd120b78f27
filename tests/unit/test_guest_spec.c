/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's parser of the workload spec, run on the host: it reads a file that it did not write.
 */
#define XXH_INLINE_ALL
#include "guest/init-oci/spec.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

#define FILE_MAX 4096u

/* A spec being written, aligned as a file in memory is. */
struct writer {
    _Alignas(8) unsigned char bytes[FILE_MAX];
    size_t size;
};

static struct writer begin(void)
{
    return (struct writer){.size = sizeof(struct thaw_spec_header)};
}

static void put(struct writer *writer, uint32_t tag, const void *payload, size_t length)
{
    struct thaw_spec_record record = {.tag = tag, .length = (uint32_t)length};
    size_t padded = (length + 7) & ~(size_t)7;
    cr_assert_leq(writer->size + sizeof(record) + padded, FILE_MAX);
    memcpy(writer->bytes + writer->size, &record, sizeof(record));
    writer->size += sizeof(record);
    if (length > 0)
        memcpy(writer->bytes + writer->size, payload, length);
    memset(writer->bytes + writer->size + length, 0, padded - length);
    writer->size += padded;
}

/* String literals with NULs inside and the one that ends them. */
#define PUT_STRINGS(writer, tag, literal) put(writer, tag, literal, sizeof(literal))
#define PUT_STRUCT(writer, tag, ...)                                                               \
    do {                                                                                           \
        __typeof__(__VA_ARGS__) value_ = __VA_ARGS__;                                              \
        put(writer, tag, &value_, sizeof(value_));                                                 \
    } while (0)

/* A header that fits whatever the records are. */
static void seal(struct writer *writer)
{
    struct thaw_spec_header header = {
        .magic = THAW_SPEC_MAGIC,
        .version = THAW_SPEC_VERSION,
        .length = (uint32_t)writer->size,
        .checksum = XXH3_64bits(writer->bytes + sizeof(header), writer->size - sizeof(header)),
    };
    memcpy(writer->bytes, &header, sizeof(header));
}

static void put_mount(struct writer *writer, const char *strings, size_t length)
{
    char payload[sizeof(struct thaw_spec_mount) + 64];
    struct thaw_spec_mount info = {
        .flags = MS_NOSUID, .propagation = MS_PRIVATE, .extra = THAW_SPEC_MOUNT_TMPCOPYUP};
    memcpy(payload, &info, sizeof(info));
    memcpy(payload + sizeof(info), strings, length);
    put(writer, THAW_SPEC_MOUNT, payload, sizeof(info) + length);
}

static void put_disk(struct writer *writer)
{
    static const char strings[] = "disk0\0ext4";
    char payload[sizeof(struct thaw_spec_disk) + sizeof(strings)];
    const struct thaw_spec_disk info = {.flags = MS_RDONLY};
    memcpy(payload, &info, sizeof(info));
    memcpy(payload + sizeof(info), strings, sizeof(strings));
    put(writer, THAW_SPEC_DISK, payload, sizeof(payload));
}

static void put_device(struct writer *writer)
{
    char payload[sizeof(struct thaw_spec_device) + sizeof("/dev/fuse")];
    struct thaw_spec_device info = {.mode = S_IFCHR | 0600, .major = 10, .minor = 229};
    memcpy(payload, &info, sizeof(info));
    memcpy(payload + sizeof(info), "/dev/fuse", sizeof("/dev/fuse"));
    put(writer, THAW_SPEC_DEVICE, payload, sizeof(payload));
}

static void put_process(struct writer *writer)
{
    const uint32_t user[] = {1000, 1001, 0027, 2, 5, 6};
    const int32_t oom_score_adj = -500;
    const uint32_t seccomp[] = {0, 0, 0x06, 0x7fff0000}; /* one instruction: return ALLOW */
    const int32_t io_priority = 0x4006;
    const uint32_t personality = 0x40000;

    PUT_STRINGS(writer, THAW_SPEC_ARG, "sh");
    PUT_STRINGS(writer, THAW_SPEC_ARG, "");
    PUT_STRINGS(writer, THAW_SPEC_ENV, "A=1");
    PUT_STRINGS(writer, THAW_SPEC_CWD, "/home");
    put(writer, THAW_SPEC_USER, user, sizeof(user));
    PUT_STRUCT(writer, THAW_SPEC_CAPABILITIES,
               (struct thaw_spec_capabilities){.bounding = 0x420, .effective = 0x400});
    PUT_STRUCT(writer, THAW_SPEC_RLIMIT,
               (struct thaw_spec_rlimit){.resource = RLIMIT_NOFILE, .soft = 64, .hard = 128});
    put(writer, THAW_SPEC_NO_NEW_PRIVS, NULL, 0);
    put(writer, THAW_SPEC_OOM_SCORE_ADJ, &oom_score_adj, sizeof(oom_score_adj));
    PUT_STRUCT(writer, THAW_SPEC_TERMINAL, (struct thaw_spec_terminal){.rows = 24, .cols = 80});
    put(writer, THAW_SPEC_SECCOMP, seccomp, sizeof(seccomp));
    PUT_STRUCT(writer, THAW_SPEC_SCHEDULER, (struct thaw_spec_scheduler){.nice = 7});
    put(writer, THAW_SPEC_IOPRIORITY, &io_priority, sizeof(io_priority));
    put(writer, THAW_SPEC_PERSONALITY, &personality, sizeof(personality));
}

static void put_root(struct writer *writer)
{
    const uint32_t propagation = MS_SLAVE;
    put(writer, THAW_SPEC_ROOT_READONLY, NULL, 0);
    put_disk(writer);
    put(writer, THAW_SPEC_ROOT_PROPAGATION, &propagation, sizeof(propagation));
    PUT_STRINGS(writer, THAW_SPEC_HOSTNAME, "box");
    PUT_STRINGS(writer, THAW_SPEC_DOMAINNAME, "example");
    put_mount(writer, "tmpfs\0/run\0tmpfs\0size=1m", sizeof("tmpfs\0/run\0tmpfs\0size=1m"));
    put_mount(writer, "proc\0/proc\0proc\0", sizeof("proc\0/proc\0proc\0"));
    PUT_STRINGS(writer, THAW_SPEC_MASKED_PATH, "/proc/kcore");
    PUT_STRINGS(writer, THAW_SPEC_READONLY_PATH, "/proc/sys");
    put_device(writer);
}

static void put_kernel(struct writer *writer)
{
    const uint64_t namespaces = CLONE_NEWUSER | CLONE_NEWTIME;
    const uint64_t filter[] = {0x00000001000000b7ull, 0x95}; /* r0 = 1; exit */
    const int64_t offset[] = {CLOCK_MONOTONIC, 60, 5};
    const struct thaw_spec_id_map map = {.container_id = 0, .host_id = 100000, .size = 65536};

    put(writer, THAW_SPEC_NAMESPACES, &namespaces, sizeof(namespaces));
    put(writer, THAW_SPEC_UID_MAP, &map, sizeof(map));
    put(writer, THAW_SPEC_GID_MAP, &map, sizeof(map));
    PUT_STRINGS(writer, THAW_SPEC_SYSCTL,
                "kernel.shmmni\0"
                "1");
    PUT_STRINGS(writer, THAW_SPEC_CGROUP_FILE,
                "memory.max\0"
                "1048576");
    PUT_STRINGS(writer, THAW_SPEC_CGROUP_PATH, "/a/b");
    put(writer, THAW_SPEC_DEVICE_FILTER, filter, sizeof(filter));
    put(writer, THAW_SPEC_TIME_OFFSET, offset, sizeof(offset));
    PUT_STRINGS(writer, THAW_SPEC_WARMUP, "true");
    PUT_STRINGS(writer, THAW_SPEC_ANNOTATION, "key\0value");
}

static struct writer everything(void)
{
    struct writer writer = begin();
    put_process(&writer);
    put_root(&writer);
    put_kernel(&writer);
    seal(&writer);
    return writer;
}

/* Parses a copy of exactly the file's size, so that a sanitizer sees the first byte after it. */
static int parse(const struct writer *writer, size_t size, struct spec_problem *problem)
{
    void *copy = aligned_alloc(8, (size + 7) & ~(size_t)7);
    void *exact = size ? realloc(copy, size) : copy;
    cr_assert(exact);
    memcpy(exact, writer->bytes, size);
    struct spec spec;
    int rc = spec_parse(exact, size, &spec, problem);
    spec_free(&spec);
    free(exact);
    return rc;
}

/* A spec of one argument and one more record. */
static int parse_with(uint32_t tag, const void *payload, size_t length)
{
    struct writer writer = begin();
    PUT_STRINGS(&writer, THAW_SPEC_ARG, "true");
    put(&writer, tag, payload, length);
    seal(&writer);
    struct spec_problem problem;
    return parse(&writer, writer.size, &problem);
}

/* ---- what is understood ------------------------------------------------------------------- */

Test(guest_spec, every_record_arrives_where_init_looks_for_it)
{
    struct writer writer = everything();
    struct spec spec;
    struct spec_problem problem;
    cr_assert_eq(spec_parse(writer.bytes, writer.size, &spec, &problem), 0, "%s", problem.why);

    cr_expect_eq(spec.args.count, 2u);
    cr_expect_str_eq(spec.args.items[0], "sh");
    cr_expect_str_eq(spec.args.items[1], "");
    cr_expect_null(spec.args.items[2]);
    cr_expect_str_eq(spec.env.items[0], "A=1");
    cr_expect_null(spec.env.items[1]);
    cr_expect_str_eq(spec.cwd, "/home");
    cr_expect_eq(spec.user.gid, 1001u);
    cr_expect_eq(spec.user.umask, 0027u);
    cr_expect_eq(spec.additional_gids[1], 6u);
    cr_expect_eq(spec.capabilities.bounding, 0x420u);
    cr_expect_eq(spec.rlimits.items[0].hard, 128u);
    cr_expect_eq(spec.disks.count, 1u);
    cr_expect_str_eq(spec.disks.items[0].serial, "disk0");
    cr_expect_str_eq(spec.disks.items[0].type, "ext4");
    cr_expect_eq(spec.disks.items[0].info.flags, (uint64_t)MS_RDONLY);
    cr_expect(spec.no_new_privs);
    cr_expect_eq(spec.oom_score_adj, -500);
    cr_expect_eq(spec.terminal.cols, 80);
    cr_expect_eq(spec.seccomp.count, 1u);
    cr_expect_eq(spec.seccomp.items[0].k, 0x7fff0000u);
    cr_expect_eq(spec.scheduler.nice, 7);
    cr_expect_eq(spec.io_priority, 0x4006);
    cr_expect_eq(spec.personality, 0x40000u);

    cr_expect(spec.root_readonly);
    cr_expect_eq(spec.root_propagation, (uint32_t)MS_SLAVE);
    cr_expect_str_eq(spec.hostname, "box");
    cr_expect_str_eq(spec.domainname, "example");
    cr_assert_eq(spec.mounts.count, 2u);
    cr_expect_str_eq(spec.mounts.items[0].destination, "/run");
    cr_expect_str_eq(spec.mounts.items[0].data, "size=1m");
    cr_expect_eq(spec.mounts.items[0].info.propagation, (uint64_t)MS_PRIVATE);
    cr_expect_str_eq(spec.mounts.items[1].type, "proc");
    cr_expect_str_eq(spec.mounts.items[1].data, "");
    cr_expect_str_eq(spec.masked_paths.items[0], "/proc/kcore");
    cr_expect_str_eq(spec.readonly_paths.items[0], "/proc/sys");
    cr_expect_str_eq(spec.devices.items[0].path, "/dev/fuse");
    cr_expect_eq(spec.devices.items[0].info.minor, 229u);

    cr_expect_eq(spec.namespaces, (uint64_t)(CLONE_NEWUSER | CLONE_NEWTIME | CLONE_NEWNS));
    cr_expect_str_eq(spec.sysctls.items[0].key, "kernel.shmmni");
    cr_expect_str_eq(spec.cgroup_files.items[0].value, "1048576");
    cr_expect_str_eq(spec.cgroup_path, "/a/b");
    cr_expect_eq(spec.device_filter.count, 2u);
    cr_expect_eq(spec.device_filter.items[0].imm, 1);
    cr_expect_eq(spec.time_offsets.items[0].nanoseconds, 5);
    cr_expect_str_eq(spec.warmup, "true");
    spec_free(&spec);
}

Test(guest_spec, one_argument_is_a_whole_spec_and_the_rest_has_defaults)
{
    struct writer writer = begin();
    PUT_STRINGS(&writer, THAW_SPEC_ARG, "true");
    seal(&writer);
    struct spec spec;
    struct spec_problem problem;
    cr_assert_eq(spec_parse(writer.bytes, writer.size, &spec, &problem), 0);
    cr_expect_str_eq(spec.cwd, "/");
    cr_expect_str_eq(spec.cgroup_path, "/workload");
    cr_expect_eq(spec.user.umask, THAW_SPEC_NO_UMASK);
    cr_expect_eq(spec.namespaces, (uint64_t)CLONE_NEWNS);
    cr_expect_eq(spec.capabilities.bounding, 0u);
    cr_expect_null(spec.env.items[0]);
    cr_expect_null(spec.hostname);
    spec_free(&spec);
}

Test(guest_spec, mounts_keep_their_order_however_many_there_are)
{
    struct writer writer = begin();
    PUT_STRINGS(&writer, THAW_SPEC_ARG, "true");
    for (int c = 'a'; c <= 'q'; c++) {
        char strings[] = "s\0/?\0t\0";
        strings[3] = (char)c;
        put_mount(&writer, strings, sizeof(strings));
    }
    seal(&writer);
    struct spec spec;
    struct spec_problem problem;
    cr_assert_eq(spec_parse(writer.bytes, writer.size, &spec, &problem), 0, "%s", problem.why);
    cr_assert_eq(spec.mounts.count, 17u);
    for (size_t i = 0; i < spec.mounts.count; i++)
        cr_expect_eq(spec.mounts.items[i].destination[1], (char)('a' + (char)i));
    spec_free(&spec);
}

Test(guest_spec, ids_go_through_the_maps_and_unmapped_ones_are_none)
{
    struct writer writer = everything();
    struct spec spec;
    struct spec_problem problem;
    cr_assert_eq(spec_parse(writer.bytes, writer.size, &spec, &problem), 0);
    cr_expect_eq(spec_host_uid(&spec, 0), 100000u);
    cr_expect_eq(spec_host_uid(&spec, 65535), 165535u);
    cr_expect_eq(spec_host_uid(&spec, 65536), UINT32_MAX);
    cr_expect_eq(spec_host_gid(&spec, 7), 100007u);
    spec_free(&spec);

    cr_expect_eq(spec_host_uid(&spec, 1000), 1000u, "without maps an id is itself");
}

/* ---- what is refused ---------------------------------------------------------------------- */

Test(guest_spec, every_truncation_is_refused)
{
    struct writer writer = everything();
    struct spec_problem problem;
    for (size_t size = 0; size < writer.size; size++)
        cr_assert_eq(parse(&writer, size, &problem), -EINVAL, "%zu bytes", size);
}

Test(guest_spec, every_truncation_that_says_so_itself_ends_without_a_fault)
{
    const struct writer good = everything();
    for (size_t size = sizeof(struct thaw_spec_header); size < good.size; size++) {
        struct writer writer = good;
        writer.size = size;
        seal(&writer);
        struct spec_problem problem;
        int rc = parse(&writer, size, &problem);
        if (size % 8 != 0)
            cr_assert_eq(rc, -EINVAL, "%zu bytes end within a record", size);
        else
            cr_assert(rc == 0 || (rc == -EINVAL && problem.why), "%zu bytes", size);
    }
}

Test(guest_spec, a_flipped_bit_is_refused_by_the_checksum)
{
    struct writer writer = everything();
    struct spec_problem problem;
    for (size_t bit = 0; bit < writer.size * 8; bit++) {
        if (bit / 8 >= offsetof(struct thaw_spec_header, reserved) &&
            bit / 8 < sizeof(struct thaw_spec_header))
            continue;
        writer.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_eq(parse(&writer, writer.size, &problem), -EINVAL, "bit %zu", bit);
        writer.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

Test(guest_spec, any_byte_may_be_wrong_under_a_right_checksum_without_a_fault)
{
    static const unsigned char wrong[] = {0x00, 0x01, 0x2f, 0x7f, 0x80, 0xff};
    const struct writer good = everything();
    unsigned refused = 0;
    for (size_t at = sizeof(struct thaw_spec_header); at < good.size; at++) {
        for (size_t i = 0; i < sizeof(wrong); i++) {
            struct writer writer = good;
            writer.bytes[at] = wrong[i];
            seal(&writer);
            struct spec_problem problem;
            int rc = parse(&writer, writer.size, &problem);
            cr_assert(rc == 0 || (rc == -EINVAL && problem.why), "byte %zu", at);
            refused += rc < 0;
        }
    }
    cr_expect_gt(refused, 1000u, "lengths, tags and NULs are checked");
}

Test(guest_spec, a_file_that_is_larger_than_its_header_says_is_refused)
{
    struct writer writer = everything();
    struct spec_problem problem;
    cr_expect_eq(parse(&writer, writer.size + 8, &problem), -EINVAL);
    cr_expect_str_eq(problem.why, "the file has a wrong length");
}

Test(guest_spec, another_version_is_refused)
{
    struct writer writer = everything();
    writer.bytes[offsetof(struct thaw_spec_header, version)] = THAW_SPEC_VERSION + 1;
    struct spec_problem problem;
    cr_expect_eq(parse(&writer, writer.size, &problem), -EINVAL);
    cr_expect_str_eq(problem.why, "the file has another version than init");
}

Test(guest_spec, an_unknown_record_is_refused_when_it_is_critical_and_skipped_when_not)
{
    cr_expect_eq(parse_with(THAW_SPEC_TAG(1000), "x", 2), -EINVAL);
    cr_expect_eq(parse_with(1000, "x", 2), 0);
}

Test(guest_spec, a_refusal_names_the_record_and_where_it_is)
{
    struct writer writer = begin();
    PUT_STRINGS(&writer, THAW_SPEC_ARG, "true");
    size_t offset = writer.size;
    PUT_STRINGS(&writer, THAW_SPEC_CWD, "relative");
    seal(&writer);
    struct spec_problem problem;
    cr_assert_eq(parse(&writer, writer.size, &problem), -EINVAL);
    cr_expect_eq(problem.tag, (uint32_t)THAW_SPEC_CWD);
    cr_expect_eq(problem.offset, offset);
    cr_expect_str_eq(problem.why, "is not an absolute path");
}

Test(guest_spec, a_spec_without_arguments_is_refused)
{
    struct writer writer = begin();
    seal(&writer);
    struct spec_problem problem;
    cr_expect_eq(parse(&writer, writer.size, &problem), -EINVAL);
    cr_expect_str_eq(problem.why, "the file has no arguments");
}

Test(guest_spec, what_there_can_be_one_of_is_refused_the_second_time)
{
    struct writer writer = begin();
    PUT_STRINGS(&writer, THAW_SPEC_ARG, "true");
    PUT_STRINGS(&writer, THAW_SPEC_CWD, "/a");
    PUT_STRINGS(&writer, THAW_SPEC_CWD, "/b");
    seal(&writer);
    struct spec_problem problem;
    cr_expect_eq(parse(&writer, writer.size, &problem), -EINVAL);
    cr_expect_str_eq(problem.why, "is there twice");
}

/* One row per rule of a payload: refused. */
Test(guest_spec, payloads_that_break_their_rules_are_refused)
{
    const uint64_t network = CLONE_NEWNET;
    const uint64_t capability = 1ull << 63;
    const uint32_t groups[] = {0, 0, 0022, 3, 7};
    const uint32_t umask[] = {0, 0, 01000, 0};
    const uint32_t resource[] = {RLIM_NLIMITS, 0, 0, 0, 0, 0};
    const uint32_t map[] = {0, UINT32_MAX - 1, 2, 0};
    const uint32_t no_filter[] = {0, 0};
    const int64_t clock[] = {CLOCK_REALTIME, 0, 0};
    const struct thaw_spec_capabilities capabilities = {.ambient = capability};
    static const char mount_up[] = "../x\0/a\0bind\0";
    char up[sizeof(struct thaw_spec_mount) + sizeof(mount_up)] = {0};
    memcpy(up + sizeof(struct thaw_spec_mount), mount_up, sizeof(mount_up));

    const struct {
        const char *why;
        uint32_t tag;
        const void *payload;
        size_t length;
    } rows[] = {
        {"no NUL", THAW_SPEC_ENV, "A=1", 3},
        {"bytes after the NUL", THAW_SPEC_ENV, "A\0B", 4},
        {"empty", THAW_SPEC_ENV, "", 0},
        {"one string of two", THAW_SPEC_SYSCTL, "key", 4},
        {"three strings of two", THAW_SPEC_SYSCTL, "a\0b\0c", 6},
        {"not absolute", THAW_SPEC_MASKED_PATH, "proc", 5},
        {"a flag with a payload", THAW_SPEC_NO_NEW_PRIVS, "x", 1},
        {"a structure cut short", THAW_SPEC_TERMINAL, "xxx", 3},
        {"a structure too long", THAW_SPEC_TERMINAL, "xxxxx", 5},
        {"the network namespace", THAW_SPEC_NAMESPACES, &network, sizeof(network)},
        {"a capability nobody knows", THAW_SPEC_CAPABILITIES, &capabilities, sizeof(capabilities)},
        {"fewer groups than said", THAW_SPEC_USER, groups, sizeof(groups)},
        {"a umask over 0777", THAW_SPEC_USER, umask, sizeof(umask)},
        {"a resource nobody knows", THAW_SPEC_RLIMIT, resource, sizeof(resource)},
        {"ids beyond the last", THAW_SPEC_UID_MAP, map, sizeof(map)},
        {"a filter without instructions", THAW_SPEC_SECCOMP, no_filter, sizeof(no_filter)},
        {"half an instruction", THAW_SPEC_DEVICE_FILTER, "xxxx", 4},
        {"a clock without offsets", THAW_SPEC_TIME_OFFSET, clock, sizeof(clock)},
        {"a mount source that climbs", THAW_SPEC_MOUNT, up, sizeof(up)},
        {"a device without a type", THAW_SPEC_DEVICE, up, sizeof(struct thaw_spec_device) + 2},
        {"a disk without a serial number", THAW_SPEC_DISK,
         "\0\0\0\0\0\0\0\0"
         "\0ext4",
         14},
        {"a disk that climbs", THAW_SPEC_DISK,
         "\0\0\0\0\0\0\0\0"
         "..\0ext4",
         16},
        {"a disk in a directory", THAW_SPEC_DISK,
         "\0\0\0\0\0\0\0\0"
         "a/b\0ext4",
         17},
        {"a disk without a type", THAW_SPEC_DISK,
         "\0\0\0\0\0\0\0\0"
         "a\0",
         11},
        {"a disk with other flags", THAW_SPEC_DISK,
         "\2\0\0\0\0\0\0\0"
         "a\0ext4",
         15},
        {"a file elsewhere", THAW_SPEC_CGROUP_FILE,
         "../cgroup.procs\0"
         "1",
         18},
        {"a file that is none", THAW_SPEC_CGROUP_FILE,
         "tasks\0"
         "1",
         8},
        {"the root cgroup", THAW_SPEC_CGROUP_PATH, "//", 3},
        {"a cgroup that climbs", THAW_SPEC_CGROUP_PATH, "/a/..", 6},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(parse_with(rows[i].tag, rows[i].payload, rows[i].length), -EINVAL, "%s",
                     rows[i].why);
}

Test(guest_spec, names_with_dots_that_do_not_climb_are_fine)
{
    cr_expect_eq(parse_with(THAW_SPEC_CGROUP_PATH, "/a..b/...", 10), 0);
    cr_expect_eq(parse_with(THAW_SPEC_CGROUP_FILE,
                            "memory.max\0"
                            "1",
                            13),
                 0);
}

Test(guest_spec, a_user_namespace_and_id_maps_need_each_other)
{
    const uint64_t user = CLONE_NEWUSER;
    const struct thaw_spec_id_map map = {.size = 1};
    cr_expect_eq(parse_with(THAW_SPEC_NAMESPACES, &user, sizeof(user)), -EINVAL);
    cr_expect_eq(parse_with(THAW_SPEC_UID_MAP, &map, sizeof(map)), -EINVAL);
}
