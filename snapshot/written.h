/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages a guest has written, as KVM saw it; and the section SNAPSHOT_WRITTEN: the pages that
 * a clone of this snapshot writes first, as rehearse_exec() saw them (docs/snapshot-format.md). A
 * hint: a snapshot without it is whole.
 */
#ifndef THAW_SNAPSHOT_WRITTEN_H
#define THAW_SNAPSHOT_WRITTEN_H

#include "snapshot/memory_file.h"
#include "vmm/core/vm.h"

/* More than that are not copied beforehand, and not noted: 16 MiB. */
#define WRITTEN_PAGES_MAX 4096u

/* Appends, sorted, the pages that the guest has written since guest_memory_log_writes() or since
 * this was last called. */
int written_by_guest(const struct vm *vm, struct page_runs *written, struct thaw_error *err);

/* Appends to `to`. `written` has at most WRITTEN_PAGES_MAX pages of a memory map's. */
int written_encode(const struct page_runs *written, struct blob *to, struct thaw_error *err);

/* Fills `written` (empty before, to be freed whatever the result). THAW_FAIL_SNAPSHOT: its runs are
 * not sorted, not in the map's memory, or too many. */
int written_decode(struct page_runs *written, const struct memory_map *map, const void *bytes,
                   size_t size, struct thaw_error *err);

#endif
