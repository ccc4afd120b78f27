/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>

struct filler {
    char *page; /* of guest memory */
    unsigned ended;
};

static void end_filling(void *ctx)
{
    struct filler *filler = ctx;
    filler->page[0] = 1; /* a fault, if it is not there any more */
    filler->ended++;
}

Test(vm, who_fills_its_memory_is_stopped_before_a_vm_that_cannot_be_made_unmaps_it)
{
    struct thaw_error err = {0};
    struct guest_memory memory;
    const struct guest_region region = {.gpa = 0, .size = ARCH_MEMORY_MIN};
    cr_assert_eq(guest_memory_create(&memory, &region, 1, &err), 0, "%s", err.message);
    struct filler filler = {.page = memory.regions[0].host};
    const struct vm_config config = {
        .memory_size = ARCH_MEMORY_MIN,
        .vcpus = 1,
        .memory = &memory,
        .end_filling = end_filling,
        .filling_ctx = &filler,
        .kvm_fd = open("/dev/null", O_RDWR | O_CLOEXEC), /* makes no VM */
    };
    struct vm *vm = NULL;
    cr_assert_lt(vm_create(&config, &vm, &err), 0);
    cr_assert_eq(filler.ended, 1);
    cr_assert_eq(memory.region_count, 0, "taken over, also on failure");
}
