/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the VM's root to the workload's user: what a process gives up about itself, for good. In
 * the order in which runc does it, because each step takes away what a later one might need.
 */
#ifndef THAW_INIT_CREDENTIALS_H
#define THAW_INIT_CREDENTIALS_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* Inside a new user namespace, once its maps are written: becomes the namespace's uid and gid 0,
 * without which files could not be made in it. */
int credentials_become_namespace_root(struct failure *failure);

/* personality, no_new_privs, the working directory, bounding set, groups, gid, uid, the other
 * capability sets; and the seccomp filter where it has to come early: without no_new_privs,
 * installing it takes CAP_SYS_ADMIN. */
int credentials_apply(const struct spec *spec, struct failure *failure);

/* The seccomp filter where it can come late, just before execve: with no_new_privs. */
int credentials_apply_late_seccomp(const struct spec *spec, struct failure *failure);

#endif
