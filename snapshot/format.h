/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `state` of a snapshot: a fixed header, a table of sections, the sections (docs/
 * snapshot-format.md). Everything in it is covered by a checksum. The header never changes shape,
 * so any version of thaw can describe any snapshot; what a section holds is its owner's business.
 *
 * Reading treats the file as hostile: every length, offset and count is checked here, once, before
 * anybody sees a section.
 */
#ifndef THAW_SNAPSHOT_FORMAT_H
#define THAW_SNAPSHOT_FORMAT_H

#include "vmm/base/blob.h"

#include <stdbool.h>

#define SNAPSHOT_MAGIC "THAWSNAP" /* 8 bytes, no NUL */
#define SNAPSHOT_MAJOR 1u         /* an older thaw refuses a higher one */
#define SNAPSHOT_MINOR 0u         /* an older thaw reads a higher one */

#define SNAPSHOT_ARCH_X86_64  0x8664u
#define SNAPSHOT_ARCH_AARCH64 0xaa64u

#define SNAPSHOT_SECTIONS_MAX 256u
#define SNAPSHOT_STATE_MAX    (64u << 20) /* bytes; a longer file is not one */

/* The names of the files of a snapshot's directory. */
#define SNAPSHOT_STATE           "state"
#define SNAPSHOT_MEMORY          "memory"
#define SNAPSHOT_INDEX           "memory.idx"
#define SNAPSHOT_PACKED          "memory.zst"
#define SNAPSHOT_WORKING_SET     "workingset"
#define SNAPSHOT_WORKING_SET_NEW "workingset.new" /* while it is written */
#define SNAPSHOT_DISK            "disk-%u"        /* number of the disk */

/* Little-endian, without padding. */
struct snapshot_header {
    char magic[8];
    uint16_t major, minor;
    uint32_t arch;
    uint32_t page_size; /* bytes */
    uint32_t section_count;
    uint64_t file_size; /* bytes of `state` in all */
    uint64_t checksum;  /* XXH3-64 of header (this field 0) and table */
    uint64_t reserved[3];
};

enum snapshot_section_type {
    SNAPSHOT_META = 1,   /* JSON, see meta.h */
    SNAPSHOT_CPUID = 2,  /* one per vCPU */
    SNAPSHOT_VCPU = 3,   /* one per vCPU */
    SNAPSHOT_VM = 4,     /* interrupt chips, timer, clock */
    SNAPSHOT_SERIAL = 5, /* 0: console, 1: control port */
    SNAPSHOT_VIRTIO = 6, /* one per device, in the order of their slots */
    SNAPSHOT_MEMORY_MAP = 7,
    SNAPSHOT_WRITTEN = 8, /* not critical, see written.h */
};

#define SNAPSHOT_CRITICAL 1u /* flag: whoever does not know the type must refuse the snapshot */

struct snapshot_section {
    uint32_t type;  /* enum snapshot_section_type */
    uint32_t index; /* of several of one type */
    uint32_t flags;
    uint32_t reserved;
    uint64_t offset, length; /* bytes in the file; offset is a multiple of 8 */
    uint64_t checksum;       /* XXH3-64 of the content */
};

_Static_assert(sizeof(struct snapshot_header) == 64, "the snapshot header is 64 bytes");
_Static_assert(sizeof(struct snapshot_section) == 40, "a table entry is 40 bytes");

/* ---- writing ------------------------------------------------------------------------------ */

struct snapshot_writer {
    unsigned count;
    struct snapshot_section table[SNAPSHOT_SECTIONS_MAX]; /* offsets count from the contents */
    struct blob contents;
};

/* Appends a section with the flag SNAPSHOT_CRITICAL. The writer starts as all zeros. */
int snapshot_writer_add(struct snapshot_writer *writer, enum snapshot_section_type type,
                        unsigned index, const void *data, size_t size, struct thaw_error *err);

/* The same without the flag: who does not know the type restores the snapshot all the same. */
int snapshot_writer_add_hint(struct snapshot_writer *writer, enum snapshot_section_type type,
                             unsigned index, const void *data, size_t size, struct thaw_error *err);

/* Puts the whole file together, in `file` (empty before). */
int snapshot_writer_finish(const struct snapshot_writer *writer, struct blob *file,
                           struct thaw_error *err);

void snapshot_writer_free(struct snapshot_writer *writer);
#define cleanup_snapshot_writer cleanup(snapshot_writer_free)

/* ---- reading ------------------------------------------------------------------------------ */

/* A state file in memory, checked. */
struct snapshot_state {
    struct blob file;
    struct snapshot_header header;
    const struct snapshot_section *table; /* in `file` */
};

/*
 * Takes over `file` (also on failure) and checks it: magic, architecture, version, sizes, the
 * header's checksum and every section's; sections lie in the file, do not overlap, and each type
 * and index is there once; an unknown critical one is refused by number. The failures are
 * THAW_FAIL_SNAPSHOT, _ARCH, _VERSION and _SHORT; the sentence says which section.
 */
int snapshot_state_parse(struct snapshot_state *state, struct blob *file, struct thaw_error *err);

/* The same for a file of the directory `dir_fd`: opened without following links, a regular file or
 * refused (THAW_FAIL_SNAPSHOT_LINK; missing: _MISSING). */
int snapshot_state_read(int dir_fd, struct snapshot_state *state, struct thaw_error *err);

/* The header alone, without any check but magic and size: for describing what cannot be used. */
int snapshot_header_read(int dir_fd, struct snapshot_header *header, struct thaw_error *err);

/* The content of a section, valid as long as the state; NULL when there is none. */
const void *snapshot_section(const struct snapshot_state *state, enum snapshot_section_type type,
                             unsigned index, size_t *size);

/* The same; a missing one is THAW_FAIL_SNAPSHOT, NULL. */
const void *snapshot_section_get(const struct snapshot_state *state,
                                 enum snapshot_section_type type, unsigned index, size_t *size,
                                 struct thaw_error *err);

/* "vcpu", "virtio"...; "unknown". Static. */
const char *snapshot_section_name(uint32_t type);

void snapshot_state_free(struct snapshot_state *state);
#define cleanup_snapshot_state cleanup(snapshot_state_free)

/* Whether `path` is "-", which stands for a stream on stdin or stdout; NULL is not. */
static inline bool snapshot_is_stream(const char *path)
{
    return path && path[0] == '-' && path[1] == '\0';
}

/* Opens a snapshot's directory: a real one, not a link (THAW_FAIL_SNAPSHOT_LINK). Returns the
 * descriptor (O_PATH is not enough: files are created in it). */
int snapshot_open_directory(const char *path, struct thaw_error *err);

/* Opens a file of it for reading: regular, no link. With its size. */
int snapshot_open_file(int dir_fd, const char *name, uint64_t *size, struct thaw_error *err);

/* The same for one that must have `size` bytes: THAW_FAIL_SNAPSHOT_SHORT for less,
 * THAW_FAIL_SNAPSHOT for more. */
int snapshot_open_exact(int dir_fd, const char *name, uint64_t size, struct thaw_error *err);

#endif
