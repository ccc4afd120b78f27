/* SPDX-License-Identifier: Apache-2.0 */
/* The seek table of zstd's seekable format, version 0.1.0: a skippable frame at the end. */
#include "snapshot/pack_frames.h"
#include "vmm/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define SKIPPABLE_MAGIC 0x184d2a5eu
#define SEEKABLE_MAGIC  0x8f92eab1u

#define DESCRIPTOR_CHECKSUMS 0x80u
#define DESCRIPTOR_RESERVED  0x7cu

#define FRAMES_MAX 0x8000000u

/* Little-endian, without padding. */
struct table_header {
    uint32_t magic, size; /* of what follows */
};

struct table_entry {
    uint32_t compressed, decompressed; /* bytes */
    uint32_t checksum;                 /* low half of the XXH64 of the content, as in the frame */
};

struct __attribute__((packed)) table_footer {
    uint32_t frames;
    uint8_t descriptor;
    uint32_t magic;
};

static int damaged(struct thaw_error *err, const char *why)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, SNAPSHOT_PACKED ": seek table: %s", why);
}

static uint64_t table_size(uint64_t frames)
{
    return sizeof(struct table_header) + frames * sizeof(struct table_entry) +
           sizeof(struct table_footer);
}

/* A zstd frame ends with this. */
static uint32_t frame_checksum(const void *frame, size_t size)
{
    uint32_t checksum = 0;
    if (size >= sizeof(checksum))
        memcpy(&checksum, (const char *)frame + size - sizeof(checksum), sizeof(checksum));
    return checksum;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* The map says how many frames there are, so nothing in the file decides how much is allocated. */
static int read_table(struct blob *to, int fd, uint64_t file_size, uint64_t frames,
                      struct thaw_error *err)
{
    uint64_t size = table_size(frames);
    if (file_size < size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL,
                            SNAPSHOT_PACKED ": %" PRIu64
                                            " bytes, its seek table alone has %" PRIu64,
                            file_size, size);
    if (!blob_append(to, NULL, size, err))
        return thaw_error_code(err);
    if (file_pread_full(fd, to->data, size, file_size - size, err) < 0)
        return thaw_context(err, SNAPSHOT_PACKED);
    return 0;
}

static int check_frame_of_table(const struct blob *table, uint64_t frames, struct thaw_error *err)
{
    struct table_header header;
    struct table_footer footer;
    memcpy(&header, table->data, // NOLINT(clang-analyzer-core.NonNullParamChecker)
           sizeof(header));
    memcpy(&footer, table->data + table->size - sizeof(footer), sizeof(footer));
    if (footer.magic != SEEKABLE_MAGIC)
        return damaged(err, "is not there: the file is cut short or not a packed memory");
    if (footer.frames != frames)
        return damaged(err, "is not of as many frames as the memory has");
    if (footer.descriptor & DESCRIPTOR_RESERVED || !(footer.descriptor & DESCRIPTOR_CHECKSUMS))
        return damaged(err, "has no checksums, or something unknown");
    if (header.magic != SKIPPABLE_MAGIC || header.size != table->size - sizeof(header))
        return damaged(err, "does not begin as it should");
    return 0;
}

static int take_entry(struct seek_table *table, const struct table_entry *entry,
                      const struct memory_map *map, uint64_t *offset, struct thaw_error *err)
{
    uint64_t frame = table->count;
    if (entry->decompressed != frame_pages(map->pages, frame) * GUEST_PAGE_SIZE)
        return frame_damaged(err, frame, "does not hold as many bytes as it should");
    if (entry->compressed > PACK_FRAME_BOUND)
        return frame_damaged(err, frame, "larger than a frame can be");
    table->entries[table->count++] = (struct seek_entry){
        .offset = *offset,
        .size = entry->compressed,
        .checksum = entry->checksum,
    };
    *offset += entry->compressed;
    return 0;
}

/* The frames fill the file from its start to the table. */
static int take_entries(struct seek_table *table, const struct blob *bytes, uint64_t frames,
                        uint64_t end, const struct memory_map *map, struct thaw_error *err)
{
    uint64_t offset = 0;
    table->entries = calloc(frames, sizeof(*table->entries));
    if (!table->entries)
        return thaw_fail(err, ENOMEM, "seek table");
    for (uint64_t i = 0; i < frames; i++) {
        struct table_entry entry;
        memcpy(&entry, bytes->data + sizeof(struct table_header) + i * sizeof(entry),
               sizeof(entry));
        int rc = take_entry(table, &entry, map, &offset, err);
        if (rc < 0)
            return rc;
    }
    if (offset != end)
        return damaged(err, "its frames do not fill the file");
    return 0;
}

int seek_table_read(struct seek_table *table, int fd, const struct memory_map *map,
                    struct thaw_error *err)
{
    *table = (struct seek_table){0};
    cleanup_blob struct blob bytes = {0};
    uint64_t frames = frame_count(map->pages);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return thaw_fail_io(err, errno, SNAPSHOT_PACKED);
    int rc = read_table(&bytes, fd, (uint64_t)st.st_size, frames, err);
    if (rc == 0)
        rc = check_frame_of_table(&bytes, frames, err);
    if (rc == 0)
        rc = take_entries(table, &bytes, frames, (uint64_t)st.st_size - bytes.size, map, err);
    if (rc < 0)
        seek_table_free(table);
    return rc;
}

int seek_table_check(const struct seek_entry *entry, uint64_t frame, const void *data,
                     struct thaw_error *err)
{
    if (frame_checksum(data, entry->size) != entry->checksum)
        return frame_damaged(err, frame, "is not the one of the seek table");
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

int seek_table_add(struct seek_table *table, uint64_t frames, const void *frame, size_t size,
                   struct thaw_error *err)
{
    if (!table->entries && frames <= FRAMES_MAX)
        table->entries = calloc(frames, sizeof(*table->entries));
    if (!table->entries)
        return thaw_fail(err, ENOMEM, "seek table of %" PRIu64 " frames", frames);
    struct seek_entry *entry = &table->entries[table->count];
    entry->offset = table->count > 0 ? entry[-1].offset + entry[-1].size : 0;
    entry->size = (uint32_t)size;
    entry->checksum = frame_checksum(frame, size);
    table->count++;
    return 0;
}

int seek_table_encode(const struct seek_table *table, const struct memory_map *map, struct blob *to,
                      struct thaw_error *err)
{
    uint64_t size = table_size(table->count);
    struct table_header header = {SKIPPABLE_MAGIC, (uint32_t)(size - sizeof(header))};
    struct table_footer footer = {(uint32_t)table->count, DESCRIPTOR_CHECKSUMS, SEEKABLE_MAGIC};
    if (!blob_append(to, &header, sizeof(header), err))
        return thaw_error_code(err);
    for (uint64_t i = 0; i < table->count; i++) {
        struct table_entry entry = {
            .compressed = table->entries[i].size,
            .decompressed = (uint32_t)(frame_pages(map->pages, i) * GUEST_PAGE_SIZE),
            .checksum = table->entries[i].checksum,
        };
        if (!blob_append(to, &entry, sizeof(entry), err))
            return thaw_error_code(err);
    }
    return blob_append(to, &footer, sizeof(footer), err) ? 0 : thaw_error_code(err);
}

void seek_table_free(struct seek_table *table)
{
    free(table->entries);
    *table = (struct seek_table){0};
}
