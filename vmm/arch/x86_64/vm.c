/* SPDX-License-Identifier: Apache-2.0 */
/* x86: what belongs to the VM as a whole: RAM layout, KVM's own pages, interrupt chips. */
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/kvm.h"

unsigned arch_memory_layout(uint64_t size, struct guest_region regions[GUEST_MEMORY_REGIONS_MAX])
{
    uint64_t low = size < LAYOUT_GAP_START ? size : LAYOUT_GAP_START;
    regions[0] = (struct guest_region){.gpa = 0, .size = low};
    if (size == low)
        return 1;
    regions[1] = (struct guest_region){.gpa = LAYOUT_GAP_END, .size = size - low};
    return 2;
}

int arch_vm_prepare(int vm_fd, struct thaw_error *err)
{
    uint64_t identity_map = LAYOUT_IDENTITY_MAP;
    int rc = kvm_ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, err);
    if (rc < 0)
        return rc;
    return kvm_ioctl(vm_fd, KVM_SET_TSS_ADDR, LAYOUT_TSS, err);
}

int arch_irqchip_create(int vm_fd, struct thaw_error *err)
{
    int rc = kvm_ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0, err);
    if (rc < 0)
        return rc;
    /* The speaker port is where the PIT's second channel shows; guests read it to calibrate. */
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    return kvm_ioctl(vm_fd, KVM_CREATE_PIT2, &pit, err);
}

/* Not 0 to 4 (timer, keyboard, cascade, UARTs), 8 (clock) and 13 (coprocessor). */
static const uint8_t free_irqs[ARCH_VIRTIO_MAX] = {5,  6,  7,  9,  10, 11, 12, 14,
                                                   15, 16, 17, 18, 19, 20, 21, 22};

void arch_virtio_place(unsigned index, uint64_t *gpa, uint32_t *irq)
{
    *gpa = LAYOUT_VIRTIO + (uint64_t)GUEST_PAGE_SIZE * index;
    *irq = free_irqs[index];
}

void arch_irq_line(int vm_fd, uint32_t irq, int level)
{
    struct kvm_irq_level line = {.irq = irq, .level = (uint32_t)level};
    (void)ioctl(vm_fd, KVM_IRQ_LINE, &line);
}

int arch_reset_was_panic(const struct guest_memory *mem)
{
    uint16_t flag = 0;
    return guest_memory_read(mem, LAYOUT_RESET_FLAG, &flag, sizeof(flag)) == 0 &&
           flag == LAYOUT_RESET_FLAG_WARM;
}
