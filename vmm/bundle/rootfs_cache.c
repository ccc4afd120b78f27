/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive cache: <cache>/rootfs/<key>.cpio. The modification time of an entry is when it was
 * last used. The directory is locked shared by who takes an entry into use, exclusively by who
 * removes entries, so that none is removed between being found and being marked as used.
 */
#include "vmm/bundle/rootfs.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/bundle/rootfs_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define NANOSECONDS_PER_SECOND 1000000000ull

/* File systems stamp a change with the time of the last timer tick, at most 10 ms ago: two changes
 * within one tick look the same. */
#define TICK_NS 20000000ull

/* How often a tree may change under the packing before that is an error. */
#define ATTEMPTS_MAX 3

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static int lock_directory(int fd, int operation)
{
    int rc;
    do {
        rc = flock(fd, operation);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* Marks the entry as used now. Returns whether it exists. */
static bool use_entry(int dir_fd, const char *name)
{
    if (lock_directory(dir_fd, LOCK_SH) < 0)
        return false;
    bool found = utimensat(dir_fd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0;
    lock_directory(dir_fd, LOCK_UN);
    return found;
}

/* ---- eviction ------------------------------------------------------------------------------ */

struct cache_entry {
    char name[NAME_MAX + 1];
    uint64_t size;
    time_t used;
};

struct cache_list {
    struct cache_entry *entries;
    size_t count;
};

static void free_list(struct cache_list *list)
{
    free(list->entries);
}

/* Everything counts, whatever its name: a file that a killed process left is an entry like any
 * other, and goes when its time comes. */
static void add_entry(struct cache_list *list, int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return;
    struct cache_entry *entries =
        reallocarray(list->entries, list->count + 1, sizeof(*list->entries));
    if (!entries)
        return;
    list->entries = entries;
    struct cache_entry *entry = &entries[list->count++];
    *entry = (struct cache_entry){.size = (uint64_t)st.st_size, .used = st.st_mtim.tv_sec};
    snprintf(entry->name, sizeof(entry->name), "%s", name);
}

static void read_list(struct cache_list *list, int dir_fd)
{
    cleanup_close int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return;
    take_fd(&own);
    const struct dirent *entry;
    while ((entry = readdir(dir))) // NOLINT(concurrency-mt-unsafe)
        add_entry(list, dir_fd, entry->d_name);
}

static int compare_newest_first(const void *a, const void *b)
{
    const struct cache_entry *left = a, *right = b;
    return (left->used < right->used) - (left->used > right->used);
}

/* Best effort: a cache that cannot be cleaned up is no reason not to run a guest. */
static void evict(int dir_fd)
{
    if (lock_directory(dir_fd, LOCK_EX) < 0)
        return;
    cleanup(free_list) struct cache_list list = {0};
    read_list(&list, dir_fd);
    if (list.count > 1)
        qsort(list.entries, list.count, sizeof(*list.entries), compare_newest_first);

    const time_t grace = time(NULL) - ROOTFS_CACHE_GRACE_SECONDS;
    uint64_t bytes = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct cache_entry *entry = &list.entries[i];
        bytes += entry->size;
        bool over = i >= ROOTFS_CACHE_ENTRIES_MAX || bytes > ROOTFS_CACHE_BYTES_MAX;
        if (over && entry->used < grace)
            unlinkat(dir_fd, entry->name, 0);
    }
    lock_directory(dir_fd, LOCK_UN);
}

/* ---- making an entry ------------------------------------------------------------------------ */

/* Waits until any further change of the trees is told apart from the newest one in them, and so
 * gives another key. Not longer than a tick, even where a file's time lies in the future. */
static void let_settle(uint64_t newest_ns)
{
    uint64_t now = now_ns();
    if (now > newest_ns && now - newest_ns >= TICK_NS)
        return;
    struct timespec tick = {.tv_nsec = TICK_NS};
    nanosleep(&tick, NULL);
}

static int entry_path(const char *dir, const char *name, char *path, size_t size,
                      struct thaw_error *err)
{
    int n = snprintf(path, size, "%s/%s", dir, name);
    return n < 0 || (size_t)n >= size ? thaw_fail(err, ENAMETOOLONG, "%s", dir) : 0;
}

/* The bundle packed under a name of this process's own. 1 when the trees changed meanwhile, so that
 * what was packed is not what `key` stands for. */
static int pack(const struct bundle *bundle, const char *key, const char *staged,
                struct thaw_error *err)
{
    int rc = rootfs_helper_pack(bundle, staged, err);
    if (rc < 0)
        return rc;
    char after[ROOTFS_KEY_SIZE];
    uint64_t newest_ns;
    rc = rootfs_key(bundle, after, &newest_ns, err);
    if (rc == 0)
        rc = strcmp(after, key) == 0 ? 0 : 1;
    if (rc != 0)
        unlink(staged);
    return rc;
}

static int pack_and_publish(const struct bundle *bundle, const char *dir, const char *key,
                            char *path, size_t path_size, struct thaw_error *err)
{
    char staged[PATH_MAX], name[NAME_MAX];
    /* Not the process id alone: two containers may share a cache. */
    snprintf(name, sizeof(name), "%s.%d.%" PRIx64, key, (int)getpid(), now_ns());
    int rc = entry_path(dir, name, staged, sizeof(staged), err);
    snprintf(name, sizeof(name), "%s.cpio", key);
    if (rc == 0)
        rc = entry_path(dir, name, path, path_size, err);
    if (rc == 0)
        rc = pack(bundle, key, staged, err);
    if (rc != 0)
        return rc;
    if (rename(staged, path) == 0)
        return 0;
    thaw_fail(err, errno, "%s", path);
    unlink(staged);
    return thaw_reclassify(err, THAW_FAIL_IO);
}

static int make_entry(const struct bundle *bundle, const char *dir, char *path, size_t path_size,
                      struct thaw_error *err)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        char key[ROOTFS_KEY_SIZE];
        uint64_t newest_ns;
        int rc = rootfs_key(bundle, key, &newest_ns, err);
        if (rc < 0)
            return rc;
        let_settle(newest_ns);
        rc = rootfs_key(bundle, key, &newest_ns, err);
        if (rc == 0)
            rc = pack_and_publish(bundle, dir, key, path, path_size, err);
        if (rc <= 0)
            return rc;
    }
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EBUSY, "%s: changes while it is being packed",
                        bundle->root);
}

int rootfs_archive(const struct bundle *bundle, char *path, size_t path_size,
                   struct thaw_error *err)
{
    char key[ROOTFS_KEY_SIZE], dir[PATH_MAX], name[NAME_MAX];
    uint64_t newest_ns;
    int rc = rootfs_key(bundle, key, &newest_ns, err);
    if (rc == 0)
        rc = file_cache_directory("rootfs", dir, sizeof(dir), err);
    if (rc < 0)
        return rc;
    cleanup_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return thaw_fail_io(err, errno, "%s", dir);

    snprintf(name, sizeof(name), "%s.cpio", key);
    if (use_entry(dir_fd, name))
        return entry_path(dir, name, path, path_size, err);

    rc = make_entry(bundle, dir, path, path_size, err);
    if (rc == 0)
        evict(dir_fd);
    return rc;
}
