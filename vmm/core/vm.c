/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/vm.h"

#include "vmm/base/clock.h"
#include "vmm/base/kvm.h"
#include "vmm/core/vcpu.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

static void take_over(struct vm *vm, const struct vm_config *config)
{
    vm->kvm_fd = config->kvm_fd;
    if (!config->memory)
        return;
    vm->memory = *config->memory;
    vm->end_filling = config->end_filling;
    vm->filling_ctx = config->filling_ctx;
    *config->memory = (struct guest_memory){0};
}

static struct vm *vm_alloc(const struct vm_config *config, struct thaw_error *err)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    if (!vm) {
        thaw_fail(err, ENOMEM, "VM");
        return NULL;
    }
    take_over(vm, config);
    vm->fd = vm->ended_fd = -1;
    for (unsigned i = 0; i < ARCH_VCPUS_MAX; i++)
        vm->vcpus[i].fd = -1;
    pthread_mutex_init(&vm->end_lock, NULL);
    return vm;
}

static int create_vcpus(struct vm *vm, unsigned count, struct thaw_error *err)
{
    int run_size = kvm_ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0, err);
    if (run_size < 0)
        return run_size;

    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        vm->vcpu_count = i + 1;
        rc = vcpu_create(vm, i, (size_t)run_size, err);
    }
    return rc;
}

static int create_memory(struct vm *vm, const struct vm_config *config, struct thaw_error *err)
{
    if (vm->memory.region_count > 0)
        return 0;
    struct guest_region regions[GUEST_MEMORY_REGIONS_MAX];
    unsigned count = arch_memory_layout(config->memory_size, regions);
    return guest_memory_create(&vm->memory, regions, count, err);
}

int vm_create(const struct vm_config *config, struct vm **out, struct thaw_error *err)
{
    cleanup_vm struct vm *vm = vm_alloc(config, err);
    if (!vm)
        return thaw_error_code(err);
    if (vm->kvm_fd <= 0)
        vm->kvm_fd = kvm_open(err);
    if (vm->kvm_fd < 0)
        return vm->kvm_fd;

    vm->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->ended_fd < 0)
        return thaw_fail(err, errno, "eventfd");
    vm->fd = kvm_ioctl(vm->kvm_fd, KVM_CREATE_VM, 0, err);
    if (vm->fd < 0)
        return vm->fd;
    int rc = arch_vm_prepare(vm->fd, err);
    if (rc == 0)
        rc = create_memory(vm, config, err);
    /* Memory first: once an interrupt chip exists, adding a memslot waits for an RCU grace
     * period of several milliseconds. */
    if (rc == 0)
        rc = guest_memory_register(&vm->memory, vm->fd, err);
    if (rc == 0)
        rc = arch_irqchip_create(vm->fd, err);
    if (rc == 0)
        rc = create_vcpus(vm, config->vcpus, err);
    if (rc < 0)
        return rc;
    *out = take(vm);
    return 0;
}

void vm_destroy(struct vm *vm)
{
    if (!vm)
        return;
    vm_stop(vm);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_destroy(&vm->vcpus[i]);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->kvm_fd > 0)
        close(vm->kvm_fd);
    if (vm->ended_fd >= 0)
        close(vm->ended_fd);
    if (vm->end_filling)
        vm->end_filling(vm->filling_ctx);
    guest_memory_destroy(&vm->memory);
    pthread_mutex_destroy(&vm->end_lock);
    free(vm);
}

static int setup_vcpus(struct vm *vm, struct thaw_error *err)
{
    struct arch_cpuid *cpuid;
    int rc = arch_cpuid_create(vm->kvm_fd, &cpuid, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < vm->vcpu_count && rc == 0; i++)
        rc = arch_vcpu_setup(vm->vcpus[i].fd, cpuid, i, vm->vcpu_count, err);
    arch_cpuid_free(cpuid);
    return rc;
}

int vm_boot(struct vm *vm, const struct boot_image *image, const char *cmdline,
            struct thaw_error *err)
{
    int rc = setup_vcpus(vm, err);
    if (rc == 0)
        rc = arch_boot_tables(&vm->memory, image, cmdline, vm->vcpu_count, err);
    return rc < 0 ? rc : arch_vcpu_boot(vm->vcpus[0].fd, image, err);
}

int vm_start(struct vm *vm, struct thaw_error *err)
{
    if (vm->first_run_ns == 0)
        vm->first_run_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        int rc = vcpu_start(&vm->vcpus[i], err);
        if (rc < 0) {
            vm_stop(vm);
            return rc;
        }
    }
    return 0;
}

