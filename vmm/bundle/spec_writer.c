/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bundle/spec_writer.h"

#include "thaw/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RECORD_ALIGNMENT 8u

int spec_writer_init(struct spec_writer *writer, struct thaw_error *err)
{
    *writer = (struct spec_writer){.size = sizeof(struct thaw_spec_header)};
    writer->data = malloc(THAW_SPEC_SIZE_MAX);
    return writer->data ? 0 : thaw_fail(err, ENOMEM, "workload spec");
}

void spec_writer_destroy(struct spec_writer *writer)
{
    free(writer->data);
    writer->data = NULL;
}

void spec_writer_append(struct spec_writer *writer, const void *bytes, size_t length)
{
    if (length > THAW_SPEC_SIZE_MAX - writer->size) {
        writer->overflow = true;
        return;
    }
    if (length > 0)
        memcpy(writer->data + writer->size, bytes, length);
    writer->size += length;
}

void spec_writer_append_string(struct spec_writer *writer, const char *string)
{
    spec_writer_append(writer, string, strlen(string) + 1);
}

void spec_writer_begin(struct spec_writer *writer, uint32_t tag)
{
    struct thaw_spec_record record = {.tag = tag};
    writer->record = writer->size;
    spec_writer_append(writer, &record, sizeof(record));
}

void spec_writer_end(struct spec_writer *writer)
{
    if (writer->overflow)
        return;

    struct thaw_spec_record record;
    uint8_t *at = writer->data + writer->record;
    memcpy(&record, at, sizeof(record));
    record.length = (uint32_t)(writer->size - writer->record - sizeof(record));
    memcpy(at, &record, sizeof(record));

    static const uint8_t padding[RECORD_ALIGNMENT];
    spec_writer_append(writer, padding, -writer->size % RECORD_ALIGNMENT);
    writer->record = 0;
}

void spec_writer_put(struct spec_writer *writer, uint32_t tag, const void *payload, size_t length)
{
    spec_writer_begin(writer, tag);
    spec_writer_append(writer, payload, length);
    spec_writer_end(writer);
}

void spec_writer_put_string(struct spec_writer *writer, uint32_t tag, const char *string)
{
    spec_writer_put(writer, tag, string, strlen(string) + 1);
}

void spec_writer_put_strings(struct spec_writer *writer, uint32_t tag, const char *first,
                             const char *second)
{
    spec_writer_begin(writer, tag);
    spec_writer_append_string(writer, first);
    spec_writer_append_string(writer, second);
    spec_writer_end(writer);
}

int spec_writer_finish(struct spec_writer *writer, void **spec, size_t *size,
                       struct thaw_error *err)
{
    if (writer->overflow)
        return thaw_fail_as(err, THAW_FAIL_CONFIG, E2BIG,
                            "config.json: needs more than the %u bytes that a workload spec may "
                            "have",
                            THAW_SPEC_SIZE_MAX);

    struct thaw_spec_header header = {
        .magic = THAW_SPEC_MAGIC,
        .version = THAW_SPEC_VERSION,
        .length = (uint32_t)writer->size,
        .checksum = XXH3_64bits(writer->data + sizeof(header), writer->size - sizeof(header)),
    };
    memcpy(writer->data, &header, sizeof(header));

    /* Shrinking cannot fail in a way that matters: the old buffer stays good. */
    uint8_t *shrunk = realloc(writer->data, writer->size);
    *spec = shrunk ? shrunk : writer->data;
    *size = writer->size;
    writer->data = NULL;
    return 0;
}
