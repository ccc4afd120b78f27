/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems on disks: the root's (THAW_SPEC_ROOT_DEVICE) and others (THAW_SPEC_DISK). A disk is
 * found by its serial number, since letters follow the order in which disks are found. All is for
 * PID 1: the workload's processes may not open block devices.
 */
#ifndef THAW_INIT_DISKS_H
#define THAW_INIT_DISKS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* Before the workload's child exists. The root goes to THAW_SPEC_ROOTFS, as it is when it is
 * read-only, otherwise under an overlay whose upper layer is a tmpfs; the others below
 * THAW_SPEC_DISKS, from where the child binds them. Does nothing when the spec names no disk. */
int disks_mount(const struct spec *spec, struct failure *failure);

/* When no process of the workload is left: what was written is on the disks, and they need no
 * recovery, so that they can be mounted read-only next time. */
void disks_release(const struct spec *spec);

#endif
