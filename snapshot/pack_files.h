/* SPDX-License-Identifier: Apache-2.0 */
/* What packing, unpacking and streams do with a snapshot's files beside the memory. */
#ifndef THAW_SNAPSHOT_PACK_FILES_H
#define THAW_SNAPSHOT_PACK_FILES_H

#include "snapshot/memory_index.h"
#include "snapshot/publish.h"

/* The parts of a snapshot that are small: checked, and fitting each other. */
struct snapshot_parts {
    struct snapshot_state state;
    struct memory_map map;
    struct memory_index index;
};

/* Reads `state` and `memory.idx`. On failure there is nothing to free. */
int snapshot_parts_read(int dir_fd, struct snapshot_parts *parts, struct thaw_error *err);
void snapshot_parts_free(struct snapshot_parts *parts);
#define cleanup_snapshot_parts cleanup(snapshot_parts_free)

/* Creates `memory`, as long as the map says and all zeros. Returns the descriptor. */
int publish_memory(const struct publish *publish, const struct memory_map *map,
                   struct thaw_error *err);

/* Puts the disk files of `dir_fd` into the directory, too: the same files where links are
 * possible, for nobody writes to them; else copies. */
int publish_disks(const struct publish *publish, int dir_fd, struct thaw_error *err);

#endif
