/* SPDX-License-Identifier: Apache-2.0 */
/* .jvc files, with and without a right checksum: one that is accepted is written again byte by
 * byte, and its text assembles to the same identity. */
#include "guest/jitvm/chunk/jvc.h"
#include "tests/fuzz/fuzz.h"

static void check_bytes(const struct jitvm_chunk *chunk, const uint8_t *bytes, size_t len)
{
    void *again = NULL;
    size_t again_len = 0;
    require(jitvm_chunk_write(chunk, &again, &again_len, NULL) == 0);
    require(again_len == len && memcmp(again, bytes, len) == 0);
    free(again);
}

static void check_text(const struct jitvm_chunk *chunk)
{
    struct jitvm_error err = {0};
    struct jitvm_chunk *again = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    require(to && jitvm_disassemble(chunk, to, &err) == 0 && fclose(to) == 0);
    require(jitvm_assemble("again", text, len, &again, &err) == 0);
    require(memcmp(chunk->identity, again->identity, sizeof(chunk->identity)) == 0);
    jitvm_chunk_unref(again);
    free(text);
}

static void read_chunk(const uint8_t *bytes, size_t len)
{
    struct jitvm_error err = {0};
    struct jitvm_chunk *chunk = NULL;
    if (jitvm_chunk_read(bytes, len, &chunk, &err) < 0) {
        require(err.status != JITVM_OK && err.message[0] != '\0');
        return;
    }
    check_bytes(chunk, bytes, len);
    check_text(chunk);
    jitvm_chunk_unref(chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* not one byte more than there is */
    require(bytes);
    if (size > 0)
        memcpy(bytes, data, size);
    read_chunk(bytes, size);
    if (size >= JVC_HEADER_SIZE) {
        jvc_seal(bytes, size);
        read_chunk(bytes, size);
    }
    free(bytes);
    return 0;
}
