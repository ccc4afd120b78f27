/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of bundles share: bundles made from a string, and a reader of the flat spec. */
#ifndef THAW_TEST_BUNDLE_SUPPORT_H
#define THAW_TEST_BUNDLE_SUPPORT_H

#include "thaw/spec.h"
#include "vmm/bundle/bundle.h"

#include <stddef.h>
#include <stdint.h>

#define BUNDLE_FIXTURES "tests/unit/fixtures/bundle"

/* A new directory with an empty rootfs/; removed by bundle_directory_remove(). */
struct bundle_directory {
    char path[64];
};

void bundle_directory_make(struct bundle_directory *directory);
void bundle_directory_write(const struct bundle_directory *directory, const char *name,
                            const void *data, size_t size);
void bundle_directory_remove(struct bundle_directory *directory);

/* A whole file, with a NUL after it; the caller frees it. */
char *bundle_read_fixture(const char *name, size_t *size);

/* The minimal config.json with `patch` (a JSON object) merged into it: objects are merged, all
 * else is replaced. The caller frees it. */
char *bundle_patched_config(const char *patch);

/* Loads a bundle whose config.json is `size` bytes at `text`. */
int bundle_load_text(const char *text, size_t size, const struct bundle_options *options,
                     struct bundle **bundle, struct thaw_error *err);

/* Loads the minimal config with a patch; fails the test when that fails. */
struct bundle *bundle_load_patched(const char *patch);

/* The record number `n` (from 0) with this tag: its payload, or NULL. */
const void *spec_find(const struct bundle *bundle, uint32_t tag, size_t n, size_t *length);
size_t spec_count(const struct bundle *bundle, uint32_t tag);

/* The same, for a record that must be there and have exactly this many bytes. */
const void *spec_need(const struct bundle *bundle, uint32_t tag, size_t n, size_t length);

/* String number `which` of the record's payload, from `offset` on; "" past the last one. */
const char *spec_string(const struct bundle *bundle, uint32_t tag, size_t n, size_t offset,
                        size_t which);

/* The value that goes into a file of the cgroup (the last one, when there are several), or NULL. */
const char *spec_cgroup_file(const struct bundle *bundle, const char *name);

#endif
