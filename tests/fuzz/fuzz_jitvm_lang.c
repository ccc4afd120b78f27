/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a program in jitvm's language: an error with a place that is in the text, or a chunk.
 * What the compiler makes is never what the verifier refuses, and the same text gives the same
 * chunk.
 */
#include "guest/jitvm/jitvm.h"
#include "tests/fuzz/fuzz.h"

static uint32_t count_lines(const uint8_t *data, size_t size)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    return lines;
}

static void check_error(int rc, const struct jitvm_error *err, const uint8_t *data, size_t size)
{
    require(err->status == (enum jitvm_status)rc);
    require(err->status == JITVM_ERR_SYNTAX || err->status == JITVM_ERR_LIMIT);
    require(memchr(err->message, '\0', sizeof err->message));
    require(err->message[0] != '\0');
    if (err->status != JITVM_ERR_SYNTAX)
        return;
    require(err->line >= 1 && err->line <= count_lines(data, size));
    require(err->column >= 1 && err->column <= size + 1);
}

static void check_chunk(struct jitvm_chunk *chunk, const uint8_t *data, size_t size)
{
    struct jitvm_chunk *again = NULL;
    uint8_t one[16], other[16];
    require(jitvm_compile("fuzz", (const char *)data, size, &again, NULL) == 0);
    jitvm_chunk_identity(chunk, one);
    jitvm_chunk_identity(again, other);
    require(memcmp(one, other, sizeof one) == 0);
    jitvm_chunk_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    int rc = jitvm_compile("fuzz", (const char *)data, size, &chunk, &err);
    if (rc < 0)
        check_error(rc, &err, data, size);
    else
        check_chunk(chunk, data, size);
    jitvm_chunk_unref(chunk);
    return 0;
}
