/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as a stream, for pipes (docs/snapshot-format.md, "The stream"): the file `state`, then
 * records: memory.idx, the frames of memory that are not all zeros, the disks, and a checksum of
 * all that came before. It is read from front to back and never sought in.
 *
 * A stream is hostile input like the files are. Nothing of it counts before its last record: a
 * guest must not run and a directory is not published before the reader returned 0.
 */
#ifndef THAW_SNAPSHOT_STREAM_H
#define THAW_SNAPSHOT_STREAM_H

#include "snapshot/pack.h"

/* What a stream is made of. */
struct stream_content {
    const struct blob *state; /* the whole file */
    const struct blob *index; /* the whole file memory.idx, whose checksum is in the map */
    const struct memory_map *map;
    const struct guest_memory *memory; /* stopped; or NULL: */
    int memory_fd;                     /* an open memory file */
    int disks_fd;                      /* a directory with the files disk-N; -1: no disks */
};

/* Writes the stream to `fd`: a pipe, a socket, a file. The process must ignore SIGPIPE. When the
 * reader is gone or the disk is full: THAW_FAIL_IO. Of the options, level, threads and progress
 * count. */
int stream_write(int fd, const struct stream_content *content, const struct pack_options *options,
                 struct thaw_error *err);

struct stream_reader;

/*
 * Reads and checks the state file at the front of the stream: `state` is then as after
 * snapshot_state_parse(), with the same failures, and is the caller's to free. `fd` stays the
 * caller's and must stay open. The stream must not be read by anybody else.
 */
int stream_open(int fd, struct stream_reader **reader, struct snapshot_state *state,
                struct thaw_error *err);

/*
 * Reads the rest: fills guest memory as the pages come (what packed_load() says of untouched pages
 * and of failures is true here, too), and creates the disk files in `disks_fd`, which must not be
 * there before; -1: a stream with disks is refused (THAW_FAIL_SNAPSHOT_DISK). `map` is the one of
 * the state. 0: everything has arrived and the checksum of the whole is right. A stream that ends
 * early is THAW_FAIL_SNAPSHOT_SHORT.
 */
int stream_load(struct stream_reader *reader, const struct memory_map *map,
                const struct guest_memory *memory, int disks_fd, const struct pack_options *options,
                struct thaw_error *err);

/* From now on waiting for more of the stream ends once `fd` is readable (THAW_FAIL_INTERRUPTED).
 * Nothing is read from it, and it stays the caller's; -1: as before. */
void stream_end_with(struct stream_reader *reader, int fd);

void stream_close(struct stream_reader *reader); /* NULL: nothing */

/* Writes the snapshot in `dir_fd`, plain or packed, as a stream. */
int snapshot_pack_stream(int dir_fd, int fd, const struct pack_options *options,
                         struct thaw_error *err);

/* Reads a stream into a new directory `to`, in the plain form, as snapshot_unpack() does. */
int snapshot_unpack_stream(int fd, const char *to, const struct pack_options *options,
                           struct thaw_error *err);

#endif
