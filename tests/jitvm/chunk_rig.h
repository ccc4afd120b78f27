/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks for tests, from .jasm text. */
#ifndef JITVM_TESTS_CHUNK_RIG_H
#define JITVM_TESTS_CHUNK_RIG_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"

static inline struct jitvm_chunk *chunk_of(const char *text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err = {0};
    int rc = jitvm_assemble("test", text, strlen(text), &chunk, &err);
    cr_assert_eq(rc, 0, "line %u: %s", err.line, err.message);
    return chunk;
}

/* The caller frees it. */
static inline char *text_of(const struct jitvm_chunk *chunk)
{
    char *text = NULL;
    size_t size = 0;
    struct jitvm_error err = {0};
    FILE *to = open_memstream(&text, &size);
    cr_assert(to);
    cr_assert_eq(jitvm_disassemble(chunk, to, &err), 0, "%s", err.message);
    cr_assert_eq(fclose(to), 0);
    return text;
}

static inline void expect_identical(const struct jitvm_chunk *a, const struct jitvm_chunk *b)
{
    uint8_t left[16], right[16];
    jitvm_chunk_identity(a, left);
    jitvm_chunk_identity(b, right);
    cr_assert_arr_eq(left, right, 16);
}

/* Through the text form and through the binary form; it stays what it is. */
static inline void expect_round_trips(const struct jitvm_chunk *chunk)
{
    struct jitvm_error err = {0};
    struct jitvm_chunk *again = NULL;
    char *text = text_of(chunk);
    cr_assert_eq(jitvm_assemble("again", text, strlen(text), &again, &err), 0, "line %u: %s\n%s",
                 err.line, err.message, text);
    expect_identical(chunk, again);
    jitvm_chunk_unref(again);
    free(text);

    void *bytes = NULL;
    size_t len = 0;
    cr_assert_eq(jitvm_chunk_write(chunk, &bytes, &len, &err), 0, "%s", err.message);
    cr_assert_eq(jitvm_chunk_read(bytes, len, &again, &err), 0, "%s", err.message);
    expect_identical(chunk, again);
    jitvm_chunk_unref(again);
    free(bytes);
}

#endif
