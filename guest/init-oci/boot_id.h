/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new /proc/sys/kernel/random/boot_id for a workload that may have read the old one. The kernel
 * makes its own at the first read and never again: a file of init's is mounted over it.
 */
#ifndef THAW_INIT_BOOT_ID_H
#define THAW_INIT_BOOT_ID_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/namespaces.h"

#include <stdbool.h>

struct boot_id {
    bool is_mounted; /* then a new value needs no new mount */
};

/* Call it after the kernel's generator was reseeded, while the workload stands still. A workload
 * without the file gets none. */
int boot_id_renew(struct boot_id *boot_id, const struct namespaces *namespaces,
                  struct failure *failure);

#endif
