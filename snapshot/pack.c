/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/pack.h"

#include "snapshot/pack_files.h"
#include "snapshot/pack_load.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <string.h>

static const struct pack_options defaults;

/* ---- packing ------------------------------------------------------------------------------ */

struct packing {
    int fd; /* memory.zst */
    uint64_t frames;
    struct seek_table table;
};

static int write_packed(int fd, const void *data, size_t size, struct thaw_error *err)
{
    return file_write_full(fd, data, size, err) < 0 ? thaw_context(err, SNAPSHOT_PACKED) : 0;
}

static int emit(void *ctx, uint64_t frame, const void *data, size_t size, struct thaw_error *err)
{
    struct packing *packing = ctx;
    (void)frame;
    int rc = seek_table_add(&packing->table, packing->frames, data, size, err);
    return rc < 0 ? rc : write_packed(packing->fd, data, size, err);
}

static int pack_to(struct packing *packing, const struct frame_source *source,
                   const struct pack_options *options, struct thaw_error *err)
{
    cleanup_blob struct blob table = {0};
    int rc = frames_compress(source, options, true, emit, packing, err);
    if (rc == 0)
        rc = seek_table_encode(&packing->table, source->map, &table, err);
    return rc < 0 ? rc : write_packed(packing->fd, table.data, table.size, err);
}

static int pack_memory(const struct publish *publish, int dir_fd, const struct memory_map *map,
                       const struct pack_options *options, struct thaw_error *err)
{
    cleanup_close int memory = memory_file_open(dir_fd, map, err);
    if (memory < 0)
        return memory;
    cleanup_close int fd = publish_create(publish, SNAPSHOT_PACKED, err);
    if (fd < 0)
        return fd;
    const struct frame_source source = {.map = map, .fd = memory};
    struct packing packing = {.fd = fd, .frames = frame_count(map->pages)};
    int rc = pack_to(&packing, &source, options, err);
    seek_table_free(&packing.table);
    return rc;
}

static int put_parts(const struct publish *publish, int dir_fd, const struct snapshot_parts *parts,
                     struct thaw_error *err)
{
    int rc = publish_blob(publish, SNAPSHOT_STATE, &parts->state.file, err);
    if (rc == 0)
        rc = publish_blob(publish, SNAPSHOT_INDEX, &parts->index.file, err);
    if (rc == 0)
        rc = publish_disks(publish, dir_fd, err);
    return rc;
}

/* What is read before anything is made. */
static int begin(struct publish *publish, struct snapshot_parts *parts, int dir_fd, const char *to,
                 struct thaw_error *err)
{
    int rc = snapshot_parts_read(dir_fd, parts, err);
    return rc < 0 ? rc : publish_begin(publish, to, err);
}

int snapshot_pack(int dir_fd, const char *to, const struct pack_options *options,
                  struct thaw_error *err)
{
    cleanup_snapshot_parts struct snapshot_parts parts = {0};
    cleanup_publish struct publish publish = PUBLISH_NONE;
    options = options ? options : &defaults;
    int rc = begin(&publish, &parts, dir_fd, to, err);
    if (rc == 0)
        rc = pack_memory(&publish, dir_fd, &parts.map, options, err);
    if (rc == 0)
        rc = put_parts(&publish, dir_fd, &parts, err);
    return rc < 0 ? rc : publish_commit(&publish, options->sync, err);
}

/* ---- unpacking ---------------------------------------------------------------------------- */

static int unpack_memory(const struct publish *publish, int dir_fd, const struct memory_map *map,
                         const struct pack_options *options, struct thaw_error *err)
{
    uint64_t size;
    cleanup_close int packed = snapshot_open_file(dir_fd, SNAPSHOT_PACKED, &size, err);
    if (packed < 0)
        return packed;
    cleanup_close int memory = publish_memory(publish, map, err);
    if (memory < 0)
        return memory;
    const struct frame_sink sink = {.map = map, .fd = memory};
    int rc = packed_load_to(packed, &sink, options, NULL, err);
    return rc < 0 ? rc : memory_file_verify(publish->fd, memory, map, NULL, NULL, err);
}

int snapshot_unpack(int dir_fd, const char *to, const struct pack_options *options,
                    struct thaw_error *err)
{
    cleanup_snapshot_parts struct snapshot_parts parts = {0};
    cleanup_publish struct publish publish = PUBLISH_NONE;
    options = options ? options : &defaults;
    int rc = begin(&publish, &parts, dir_fd, to, err);
    if (rc == 0)
        rc = put_parts(&publish, dir_fd, &parts, err);
    if (rc == 0)
        rc = unpack_memory(&publish, dir_fd, &parts.map, options, err);
    return rc < 0 ? rc : publish_commit(&publish, options->sync, err);
}
