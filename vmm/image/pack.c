/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/pack.h"

#include "vmm/base/cleanup.h"
#include "vmm/bundle/tree.h"
#include "vmm/image/interrupt.h"
#include "vmm/image/staged_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

/* What is read, and what is written, at a time. */
#define READ_SIZE  (128u << 10)
#define BLOCK_SIZE (1u << 20)

/* newc has eight hexadecimal digits for a size. */
#define FILE_SIZE_MAX UINT32_MAX

/* The kernel drops an entry with a longer name in silence; its limit counts the NUL. */
#define NAME_LENGTH_MAX (PATH_MAX - 1)

/* A file with several names: where it was met first, and its number in the archive. */
struct link {
    dev_t device;
    ino_t inode;
    uint32_t number;
};

struct packer {
    struct archive *archive;
    struct archive_entry *entry; /* reused for each */
    char data[READ_SIZE];
    const struct pack_tree *tree;
    void *links;     /* tsearch(3) tree of struct link, of the current tree */
    uint32_t inodes; /* given out so far: the archive has numbers of its own */
};

static void destroy_packer(struct packer *packer)
{
    archive_entry_free(packer->entry);
    archive_write_free(packer->archive);
}

static int fail_archive(const struct packer *packer, struct thaw_error *err)
{
    const char *why = archive_error_string(packer->archive);
    int code = archive_errno(packer->archive);
    return thaw_fail_as(err, THAW_FAIL_IMAGE, code > 0 ? code : EIO, "%s",
                        why ? why : "libarchive failed");
}

static int compare_links(const void *a, const void *b)
{
    const struct link *left = a, *right = b;
    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

/* Gives the entry its number in the archive. `*first` says whether it is the first name of its
 * file, with which the contents go: the kernel and cpio(1) link the others to it. */
static int number_entry(struct packer *packer, const struct stat *st, uint32_t *number, bool *first)
{
    *first = true;
    *number = ++packer->inodes;
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
        return 0;

    const struct link key = {.device = st->st_dev, .inode = st->st_ino, .number = *number};
    struct link *const *found = tfind(&key, &packer->links, compare_links);
    if (found) {
        *number = (*found)->number;
        *first = false;
        return 0;
    }
    struct link *link = malloc(sizeof(*link));
    if (!link)
        return -ENOMEM;
    *link = key;
    if (!tsearch(link, &packer->links, compare_links)) {
        free(link);
        return -ENOMEM;
    }
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int check_unchanged(int fd, const struct tree_entry *entry, const char *name,
                           struct thaw_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, errno, "%s: %s", name, strerrordesc_np(errno));
    if (!same_file(&st, entry->st))
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EBUSY, "%s: changed while it was being packed",
                            name);
    return 0;
}

static int write_contents(struct packer *packer, int fd, uint64_t size, const char *name,
                          struct thaw_error *err)
{
    while (size > 0) {
        int rc = interrupt_check(err);
        if (rc < 0)
            return rc;
        ssize_t n = read(fd, packer->data, size < READ_SIZE ? (size_t)size : READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return thaw_fail_as(err, THAW_FAIL_IMAGE, errno, "%s: %s", name,
                                strerrordesc_np(errno));
        if (n == 0)
            return thaw_fail_as(err, THAW_FAIL_IMAGE, EBUSY,
                                "%s: changed while it was being packed", name);
        if (archive_write_data(packer->archive, packer->data, (size_t)n) != n)
            return fail_archive(packer, err);
        size -= (uint64_t)n;
    }
    return 0;
}

static int write_file(struct packer *packer, const struct tree_entry *entry, const char *name,
                      struct thaw_error *err)
{
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (entry->path[0] ? O_NOFOLLOW : 0);
    cleanup_close int fd = openat(entry->dir_fd, entry->name, flags);
    if (fd < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, errno, "%s: %s", name, strerrordesc_np(errno));
    int rc = check_unchanged(fd, entry, name, err);
    if (rc == 0)
        rc = write_contents(packer, fd, (uint64_t)entry->st->st_size, name, err);
    /* Once more, for what was written into the part that had been read already. */
    if (rc == 0)
        rc = check_unchanged(fd, entry, name, err);
    return rc;
}

static void describe(struct archive_entry *out, const struct tree_entry *entry, const char *name,
                     uint32_t number, uint64_t size)
{
    const struct stat *st = entry->st;
    bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
    archive_entry_clear(out);
    archive_entry_copy_pathname(out, name);
    archive_entry_set_mode(out, st->st_mode);
    archive_entry_set_uid(out, st->st_uid);
    archive_entry_set_gid(out, st->st_gid);
    archive_entry_set_mtime(out, st->st_mtim.tv_sec, 0);
    archive_entry_set_ino64(out, number);
    archive_entry_set_nlink(out, (unsigned)st->st_nlink);
    archive_entry_set_size(out, (int64_t)size);
    if (device) {
        archive_entry_set_rdevmajor(out, major(st->st_rdev));
        archive_entry_set_rdevminor(out, minor(st->st_rdev));
    }
    if (entry->target)
        archive_entry_copy_symlink(out, entry->target);
}

static int write_entry(struct packer *packer, const struct tree_entry *entry, const char *name,
                       struct thaw_error *err)
{
    bool regular = S_ISREG(entry->st->st_mode), first = true;
    uint64_t size = regular ? (uint64_t)entry->st->st_size : 0;
    if (size > FILE_SIZE_MAX)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, EFBIG,
                            "%s: %" PRIu64 " bytes are more than a cpio archive can hold", name,
                            size);

