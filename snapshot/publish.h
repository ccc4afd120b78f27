/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing a snapshot's directory: it is written under another name beside the target and
 * renamed when it is whole, so a reader, and whoever comes after a kill -9 at any point, sees the
 * old snapshot or none or the new one, never a part of one.
 *
 * The temporary directory (`.thaw-XXXXXX`, mode 0700) is locked (flock) while its writer lives. One
 * that nobody holds is the rest of a killed writer: the next writer beside it removes it, when it
 * is this user's and holds nothing but files with the names of a snapshot's.
 */
#ifndef THAW_SNAPSHOT_PUBLISH_H
#define THAW_SNAPSHOT_PUBLISH_H

#include "vmm/base/blob.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/error.h"

#include <limits.h>
#include <stdbool.h>

#define PUBLISH_TEMPORARY_PREFIX ".thaw-"

/* Begins as PUBLISH_NONE, in a variable with cleanup_publish. */
struct publish {
    int fd;        /* the temporary directory: the snapshot's files are created in it */
    int parent_fd; /* where it and the target are */
    char name[NAME_MAX + 1];
    char temporary[sizeof(PUBLISH_TEMPORARY_PREFIX) + 6]; /* "": there is none (any more) */
};

#define PUBLISH_NONE ((struct publish){.fd = -1, .parent_fd = -1})

/*
 * Makes the temporary directory beside `path`, whose parent must exist and not be a link itself.
 * What is at `path` must be nothing or a snapshot (see publish_commit), so that a long run does not
 * end in a refusal; it is left alone until then. THAW_FAIL_USAGE for a path that cannot be
 * replaced, THAW_FAIL_SNAPSHOT_LINK for a link, else THAW_FAIL_IO.
 */
int publish_begin(struct publish *publish, const char *path, struct thaw_error *err);

/* A temporary directory in $TMPDIR (/var/tmp without) that is never put anywhere: for the disks of
 * a stream. THAW_FAIL_IO. */
int publish_begin_scratch(struct publish *publish, struct thaw_error *err);

/* Creates a file (0600, for reading and writing) in the temporary directory; one of this name must
 * not be there yet. Returns the descriptor, owned by the caller. THAW_FAIL_IO. */
int publish_create(const struct publish *publish, const char *name, struct thaw_error *err);

/* Creates a file with these bytes in it. THAW_FAIL_IO. */
int publish_blob(const struct publish *publish, const char *name, const struct blob *blob,
                 struct thaw_error *err);

/*
 * Puts the directory in its place. An old snapshot that is there is exchanged with it in one step
 * and then removed. A directory is an old snapshot when it has a regular file `state` that begins
 * as one and nothing with a name that is not of a snapshot's files; anything else, also an empty
 * directory, is refused (THAW_FAIL_USAGE; a link: THAW_FAIL_SNAPSHOT_LINK) and stays as it is.
 *
 * `sync`: every file, the directory and its parent are on the disk when this returns 0. When only
 * the last of these fails, the snapshot is in place all the same. THAW_FAIL_IO.
 */
int publish_commit(struct publish *publish, bool sync, struct thaw_error *err);

/* Removes the temporary directory, if it has not been committed, and closes everything. */
void publish_end(struct publish *publish);
#define cleanup_publish cleanup(publish_end)

/* Whether a snapshot's directory has files of this name. */
bool publish_is_snapshot_file(const char *name);
bool publish_is_disk_file(const char *name); /* "disk-N" */

/* Calls `visit` for every name in the directory but "." and ".."; a negative return ends it and is
 * returned. Other failures are negative errnos, too. */
int publish_each_file(int dir_fd, int (*visit)(void *ctx, int dir_fd, const char *name), void *ctx);

#endif
