/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources as files of the guest's cgroup v2. OCI's properties are those of cgroup v1;
 * each is turned into what it means in v2 (kernel's admin-guide/cgroup-v2.rst), with runc's
 * conversions, and refused where v2 has nothing like it. As in runc, 0 mostly means "not set" and
 * -1 "no limit".
 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UNLIMITED (-1)

#define SHARES_MIN       2u
#define SHARES_MAX       262144u
#define WEIGHT_MAX       10000u
#define BLOCK_WEIGHT_MIN 10u
#define BLOCK_WEIGHT_MAX 1000u
#define CPU_PERIOD_US    100000u  /* the kernel's default */
#define MAJOR_MAX        4095u    /* 12 bits */
#define MINOR_MAX        1048575u /* 20 bits */

__attribute__((format(printf, 3, 4))) static void
put_file(struct bundle_builder *builder, const char *name, const char *format, ...)
{
    char value[128];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    spec_writer_put_strings(&builder->spec, THAW_SPEC_CGROUP_FILE, name, value);
}

/* A limit that OCI gives as an int64: 0 is not set, -1 is none. */
static void put_limit(struct bundle_builder *builder, const char *name, int64_t limit)
{
    if (limit == UNLIMITED)
        put_file(builder, name, "max");
    else if (limit != 0)
        put_file(builder, name, "%" PRId64, limit);
}

/* OCI's swap is memory and swap together, v2's is swap alone. */
static int put_swap(struct bundle_builder *builder, const struct config_value *memory,
                    int64_t limit, int64_t swap, struct thaw_error *err)
{
    struct config_value value = config_member(memory, "swap");
    if (swap == 0 && limit == UNLIMITED)
        swap = UNLIMITED;
    if (swap == 0)
        return 0;
    if (swap != UNLIMITED && limit == 0)
        return config_fail(&value, err, "needs a memory limit");
    if (swap != UNLIMITED && limit != UNLIMITED && swap < limit)
        return config_fail(&value, err, "counts memory and swap: it must not be below limit");

    if (swap == UNLIMITED)
        put_file(builder, "memory.swap.max", "max");
    else
        put_file(builder, "memory.swap.max", "%" PRId64, limit > 0 ? swap - limit : swap);
    return 0;
}

static int refuse_memory(const struct config_value *memory, struct thaw_error *err)
{
    static const char why[] = "cgroup v2 has no such setting";
    int64_t kernel = UNLIMITED, kernel_tcp = UNLIMITED;
    bool hierarchy = true, ignored = false;
    struct config_value swappiness = config_member(memory, "swappiness");

    int rc = config_int(memory, "kernel", UNLIMITED, INT64_MAX, &kernel, err);
    if (rc == 0 && kernel != UNLIMITED)
        rc = config_refuse(memory, "kernel", why, err);
    if (rc == 0)
        rc = config_int(memory, "kernelTCP", UNLIMITED, INT64_MAX, &kernel_tcp, err);
    if (rc == 0 && kernel_tcp != UNLIMITED)
        rc = config_refuse(memory, "kernelTCP", why, err);
    if (rc == 0 && config_given(&swappiness))
        rc = config_fail(&swappiness, err, why);
    if (rc == 0)
        rc = config_bool(memory, "disableOOMKiller", &ignored, err);
    if (rc == 0)
        rc = config_refuse(memory, "disableOOMKiller", why, err);
    if (rc == 0)
        rc = config_bool(memory, "useHierarchy", &hierarchy, err);
    if (rc == 0 && !hierarchy) {
        struct config_value value = config_member(memory, "useHierarchy");
        rc = config_fail(&value, err, "cgroup v2 is always hierarchical");
    }
    /* A new cgroup uses nothing yet, so the check that this asks for always passes. */
    if (rc == 0)
        rc = config_bool(memory, "checkBeforeUpdate", &ignored, err);
    return rc;
}

static int build_memory(struct bundle_builder *builder, const struct config_value *resources,
                        struct thaw_error *err)
{
    struct config_value memory;
    int64_t limit = 0, reservation = 0, swap = 0;
    int rc = config_object(resources, "memory", &memory, err);
    if (rc == 0)
        rc = config_int(&memory, "limit", UNLIMITED, INT64_MAX, &limit, err);
    if (rc == 0)
        rc = config_int(&memory, "reservation", UNLIMITED, INT64_MAX, &reservation, err);
    if (rc == 0)
        rc = config_int(&memory, "swap", UNLIMITED, INT64_MAX, &swap, err);
    if (rc == 0)
        rc = refuse_memory(&memory, err);
    if (rc == 0)
        rc = put_swap(builder, &memory, limit, swap, err);
    if (rc < 0)
        return rc;

    put_limit(builder, "memory.max", limit);
    put_limit(builder, "memory.low", reservation);
    return 0;
}

/* The linear map of [2, 262144] onto [1, 10000] that Kubernetes and runc document. */
static uint64_t weight_of_shares(uint64_t shares)
{
    if (shares < SHARES_MIN)
        shares = SHARES_MIN;
    if (shares > SHARES_MAX)
        shares = SHARES_MAX;
    return 1 + (shares - SHARES_MIN) * (WEIGHT_MAX - 1) / (SHARES_MAX - SHARES_MIN);
}

static int build_cpu_weight(struct bundle_builder *builder, const struct config_value *cpu,
                            struct thaw_error *err)
{
    uint64_t shares = 0, idle = 0;
    int rc = config_uint(cpu, "shares", UINT64_MAX, &shares, err);
    if (rc == 0)
        rc = config_uint(cpu, "idle", 1, &idle, err);
    if (rc < 0)
        return rc;
    /* An idle cgroup has no weight to set: the kernel refuses it. */
    if (idle)
        put_file(builder, "cpu.idle", "1");
    else if (shares > 0)
        put_file(builder, "cpu.weight", "%" PRIu64, weight_of_shares(shares));
    return 0;
}

static int build_cpu_quota(struct bundle_builder *builder, const struct config_value *cpu,
                           struct thaw_error *err)
{
    int64_t quota = 0;
    uint64_t period = 0, burst = 0;
    int rc = config_int(cpu, "quota", INT64_MIN, INT64_MAX, &quota, err);
    if (rc == 0)
        rc = config_uint(cpu, "period", INT64_MAX, &period, err);
    if (rc == 0)
        rc = config_uint(cpu, "burst", INT64_MAX, &burst, err);
    if (rc < 0)
        return rc;

    uint64_t period_us = period > 0 ? period : CPU_PERIOD_US;
    if (quota > 0)
        put_file(builder, "cpu.max", "%" PRId64 " %" PRIu64, quota, period_us);
    else if (quota < 0 || period > 0)
        put_file(builder, "cpu.max", "max %" PRIu64, period_us);
    if (burst > 0)
        put_file(builder, "cpu.max.burst", "%" PRIu64, burst);
    return 0;
}

/* A list in the format of cpuset(7): "0-3,7". */
static int build_cpuset(struct bundle_builder *builder, const struct config_value *cpu,
                        const char *key, const char *file, struct thaw_error *err)
{
    struct config_value value = config_member(cpu, key);
    const char *list = "";
    int rc = config_given(&value) ? config_as_string(&value, &list, err) : 0;
    if (rc < 0 || list[0] == '\0')
        return rc;
    if (list[strspn(list, "0123456789,- ")] != '\0')
        return config_fail(&value, err, "must be a list such as 0-3,7");
    spec_writer_put_strings(&builder->spec, THAW_SPEC_CGROUP_FILE, file, list);
    return 0;
}

static int build_cpu(struct bundle_builder *builder, const struct config_value *resources,
                     struct thaw_error *err)
{
    struct config_value cpu;
    int rc = config_object(resources, "cpu", &cpu, err);
    if (rc == 0)
        rc = build_cpu_weight(builder, &cpu, err);
    if (rc == 0)
        rc = build_cpu_quota(builder, &cpu, err);
    if (rc == 0)
        rc = build_cpuset(builder, &cpu, "cpus", "cpuset.cpus", err);
    if (rc == 0)
        rc = build_cpuset(builder, &cpu, "mems", "cpuset.mems", err);
    if (rc == 0)
        rc = config_refuse(&cpu, "realtimeRuntime", "cgroup v2 has no such setting", err);
    if (rc == 0)
        rc = config_refuse(&cpu, "realtimePeriod", "cgroup v2 has no such setting", err);
    return rc;
}

static int build_pids(struct bundle_builder *builder, const struct config_value *resources,
                      struct thaw_error *err)
{
    struct config_value pids;
    int64_t limit = 0;
    int rc = config_object(resources, "pids", &pids, err);
    if (rc == 0)
        rc = config_int(&pids, "limit", UNLIMITED, INT64_MAX, &limit, err);
    if (rc == 0)
        put_limit(builder, "pids.max", limit);
    return rc;
}

/* The linear map of [10, 1000] onto [1, 10000] that runc documents. */
static uint64_t io_weight(uint64_t weight)
{
    return 1 +
           (weight - BLOCK_WEIGHT_MIN) * (WEIGHT_MAX - 1) / (BLOCK_WEIGHT_MAX - BLOCK_WEIGHT_MIN);
}

/* 0 when it is not set. */
static int read_weight(const struct config_value *object, uint64_t *weight, struct thaw_error *err)
{
    *weight = 0;
    struct config_value value = config_member(object, "weight");
    int rc = config_uint(object, "weight", BLOCK_WEIGHT_MAX, weight, err);
    if (rc == 0 && *weight > 0 && *weight < BLOCK_WEIGHT_MIN)
        return config_fail(&value, err, "must be 0 or between %u and %u", BLOCK_WEIGHT_MIN,
                           BLOCK_WEIGHT_MAX);
    if (rc == 0)
        rc = config_refuse(object, "leafWeight", "cgroup v2 has no such setting", err);
    return rc;
}

struct block_device {
    uint64_t major, minor;
};

static int read_block_device(const struct config_value *value, struct block_device *device,
                             struct thaw_error *err)
{
    struct config_value major = config_member(value, "major");
    struct config_value minor = config_member(value, "minor");
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_as_uint(&major, MAJOR_MAX, &device->major, err);
    if (rc == 0)
        rc = config_as_uint(&minor, MINOR_MAX, &device->minor, err);
    return rc;
}

static int build_weight_devices(struct bundle_builder *builder, const struct config_value *block,
                                struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(block, "weightDevice", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        struct block_device device = {0};
        uint64_t weight = 0;
        rc = read_block_device(&value, &device, err);
        if (rc == 0)
            rc = read_weight(&value, &weight, err);
        if (rc == 0 && weight > 0)
            put_file(builder, "io.weight", "%" PRIu64 ":%" PRIu64 " %" PRIu64, device.major,
                     device.minor, io_weight(weight));
    }
    return rc;
}

/* A rate of 0 lifts the limit, as it did in v1. */
static int build_throttles(struct bundle_builder *builder, const struct config_value *block,
                           const char *key, const char *name, struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(block, key, &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        struct config_value rate_value = config_member(&value, "rate");
        struct block_device device = {0};
        uint64_t rate = 0;
        rc = read_block_device(&value, &device, err);
        if (rc == 0)
            rc = config_as_uint(&rate_value, UINT64_MAX, &rate, err);
        if (rc == 0 && rate > 0)
            put_file(builder, "io.max", "%" PRIu64 ":%" PRIu64 " %s=%" PRIu64, device.major,
                     device.minor, name, rate);
        else if (rc == 0)
            put_file(builder, "io.max", "%" PRIu64 ":%" PRIu64 " %s=max", device.major,
                     device.minor, name);
    }
    return rc;
}

static int build_block_io(struct bundle_builder *builder, const struct config_value *resources,
                          struct thaw_error *err)
{
    struct config_value block;
    uint64_t weight = 0;
    int rc = config_object(resources, "blockIO", &block, err);
    if (rc == 0)
        rc = read_weight(&block, &weight, err);
    if (rc == 0 && weight > 0)
        put_file(builder, "io.weight", "default %" PRIu64, io_weight(weight));
    if (rc == 0)
        rc = build_weight_devices(builder, &block, err);
    if (rc == 0)
        rc = build_throttles(builder, &block, "throttleReadBpsDevice", "rbps", err);
    if (rc == 0)
        rc = build_throttles(builder, &block, "throttleWriteBpsDevice", "wbps", err);
    if (rc == 0)
        rc = build_throttles(builder, &block, "throttleReadIOPSDevice", "riops", err);
    if (rc == 0)
        rc = build_throttles(builder, &block, "throttleWriteIOPSDevice", "wiops", err);
    return rc;
}

/* Digits, one of K, M, G, then B: the size is part of a file name. */
static bool is_page_size(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 4 && strspn(text + digits, "KMG") == 1 &&
           strcmp(text + digits + 1, "B") == 0;
}

static int put_hugepage_limit(struct bundle_builder *builder, const struct config_value *value,
                              struct thaw_error *err)
{
    struct config_value size_value = config_member(value, "pageSize");
    struct config_value limit_value = config_member(value, "limit");
    const char *size = "";
    uint64_t limit = 0;
    int rc = config_as_object(value, err);
    if (rc == 0)
        rc = config_as_string(&size_value, &size, err);
    if (rc == 0)
        rc = config_as_uint(&limit_value, UINT64_MAX, &limit, err);
    if (rc < 0)
        return rc;
    if (!is_page_size(size))
        return config_fail(&size_value, err, "must be a size such as 2MB");

    char name[32];
    snprintf(name, sizeof(name), "hugetlb.%s.max", size);
    put_file(builder, name, "%" PRIu64, limit);
    snprintf(name, sizeof(name), "hugetlb.%s.rsvd.max", size);
    put_file(builder, name, "%" PRIu64, limit);
    return 0;
}

static int build_hugepages(struct bundle_builder *builder, const struct config_value *resources,
                           struct thaw_error *err)
{
    struct config_value list;
    int rc = config_array(resources, "hugepageLimits", &list, err);
    for (size_t i = 0; rc == 0 && i < config_count(&list); i++) {
        struct config_value value = config_element(&list, i);
        rc = put_hugepage_limit(builder, &value, err);
    }
    return rc;
}

static int refuse_controllers(const struct config_value *resources, struct thaw_error *err)
{
    static const char why[] = "cgroup v2 has no such controller";
    struct config_value network, rdma;
    int rc = config_object(resources, "network", &network, err);
    if (rc == 0)
        rc = config_refuse(&network, "classID", why, err);
    if (rc == 0)
        rc = config_refuse(&network, "priorities", why, err);
    if (rc == 0)
        rc = config_object(resources, "rdma", &rdma, err);
    if (rc == 0)
        rc = config_refuse(resources, "rdma", "the guest has no RDMA devices", err);
    return rc;
}

static int put_unified(void *context, const struct config_value *value, const char *string,
                       struct thaw_error *err)
{
    struct spec_writer *spec = context;
    const char *name = value->key;
    if (strchr(name, '/') || !strchr(name, '.') || name[0] == '.')
        return config_fail(value, err, "not the name of a cgroup file");
    spec_writer_put_strings(spec, THAW_SPEC_CGROUP_FILE, name, string);
    return 0;
}

int build_resources(struct bundle_builder *builder, const struct config_value *resources,
                    struct thaw_error *err)
{
    int rc = build_memory(builder, resources, err);
    if (rc == 0)
        rc = build_cpu(builder, resources, err);
    if (rc == 0)
        rc = build_pids(builder, resources, err);
    if (rc == 0)
        rc = build_block_io(builder, resources, err);
    if (rc == 0)
        rc = build_hugepages(builder, resources, err);
    if (rc == 0)
        rc = refuse_controllers(resources, err);
    /* Last, so that what is said for v2 itself wins over what was converted. */
    if (rc == 0)
        rc = config_string_map(resources, "unified", put_unified, &builder->spec, err);
    return rc;
}
