/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking layers: what is kept, what whiteouts take away, and what is refused. */
#include "vmm/base/cleanup.h"
#include "vmm/image/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define TAR_MAX (1u << 20)

static char scratch[64];     /* of this test */
static int root = -1;        /* the directory that is unpacked into: scratch/root */
static struct unpack unpack; /* into it */

static char tar[TAR_MAX]; /* the layer that is being made */
static size_t tar_size;
static struct archive *writer;

static void begin(void)
{
    struct thaw_error err;
    snprintf(scratch, sizeof(scratch), "/tmp/thaw-layer.XXXXXX");
    cr_assert_not_null(mkdtemp(scratch));
    int fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(mkdirat(fd, "root", 0755), 0);
    root = openat(fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(root, 0);
    close(fd);
    cr_assert_eq(unpack_begin(&unpack, root, &err), 0);
}

static void end(void)
{
    unpack_free(&unpack);
    close(root);
    unpack_discard_tree(AT_FDCWD, scratch);
    cr_expect_neq(access(scratch, F_OK), 0, "nothing may be left");
}

TestSuite(image_layer, .init = begin, .fini = end);

/* ---- making a layer ------------------------------------------------------------------------ */

static void tar_begin(void)
{
    memset(tar, 0, sizeof(tar));
    writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    cr_assert_eq(archive_write_open_memory(writer, tar, sizeof(tar), &tar_size), ARCHIVE_OK);
}

static struct archive_entry *entry_new(const char *name, mode_t type, mode_t mode)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, mode);
    archive_entry_set_uid(entry, getuid());
    archive_entry_set_gid(entry, getgid());
    archive_entry_set_mtime(entry, 1000000000, 0);
    archive_entry_set_size(entry, 0);
    return entry;
}

static void entry_write(struct archive_entry *entry, const char *data)
{
    size_t size = data ? strlen(data) : 0;
    archive_entry_set_size(entry, (int64_t)size);
    cr_assert_eq(archive_write_header(writer, entry), ARCHIVE_OK);
    if (size > 0)
        cr_assert_eq(archive_write_data(writer, data, size), (ssize_t)size);
    archive_entry_free(entry);
}

static void add_file(const char *name, const char *data)
{
    entry_write(entry_new(name, AE_IFREG, 0644), data);
}

static void add_directory(const char *name)
{
    entry_write(entry_new(name, AE_IFDIR, 0755), NULL);
}

static void add_symlink(const char *name, const char *target)
{
    struct archive_entry *entry = entry_new(name, AE_IFLNK, 0777);
    archive_entry_set_symlink(entry, target);
    entry_write(entry, NULL);
}

static void add_hardlink(const char *name, const char *target)
{
    struct archive_entry *entry = entry_new(name, AE_IFREG, 0644);
    archive_entry_set_hardlink(entry, target);
    entry_write(entry, NULL);
}

static void tar_end(void)
{
    cr_assert_eq(archive_write_close(writer), ARCHIVE_OK);
    archive_write_free(writer);
}

static void compress_to(const char *path, enum compression compression)
{
    struct archive *raw = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    if (compression == COMPRESSION_GZIP)
        archive_write_add_filter_gzip(raw);
    if (compression == COMPRESSION_ZSTD)
        archive_write_add_filter_zstd(raw);
    archive_write_set_format_raw(raw);
    archive_write_set_bytes_in_last_block(raw, 1);
    archive_entry_set_filetype(entry, AE_IFREG);
    cr_assert_eq(archive_write_open_filename(raw, path), ARCHIVE_OK);
    cr_assert_eq(archive_write_header(raw, entry), ARCHIVE_OK);
    if (tar_size > 0)
        cr_assert_eq(archive_write_data(raw, tar, tar_size), (ssize_t)tar_size);
    archive_entry_free(entry);
    cr_assert_eq(archive_write_close(raw), ARCHIVE_OK);
    archive_write_free(raw);
}

/* ---- unpacking it -------------------------------------------------------------------------- */

static int apply_as(enum compression made, enum compression said, struct thaw_error *err)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/layer", scratch);
    compress_to(path, made);
    struct layer layer = {.path = path, .compression = said};
    digest_of(tar, tar_size, &layer.diff_id);
    return layer_unpack(&layer, &unpack, err);
}

