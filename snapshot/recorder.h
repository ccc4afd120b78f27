/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records which pages of a snapshot a restored guest touches, in order: guest memory is anonymous
 * and empty, and every first touch (by the guest, by a device, by the kernel on their behalf)
 * is a userfault that a thread answers with the page and writes down.
 *
 * Where userfaults of the kernel are not allowed (they need /dev/userfaultfd, CAP_SYS_PTRACE or
 * vm.unprivileged_userfaultfd), `memory` is mapped and the page tables are read at the end: what
 * the kernel mapped around a fault is counted, too, and the order is that of the addresses.
 */
#ifndef THAW_SNAPSHOT_RECORDER_H
#define THAW_SNAPSHOT_RECORDER_H

#include "snapshot/memory_file.h"

struct recorder;

/* Call it instead of memory_load_begin(), over the same untouched guest memory. `memory_fd` and
 * `map` are borrowed until recorder_free(). From here on the memory can be used. `approximate`: by
 * the page tables, also where userfaults are allowed. */
int recorder_begin(struct recorder **out, const struct guest_memory *memory, int memory_fd,
                   const struct memory_map *map, bool approximate, struct thaw_error *err);

/*
 * Ends the recording and adds the pages to `order`: those with data, each once (pages of zeros cost
 * a restore nothing). `*approximate`: see above. The guest can go on, its pages still come. Fails
 * when a page could not be read meanwhile, as the guest then noticed, too (SIGBUS, or EFAULT from
 * KVM_RUN).
 */
int recorder_stop(struct recorder *recorder, struct page_runs *order, bool *approximate,
                  struct thaw_error *err);

/* After that nothing may touch the memory but guest_memory_destroy(). NULL is fine. */
void recorder_free(struct recorder *recorder);

static inline void cleanup_recorder_fn(struct recorder **recorder)
{
    recorder_free(*recorder);
}
#define cleanup_recorder cleanup(cleanup_recorder_fn)

#endif
