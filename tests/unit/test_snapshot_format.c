/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: what is written is read, and whatever else it may hold is refused by name. */
#include "snapshot/format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define META_TEXT "{\"trigger\":\"pre-exec\"}" /* not a multiple of 8 */

static struct blob file; /* meta, vcpu 0, vcpu 1, an empty vm */
static struct thaw_error err;
static char directory[] = "/tmp/thaw-format-XXXXXX";
static int dir_fd = -1;

static void add(struct snapshot_writer *writer, enum snapshot_section_type type, unsigned index,
                const void *data, size_t size)
{
    cr_assert_eq(snapshot_writer_add(writer, type, index, data, size, &err), 0, "%s", err.message);
}

static void write_file(void)
{
    static struct snapshot_writer writer;
    add(&writer, SNAPSHOT_META, 0, META_TEXT, strlen(META_TEXT));
    add(&writer, SNAPSHOT_VCPU, 0, "first", 5);
    add(&writer, SNAPSHOT_VCPU, 1, "second vcpu", 11);
    add(&writer, SNAPSHOT_VM, 0, NULL, 0);
    cr_assert_eq(snapshot_writer_finish(&writer, &file, &err), 0, "%s", err.message);
    snapshot_writer_free(&writer);
}

static void make(void)
{
    write_file();
    cr_assert(mkdtemp(directory));
    dir_fd = snapshot_open_directory(directory, &err);
    cr_assert_geq(dir_fd, 0, "%s", err.message);
}

static void clean_up(void)
{
    blob_free(&file);
    unlinkat(dir_fd, SNAPSHOT_STATE, 0);
    close(dir_fd);
    rmdir(directory);
}

TestSuite(snapshot_format, .init = make, .fini = clean_up);

static struct snapshot_header *header(void)
{
    return (void *)file.data;
}

static struct snapshot_section *section(unsigned number)
{
    return (struct snapshot_section *)(void *)(file.data + sizeof(struct snapshot_header)) + number;
}

/* A checksum that fits whatever the header and the table now say. */
static void sum_header(void)
{
    size_t size = sizeof(*header()) + header()->section_count * sizeof(struct snapshot_section);
    header()->checksum = 0;
    header()->checksum = XXH3_64bits(file.data, size < file.size ? size : file.size);
}

/* Parses a copy that ends where the file ends, so that a sanitizer sees what is read behind it. */
static int parse(struct snapshot_state *state)
{
    struct blob copy = {.size = file.size, .capacity = file.size};
    copy.data = malloc(file.size > 0 ? file.size : 1);
    if (file.size > 0)
        memcpy(copy.data, file.data, file.size);
    err = (struct thaw_error){0};
    int rc = snapshot_state_parse(state, &copy, &err);
    cr_assert_eq(rc, thaw_error_code(&err));
    cr_assert_null(copy.data, "the file is taken over");
    return rc;
}

static enum thaw_failure refused(void)
{
    struct snapshot_state state;
    if (parse(&state) == 0)
        snapshot_state_free(&state);
    else
        cr_assert(!state.file.data && !state.table);
    return err.failure;
}

static void put(const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_eq(write(fd, file.data, file.size), (ssize_t)file.size);
    close(fd);
}

static int read_back(void)
{
    struct snapshot_state state;
    err = (struct thaw_error){0};
    int rc = snapshot_state_read(dir_fd, &state, &err);
    snapshot_state_free(&state);
    return rc;
}

Test(snapshot_format, every_section_is_read_back_by_type_and_index)
{
    cleanup_snapshot_state struct snapshot_state state;
    cr_assert_eq(parse(&state), 0, "%s", err.message);
    size_t size = 0;
    cr_assert_eq(memcmp(snapshot_section(&state, SNAPSHOT_META, 0, &size), META_TEXT, size), 0);
    cr_assert_eq(size, strlen(META_TEXT));
    cr_assert_eq(memcmp(snapshot_section(&state, SNAPSHOT_VCPU, 1, &size), "second vcpu", 11), 0);
    cr_assert_eq(size, 11);
    cr_assert_not_null(snapshot_section(&state, SNAPSHOT_VM, 0, &size));
    cr_assert_eq(size, 0);
    cr_assert_null(snapshot_section(&state, SNAPSHOT_VCPU, 2, &size));
    cr_assert_eq(state.header.minor, SNAPSHOT_MINOR);
}

