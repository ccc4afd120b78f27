/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/image/image.h"

#include "vmm/base/cleanup.h"

#include <errno.h>

#define STEP_SIZE_MAX 64 /* "unpacking layer 1 of 3" */

void image_step(const struct image_progress *progress, const char *step, ...)
{
    char text[STEP_SIZE_MAX];
    va_list args;
    va_start(args, step);
    vsnprintf(text, sizeof(text), step, args);
    va_end(args);
    progress->tell(progress->ctx, text);
}

void image_free(struct image *image)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        free(image->layers[i].path);
        free(image->layers[i].media_type);
    }
    free(image->layers);
    json_decref(image->config);
    *image = (struct image){0};
}

int image_check_config(struct image *image, struct thaw_error *err)
{
    cleanup_free struct digest *diff_ids = calloc(image->layer_count + 1, sizeof(*diff_ids));
    if (!diff_ids)
        return thaw_fail(err, ENOMEM, "image configuration");
    int rc = config_check(image->config, image->layer_count, diff_ids, err);
    for (size_t i = 0; rc == 0 && i < image->layer_count; i++)
        image->layers[i].diff_id = diff_ids[i];
    return rc;
}
