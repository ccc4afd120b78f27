/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/rootfs.h"

#include "vmm/base/cleanup.h"
#include "vmm/bundle/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Part of the digest: raise it when the archive of one and the same tree changes. */
#define ARCHIVE_FORMAT "thaw-rootfs-1"

#define NANOSECONDS_PER_SECOND 1000000000ull

struct digest {
    XXH3_state_t *state;
    uint64_t newest_ns;
};

static void cleanup_state(XXH3_state_t **state)
{
    XXH3_freeState(*state);
}

/* The NUL goes in as well, so that strings next to each other stay apart. */
static void add_string(struct digest *digest, const char *string)
{
    XXH3_128bits_update(digest->state, string, strlen(string) + 1);
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static int add_entry(void *context, const struct tree_entry *entry, struct thaw_error *err)
{
    (void)err;
    struct digest *digest = context;
    const struct stat *st = entry->st;
    const uint64_t changed = nanoseconds(st->st_ctim);
    const uint64_t numbers[] = {
        st->st_mode,
        st->st_uid,
        st->st_gid,
        st->st_rdev,
        (uint64_t)st->st_size,
        st->st_ino,
        st->st_nlink,
        nanoseconds(st->st_mtim),
        changed,
    };
    XXH3_128bits_update(digest->state, numbers, sizeof(numbers));
    add_string(digest, entry->path);
    add_string(digest, entry->target ? entry->target : "");
    if (changed > digest->newest_ns)
        digest->newest_ns = changed;
    return 0;
}

static int add_tree(struct digest *digest, const char *name, const char *path,
                    struct thaw_error *err)
{
    add_string(digest, name);
    return tree_walk(path, add_entry, digest, err);
}

int rootfs_key(const struct bundle *bundle, char key[ROOTFS_KEY_SIZE], uint64_t *newest_ns,
               struct thaw_error *err)
{
    cleanup(cleanup_state) XXH3_state_t *state = XXH3_createState();
    if (!state)
        return thaw_fail(err, ENOMEM, "%s", bundle->root);
    XXH3_128bits_reset(state);

    struct digest digest = {.state = state};
    add_string(&digest, ARCHIVE_FORMAT);
    int rc = bundle->root_image ? 0 : add_tree(&digest, "rootfs", bundle->root, err);
    for (size_t i = 0; rc == 0 && i < bundle->pack_count; i++)
        rc = add_tree(&digest, bundle->packs[i].name, bundle->packs[i].source, err);
    if (rc < 0)
        return rc;

    XXH128_hash_t hash = XXH3_128bits_digest(state);
    snprintf(key, ROOTFS_KEY_SIZE, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
    *newest_ns = digest.newest_ns;
    return 0;
}
