/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a stream, for its writer and its reader (docs/snapshot-format.md). */
#ifndef THAW_SNAPSHOT_STREAM_FORMAT_H
#define THAW_SNAPSHOT_STREAM_FORMAT_H

#include <stdint.h>

enum stream_record_type {
    STREAM_INDEX = 1, /* memory.idx; once, first */
    STREAM_FRAME = 2, /* number: of the frame; each frame with data, ascending */
    STREAM_DISK = 3,  /* number: of the disk; its size: a u64 */
    STREAM_DATA = 4,  /* of the disk before it: the offset, a u64, then bytes */
    STREAM_END = 5,   /* XXH3-64 of everything before this payload; nothing follows */
};

/* Little-endian, without padding. */
struct stream_record {
    uint32_t type, number;
    uint64_t length; /* bytes of payload */
};

_Static_assert(sizeof(struct stream_record) == 16, "a record's header is 16 bytes");

#define STREAM_DISKS_MAX 256u
#define STREAM_DATA_MAX  (1u << 20) /* bytes of a disk in one record */

/* Larger than a pipe is at first: fewer turns. Where it may not be, it stays as it is. */
#define STREAM_PIPE_SIZE (1 << 20)

#endif
