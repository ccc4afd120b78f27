/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/builder.h"

#include "thaw/spec.h"

#include <linux/ioprio.h>
#include <linux/sched.h>

#define OOM_SCORE_ADJ_MAX 1000
#define NICE_MIN          (-20)
#define NICE_MAX          19
#define RT_PRIORITY_MAX   99

static const struct config_name policies[] = {
    {"SCHED_OTHER", SCHED_NORMAL}, {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},  {"SCHED_IDLE", SCHED_IDLE}, {"SCHED_DEADLINE", SCHED_DEADLINE},
};

static const struct config_name flags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

static int add_flag(void *context, const struct config_value *value, const char *string,
                    struct thaw_error *err)
{
    (void)string;
    uint64_t *set = context;
    uint64_t flag = 0;
    int rc = config_as_name(value, "scheduler flag", flags, CONFIG_COUNT_OF(flags), &flag, err);
    if (rc == 0 && flag & SCHED_FLAG_UTIL_CLAMP)
        return config_fail(value, err, "the guest kernel does not clamp utilization");
    *set |= flag;
    return rc;
}

static int read_policy(const struct config_value *object, struct thaw_spec_scheduler *record,
                       struct thaw_error *err)
{
    struct config_value value = config_member(object, "policy");
    uint64_t policy = 0;
    int rc = config_as_name(&value, "scheduling policy", policies, CONFIG_COUNT_OF(policies),
                            &policy, err);
    record->policy = (uint32_t)policy;
    return rc;
}

/* sched_setattr(2): a real-time policy has a priority from 1 on, any other has 0. */
static int read_priorities(const struct config_value *object, struct thaw_spec_scheduler *record,
                           struct thaw_error *err)
{
    bool realtime = record->policy == SCHED_FIFO || record->policy == SCHED_RR;
    int64_t nice = 0, priority = 0;
    int rc = config_int(object, "nice", NICE_MIN, NICE_MAX, &nice, err);
    if (rc == 0)
        rc = config_int(object, "priority", 0, RT_PRIORITY_MAX, &priority, err);
    if (rc < 0)
        return rc;
    if (realtime != (priority > 0)) {
        struct config_value value = config_member(object, "priority");
        return config_fail(&value, err,
                           realtime ? "must be between 1 and %d for a real-time policy"
                                    : "must be 0: only real-time policies have priorities up to %d",
                           RT_PRIORITY_MAX);
    }
    record->nice = (int32_t)nice;
    record->priority = (uint32_t)priority;
    return 0;
}

static int build_scheduler(struct bundle_builder *builder, const struct config_value *process,
                           struct thaw_error *err)
{
    struct config_value object;
    int rc = config_object(process, "scheduler", &object, err);
    if (rc < 0 || !config_given(&object))
        return rc;

    struct thaw_spec_scheduler record = {0};
    rc = read_policy(&object, &record, err);
    if (rc == 0)
        rc = read_priorities(&object, &record, err);
    if (rc == 0)
        rc = config_strings(&object, "flags", add_flag, &record.flags, err);
    if (rc == 0)
        rc = config_uint(&object, "runtime", INT64_MAX, &record.runtime, err);
    if (rc == 0)
        rc = config_uint(&object, "deadline", INT64_MAX, &record.deadline, err);
    if (rc == 0)
        rc = config_uint(&object, "period", INT64_MAX, &record.period, err);
    if (rc == 0)
        spec_writer_put(&builder->spec, THAW_SPEC_SCHEDULER, &record, sizeof(record));
    return rc;
}

static const struct config_name io_classes[] = {
    {"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
    {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
    {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
};

static int build_io_priority(struct bundle_builder *builder, const struct config_value *process,
                             struct thaw_error *err)
{
    struct config_value object;
    int rc = config_object(process, "ioPriority", &object, err);
    if (rc < 0 || !config_given(&object))
        return rc;

    struct config_value name = config_member(&object, "class");
    uint64_t class = 0, priority = 0;
    rc = config_as_name(&name, "I/O class", io_classes, CONFIG_COUNT_OF(io_classes), &class, err);
    if (rc == 0)
        rc = config_uint(&object, "priority", IOPRIO_NR_LEVELS - 1, &priority, err);
    if (rc < 0)
        return rc;

    int32_t value = (int32_t)(class << IOPRIO_CLASS_SHIFT | priority);
    spec_writer_put(&builder->spec, THAW_SPEC_IOPRIORITY, &value, sizeof(value));
    return 0;
}

static int build_oom_score(struct bundle_builder *builder, const struct config_value *process,
                           struct thaw_error *err)
{
    struct config_value value = config_member(process, "oomScoreAdj");
    if (!config_given(&value))
        return 0;

    int64_t score = 0;
    int rc = config_as_int(&value, -OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX, &score, err);
    int32_t record = (int32_t)score;
    if (rc == 0)
        spec_writer_put(&builder->spec, THAW_SPEC_OOM_SCORE_ADJ, &record, sizeof(record));
    return rc;
}

/* "Not applicable to the container's init process" (OCI 1.2, Process): it is for `exec`, and the
 * process of config.json is that init process. So there is nothing to do but to check types. */
static int check_exec_affinity(const struct config_value *process, struct thaw_error *err)
{
    struct config_value object;
    const char *cpus;
    int rc = config_object(process, "execCPUAffinity", &object, err);
    if (rc == 0)
        rc = config_string(&object, "initial", &cpus, err);
    if (rc == 0)
        rc = config_string(&object, "final", &cpus, err);
    return rc;
}

int build_scheduling(struct bundle_builder *builder, const struct config_value *process,
                     struct thaw_error *err)
{
    int rc = build_oom_score(builder, process, err);
    if (rc == 0)
        rc = build_scheduler(builder, process, err);
    if (rc == 0)
        rc = build_io_priority(builder, process, err);
    if (rc == 0)
        rc = check_exec_affinity(process, err);
    return rc;
}