    uint32_t number = 0;
    if (number_entry(packer, entry->st, &number, &first) < 0)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOMEM, "%s: out of memory", name);
    describe(packer->entry, entry, name, number, first ? size : 0);
    if (archive_write_header(packer->archive, packer->entry) != ARCHIVE_OK)
        return fail_archive(packer, err);
    return regular && first ? write_file(packer, entry, name, err) : 0;
}

static int visit(void *context, const struct tree_entry *entry, struct thaw_error *err)
{
    struct packer *packer = context;
    int rc = interrupt_check(err);
    if (rc < 0 || S_ISSOCK(entry->st->st_mode))
        return rc;

    char name[PATH_MAX];
    int n = snprintf(name, sizeof(name), "%s%s%s", packer->tree->name, entry->path[0] ? "/" : "",
                     entry->path);
    if (n < 0 || n > NAME_LENGTH_MAX)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENAMETOOLONG, "%s/%s: the name is too long",
                            packer->tree->path, entry->path);
    return write_entry(packer, entry, name, err);
}

static int write_parent(struct packer *packer, const char *name, size_t length,
                        struct thaw_error *err)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof(parent), "%.*s", (int)length, name);
    archive_entry_clear(packer->entry);
    archive_entry_copy_pathname(packer->entry, parent);
    archive_entry_set_mode(packer->entry, S_IFDIR | 0755);
    archive_entry_set_ino64(packer->entry, ++packer->inodes);
    archive_entry_set_nlink(packer->entry, 2);
    archive_entry_set_size(packer->entry, 0);
    if (archive_write_header(packer->archive, packer->entry) != ARCHIVE_OK)
        return fail_archive(packer, err);
    return 0;
}

/* Whether one of the trees is below, or is, the directory of the first `length` bytes. */
static bool has_parent(const struct pack_tree *trees, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        const char *other = trees[i].name;
        if (strncmp(other, name, length) == 0 && (other[length] == '/' || other[length] == '\0'))
            return true;
    }
    return false;
}

/* The kernel makes no directories on the way: those above a tree's name have to be there. */
static int write_parents(struct packer *packer, const struct pack_tree *trees, size_t index,
                         struct thaw_error *err)
{
    const char *name = trees[index].name;
    int rc = 0;
    for (const char *at = strchr(name, '/'); rc == 0 && at; at = strchr(at + 1, '/')) {
        size_t length = (size_t)(at - name);
        if (!has_parent(trees, index, name, length))
            rc = write_parent(packer, name, length, err);
    }
    return rc;
}

/* Links are kept within one tree only: two trees are two things, and writing to one in the guest
 * must not change the other. */
static int write_tree(struct packer *packer, const struct pack_tree *tree, struct thaw_error *err)
{
    packer->tree = tree;
    int rc = tree_walk(tree->path, visit, packer, err);
    tdestroy(packer->links, free);
    packer->links = NULL;
    return rc;
}

static int open_archive(struct packer *packer, int fd, struct thaw_error *err)
{
    packer->archive = archive_write_new();
    packer->entry = archive_entry_new();
    if (!packer->archive || !packer->entry)
        return thaw_fail_as(err, THAW_FAIL_IMAGE, ENOMEM, "out of memory");
    if (archive_write_set_format_cpio_newc(packer->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(packer->archive, BLOCK_SIZE) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(packer->archive, PACK_ALIGNMENT) != ARCHIVE_OK ||
        archive_write_open_fd(packer->archive, fd) != ARCHIVE_OK)
        return fail_archive(packer, err);
    return 0;
}

static int write_archive(int fd, const struct pack_tree *trees, size_t count,
                         struct thaw_error *err)
{
    cleanup(destroy_packer) struct packer packer;
    packer.links = NULL;
    packer.inodes = 0;
    int rc = open_archive(&packer, fd, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = write_parents(&packer, trees, i, err);
        if (rc == 0)
            rc = write_tree(&packer, &trees[i], err);
    }
    if (rc == 0 && archive_write_close(packer.archive) != ARCHIVE_OK)
        rc = fail_archive(&packer, err);
    /* Otherwise freeing it would fill the rest of the file at hand, up to 4 GiB, with zeros. The
     * price is libarchive 3.6's: it does not free the block of a failed archive. */
    if (rc < 0 && packer.archive)
        archive_write_fail(packer.archive);
    return rc;
}

int pack_check_name(const char *name)
{
    if (name[0] == '\0' || strlen(name) > NAME_LENGTH_MAX)
        return -EINVAL;
    for (const char *at = name;; at++) {
        size_t length = strcspn(at, "/");
        bool dots = strncmp(at, "..", length) == 0 && length <= 2;
        if (length == 0 || dots)
            return -EINVAL;
        at += length;
        if (*at == '\0')
            return 0;
    }
}

int pack_trees(const char *output, const struct pack_tree *trees, size_t count,
               struct thaw_error *err)
{
    cleanup(staged_file_discard) struct staged_file file;
    int rc = staged_file_open(&file, output, err);
    if (rc == 0)
        rc = write_archive(file.fd, trees, count, err);
    if (rc == 0)
        rc = interrupt_check(err);
    if (rc == 0)
        rc = staged_file_publish(&file, err);
    return rc;
}
