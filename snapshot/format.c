/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/format.h"

#include "vmm/base/file.h"
#include "vmm/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#if defined(__x86_64__)
#define ARCH_HERE SNAPSHOT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE SNAPSHOT_ARCH_AARCH64
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

#define ALIGNMENT 8u

const char *snapshot_section_name(uint32_t type)
{
    static const char *const names[] = {
        [SNAPSHOT_META] = "meta",
        [SNAPSHOT_CPUID] = "cpuid",
        [SNAPSHOT_VCPU] = "vcpu",
        [SNAPSHOT_VM] = "vm",
        [SNAPSHOT_SERIAL] = "serial",
        [SNAPSHOT_VIRTIO] = "virtio",
        [SNAPSHOT_MEMORY_MAP] = "memory-map",
        [SNAPSHOT_WRITTEN] = "written",
    };
    bool known = type < sizeof(names) / sizeof(*names) && names[type];
    return known ? names[type] : "unknown";
}

static bool is_known(uint32_t type)
{
    return type >= SNAPSHOT_META && type <= SNAPSHOT_WRITTEN;
}

/* ---- writing ------------------------------------------------------------------------------ */

static size_t padding(uint64_t size)
{
    return -size % ALIGNMENT;
}

static int add_section(struct snapshot_writer *writer, struct snapshot_section section,
                       const void *data, size_t size, struct thaw_error *err)
{
    enum snapshot_section_type type = section.type;
    unsigned index = section.index;
    if (writer->count == SNAPSHOT_SECTIONS_MAX)
        return thaw_fail(err, E2BIG, "state: section %s %u", snapshot_section_name(type), index);
    if (size > SNAPSHOT_STATE_MAX)
        return thaw_fail(err, EFBIG, "state: section %s %u", snapshot_section_name(type), index);

    if (!blob_append(&writer->contents, NULL, padding(writer->contents.size), err))
        return thaw_error_code(err);
    uint64_t offset = writer->contents.size;
    if (!blob_append(&writer->contents, data, size, err))
        return thaw_error_code(err);
    section.offset = offset;
    section.length = size;
    section.checksum = XXH3_64bits(size > 0 ? data : "", size);
    writer->table[writer->count++] = section;
    return 0;
}

int snapshot_writer_add(struct snapshot_writer *writer, enum snapshot_section_type type,
                        unsigned index, const void *data, size_t size, struct thaw_error *err)
{
    const struct snapshot_section section = {
        .type = type, .index = index, .flags = SNAPSHOT_CRITICAL};
    return add_section(writer, section, data, size, err);
}

int snapshot_writer_add_hint(struct snapshot_writer *writer, enum snapshot_section_type type,
                             unsigned index, const void *data, size_t size, struct thaw_error *err)
{
    const struct snapshot_section section = {.type = type, .index = index};
    return add_section(writer, section, data, size, err);
}

static uint64_t contents_offset(uint32_t sections)
{
    return sizeof(struct snapshot_header) + sections * sizeof(struct snapshot_section);
}

/* Of header and table in one piece at `start`. The header's field is 0 while it is computed. */
static uint64_t header_checksum(uint8_t *start, uint32_t sections)
{
    static const uint64_t none = 0;
    uint8_t *field = start + offsetof(struct snapshot_header, checksum);
    uint64_t kept;
    memcpy(&kept, field, sizeof(kept));
    memcpy(field, &none, sizeof(none));
    uint64_t checksum = XXH3_64bits(start, contents_offset(sections));
    memcpy(field, &kept, sizeof(kept));
    return checksum;
}

static int append_table(const struct snapshot_writer *writer, struct blob *file,
                        struct thaw_error *err)
{
    for (unsigned i = 0; i < writer->count; i++) {
        struct snapshot_section section = writer->table[i];
        section.offset += contents_offset(writer->count);
        if (!blob_append(file, &section, sizeof(section), err))
            return thaw_error_code(err);
    }
    return 0;
}

