/* SPDX-License-Identifier: Apache-2.0 */
/* What to import, as it is written on a command line. */
#ifndef THAW_IMAGE_SOURCE_H
#define THAW_IMAGE_SOURCE_H

#include "vmm/base/error.h"

enum source_kind {
    SOURCE_OCI,            /* oci:DIR[:TAG]: an OCI image layout */
    SOURCE_DOCKER_ARCHIVE, /* docker-archive:FILE[:NAME:TAG]: what `docker save` writes */
    SOURCE_DIR,            /* dir:DIR: a root file system */
};

struct source {
    enum source_kind kind;
    char *path;
    char *reference; /* which of several images; NULL: there is only one */
};

/* A path of oci: and docker-archive: ends at the first colon, as skopeo(1) has it; that of dir:
 * has what it wants. THAW_FAIL_USAGE. The caller ends with source_free(). */
int source_parse(const char *text, struct source *source, struct thaw_error *err);
void source_free(struct source *source);

#endif
