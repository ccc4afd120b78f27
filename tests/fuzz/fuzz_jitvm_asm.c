/* SPDX-License-Identifier: Apache-2.0 */
/* .jasm text: what assembles comes through its own text and its bytes as the same chunk, what does
 * not has a message, and a line that the text has. */
#include "guest/jitvm/jitvm.h"
#include "tests/fuzz/fuzz.h"

static void check_same(const struct jitvm_chunk *a, const struct jitvm_chunk *b)
{
    uint8_t left[16], right[16];
    jitvm_chunk_identity(a, left);
    jitvm_chunk_identity(b, right);
    require(memcmp(left, right, sizeof(left)) == 0);
}

static void check_text(const struct jitvm_chunk *chunk)
{
    struct jitvm_chunk *again = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    require(to && jitvm_disassemble(chunk, to, NULL) == 0 && fclose(to) == 0);
    require(jitvm_assemble("again", text, len, &again, NULL) == 0);
    check_same(chunk, again);
    jitvm_chunk_unref(again);
    free(text);
}

static void check_bytes(const struct jitvm_chunk *chunk)
{
    struct jitvm_chunk *again = NULL;
    void *bytes = NULL;
    size_t len = 0;
    require(jitvm_chunk_write(chunk, &bytes, &len, NULL) == 0);
    require(jitvm_chunk_read(bytes, len, &again, NULL) == 0);
    check_same(chunk, again);
    jitvm_chunk_unref(again);
    free(bytes);
}

static void check_error(const struct jitvm_error *err, const char *text, size_t size)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    require(err->status != JITVM_OK && err->message[0] != '\0');
    require(err->line <= lines && err->column <= size + 1);
    require(err->status != JITVM_ERR_SYNTAX || (err->line > 0 && err->column > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jitvm_error err = {0};
    struct jitvm_chunk *chunk = NULL;
    char *text = malloc(size > 0 ? size : 1); /* not one byte more than there is */
    require(text);
    if (size > 0)
        memcpy(text, data, size);
    if (jitvm_assemble("fuzz", text, size, &chunk, &err) < 0) {
        check_error(&err, text, size);
    } else {
        check_text(chunk);
        check_bytes(chunk);
        jitvm_chunk_unref(chunk);
    }
    free(text);
    return 0;
}
