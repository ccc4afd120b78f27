/* SPDX-License-Identifier: Apache-2.0 */
/* The section meta of a snapshot: any text. A machine that is accepted is one that can be built,
 * and it is written again as it was read. */
#include "snapshot/meta.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/arch/arch.h"

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size);
}

static void check_machine(const struct snapshot_meta *meta)
{
    require(meta->memory_size >= ARCH_MEMORY_MIN && meta->memory_size <= ARCH_MEMORY_MAX);
    require(meta->memory_size % GUEST_PAGE_SIZE == 0);
    require(meta->vcpus >= 1 && meta->vcpus <= ARCH_VCPUS_MAX);
    require(meta->disk_count <= MACHINE_DISKS_MAX && meta->net_count <= MACHINE_NETS_MAX);
    for (unsigned i = 0; i < meta->net_count; i++)
        require(ends(meta->nets[i].tap, sizeof(meta->nets[i].tap)));
    require(ends(meta->vsock.path, sizeof(meta->vsock.path)));
    require(meta->balloon.target_pages <= meta->memory_size / GUEST_PAGE_SIZE);
    const char *at = meta->entrypoint, *end = at + sizeof(meta->entrypoint);
    for (unsigned i = 0; i < meta->entrypoint_count; i++) {
        require(at < end && ends(at, (size_t)(end - at)));
        at += strlen(at) + 1;
    }
}

static void check_again(const struct snapshot_meta *meta)
{
    struct thaw_error err = {0};
    struct blob first = {0}, second = {0};
    struct snapshot_meta *again;
    require(snapshot_meta_encode(meta, &first, &err) == 0);
    require(snapshot_meta_decode(&again, first.data, first.size, &err) == 0);
    require(snapshot_meta_encode(again, &second, &err) == 0);
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    blob_free(&first);
    blob_free(&second);
    snapshot_meta_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct thaw_error err = {0};
    struct snapshot_meta *meta;
    char *text = malloc(size > 0 ? size : 1); /* not one byte more than there is */
    require(text);
    if (size > 0)
        memcpy(text, data, size);
    if (snapshot_meta_decode(&meta, text, size, &err) < 0) {
        require(err.failure == THAW_FAIL_SNAPSHOT && err.message[0] != '\0' && !meta);
    } else {
        check_machine(meta);
        check_again(meta);
    }
    snapshot_meta_free(meta);
    free(text);
    return 0;
}
