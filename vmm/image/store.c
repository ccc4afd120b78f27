/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/store.h"

#include "vmm/base/cleanup.h"
#include "vmm/base/file.h"
#include "vmm/bundle/image_store.h"
#include "vmm/image/manifest.h"
#include "vmm/image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STAGING_PREFIX ".staging-"
#define IMAGE_FILE     "image.json"

static int fail_io(const char *what, int code, struct thaw_error *err)
{
    return thaw_fail_io(err, code, "%s", what);
}

static int fail_taken(const char *name, struct thaw_error *err)
{
    return thaw_fail_as(err, THAW_FAIL_IMAGE, EEXIST,
                        "%s: the name is taken (--replace puts the new image in its place)", name);
}

/* mkdir -p. */
static int make_store(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = mkdir(path, 0755);
        *slash = '/';
        if (rc < 0 && errno != EEXIST)
            return -errno;
    }
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_store(bool make, struct thaw_error *err)
{
    char path[PATH_MAX];
    int rc = image_store_directory(path, sizeof(path), err);
    if (rc < 0)
        return rc;
    rc = make ? make_store(path) : 0;
    if (rc < 0)
        return fail_io(path, -rc, err);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? fail_io(path, errno, err) : fd;
}

static int lock(int fd, int operation)
{
    int rc;
    do {
        rc = flock(fd, operation);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/* ---- staging ------------------------------------------------------------------------------- */

/* What killed processes have left. The store is locked: none is just being made. */
static void reap(int store)
{
    cleanup_close int own = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir)
        return;
    take_fd(&own);
    const struct dirent *entry;
    while ((entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
        if (strncmp(entry->d_name, STAGING_PREFIX, strlen(STAGING_PREFIX)) != 0)
            continue;
        cleanup_close int fd =
            openat(store, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && lock(fd, LOCK_EX | LOCK_NB) == 0)
            unpack_discard_tree(store, entry->d_name);
    }
}

static int make_staging(struct staging *staging, struct thaw_error *err)
{
    char store[PATH_MAX];
    int rc = image_store_directory(store, sizeof(store), err);
    if (rc < 0)
        return rc;
    int n = snprintf(staging->path, sizeof(staging->path), "%s/" STAGING_PREFIX "XXXXXX", store);
    if (n < 0 || (size_t)n >= sizeof(staging->path))
        return fail_io(store, ENAMETOOLONG, err);
    if (!mkdtemp(staging->path))
        return fail_io(store, errno, err);
    snprintf(staging->name, sizeof(staging->name), "%s", strrchr(staging->path, '/') + 1);
    staging->fd =
        openat(staging->store, staging->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging->fd < 0)
        return fail_io(staging->path, errno, err);
    rc = lock(staging->fd, LOCK_EX | LOCK_NB);
    return rc < 0 ? fail_io(staging->path, -rc, err) : 0;
}

int staging_open(struct staging *staging, struct thaw_error *err)
{
    *staging = (struct staging){.store = -1, .fd = -1};
    staging->store = open_store(true, err);
    if (staging->store < 0)
        return staging->store;
    int rc = lock(staging->store, LOCK_EX);
    if (rc < 0)
        return fail_io("image store: lock", -rc, err);
    reap(staging->store);
    rc = make_staging(staging, err);
    lock(staging->store, LOCK_UN);
    return rc;
}

int staging_write(const struct staging *staging, const char *file, const void *data, size_t size,
                  struct thaw_error *err)
{
    cleanup_close int fd =
        openat(staging->fd, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) < 0)
        return fail_io(file, errno, err);
    int rc = file_write_full(fd, data, size, err);
    if (rc < 0)
        return thaw_context(err, "%s", file);
    return fsync(fd) < 0 ? fail_io(file, errno, err) : 0;
}

/* Exchanged, what had the name has the staging directory's now, and is discarded as that. */
static int rename_staging(struct staging *staging, const char *name, bool replace)
{
    if (renameat2(staging->store, staging->name, staging->store, name, RENAME_NOREPLACE) == 0) {
        staging->name[0] = '\0';
        return 0;
    }
    if (errno != EEXIST || !replace)
        return -errno;
    return renameat2(staging->store, staging->name, staging->store, name, RENAME_EXCHANGE) < 0
               ? -errno
               : 0;
}

int staging_publish(struct staging *staging, const char *name, bool replace, struct thaw_error *err)
{
    /* First the contents: after a crash an empty file must not stand under the name. */
    if (fchmod(staging->fd, 0755) < 0 || fsync(staging->fd) < 0)
        return fail_io(staging->path, errno, err);
    int rc = rename_staging(staging, name, replace);
    if (rc == -EEXIST)
        return fail_taken(name, err);
    if (rc < 0)
        return fail_io(name, -rc, err);
    return fsync(staging->store) < 0 ? fail_io("image store", errno, err) : 0;
}

void staging_discard(struct staging *staging)
{
    if (staging->name[0] != '\0')
        unpack_discard_tree(staging->store, staging->name);
    if (staging->fd >= 0)
        close(staging->fd);
    if (staging->store >= 0)
        close(staging->store);
    *staging = (struct staging){.store = -1, .fd = -1};
}

/* ---- the store ----------------------------------------------------------------------------- */

int store_check_free(const char *name, struct thaw_error *err)
{
    char path[PATH_MAX];
    struct thaw_error missing = {0};
    int rc = image_store_find(name, path, sizeof(path), &missing);
    if (rc == 0)
        return fail_taken(name, err);
    if (rc == -ENOENT && missing.failure == THAW_FAIL_IMAGE)
        return 0;
    *err = missing;
    return rc;
}

int store_inspect(const char *name, json_t **json, struct thaw_error *err)
{
    char directory[PATH_MAX];
    int rc = image_store_find(name, directory, sizeof(directory), err);
    if (rc < 0)
        return rc;
    cleanup_free char *path = NULL;
    cleanup_free char *text = NULL;
    size_t size;
    if (asprintf(&path, "%s/" IMAGE_FILE, directory) < 0) {
        path = NULL;
        return thaw_fail(err, ENOMEM, "%s", name);
    }
    rc = file_read_all(path, DOCUMENT_SIZE_MAX, THAW_FAIL_IMAGE, &text, &size, err);
    if (rc == 0)
        rc = document_parse(text, size, path, json, err);
    if (rc < 0)
        return rc;
    /* The name is the directory's: it may have been copied. */
    json_object_set_new(*json, "name", json_string(name));
    json_object_set_new(*json, "path", json_string(directory));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items;
    size_t count;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int read_names(int store, struct names *names)
{
    cleanup_closedir DIR *dir = fdopendir(store);
    if (!dir)
        return -errno;
    const struct dirent *entry;
    while ((entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
        struct thaw_error unused;
        if (image_name_check(entry->d_name, &unused) < 0)
            continue;
        char **items = reallocarray(names->items, names->count + 1, sizeof(*items));
        if (!items)
            return -ENOMEM;
        names->items = items;
        items[names->count] = strdup(entry->d_name);
        if (!items[names->count])
            return -ENOMEM;
        names->count++;
    }
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    return 0;
}

int store_list(json_t **list, struct thaw_error *err)
{
    *list = json_array();
    int store = open_store(false, err);
    if (store == -ENOENT && err->failure == THAW_FAIL_IO)
        return 0;
    if (store < 0)
        return store;
    cleanup(free_names) struct names names = {0};
    int rc = read_names(store, &names);
    if (rc < 0)
        return fail_io("image store", -rc, err);
    for (size_t i = 0; i < names.count; i++) {
        json_t *image = NULL;
        struct thaw_error unused;
        /* What is no image does not keep the others from being seen. */
        if (store_inspect(names.items[i], &image, &unused) == 0)
            json_array_append_new(*list, image);
    }
    return 0;
}

int store_remove(const char *name, struct thaw_error *err)
{
    char path[PATH_MAX];
    int rc = image_store_find(name, path, sizeof(path), err);
    if (rc < 0)
        return rc;
    cleanup(staging_discard) struct staging staging;
    rc = staging_open(&staging, err);
    if (rc == 0 && renameat(staging.store, name, staging.fd, "removed") < 0)
        rc = fail_io(path, errno, err);
    return rc;
}
