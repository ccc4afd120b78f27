/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fake_kvm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FAKE_KVM_FD  100000
#define FAKE_VM_FD   100001
#define FAKE_VCPU_FD 100002

static struct fake_kvm *installed;

static const int vcpu_fds[FAKE_VCPUS_MAX] = {FAKE_VCPU_FD, FAKE_VCPU_FD + 1, FAKE_VCPU_FD + 2,
                                             FAKE_VCPU_FD + 3};

static const struct {
    unsigned long request;
    const char *name;
} names[] = {
    {KVM_GET_MP_STATE, "MP_STATE"},
    {KVM_SET_MP_STATE, "MP_STATE"},
    {KVM_GET_REGS, "REGS"},
    {KVM_SET_REGS, "REGS"},
    {KVM_GET_SREGS, "SREGS"},
    {KVM_SET_SREGS, "SREGS"},
    {KVM_GET_XSAVE, "XSAVE"},
    {KVM_SET_XSAVE, "XSAVE"},
    {KVM_GET_XSAVE2, "XSAVE2"},
    {KVM_GET_XCRS, "XCRS"},
    {KVM_SET_XCRS, "XCRS"},
    {KVM_GET_DEBUGREGS, "DEBUGREGS"},
    {KVM_SET_DEBUGREGS, "DEBUGREGS"},
    {KVM_GET_LAPIC, "LAPIC"},
    {KVM_SET_LAPIC, "LAPIC"},
    {KVM_GET_TSC_KHZ, "TSC_KHZ"},
    {KVM_SET_TSC_KHZ, "TSC_KHZ"},
    {KVM_GET_CPUID2, "CPUID2"},
    {KVM_SET_CPUID2, "CPUID2"},
    {KVM_GET_MSRS, "get-MSRS"},
    {KVM_SET_MSRS, "set-MSRS"},
    {KVM_GET_DEVICE_ATTR, "get-TSC_OFFSET"},
    {KVM_SET_DEVICE_ATTR, "TSC_OFFSET"},
    {KVM_GET_VCPU_EVENTS, "VCPU_EVENTS"},
    {KVM_SET_VCPU_EVENTS, "VCPU_EVENTS"},
    {KVM_KVMCLOCK_CTRL, "KVMCLOCK_CTRL"},
    {KVM_GET_PIT2, "PIT2"},
    {KVM_SET_PIT2, "PIT2"},
    {KVM_GET_CLOCK, "CLOCK"},
    {KVM_SET_CLOCK, "CLOCK"},
    {KVM_GET_IRQCHIP, "IRQCHIP"},
    {KVM_SET_IRQCHIP, "IRQCHIP"},
    {KVM_GET_NESTED_STATE, "NESTED"},
    {KVM_SET_NESTED_STATE, "NESTED"},
    {KVM_RUN, "RUN"},
};

static void fill(void *to, size_t size, uint8_t seed)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)(seed + i * 7);
}

struct kvm_cpuid_entry2 *fake_cpuid_leaf(struct fake_cpuid *cpuid, uint32_t leaf, uint32_t index)
{
    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == index)
            return &cpuid->entries[i];
    struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];
    *entry = (struct kvm_cpuid_entry2){.function = leaf, .index = index};
    return entry;
}

struct fake_msr *fake_kvm_add_msr(struct fake_kvm *kvm, uint32_t index, uint64_t initially)
{
    struct fake_msr *msr = &kvm->msrs[kvm->msr_count++];
    *msr = (struct fake_msr){.index = index, .initially = initially};
    for (unsigned i = 0; i < FAKE_VCPUS_MAX; i++)
        kvm->vcpus[i].msrs[kvm->msr_count - 1] = initially;
    return msr;
}

static int msr_number(const struct fake_kvm *kvm, uint32_t index)
{
    for (unsigned i = 0; i < kvm->msr_count; i++)
        if (kvm->msrs[i].index == index)
            return (int)i;
    return -1;
}

uint64_t *fake_kvm_msr(struct fake_kvm *kvm, unsigned vcpu, uint32_t index)
{
    int number = msr_number(kvm, index);
    cr_assert_geq(number, 0, "the fake has no MSR 0x%x", index);
    return &kvm->vcpus[vcpu].msrs[number];
}