static void apply(void)
{
    struct thaw_error err = {0};
    tar_end();
    cr_assert_eq(apply_as(COMPRESSION_NONE, COMPRESSION_NONE, &err), 0, "%s", err.message);
}

/* Refused, with one sentence that says `why`. */
static void expect_refusal(const char *why)
{
    struct thaw_error err = {0};
    tar_end();
    cr_assert_lt(apply_as(COMPRESSION_NONE, COMPRESSION_NONE, &err), 0);
    cr_expect(strstr(err.message, why), "%s", err.message);
    cr_expect_eq(err.failure, THAW_FAIL_IMAGE, "%s", err.message);
}

static bool exists(const char *path)
{
    struct stat st;
    return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void expect_contents(const char *path, const char *contents)
{
    char text[256] = "";
    cleanup_close int fd = openat(root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_geq(read(fd, text, sizeof(text) - 1), 0);
    cr_expect_str_eq(text, contents, "%s", path);
}

/* a/x, a/y, a/d/z, b: what most of these tests lay something over. */
static void apply_base(void)
{
    tar_begin();
    add_directory("a");
    add_file("a/x", "x1");
    add_file("a/y", "y1");
    add_directory("a/d");
    add_file("a/d/z", "z1");
    add_file("b", "b1");
    apply();
}

Test(image_layer, types_modes_times_links_and_attributes_are_kept)
{
    tar_begin();
    add_directory("./");
    struct archive_entry *entry = entry_new("dir/file", AE_IFREG, 04711);
    archive_entry_xattr_add_entry(entry, "user.kept", "v", 1);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.opaque", "y", 1);
    entry_write(entry, "data");
    add_symlink("link", "dir/file");
    add_hardlink("hard", "dir/file");
    entry_write(entry_new("fifo", AE_IFIFO, 0600), NULL);
    apply();

    struct stat st, hard;
    cr_assert_eq(fstatat(root, "dir/file", &st, 0), 0);
    cr_expect_eq(st.st_mode, S_IFREG | 04711);
    cr_expect_eq(st.st_mtim.tv_sec, 1000000000);
    cr_expect_eq(st.st_nlink, 2);
    cr_assert_eq(fstatat(root, "hard", &hard, 0), 0);
    cr_expect_eq(hard.st_ino, st.st_ino);
    cr_assert_eq(fstatat(root, "fifo", &st, 0), 0);
    cr_expect(S_ISFIFO(st.st_mode));
    char target[32] = "", path[128];
    cr_assert_gt(readlinkat(root, "link", target, sizeof(target) - 1), 0);
    cr_expect_str_eq(target, "dir/file");
    snprintf(path, sizeof(path), "%s/root/dir/file", scratch);
    cr_expect_eq(getxattr(path, "user.kept", target, sizeof(target)), 1);
    cr_expect_lt(getxattr(path, "trusted.overlay.opaque", target, sizeof(target)), 0);
}

Test(image_layer, directories_get_their_times_in_the_end)
{
    struct thaw_error err = {0};
    struct stat st;
    tar_begin();
    add_directory("a");
    add_file("a/x", "x");
    add_file("implied/x", "x");
    apply();
    cr_assert_eq(unpack_finish(&unpack, &err), 0, "%s", err.message);
    cr_assert_eq(fstatat(root, "a", &st, 0), 0);
    cr_expect_eq(st.st_mtim.tv_sec, 1000000000);
    cr_assert_eq(fstatat(root, "implied", &st, 0), 0);
    cr_expect_eq(st.st_mtim.tv_sec, 0);
    cr_assert_eq(fstat(root, &st), 0);
    cr_expect_eq(st.st_mtim.tv_sec, 0);
}

Test(image_layer, a_sparse_file_keeps_its_size)
{
    struct stat st;
    tar_begin();
    struct archive_entry *entry = entry_new("sparse", AE_IFREG, 0644);
    archive_entry_sparse_add_entry(entry, 0, 4);
    archive_entry_set_size(entry, 1 << 19);
    cr_assert_eq(archive_write_header(writer, entry), ARCHIVE_OK);
    static char zeros[1 << 19] = "data";
    cr_assert_gt(archive_write_data(writer, zeros, sizeof(zeros)), 0);
    archive_entry_free(entry);
    apply();
    cr_assert_eq(fstatat(root, "sparse", &st, 0), 0);
    cr_expect_eq(st.st_size, 1 << 19);
    expect_contents("sparse", "data");
}

Test(image_layer, compressed_layers_unpack_to_the_same)
{
    static const enum compression kinds[] = {COMPRESSION_GZIP, COMPRESSION_ZSTD};
    for (size_t i = 0; i < 2; i++) {
        struct thaw_error err = {0};
        tar_begin();
        add_file("f", i ? "zstd" : "gzip");
        tar_end();
        cr_assert_eq(apply_as(kinds[i], kinds[i], &err), 0, "%s", err.message);
        expect_contents("f", i ? "zstd" : "gzip");
    }
}

Test(image_layer, the_media_type_decides_and_not_the_bytes)
{
    struct thaw_error err = {0};
    tar_begin();
    add_file("f", "x");
    tar_end();
    cr_expect_lt(apply_as(COMPRESSION_NONE, COMPRESSION_GZIP, &err), 0);
    cr_expect(strstr(err.message, "not gzip data"), "%s", err.message);
    cr_expect_lt(apply_as(COMPRESSION_GZIP, COMPRESSION_ZSTD, &err), 0);
    cr_expect(strstr(err.message, "not zstd data"), "%s", err.message);
    cr_expect_lt(apply_as(COMPRESSION_GZIP, COMPRESSION_NONE, &err), 0);
    cr_expect_eq(err.failure, THAW_FAIL_IMAGE, "%s", err.message);
}

Test(image_layer, an_empty_layer_changes_nothing)
{
    struct thaw_error err = {0};
    apply_base();
    tar_begin();
    apply();
    tar_size = 0;
    cr_expect_eq(apply_as(COMPRESSION_NONE, COMPRESSION_NONE, &err), 0, "%s", err.message);
    expect_contents("a/x", "x1");
}

/* ---- whiteouts ----------------------------------------------------------------------------- */

Test(image_layer, a_whiteout_hides_what_lower_layers_have)
{
    apply_base();
    tar_begin();
    add_file("a/.wh.x", "");
    add_file("a/.wh.d", "");
    add_file(".wh.b", "");
    add_file("a/.wh.nothing", "");
    add_file("nowhere/.wh.x", "");
    apply();
    cr_expect_not(exists("a/x"));
    cr_expect_not(exists("a/d"));
    cr_expect_not(exists("b"));
    cr_expect_not(exists("nowhere"));
    cr_expect_not(exists("a/.wh.x"));
    expect_contents("a/y", "y1");
}

Test(image_layer, a_whiteout_spares_what_its_own_layer_brings_in_either_order)
{
    apply_base();
    tar_begin();
    add_file("a/x", "x2");
    add_file("a/.wh.x", "");
    add_file("a/.wh.y", "");
    add_file("a/y", "y2");
    add_file("a/d/new", "n2");
    add_file("a/.wh.d", "");
    apply();
    expect_contents("a/x", "x2");
    expect_contents("a/y", "y2");
    expect_contents("a/d/new", "n2");
    cr_expect_not(exists("a/d/z"));
}

Test(image_layer, an_opaque_directory_hides_all_from_below_and_nothing_else)
{
    apply_base();
    tar_begin();
    add_file("a/new", "n2");
    add_file("a/d/inner", "i2");
    add_file("a/.wh..wh..opq", "");
    add_file("a/later", "l2");
    apply();
    cr_expect_not(exists("a/x"));
    cr_expect_not(exists("a/d/z"));
    expect_contents("a/new", "n2");
    expect_contents("a/d/inner", "i2");
    expect_contents("a/later", "l2");
    expect_contents("b", "b1");
}

Test(image_layer, the_next_layer_can_hide_what_this_one_brought)
{
    apply_base();
    tar_begin();
    add_file("a/x", "x2");
    apply();
    tar_begin();
    add_file("a/.wh.x", "");
    apply();
    cr_expect_not(exists("a/x"));
}

Test(image_layer, a_file_and_a_directory_replace_each_other)
{
    apply_base();
    tar_begin();
    add_file("a", "now a file");
    add_directory("b");
    add_file("b/c", "c2");
    apply();
    expect_contents("a", "now a file");
    expect_contents("b/c", "c2");
}

Test(image_layer, aufs_metadata_means_nothing)
{
    tar_begin();
    add_directory(".wh..wh.plnk");
    add_file(".wh..wh.plnk/1.2", "x");
    add_file(".wh..wh.aufs", "");
    apply();
    cr_expect_not(exists(".wh..wh.plnk"));
}

Test(image_layer, whiteouts_that_mean_nothing_are_refused)
{
    static const char *const names[] = {"a/.wh.", "a/.wh..", "a/.wh...", ".wh.a/x"};
    apply_base();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tar_begin();
        add_file(names[i], "");
        expect_refusal("not a whiteout");
    }
    expect_contents("a/x", "x1");
}

/* ---- ways out ------------------------------------------------------------------------------ */

/* Beside the root, where a layer must not get. */
static void expect_nothing_beside(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/x", scratch);
    cr_expect_neq(access(path, F_OK), 0);
}

Test(image_layer, names_that_climb_or_are_absolute_are_refused)
{
    static const char *const names[] = {"../x", "a/../../x", "/x", "a/..", ".."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tar_begin();
        add_file(names[i], "bad");
        expect_refusal("absolute name");
    }
    expect_nothing_beside();
}

Test(image_layer, symbolic_links_that_lead_out_are_not_followed)
{
    static const char *const targets[] = {"/", "..", "../..", "/tmp", "../root/..", "//"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        tar_begin();
        add_symlink("out", targets[i]);
        add_file("out/x", "bad");
        expect_refusal("leads out of the root");
    }
    expect_nothing_beside();
    cr_expect_neq(access("/tmp/x", F_OK), 0);
}

Test(image_layer, links_over_links_that_lead_out_are_not_followed)
{
    tar_begin();
    add_directory("d");
    add_symlink("d/up", "../..");
    add_symlink("way", "d/up");
    add_file("way/x", "bad");
    expect_refusal("leads out of the root");
    expect_nothing_beside();
}

Test(image_layer, symbolic_links_within_the_root_are_followed)
{
    tar_begin();
    add_directory("usr/lib");
    add_symlink("lib", "usr/lib");
    add_file("lib/x", "x");
    add_directory("usr/deep/er");
    add_symlink("usr/deep/er/back", "../../lib");
    add_file("usr/deep/er/back/y", "y");
    apply();
    expect_contents("usr/lib/x", "x");
    expect_contents("usr/lib/y", "y");
}

Test(image_layer, the_last_component_is_never_followed)
{
    char victim[128];
    snprintf(victim, sizeof(victim), "%s/x", scratch);
    tar_begin();
    add_symlink("f", victim);
    add_file("f", "a file now");
    add_symlink("d", "..");
    add_directory("d");
    add_file("d/x", "within");
    apply();
    expect_nothing_beside();
    expect_contents("f", "a file now");
    expect_contents("d/x", "within");
}

Test(image_layer, whiteouts_through_links_that_lead_out_are_refused)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/keep", scratch);
    cleanup_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static const char *const names[] = {"out/.wh.keep", "out/.wh..wh..opq"};
    for (size_t i = 0; i < 2; i++) {
        tar_begin();
        add_symlink("out", "..");
        add_file(names[i], "");
        expect_refusal("leads out of the root");
        cr_expect_eq(access(path, F_OK), 0);
    }
}

