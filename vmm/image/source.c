/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/source.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prefix, *form;
    enum source_kind kind;
    bool has_reference;
} transports[] = {
    {"oci:", "oci:DIR[:TAG]", SOURCE_OCI, true},
    {"docker-archive:", "docker-archive:FILE[:NAME:TAG]", SOURCE_DOCKER_ARCHIVE, true},
    {"dir:", "dir:DIR", SOURCE_DIR, false},
};

static int split(const char *rest, bool has_reference, struct source *source)
{
    const char *colon = has_reference ? strchr(rest, ':') : NULL;
    source->path = strndup(rest, colon ? (size_t)(colon - rest) : strlen(rest));
    source->reference = colon ? strdup(colon + 1) : NULL;
    return !source->path || (colon && !source->reference) ? -ENOMEM : 0;
}

int source_parse(const char *text, struct source *source, struct thaw_error *err)
{
    *source = (struct source){0};
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        size_t length = strlen(transports[i].prefix);
        if (strncmp(text, transports[i].prefix, length) != 0)
            continue;
        source->kind = transports[i].kind;
        if (split(text + length, transports[i].has_reference, source) < 0)
            return thaw_fail(err, ENOMEM, "%s", text);
        if (source->path[0] != '\0' && (!source->reference || source->reference[0] != '\0'))
            return 0;
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "%s: not of the form %s", text,
                            transports[i].form);
    }
    return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                        "%s: an image is given as oci:DIR[:TAG], docker-archive:FILE or dir:DIR",
                        text);
}

void source_free(struct source *source)
{
    free(source->path);
    free(source->reference);
}