Test(snapshot_format, a_section_that_is_missing_is_named)
{
    cleanup_snapshot_state struct snapshot_state state;
    size_t size;
    cr_assert_eq(parse(&state), 0);
    cr_assert_null(snapshot_section_get(&state, SNAPSHOT_VIRTIO, 3, &size, &err));
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, "virtio 3"), "%s", err.message);
}

Test(snapshot_format, a_file_without_sections_is_one)
{
    static const struct snapshot_writer writer;
    blob_free(&file);
    cr_assert_eq(snapshot_writer_finish(&writer, &file, &err), 0);
    cr_assert_eq(file.size, sizeof(struct snapshot_header));
    cr_assert_eq(refused(), THAW_FAIL_NONE, "%s", err.message);
}

Test(snapshot_format, the_writer_refuses_a_section_too_many)
{
    static struct snapshot_writer writer;
    for (unsigned i = 0; i < SNAPSHOT_SECTIONS_MAX; i++)
        add(&writer, SNAPSHOT_VIRTIO, i, "x", 1);
    cr_assert_eq(snapshot_writer_add(&writer, SNAPSHOT_META, 0, "x", 1, &err), -E2BIG);
    blob_free(&file);
    cr_assert_eq(snapshot_writer_finish(&writer, &file, &err), 0);
    snapshot_writer_free(&writer);
    cr_assert_eq(refused(), THAW_FAIL_NONE, "%s", err.message);
}

Test(snapshot_format, every_truncation_is_called_short)
{
    size_t whole = file.size;
    for (file.size = 0; file.size < whole; file.size++)
        cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT_SHORT, "%zu: %s", file.size, err.message);
    cr_assert_eq(refused(), THAW_FAIL_NONE);
}

Test(snapshot_format, every_flipped_bit_is_noticed)
{
    for (size_t i = 0; i < file.size * 8; i++) {
        file.data[i / 8] = (uint8_t)(file.data[i / 8] ^ 1u << i % 8);
        enum thaw_failure failure = refused();
        cr_assert(failure == THAW_FAIL_SNAPSHOT || failure == THAW_FAIL_SNAPSHOT_SHORT,
                  "bit %zu: %s", i, err.message);
        file.data[i / 8] = (uint8_t)(file.data[i / 8] ^ 1u << i % 8);
    }
}

Test(snapshot_format, every_byte_of_another_value_is_noticed)
{
    for (size_t i = 0; i < file.size; i++) {
        uint8_t kept = file.data[i];
        for (unsigned value = 0; value < 256; value++) {
            file.data[i] = (uint8_t)value;
            cr_assert_eq(refused() == THAW_FAIL_NONE, value == kept, "byte %zu", i);
        }
        file.data[i] = kept;
    }
}

Test(snapshot_format, bytes_behind_the_end_are_refused)
{
    cr_assert(blob_append(&file, NULL, 1, &err));
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
    header()->file_size++;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT, "nor when the header counts them");
}

Test(snapshot_format, a_newer_minor_is_read)
{
    header()->minor = SNAPSHOT_MINOR + 7;
    header()->reserved[1] = 42;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_NONE, "%s", err.message);
}

Test(snapshot_format, a_newer_major_is_a_failure_of_its_own)
{
    header()->major = SNAPSHOT_MAJOR + 1;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT_VERSION);
}

Test(snapshot_format, another_architecture_is_a_failure_of_its_own)
{
    header()->arch ^= SNAPSHOT_ARCH_X86_64 ^ SNAPSHOT_ARCH_AARCH64;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT_ARCH);
    header()->arch ^= SNAPSHOT_ARCH_X86_64 ^ SNAPSHOT_ARCH_AARCH64;
    header()->page_size = 65536;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT_ARCH);
}

