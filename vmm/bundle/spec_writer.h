/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the flat spec of thaw/spec.h: a header, then records. The buffer has the largest size
 * that a spec may have from the start (untouched pages cost nothing), so that writing cannot fail;
 * what does not fit is remembered and reported once, by spec_writer_finish().
 */
#ifndef THAW_BUNDLE_SPEC_WRITER_H
#define THAW_BUNDLE_SPEC_WRITER_H

#include "vmm/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spec_writer {
    uint8_t *data;
    size_t size;   /* bytes written, header included */
    size_t record; /* where the open record starts; 0: none is open */
    bool overflow;
};

int spec_writer_init(struct spec_writer *writer, struct thaw_error *err);
void spec_writer_destroy(struct spec_writer *writer);

/* A whole record at once. */
void spec_writer_put(struct spec_writer *writer, uint32_t tag, const void *payload, size_t length);
void spec_writer_put_string(struct spec_writer *writer, uint32_t tag, const char *string);
void spec_writer_put_strings(struct spec_writer *writer, uint32_t tag, const char *first,
                             const char *second);

/* A record in pieces: begin, any number of appends, end. */
void spec_writer_begin(struct spec_writer *writer, uint32_t tag);
void spec_writer_append(struct spec_writer *writer, const void *bytes, size_t length);
void spec_writer_append_string(struct spec_writer *writer, const char *string);
void spec_writer_end(struct spec_writer *writer);

/* Fills in the header. `*spec` gets a buffer of `*size` bytes that the caller frees.
 * THAW_FAIL_CONFIG when the records need more than THAW_SPEC_SIZE_MAX. */
int spec_writer_finish(struct spec_writer *writer, void **spec, size_t *size,
                       struct thaw_error *err);

#endif