int snapshot_writer_finish(const struct snapshot_writer *writer, struct blob *file,
                           struct thaw_error *err)
{
    struct snapshot_header header = {
        .magic = SNAPSHOT_MAGIC,
        .major = SNAPSHOT_MAJOR,
        .minor = SNAPSHOT_MINOR,
        .arch = ARCH_HERE,
        .page_size = GUEST_PAGE_SIZE,
        .section_count = writer->count,
        .file_size = contents_offset(writer->count) + writer->contents.size,
    };
    if (header.file_size > SNAPSHOT_STATE_MAX)
        return thaw_fail(err, EFBIG, "state: %" PRIu64 " bytes", header.file_size);
    if (!blob_append(file, &header, sizeof(header), err) || append_table(writer, file, err) < 0 ||
        !blob_append(file, writer->contents.data, writer->contents.size, err))
        return thaw_error_code(err);

    header.checksum = header_checksum(file->data, writer->count);
    memcpy(file->data, &header, sizeof(header));
    return 0;
}

void snapshot_writer_free(struct snapshot_writer *writer)
{
    blob_free(&writer->contents);
    writer->count = 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static int damaged(struct thaw_error *err, const char *why,
                                                         ...)
{
    char text[200];
    va_list args;
    va_start(args, why);
    vsnprintf(text, sizeof(text), why, args);
    va_end(args);
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "state: %s", text);
}

static int too_short(struct thaw_error *err, uint64_t size, uint64_t expected)
{
    return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL,
                        "state: %" PRIu64 " bytes, should be %" PRIu64, size, expected);
}

static int check_magic(const struct snapshot_header *header, struct thaw_error *err)
{
    if (memcmp(header->magic, SNAPSHOT_MAGIC, sizeof(header->magic)) != 0)
        return damaged(err, "not a snapshot: it does not start with " SNAPSHOT_MAGIC);
    return 0;
}

/* What has to hold before anything behind the header is looked at. */
static int check_sizes(const struct snapshot_header *header, uint64_t size, struct thaw_error *err)
{
    if (header->section_count > SNAPSHOT_SECTIONS_MAX)
        return damaged(err, "%" PRIu32 " sections, at most %u", header->section_count,
                       SNAPSHOT_SECTIONS_MAX);
    if (header->file_size < contents_offset(header->section_count))
        return damaged(err, "shorter than its own table");
    if (size < header->file_size)
        return too_short(err, size, header->file_size);
    if (size > header->file_size)
        return damaged(err, "%" PRIu64 " bytes behind its end", size - header->file_size);
    return 0;
}

static int check_origin(const struct snapshot_header *header, struct thaw_error *err)
{
    if (header->major > SNAPSHOT_MAJOR)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_VERSION, ENOTSUP,
                            "state: format %u.%u, this thaw reads up to %u", header->major,
                            header->minor, SNAPSHOT_MAJOR);
    if (header->arch != ARCH_HERE)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_ARCH, ENOTSUP,
                            "state: of architecture 0x%" PRIx32 ", this is 0x%x", header->arch,
                            ARCH_HERE);
    if (header->page_size != GUEST_PAGE_SIZE)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_ARCH, ENOTSUP,
                            "state: pages of %" PRIu32 " bytes, these are %u", header->page_size,
                            GUEST_PAGE_SIZE);
    return 0;
}

/* Takes over `file`; the table is looked at only when the header and it are undamaged. */
static int check_header(struct snapshot_state *state, struct thaw_error *err)
{
    const struct blob *file = &state->file;
    if (file->size < sizeof(state->header))
        return too_short(err, file->size, sizeof(state->header));
    memcpy(&state->header, file->data, sizeof(state->header));

    int rc = check_magic(&state->header, err);
    if (rc < 0)
        return rc;
    rc = check_sizes(&state->header, file->size, err);
    if (rc < 0)
        return rc;
    if (header_checksum(file->data, state->header.section_count) != state->header.checksum)
        return damaged(err, "the checksum of its header is wrong");
    state->table = (const void *)(file->data + sizeof(state->header));
    return check_origin(&state->header, err);
}

