/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/snapshot_options.h"

#include "vmm/cli/cli.h"

#include <errno.h>
#include <string.h>

#define DAY_MS (24ull * 3600 * 1000)

const char snapshot_options_help[] =
    "      --snapshot-out DIR    freeze the guest to that directory and end; `-`: to stdout, "
    "packed.\n"
    "                            When, say one or several of these; the first of the list wins:\n"
    "      --snapshot-at-heartbeat N   at the guest's Nth heartbeat\n"
    "      --snapshot-on-pre-exec      when everything before the workload's first instruction is\n"
    "                                  done: each restore runs it with arguments of its own\n"
    "      --snapshot-on-listener      when the workload listens on a TCP port\n"
    "      --snapshot-after-ms N       so long after the start; beside others: then give up\n"
    "      --snapshot-anyway           ... or rather take it\n"
    "      --snapshot-quiesce-ms N     the guest must be quiet for that long in a row\n"
    "      --sync                      return when the snapshot is safe from a power cut\n";

static int set_number(const char *option, uint64_t max, bool *has, uint64_t *number,
                      struct thaw_error *err)
{
    *has = true;
    return cli_parse_number(option, optarg, 1, max, number, err);
}

int snapshot_option_set(struct snapshot_options *o, int option, struct thaw_error *err)
{
    struct snapshot_resources *want = &o->want;
    bool ignored;
    switch (option) {
    case OPT_SNAPSHOT_OUT:
        want->out_path = optarg;
        return 0;
    case OPT_SNAPSHOT_ON_PRE_EXEC:
        want->on_pre_exec = true;
        return 0;
    case OPT_SNAPSHOT_ON_LISTENER:
        want->on_listener = true;
        return 0;
    case OPT_SNAPSHOT_AT_HEARTBEAT:
        return set_number("--snapshot-at-heartbeat", UINT32_MAX, &want->has_at_heartbeat,
                          &want->at_heartbeat, err);
    case OPT_SNAPSHOT_AFTER_MS:
        return set_number("--snapshot-after-ms", DAY_MS, &want->has_after_ms, &want->after_ms, err);
    case OPT_SNAPSHOT_QUIESCE_MS:
        return set_number("--snapshot-quiesce-ms", DAY_MS, &ignored, &want->quiesce_ms, err);
    case OPT_SNAPSHOT_ANYWAY:
        o->anyway = true;
        return 0;
    default:
        o->sync = true;
        return 0;
    }
}

int snapshot_options_check(const struct snapshot_options *o, struct thaw_error *err)
{
    const struct snapshot_resources *want = &o->want;
    if (!want->out_path && (snapshot_is_wanted(want) || o->sync || want->quiesce_ms))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--snapshot-out: says where the snapshot goes, and is missing");
    if (want->out_path && !snapshot_is_wanted(want))
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--snapshot-out: needs to know when: --snapshot-on-pre-exec, "
                            "--snapshot-on-listener, --snapshot-at-heartbeat N or "
                            "--snapshot-after-ms N");
    if (o->anyway && !want->has_after_ms)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "--snapshot-anyway: goes with --snapshot-after-ms N");
    return 0;
}