static void make_host(struct fake_kvm *kvm)
{
    static const uint32_t listed[] = {0x174, 0xc0000082, 0x10, 0x10a, 0x6e0, 0x1a0, 0x4b564d01};
    static const uint32_t mtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff};
    for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++)
        fake_kvm_add_msr(kvm, listed[i], 0);
    for (size_t i = 0; i < sizeof(mtrrs) / sizeof(mtrrs[0]); i++)
        fake_kvm_add_msr(kvm, mtrrs[i], 0)->unlisted = true;
    for (uint32_t index = 0x200; index < 0x210; index++)
        fake_kvm_add_msr(kvm, index, 0)->unlisted = true;

    struct kvm_cpuid_entry2 *vendor = fake_cpuid_leaf(&kvm->supported, 0, 0);
    memcpy(&vendor->ebx, "Genu", 4);
    memcpy(&vendor->edx, "ineI", 4);
    memcpy(&vendor->ecx, "ntel", 4);
    fake_cpuid_leaf(&kvm->supported, 1, 0)->ecx = 0x80202000;
    fake_cpuid_leaf(&kvm->supported, 7, 0)->ebx = 0x2020;

    kvm->xsave_size = sizeof(struct kvm_xsave);
    kvm->adjust_clock = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
    kvm->tsc_khz = 2000000;
}

static void make_vcpu(struct fake_kvm *kvm, unsigned index)
{
    struct fake_vcpu *vcpu = &kvm->vcpus[index];
    vcpu->cpuid = kvm->supported;
    fake_cpuid_leaf(&vcpu->cpuid, 1, 0)->ebx = index << 24;
    fill(&vcpu->mp_state, sizeof(vcpu->mp_state), (uint8_t)(index + 1));
    fill(&vcpu->regs, sizeof(vcpu->regs), (uint8_t)(index + 2));
    fill(&vcpu->sregs, sizeof(vcpu->sregs), (uint8_t)(index + 3));
    fill(vcpu->xsave, sizeof(vcpu->xsave), (uint8_t)(index + 4));
    fill(&vcpu->xcrs, sizeof(vcpu->xcrs), (uint8_t)(index + 5));
    fill(&vcpu->debugregs, sizeof(vcpu->debugregs), (uint8_t)(index + 6));
    fill(&vcpu->events, sizeof(vcpu->events), (uint8_t)(index + 7));
    memset(&vcpu->lapic, 0, sizeof(vcpu->lapic));
    fill(vcpu->lapic.regs, 64, (uint8_t)(index + 8));
    for (unsigned i = 0; i < kvm->msr_count; i++)
        vcpu->msrs[i] = 0x1000ull * (index + 1) + i;
}

void fake_kvm_install(struct fake_kvm *kvm)
{
    *kvm = (struct fake_kvm){0};
    installed = kvm;
    make_host(kvm);
    for (unsigned i = 0; i < FAKE_VCPUS_MAX; i++)
        make_vcpu(kvm, i);
    fill(&kvm->pit, sizeof(kvm->pit), 40);
    kvm->clock = (struct kvm_clock_data){.clock = 123456789,
                                         .flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC,
                                         .realtime = 1700000000ull * 1000000000};
    for (uint32_t i = 0; i < 3; i++) {
        fill(&kvm->chips[i], sizeof(kvm->chips[i]), (uint8_t)(50 + i));
        kvm->chips[i].chip_id = i;
    }
}

struct arch_machine fake_kvm_machine(unsigned count)
{
    return (struct arch_machine){
        .kvm_fd = FAKE_KVM_FD, .vm_fd = FAKE_VM_FD, .vcpu_count = count, .vcpu_fds = vcpu_fds};
}

void fake_kvm_reset(struct fake_kvm *kvm)
{
    memset(kvm->vcpus, 0, sizeof(kvm->vcpus));
    for (unsigned i = 0; i < FAKE_VCPUS_MAX; i++)
        for (unsigned k = 0; k < kvm->msr_count; k++)
            kvm->vcpus[i].msrs[k] = kvm->msrs[k].initially;
    kvm->pit = (struct kvm_pit_state2){0};
    kvm->clock = (struct kvm_clock_data){0};
    memset(kvm->chips, 0, sizeof(kvm->chips));
    kvm->call_count = kvm->write_count = 0;
}

const char *fake_kvm_story(const struct fake_kvm *kvm, int vcpu, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < kvm->call_count; i++)
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
            if (kvm->calls[i].vcpu == vcpu && kvm->calls[i].request == names[k].request)
                used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "",
                                         names[k].name);
    return text;
}

unsigned fake_kvm_count(const struct fake_kvm *kvm, unsigned long request)
{
    unsigned count = 0;
    for (unsigned i = 0; i < kvm->call_count; i++)
        count += kvm->calls[i].request == request;
    return count;
}

const struct fake_msr_write *fake_kvm_last_write(const struct fake_kvm *kvm, unsigned vcpu,
                                                 uint32_t index)
{
    for (unsigned i = kvm->write_count; i-- > 0;)
        if (kvm->writes[i].vcpu == vcpu && kvm->writes[i].index == index)
            return &kvm->writes[i];
    return NULL;
}

