/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what memory is cut into for compression. Frame n holds the pages from
 * n * PACK_FRAME_PAGES on, as one zstd frame with content size and checksum.
 */
#ifndef THAW_SNAPSHOT_PACK_FRAMES_H
#define THAW_SNAPSHOT_PACK_FRAMES_H

#include "snapshot/pack.h"

#include <zstd.h>

/* No frame that we write is larger; a larger one is refused. Bytes. */
#define PACK_FRAME_BOUND ZSTD_COMPRESSBOUND(PACK_FRAME_SIZE)

/* Frames of `pages` pages. */
uint64_t frame_count(uint64_t pages);

/* Pages of frame `frame`, which is below the count: PACK_FRAME_PAGES, or what is left. */
uint64_t frame_pages(uint64_t pages, uint64_t frame);

/* The first frame from `frame` on with a page of data; the count when there is none. */
uint64_t frame_next_data(const struct memory_map *map, uint64_t frame);

/* The first part of the runs that lies in [first, end). False: none. */
bool frame_run_next(const struct page_runs *runs, uint64_t first, uint64_t end,
                    struct page_run *part);

/* Threads to start for `frames` frames. */
unsigned frame_threads(const struct pack_options *options, uint64_t frames);

/* Tells options->progress, now and then, that everything before frame `frame` is done. */
void frame_progress(const struct pack_options *options, const struct memory_map *map,
                    uint64_t frame);

/* ---- from memory to frames ---------------------------------------------------------------- */

/* Where pages come from: guest memory, or the open memory file when that is NULL. */
struct frame_source {
    const struct memory_map *map;
    const struct guest_memory *memory;
    int fd;
};

/* Takes a compressed frame; called in the order of the frames, by one thread. */
typedef int (*frame_emit_fn)(void *ctx, uint64_t frame, const void *data, size_t size,
                             struct thaw_error *err);

/*
 * Compresses with several threads. Only pages of data are read, all others count as zeros. With
 * `zeros` frames without data are emitted, too; they cost next to nothing. Of the options level,
 * threads and progress count. Fails with what `emit` failed with, or THAW_FAIL_IO of a file that
 * could not be read.
 */
int frames_compress(const struct frame_source *source, const struct pack_options *options,
                    bool zeros, frame_emit_fn emit, void *ctx, struct thaw_error *err);

/* ---- from frames to memory ---------------------------------------------------------------- */

/* Where pages go to: guest memory, or a file of zeros that is as long as the memory, when that is
 * NULL. Only pages of data are written. `strict`: the others must be zeros in the frames. */
struct frame_sink {
    const struct memory_map *map;
    const struct guest_memory *memory;
    int fd;
    bool strict;
};

/* A compressed frame on its way; filled by whoever took it. */
struct frame_input {
    uint64_t frame; /* below the count */
    size_t size;
    uint8_t data[PACK_FRAME_BOUND];
};

struct frame_pool;

/* Starts threads that decompress. `sink` is borrowed until frame_pool_finish(). */
int frame_pool_create(struct frame_pool **pool, const struct frame_sink *sink,
                      const struct pack_options *options, struct thaw_error *err);

/* An input to fill; waits for one when `wait`. NULL: none is free, or a frame was wrong. One thread
 * takes and submits. */
struct frame_input *frame_pool_take(struct frame_pool *pool, bool wait);

/* Gives it back, to be decompressed: nobody has looked at it yet. */
void frame_pool_submit(struct frame_pool *pool, struct frame_input *input);

/* Gives it back unused. */
void frame_pool_return(struct frame_pool *pool, struct frame_input *input);

/* Whether a frame was wrong: no more are needed. */
bool frame_pool_failed(struct frame_pool *pool);

/* Waits until everything is decompressed, ends the threads and frees the pool (NULL: nothing), also
 * inputs that were not given back. THAW_FAIL_SNAPSHOT names the frame that was wrong. */
int frame_pool_finish(struct frame_pool *pool, struct thaw_error *err);

/* ---- the seek table ----------------------------------------------------------------------- */

/* All zeros: empty. */
struct seek_table {
    uint64_t count;
    struct seek_entry {
        uint64_t offset; /* in the file */
        uint32_t size;   /* compressed, at most PACK_FRAME_BOUND */
        uint32_t checksum;
    } * entries;
};

/* Reads the table at the end of the file and checks all of it against the file's size and the map:
 * afterwards every frame lies in the file. THAW_FAIL_SNAPSHOT, _SHORT. */
int seek_table_read(struct seek_table *table, int fd, const struct memory_map *map,
                    struct thaw_error *err);

/* Appends an entry to a table that is being made, for a file that is `frames` frames long. */
int seek_table_add(struct seek_table *table, uint64_t frames, const void *frame, size_t size,
                   struct thaw_error *err);

/* The table as the file has it, once all frames have been added. */
int seek_table_encode(const struct seek_table *table, const struct memory_map *map, struct blob *to,
                      struct thaw_error *err);

/* Whether the bytes that were read at the entry's place are the frame it means.
 * THAW_FAIL_SNAPSHOT. */
int seek_table_check(const struct seek_entry *entry, uint64_t frame, const void *data,
                     struct thaw_error *err);

void seek_table_free(struct seek_table *table);
#define cleanup_seek_table cleanup(seek_table_free)

/* "memory.zst: frame 7: <why>". THAW_FAIL_SNAPSHOT. */
int frame_damaged(struct thaw_error *err, uint64_t frame, const char *why);

#endif