Test(snapshot_format, another_file_is_not_a_snapshot)
{
    memcpy(file.data,
           "\x7f"
           "ELF\2\1\1",
           8);
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, "not a snapshot"), "%s", err.message);
}

Test(snapshot_format, an_unknown_section_is_skipped)
{
    section(1)->type = 999;
    section(1)->flags = 0;
    sum_header();
    cleanup_snapshot_state struct snapshot_state state;
    size_t size;
    cr_assert_eq(parse(&state), 0, "%s", err.message);
    cr_assert_not_null(snapshot_section(&state, SNAPSHOT_VCPU, 1, &size));
}

Test(snapshot_format, an_unknown_section_that_is_critical_is_refused_by_number)
{
    section(1)->type = 999;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, "999"), "%s", err.message);
}

Test(snapshot_format, a_section_that_is_there_twice_is_refused)
{
    section(2)->index = 0;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, "vcpu 0 is there twice"), "%s", err.message);
}

Test(snapshot_format, section_counts_that_do_not_fit_are_refused)
{
    static const uint32_t counts[] = {5, 200, SNAPSHOT_SECTIONS_MAX + 1, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        header()->section_count = counts[i];
        if (counts[i] < SNAPSHOT_SECTIONS_MAX)
            sum_header();
        cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT, "%u: %s", counts[i], err.message);
    }
}

Test(snapshot_format, fewer_sections_than_there_are_leave_bytes_unaccounted_for)
{
    header()->section_count = 0;
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
}

Test(snapshot_format, file_sizes_that_are_not_the_file_s_are_refused)
{
    const uint64_t right = header()->file_size;
    const uint64_t sizes[] = {0, 63, 64, right - 1, right + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        header()->file_size = sizes[i];
        sum_header();
        cr_assert_eq(refused(), sizes[i] > right ? THAW_FAIL_SNAPSHOT_SHORT : THAW_FAIL_SNAPSHOT,
                     "%lu: %s", sizes[i], err.message);
    }
}

Test(snapshot_format, a_section_anywhere_but_behind_the_last_is_refused)
{
    const uint64_t right = section(1)->offset;
    const uint64_t offsets[] = {
        0,         8,         section(0)->offset, right - 8,      right + 8,
        right + 1, file.size, file.size + 8,      UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
        section(1)->offset = offsets[i];
        sum_header();
        cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT, "%lu", offsets[i]);
        cr_assert(strstr(err.message, "vcpu 0"), "%s", err.message);
    }
}

Test(snapshot_format, a_section_longer_than_the_file_is_refused)
{
    const uint64_t last = file.size - section(2)->offset;
    const uint64_t lengths[] = {last + 1, UINT64_MAX - section(2)->offset + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        section(2)->length = lengths[i];
        sum_header();
        cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT, "%lu", lengths[i]);
        cr_assert(strstr(err.message, "vcpu 1"), "%s", err.message);
    }
}

Test(snapshot_format, sections_that_overlap_are_refused)
{
    section(0)->length += 16;
    section(0)->checksum = XXH3_64bits(file.data + section(0)->offset, section(0)->length);
    sum_header();
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
}

Test(snapshot_format, a_damaged_section_is_named)
{
    file.data[section(2)->offset] ^= 1;
    cr_assert_eq(refused(), THAW_FAIL_SNAPSHOT);
    cr_assert(strstr(err.message, "vcpu 1"), "%s", err.message);
}

Test(snapshot_format, the_file_is_read_from_its_directory)
{
    put(SNAPSHOT_STATE);
    cr_assert_eq(read_back(), 0, "%s", err.message);
    struct snapshot_header found;
    cr_assert_eq(snapshot_header_read(dir_fd, &found, &err), 0);
    cr_assert_eq(memcmp(&found, file.data, sizeof(found)), 0);
}

