/* SPDX-License-Identifier: Apache-2.0 */
/* packed_load() for any sink. */
#ifndef THAW_SNAPSHOT_PACK_LOAD_H
#define THAW_SNAPSHOT_PACK_LOAD_H

#include "snapshot/pack_frames.h"

/* `options` may be NULL. With a strict sink the frames without data are read, too. */
int packed_load_to(int memory_zst, const struct frame_sink *sink,
                   const struct pack_options *options, bool *used_uring, struct thaw_error *err);

#endif
