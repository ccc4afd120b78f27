/* SPDX-License-Identifier: Apache-2.0 */
/* What a container finds in /dev: the spec's devices, OCI's default ones, and their links. */
#ifndef THAW_INIT_DEVICES_H
#define THAW_INIT_DEVICES_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

/* Makes them below `root`. Nothing of it where the spec binds a whole /dev, as in runc. A node
 * that may not be made (user namespace) is init's own one, bound. */
int devices_create(const struct spec *spec, int root, struct failure *failure);

#endif
