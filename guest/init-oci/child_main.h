/* SPDX-License-Identifier: Apache-2.0 */
/* What the workload's child does; see child.h for its talk with PID 1. */
#ifndef THAW_INIT_CHILD_MAIN_H
#define THAW_INIT_CHILD_MAIN_H

#include "guest/init-oci/spec.h"

/* Runs in the child until it becomes the workload or ends. `reports` is written, `orders` is
 * read. */
_Noreturn void child_main(const struct spec *spec, const int streams[3], int reports, int orders);

#endif