/* ---- the calls ---------------------------------------------------------------------------- */

static int fail(int code)
{
    errno = code;
    return -1;
}

/* KVM_GET_CPUID2 of older KVM does not say how many there are. */
static int give_cpuid(const struct fake_cpuid *from, struct fake_cpuid *to)
{
    if (to->nent < from->nent)
        return fail(E2BIG);
    memcpy(to->entries, from->entries, from->nent * sizeof(from->entries[0]));
    return 0;
}

static int take_cpuid(struct fake_cpuid *to, const struct fake_cpuid *from)
{
    if (from->nent > FAKE_CPUID_MAX)
        return fail(E2BIG);
    to->nent = from->nent;
    memcpy(to->entries, from->entries, from->nent * sizeof(from->entries[0]));
    return 0;
}

static int give_msr_list(const struct fake_kvm *kvm, struct kvm_msr_list *list)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < kvm->msr_count; i++)
        if (!kvm->msrs[i].unlisted && count < list->nmsrs)
            list->indices[count++] = kvm->msrs[i].index;
    list->nmsrs = count;
    return 0;
}

static int give_msrs(struct fake_kvm *kvm, unsigned vcpu, struct kvm_msrs *batch)
{
    if (batch->nmsrs >= 256)
        return fail(E2BIG);
    for (uint32_t i = 0; i < batch->nmsrs; i++) {
        int number = msr_number(kvm, batch->entries[i].index);
        if (number < 0 || kvm->msrs[number].unreadable)
            return (int)i;
        batch->entries[i].data = kvm->vcpus[vcpu].msrs[number];
    }
    return (int)batch->nmsrs;
}

static int take_msrs(struct fake_kvm *kvm, unsigned vcpu, const struct kvm_msrs *batch)
{
    if (batch->nmsrs >= 256)
        return fail(E2BIG);
    for (uint32_t i = 0; i < batch->nmsrs; i++) {
        struct kvm_msr_entry entry = batch->entries[i];
        int number = msr_number(kvm, entry.index);
        if (number < 0 || kvm->msrs[number].unwritable)
            return (int)i;
        kvm->vcpus[vcpu].msrs[number] = entry.data;
        kvm->writes[kvm->write_count++ % FAKE_WRITES_MAX] = (struct fake_msr_write){
            .vcpu = vcpu, .call = kvm->call_count - 1, .index = entry.index, .value = entry.data};
    }
    return (int)batch->nmsrs;
}

static int extension(const struct fake_kvm *kvm, uintptr_t which)
{
    switch (which) {
    case KVM_CAP_XSAVE2:
        return kvm->xsave_size;
    case KVM_CAP_ADJUST_CLOCK:
        return kvm->adjust_clock;
    case KVM_CAP_NESTED_STATE:
        return kvm->nested_size;
    case KVM_CAP_TSC_CONTROL:
        return kvm->tsc_control;
    default:
        return 0;
    }
}

static int on_kvm(struct fake_kvm *kvm, unsigned long request, void *argument)
{
    switch (request) {
    case KVM_CHECK_EXTENSION:
        return extension(kvm, (uintptr_t)argument);
    case KVM_GET_MSR_INDEX_LIST:
        return give_msr_list(kvm, argument);
    case KVM_GET_SUPPORTED_CPUID:
        if (give_cpuid(&kvm->supported, argument) < 0)
            return -1;
        ((struct kvm_cpuid2 *)argument)->nent = kvm->supported.nent;
        return 0;
    default:
        return fail(ENOTTY);
    }
}

/* Reading and writing of one plain structure. */
static int copy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return 0;
}

static int on_vm(struct fake_kvm *kvm, unsigned long request, void *argument)
{
    struct kvm_irqchip *chip = argument;
    switch (request) {
    case KVM_CHECK_EXTENSION:
        return extension(kvm, (uintptr_t)argument);
    case KVM_GET_TSC_KHZ:
        return kvm->tsc_khz;
    case KVM_GET_PIT2:
        return copy(argument, &kvm->pit, sizeof(kvm->pit));
    case KVM_SET_PIT2:
        return copy(&kvm->pit, argument, sizeof(kvm->pit));
    case KVM_GET_CLOCK:
        return copy(argument, &kvm->clock, sizeof(kvm->clock));
    case KVM_SET_CLOCK:
        return copy(&kvm->clock, argument, sizeof(kvm->clock));
    case KVM_GET_IRQCHIP:
        return chip->chip_id < 3 ? copy(chip, &kvm->chips[chip->chip_id], sizeof(*chip))
                                 : fail(EINVAL);
    case KVM_SET_IRQCHIP:
        return chip->chip_id < 3 ? copy(&kvm->chips[chip->chip_id], chip, sizeof(*chip))
                                 : fail(EINVAL);
    default:
        return fail(ENOTTY);
    }
}

