/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw snapshot inspect`: a snapshot in words. */
#ifndef THAW_CLI_INSPECT_H
#define THAW_CLI_INSPECT_H

#include "vmm/base/error.h"

#include <stdbool.h>

/* On stdout. A snapshot that cannot be used is described as far as it can be read: then the header
 * is printed, and the failure returned. */
int inspect_print(const char *path, bool json, struct thaw_error *err);

#endif
