/* SPDX-License-Identifier: Apache-2.0 */
/* bench-floor-state SNAPSHOT FILE: takes out of a snapshot what bench-floor sets. */
#include "snapshot/format.h"
#include "tests/bench/floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void check(bool ok, const char *what, const struct thaw_error *err)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench-floor-state: %s: %s\n", what, err->message);
    exit(1);
}

static struct arch_section section(const struct snapshot_state *state, uint32_t type)
{
    struct thaw_error err = {0};
    struct arch_section found = {0};
    found.data = snapshot_section_get(state, type, 0, &found.size, &err);
    check(found.data, "section", &err);
    return found;
}

static void collect(const struct x86_view *view, struct floor_state *out)
{
    const struct x86_vcpu_view *vcpu = &view->vcpus[0];
    struct thaw_error err = {.message = "more of it than there is room for"};
    out->vcpu = *vcpu->state;
    out->vm = *view->vm;
    check(out->vcpu.xsave_size <= FLOOR_XSAVE_MAX, "XSAVE area", &err);
    memcpy(out->xsave, vcpu->xsave, out->vcpu.xsave_size);

    /* As msr_write() puts it: the TSC, twice, before the others. */
    const struct kvm_msr_entry tsc = {.index = MSR_TSC, .data = out->vcpu.tsc};
    check(out->vcpu.msr_count + 2 <= FLOOR_MSRS_MAX, "MSRs", &err);
    out->msrs.entries[0] = out->msrs.entries[1] = tsc;
    out->msrs.entries[0].data += 1ull << 42;
    memcpy(&out->msrs.entries[2], vcpu->msrs, out->vcpu.msr_count * sizeof(*vcpu->msrs));
    out->msrs.count = out->vcpu.msr_count + 2;

    out->cpuid.count = vcpu->cpuid->nent;
    memcpy(out->cpuid.entries, vcpu->cpuid->entries,
           out->cpuid.count * sizeof(*vcpu->cpuid->entries));
}

int main(int argc, char **argv)
{
    static struct floor_state out;
    struct thaw_error err = {0};
    struct snapshot_state state;
    struct stat memory = {0};
    if (argc != 3) {
        (void)fputs("usage: bench-floor-state SNAPSHOT FILE\n", stderr);
        return 2;
    }
    int dir_fd = snapshot_open_directory(argv[1], &err);
    check(dir_fd >= 0, argv[1], &err);
    check(snapshot_state_read(dir_fd, &state, &err) == 0, argv[1], &err);
    check(fstatat(dir_fd, "memory", &memory, 0) == 0, "memory", &err);
    out.memory_bytes = (uint64_t)memory.st_size;

    struct arch_state_view bytes = {.vcpu_count = 1, .vm = section(&state, SNAPSHOT_VM)};
    bytes.cpuid[0] = section(&state, SNAPSHOT_CPUID);
    bytes.vcpu[0] = section(&state, SNAPSHOT_VCPU);
    struct x86_view view;
    check(x86_state_parse(&bytes, &view, &err) == 0, argv[1], &err);
    collect(&view, &out);

    FILE *file = fopen(argv[2], "wb");
    check(file && fwrite(&out, sizeof(out), 1, file) == 1 && fclose(file) == 0, argv[2], &err);
    return 0;
}
