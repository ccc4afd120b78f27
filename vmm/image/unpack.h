/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that layers are unpacked into, one after the other. Layers are hostile: every
 * directory is looked up with openat2(2) and RESOLVE_BENEATH, so that no symbolic link leads out
 * of it, and a last component is never followed. What one layer made is remembered while that
 * layer is unpacked, since its whiteouts hide only what is below it. Errors are THAW_FAIL_IMAGE
 * for what a layer asks, THAW_FAIL_IO for what the file system refuses.
 */
#ifndef THAW_IMAGE_UNPACK_H
#define THAW_IMAGE_UNPACK_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct directory_time {
    char *path;
    struct timespec mtime;
};

struct unpack {
    int root;   /* the directory, not owned */
    void *made; /* names that the layer at hand made */
    struct directory_time *times;
    size_t time_count, time_capacity;
};

/* `root` stays the caller's and must stay open. */
int unpack_begin(struct unpack *unpack, int root, struct thaw_error *err);

/* Forgets what the last layer made. */
void unpack_next_layer(struct unpack *unpack);

/* Sets the times of the directories, which unpacking into them changed. After the last layer. */
int unpack_finish(struct unpack *unpack, struct thaw_error *err);

void unpack_free(struct unpack *unpack);

/* A descriptor (O_PATH) of the directory of the first `length` bytes of a clean path. Those
 * missing on the way are made when `make`; otherwise -ENOENT, without `err`. */
int unpack_open_directory(struct unpack *unpack, const char *path, size_t length, bool make,
                          struct thaw_error *err);

/* Removes `name` and what is below it, whichever layer made it. Not there: nothing. */
int unpack_remove(int directory, const char *name, struct thaw_error *err);

/* Whiteouts: removes from `directory` what lower layers made, `name` or (opaque) everything. */
int unpack_hide(struct unpack *unpack, int directory, const char *name, struct thaw_error *err);
int unpack_hide_all(struct unpack *unpack, int directory, struct thaw_error *err);

/* Remembers that the layer made `name` in `directory`. */
int unpack_note_made(struct unpack *unpack, int directory, const char *name,
                     struct thaw_error *err);

/* Remembers which time the directory `path` is to have in the end. */
int unpack_note_time(struct unpack *unpack, const char *path, struct timespec mtime,
                     struct thaw_error *err);

/* openat2(2) below `root`, of a clean path or "": a descriptor, or a negative errno; -EXDEV when
 * the path leads out. */
int unpack_open_beneath(int root, const char *path, int flags);

/* Removes the directory tree `name` below `parent`, however deep it is and whatever its modes
 * are. What cannot be removed stays, without a word. */
void unpack_discard_tree(int parent, const char *name);

#endif