Test(image_layer, hard_links_out_of_the_root_are_refused)
{
    static const char *const targets[] = {"/etc/passwd", "../layer", "a/../../layer"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        tar_begin();
        add_hardlink("h", targets[i]);
        expect_refusal("out of the root");
    }
    tar_begin();
    add_symlink("out", "..");
    add_hardlink("h", "out/layer");
    expect_refusal("leads out of the root");
    cr_expect_not(exists("h"));
}

Test(image_layer, hard_links_to_nothing_and_to_directories_are_refused)
{
    apply_base();
    tar_begin();
    add_hardlink("h", "missing");
    expect_refusal("which is not there");
    tar_begin();
    add_hardlink("h", "missing/deeper");
    expect_refusal("which is not there");
    tar_begin();
    add_hardlink("h", "a");
    expect_refusal("a directory");
}

Test(image_layer, a_hard_link_to_itself_changes_nothing)
{
    apply_base();
    tar_begin();
    add_hardlink("b", "b");
    apply();
    expect_contents("b", "b1");
}

Test(image_layer, a_hard_link_to_a_symbolic_link_is_to_the_link)
{
    struct stat st;
    tar_begin();
    add_symlink("s", "/etc/passwd");
    add_hardlink("h", "s");
    apply();
    cr_assert_eq(fstatat(root, "h", &st, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISLNK(st.st_mode));
}

Test(image_layer, a_file_below_a_file_or_a_dangling_link_is_refused)
{
    apply_base();
    tar_begin();
    add_file("b/c", "x");
    expect_refusal("not a directory");
    tar_begin();
    add_symlink("dangling", "nowhere");
    add_file("dangling/x", "x");
    expect_refusal("leads nowhere");
}

/* ---- damage -------------------------------------------------------------------------------- */

Test(image_layer, contents_without_the_diff_id_are_refused)
{
    struct thaw_error err = {0};
    tar_begin();
    add_file("f", "x");
    tar_end();
    char path[128];
    snprintf(path, sizeof(path), "%s/layer", scratch);
    compress_to(path, COMPRESSION_GZIP);
    const struct layer layer = {.path = path, .compression = COMPRESSION_GZIP};
    cr_expect_lt(layer_unpack(&layer, &unpack, &err), 0);
    cr_expect(strstr(err.message, "wrong diff_id"), "%s", err.message);
}

Test(image_layer, what_follows_the_end_of_the_archive_counts_for_the_diff_id)
{
    struct thaw_error err = {0};
    struct digest whole;
    tar_begin();
    add_file("f", "x");
    tar_end();
    digest_of(tar, tar_size, &whole);
    memcpy(tar + tar_size, "more", 4);
    tar_size += 4;
    char path[128];
    snprintf(path, sizeof(path), "%s/layer", scratch);
    compress_to(path, COMPRESSION_NONE);
    const struct layer layer = {.path = path, .diff_id = whole};
    cr_expect_lt(layer_unpack(&layer, &unpack, &err), 0);
}

Test(image_layer, a_layer_that_is_cut_short_is_refused_wherever_it_is_cut)
{
    static char data[3000];
    memset(data, 'd', sizeof(data) - 1);
    tar_begin();
    add_file("first", data);
    add_file("second", data);
    tar_end();
    size_t whole = tar_size;
    struct digest diff_id;
    digest_of(tar, whole, &diff_id);
    char path[128];
    snprintf(path, sizeof(path), "%s/layer", scratch);
    for (tar_size = 1; tar_size < whole; tar_size += 509) {
        struct thaw_error err = {0};
        compress_to(path, COMPRESSION_NONE);
        const struct layer layer = {.path = path, .diff_id = diff_id};
        cr_expect_lt(layer_unpack(&layer, &unpack, &err), 0, "at %zu", tar_size);
        cr_expect_eq(err.failure, THAW_FAIL_IMAGE, "at %zu: %s", tar_size, err.message);
    }
}

Test(image_layer, a_last_block_that_is_not_padded_is_taken)
{
    struct thaw_error err = {0};
    tar_begin();
    add_file("f", "short");
    tar_end();
    tar_size = 512 + 5; /* header and contents, as umoci leaves it */
    cr_expect_eq(apply_as(COMPRESSION_NONE, COMPRESSION_NONE, &err), 0, "%s", err.message);
    expect_contents("f", "short");
}

Test(image_layer, a_tree_of_any_depth_is_discarded)
{
    cleanup_close int at = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        close(at);
        at = next;
    }
    /* end() checks that nothing is left. */
}