/* Sections lie one behind the other, so they cannot overlap and no byte is without a checksum:
 * between them are only zeros, up to the alignment. `*end` is where the last one ended. */
static int check_place(const struct snapshot_state *state, const struct snapshot_section *section,
                       uint64_t *end, struct thaw_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    const char *name = snapshot_section_name(section->type);
    uint64_t size = state->file.size, gap = padding(*end);
    if (gap > size - *end || section->offset != *end + gap ||
        section->length > size - section->offset)
        return damaged(err, "section %s %" PRIu32 " is not where it should be", name,
                       section->index);
    if (memcmp(state->file.data + *end, zeros, gap) != 0)
        return damaged(err, "something lies before section %s %" PRIu32, name, section->index);
    *end = section->offset + section->length;
    return 0;
}

static int check_content(const struct snapshot_state *state, const struct snapshot_section *section,
                         struct thaw_error *err)
{
    if (!is_known(section->type) && section->flags & SNAPSHOT_CRITICAL)
        return damaged(err, "needs section type %" PRIu32 ", which this thaw does not know",
                       section->type);
    if (XXH3_64bits(state->file.data + section->offset, section->length) != section->checksum)
        return damaged(err, "the checksum of section %s %" PRIu32 " is wrong",
                       snapshot_section_name(section->type), section->index);
    return 0;
}

static int check_unique(const struct snapshot_state *state, uint32_t number, struct thaw_error *err)
{
    const struct snapshot_section *section = &state->table[number];
    for (uint32_t i = 0; i < number; i++)
        if (state->table[i].type == section->type && state->table[i].index == section->index)
            return damaged(err, "section %s %" PRIu32 " is there twice",
                           snapshot_section_name(section->type), section->index);
    return 0;
}

static int check_sections(const struct snapshot_state *state, struct thaw_error *err)
{
    uint64_t end = contents_offset(state->header.section_count);
    for (uint32_t i = 0; i < state->header.section_count; i++) {
        int rc = check_place(state, &state->table[i], &end, err);
        if (rc < 0)
            return rc;
        rc = check_content(state, &state->table[i], err);
        if (rc < 0)
            return rc;
        rc = check_unique(state, i, err);
        if (rc < 0)
            return rc;
    }
    if (end != state->file.size)
        return damaged(err, "%" PRIu64 " bytes behind its last section", state->file.size - end);
    return 0;
}

int snapshot_state_parse(struct snapshot_state *state, struct blob *file, struct thaw_error *err)
{
    *state = (struct snapshot_state){.file = *file};
    *file = (struct blob){0};
    int rc = check_header(state, err);
    if (rc == 0)
        rc = check_sections(state, err);
    if (rc < 0)
        snapshot_state_free(state);
    return rc;
}

static int read_file(int dir_fd, struct blob *file, struct thaw_error *err)
{
    uint64_t size = 0;
    cleanup_close int fd = snapshot_open_file(dir_fd, SNAPSHOT_STATE, &size, err);
    if (fd < 0)
        return fd;
    if (size > SNAPSHOT_STATE_MAX)
        return damaged(err, "larger than %u bytes", SNAPSHOT_STATE_MAX);
    file->data = malloc(size > 0 ? size : 1);
    if (!file->data)
        return thaw_fail(err, ENOMEM, "state");
    file->size = file->capacity = size;
    if (file_pread_full(fd, file->data, size, 0, err) < 0)
        return thaw_context(err, "state");
    return 0;
}

int snapshot_state_read(int dir_fd, struct snapshot_state *state, struct thaw_error *err)
{
    cleanup_blob struct blob file = {0};
    *state = (struct snapshot_state){0};
    int rc = read_file(dir_fd, &file, err);
    if (rc < 0)
        return rc;
    return snapshot_state_parse(state, &file, err);
}

