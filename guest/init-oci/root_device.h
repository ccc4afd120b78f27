/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root file system on a disk (THAW_SPEC_ROOT_DEVICE): the disk is found by its serial number,
 * since letters follow the order in which disks are found.
 */
#ifndef THAW_INIT_ROOT_DEVICE_H
#define THAW_INIT_ROOT_DEVICE_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* For PID 1, before the workload's child exists: mounts it at THAW_SPEC_ROOTFS, as it is when the
 * root is read-only, otherwise under an overlay whose upper layer is a tmpfs. Does nothing when
 * the spec names no device. */
int root_device_mount(const struct spec *spec, struct failure *failure);

#endif