static void fetch_vcpus(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_kick(&vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_join(&vm->vcpus[i]);
}

void vm_stop(struct vm *vm)
{
    atomic_store(&vm->stopping, true);
    fetch_vcpus(vm);
}

int vm_pause(struct vm *vm, struct thaw_error *err)
{
    vm_stop(vm);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_settle(&vm->vcpus[i]);
    if (vm_end_get(vm).kind != VM_END_NONE)
        return thaw_fail_as(err, THAW_FAIL_ENDED, ESHUTDOWN, "guest: ended while it was stopped");
    return 0;
}

int vm_resume(struct vm *vm, struct thaw_error *err)
{
    atomic_store(&vm->stopping, false);
    return vm_start(vm, err);
}

bool vm_is_idle(struct vm *vm)
{
    bool idle = true;
    for (unsigned i = 0; i < vm->vcpu_count && idle; i++)
        idle = arch_vcpu_is_idle(vm->vcpus[i].fd) == 1;
    return idle;
}

static struct arch_machine describe(const struct vm *vm, int fds[ARCH_VCPUS_MAX])
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        fds[i] = vm->vcpus[i].fd;
    return (struct arch_machine){
        .kvm_fd = vm->kvm_fd, .vm_fd = vm->fd, .vcpu_count = vm->vcpu_count, .vcpu_fds = fds};
}

int vm_state_save(const struct vm *vm, struct arch_state *state, struct thaw_error *err)
{
    int fds[ARCH_VCPUS_MAX];
    const struct arch_machine machine = describe(vm, fds);
    return arch_state_save(&machine, state, err);
}

int vm_state_load(const struct vm *vm, const struct arch_state_view *view, enum arch_clock clock,
                  struct thaw_error *err)
{
    int fds[ARCH_VCPUS_MAX];
    const struct arch_machine machine = describe(vm, fds);
    return arch_state_load(&machine, view, clock, err);
}

void vm_end(struct vm *vm, enum vm_end_kind kind, int status, const char *detail)
{
    pthread_mutex_lock(&vm->end_lock);
    bool first = vm->end.kind == VM_END_NONE;
    if (first) {
        vm->end.kind = kind;
        vm->end.status = status;
        snprintf(vm->end.detail, sizeof(vm->end.detail), "%s", detail ? detail : "");
    }
    pthread_mutex_unlock(&vm->end_lock);

    if (!first)
        return;
    /* The vCPU that got here leaves at once; vm_stop() fetches the others. */
    atomic_store(&vm->stopping, true);
    eventfd_write(vm->ended_fd, 1);
}

struct vm_end vm_end_get(struct vm *vm)
{
    pthread_mutex_lock(&vm->end_lock);
    struct vm_end end = vm->end;
    pthread_mutex_unlock(&vm->end_lock);
    return end;
}

void vm_irq(struct vm *vm, uint32_t irq, bool level)
{
    arch_irq_line(vm->fd, irq, level);
}

int vm_irqfd(struct vm *vm, uint32_t irq, int fd, struct thaw_error *err)
{
    struct kvm_irqfd request = {.fd = (uint32_t)fd, .gsi = irq};
    return kvm_ioctl(vm->fd, KVM_IRQFD, &request, err);
}

int vm_ioeventfd(struct vm *vm, uint64_t gpa, int fd, struct thaw_error *err)
{
    /* Length 0 is "any": Intel's KVM then need not look at the instruction. */
    struct kvm_ioeventfd request = {.addr = gpa, .len = 0, .fd = fd};
    return kvm_ioctl(vm->fd, KVM_IOEVENTFD, &request, err);
}

/* Whether the last round found every vCPU dead; a vCPU that has not answered is not. */
static bool all_dead(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (atomic_load(&vm->vcpus[i].probe) || !atomic_load(&vm->vcpus[i].dead))
            return false;
    return true;
}

void vm_probe(struct vm *vm)
{
    vm->dead_rounds = all_dead(vm) ? vm->dead_rounds + 1 : 0;
    if (vm->dead_rounds >= 2) {
        vm_end(vm, VM_END_HALTED, 0, NULL);
        return;
    }
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        atomic_store(&vm->vcpus[i].dead, false);
        atomic_store(&vm->vcpus[i].probe, true);
        vcpu_kick(&vm->vcpus[i]);
    }
}
