/* SPDX-License-Identifier: Apache-2.0 */
/* Runs `thaw-image`, the program that packs trees into archives. */
#ifndef THAW_BUNDLE_ROOTFS_HELPER_H
#define THAW_BUNDLE_ROOTFS_HELPER_H

#include "vmm/bundle/bundle.h"

/* Packs the bundle's root and packs into `output` and waits for the end. THAW_FAIL_IMAGE with the
 * line that the program wrote to stderr, or that it is not installed. */
int rootfs_helper_pack(const struct bundle *bundle, const char *output, struct thaw_error *err);

#endif
