/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_INIT_SYSCTL_H
#define THAW_INIT_SYSCTL_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* Writes the spec's sysctls below `directory`, which is open on a /proc/sys; in the process whose
 * namespaces are meant. */
int sysctl_apply(const struct spec *spec, int directory, struct failure *failure);

#endif