static int tsc_offset(struct fake_kvm *kvm, struct fake_vcpu *vcpu, unsigned long request,
                      const struct kvm_device_attr *attr)
{
    if (kvm->no_tsc_offset || attr->group != KVM_VCPU_TSC_CTRL || attr->attr != KVM_VCPU_TSC_OFFSET)
        return fail(ENXIO);
    uint64_t *value = (uint64_t *)(uintptr_t)attr->addr;
    if (request == KVM_GET_DEVICE_ATTR)
        *value = vcpu->tsc_offset;
    else
        vcpu->tsc_offset = *value;
    return 0;
}

static int get_nested(const struct fake_kvm *kvm, struct kvm_nested_state *state)
{
    if (kvm->nested_error)
        return fail(kvm->nested_error);
    *state = kvm->nested;
    return 0;
}

static int on_vcpu(struct fake_kvm *kvm, unsigned index, unsigned long request, void *argument)
{
    struct fake_vcpu *vcpu = &kvm->vcpus[index];
    const struct {
        unsigned long get, set;
        void *value;
        size_t size;
    } plain[] = {
        {KVM_GET_MP_STATE, KVM_SET_MP_STATE, &vcpu->mp_state, sizeof(vcpu->mp_state)},
        {KVM_GET_REGS, KVM_SET_REGS, &vcpu->regs, sizeof(vcpu->regs)},
        {KVM_GET_SREGS, KVM_SET_SREGS, &vcpu->sregs, sizeof(vcpu->sregs)},
        {KVM_GET_XSAVE, 0, vcpu->xsave, sizeof(struct kvm_xsave)},
        {KVM_GET_XSAVE2, KVM_SET_XSAVE, vcpu->xsave, (size_t)kvm->xsave_size},
        {KVM_GET_XCRS, KVM_SET_XCRS, &vcpu->xcrs, sizeof(vcpu->xcrs)},
        {KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, &vcpu->debugregs, sizeof(vcpu->debugregs)},
        {KVM_GET_LAPIC, KVM_SET_LAPIC, &vcpu->lapic, sizeof(vcpu->lapic)},
        {KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, &vcpu->events, sizeof(vcpu->events)},
    };
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (request == plain[i].get)
            return copy(argument, plain[i].value, plain[i].size);
        if (request == plain[i].set)
            return copy(plain[i].value, argument, plain[i].size);
    }
    switch (request) {
    case KVM_GET_CPUID2:
        return give_cpuid(&vcpu->cpuid, argument);
    case KVM_SET_CPUID2:
        return take_cpuid(&vcpu->cpuid, argument);
    case KVM_GET_MSRS:
        return give_msrs(kvm, index, argument);
    case KVM_SET_MSRS:
        return take_msrs(kvm, index, argument);
    case KVM_GET_DEVICE_ATTR:
    case KVM_SET_DEVICE_ATTR:
        return tsc_offset(kvm, vcpu, request, argument);
    case KVM_GET_NESTED_STATE:
        return get_nested(kvm, argument);
    case KVM_SET_NESTED_STATE:
        return copy(&kvm->nested, argument, sizeof(kvm->nested));
    case KVM_GET_TSC_KHZ:
        return kvm->tsc_khz;
    case KVM_SET_TSC_KHZ:
        kvm->tsc_khz = (int)(uintptr_t)argument;
        return 0;
    case KVM_KVMCLOCK_CTRL:
        return 0;
    default:
        return fail(ENOTTY);
    }
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);

    if (!installed || fd < FAKE_KVM_FD || fd >= FAKE_VCPU_FD + (int)FAKE_VCPUS_MAX)
        return __real_ioctl(fd, request, argument);
    struct fake_kvm *kvm = installed;
    cr_assert_lt(kvm->call_count, FAKE_CALLS_MAX, "the fake's record is full");
    kvm->calls[kvm->call_count].vcpu = fd - FAKE_VCPU_FD;
    kvm->calls[kvm->call_count++].request = request;

    if (request == kvm->fail_request && kvm->fail_errno)
        return fail(kvm->fail_errno);
    if (fd == FAKE_KVM_FD)
        return on_kvm(kvm, request, argument);
    if (fd == FAKE_VM_FD)
        return on_vm(kvm, request, argument);
    return on_vcpu(kvm, (unsigned)(fd - FAKE_VCPU_FD), request, argument);
}