Test(snapshot_format, the_header_of_an_unusable_file_can_be_read)
{
    header()->major = 9;
    header()->section_count = UINT32_MAX;
    put(SNAPSHOT_STATE);
    struct snapshot_header found;
    cr_assert_eq(snapshot_header_read(dir_fd, &found, &err), 0);
    cr_assert_eq(found.major, 9);
    file.size = 63;
    put(SNAPSHOT_STATE);
    cr_assert_lt(snapshot_header_read(dir_fd, &found, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
}

Test(snapshot_format, a_file_that_is_not_there_is_missing)
{
    cr_assert_eq(read_back(), -ENOENT);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_MISSING);
}

Test(snapshot_format, a_link_in_the_place_of_a_file_is_refused)
{
    put("other");
    cr_assert_eq(symlinkat("other", dir_fd, SNAPSHOT_STATE), 0);
    cr_assert_lt(read_back(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    unlinkat(dir_fd, "other", 0);
}

Test(snapshot_format, a_fifo_or_a_directory_in_the_place_of_a_file_is_refused)
{
    cr_assert_eq(mkfifoat(dir_fd, SNAPSHOT_STATE, 0600), 0);
    cr_assert_lt(read_back(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    unlinkat(dir_fd, SNAPSHOT_STATE, 0);
    cr_assert_eq(mkdirat(dir_fd, SNAPSHOT_STATE, 0700), 0);
    cr_assert_lt(read_back(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_LINK);
    unlinkat(dir_fd, SNAPSHOT_STATE, AT_REMOVEDIR);
}

Test(snapshot_format, a_file_too_large_to_be_a_state_is_not_read)
{
    put(SNAPSHOT_STATE);
    int fd = openat(dir_fd, SNAPSHOT_STATE, O_WRONLY);
    cr_assert_eq(ftruncate(fd, SNAPSHOT_STATE_MAX + 1), 0);
    close(fd);
    cr_assert_lt(read_back(), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
}

Test(snapshot_format, a_file_of_another_size_is_short_or_too_long)
{
    int fd = openat(dir_fd, SNAPSHOT_STATE, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "12345", 5), 5);
    close(fd);
    fd = snapshot_open_exact(dir_fd, SNAPSHOT_STATE, 5, &err);
    cr_assert_geq(fd, 0, "%s", err.message);
    close(fd);
    cr_assert_lt(snapshot_open_exact(dir_fd, SNAPSHOT_STATE, 6, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT_SHORT);
    cr_assert_str_eq(err.message, "state: 5 bytes, should be 6");
    cr_assert_lt(snapshot_open_exact(dir_fd, SNAPSHOT_STATE, 4, &err), 0);
    cr_assert_eq(err.failure, THAW_FAIL_SNAPSHOT);
    cr_assert_str_eq(err.message, "state: 1 bytes behind its end");
}

static enum thaw_failure open_directory(const char *path)
{
    err = (struct thaw_error){0};
    int fd = snapshot_open_directory(path, &err);
    if (fd >= 0)
        close(fd);
    cr_assert_eq(fd < 0, err.code != 0);
    return err.failure;
}

Test(snapshot_format, a_snapshot_is_a_directory_and_not_a_link_to_one)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/", directory);
    cr_assert_eq(open_directory(path), THAW_FAIL_NONE);
    cr_assert_eq(symlinkat(".", dir_fd, "link"), 0);
    snprintf(path, sizeof(path), "%s/link", directory);
    cr_assert_eq(open_directory(path), THAW_FAIL_SNAPSHOT_LINK);
    snprintf(path, sizeof(path), "%s/link//", directory);
    cr_assert_eq(open_directory(path), THAW_FAIL_SNAPSHOT_LINK);
    unlinkat(dir_fd, "link", 0);
    snprintf(path, sizeof(path), "%s/nothing", directory);
    cr_assert_eq(open_directory(path), THAW_FAIL_SNAPSHOT_MISSING);
    put(SNAPSHOT_STATE);
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_STATE, directory);
    cr_assert_eq(open_directory(path), THAW_FAIL_SNAPSHOT);
}