int snapshot_header_read(int dir_fd, struct snapshot_header *header, struct thaw_error *err)
{
    uint64_t size = 0;
    cleanup_close int fd = snapshot_open_file(dir_fd, SNAPSHOT_STATE, &size, err);
    if (fd < 0)
        return fd;
    if (size < sizeof(*header))
        return too_short(err, size, sizeof(*header));
    if (file_pread_full(fd, header, sizeof(*header), 0, err) < 0)
        return thaw_context(err, "state");
    return check_magic(header, err);
}

const void *snapshot_section(const struct snapshot_state *state, enum snapshot_section_type type,
                             unsigned index, size_t *size)
{
    for (uint32_t i = 0; i < state->header.section_count; i++) {
        const struct snapshot_section *section = &state->table[i];
        if (section->type == type && section->index == index) {
            *size = section->length;
            return state->file.data + section->offset;
        }
    }
    return NULL;
}

const void *snapshot_section_get(const struct snapshot_state *state,
                                 enum snapshot_section_type type, unsigned index, size_t *size,
                                 struct thaw_error *err)
{
    const void *content = snapshot_section(state, type, index, size);
    if (!content)
        damaged(err, "section %s %u is missing", snapshot_section_name(type), index);
    return content;
}

void snapshot_state_free(struct snapshot_state *state)
{
    blob_free(&state->file);
    *state = (struct snapshot_state){0};
}

/* ---- files -------------------------------------------------------------------------------- */

static int open_failed(struct thaw_error *err, const char *name)
{
    int code = errno;
    if (code == ELOOP)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_LINK, code, "%s: is a link", name);
    if (code == ENXIO)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_LINK, code, "%s: not a regular file", name);
    thaw_fail(err, code, "%s", name);
    return thaw_reclassify(err, code == ENOENT ? THAW_FAIL_SNAPSHOT_MISSING : THAW_FAIL_IO);
}

/* With O_DIRECTORY the kernel says ENOTDIR of a link, too. */
static int directory_failed(struct thaw_error *err, const char *path)
{
    int code = errno;
    struct stat st;
    if (code == ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_LINK, code, "%s: is a link", path);
    if (code == ENOTDIR)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, code, "%s: not a directory", path);
    errno = code;
    return open_failed(err, path);
}

int snapshot_open_directory(const char *path, struct thaw_error *err)
{
    /* "link/" would follow the link. */
    char bare[PATH_MAX];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length >= sizeof(bare))
        return thaw_fail(err, ENAMETOOLONG, "%s", path);
    memcpy(bare, path, length);
    bare[length] = '\0';

    int fd = open(bare, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? directory_failed(err, bare) : fd;
}

int snapshot_open_file(int dir_fd, const char *name, uint64_t *size, struct thaw_error *err)
{
    /* O_NONBLOCK: a FIFO in its place must not hang. */
    cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return open_failed(err, name);

    struct stat st;
    if (fstat(fd, &st) < 0)
        return thaw_fail(err, errno, "%s", name);
    if (!S_ISREG(st.st_mode))
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_LINK, EINVAL, "%s: not a regular file", name);
    *size = (uint64_t)st.st_size;
    return take_fd(&fd);
}

int snapshot_open_exact(int dir_fd, const char *name, uint64_t size, struct thaw_error *err)
{
    uint64_t seen = 0;
    cleanup_close int fd = snapshot_open_file(dir_fd, name, &seen, err);
    if (fd < 0)
        return fd;
    if (seen < size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT_SHORT, EINVAL,
                            "%s: %" PRIu64 " bytes, should be %" PRIu64, name, seen, size);
    if (seen > size)
        return thaw_fail_as(err, THAW_FAIL_SNAPSHOT, EINVAL, "%s: %" PRIu64 " bytes behind its end",
                            name, seen - size);
    return take_fd(&fd);
}
