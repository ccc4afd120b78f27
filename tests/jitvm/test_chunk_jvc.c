/* SPDX-License-Identifier: Apache-2.0 */
/* The binary form: one form for one chunk, damage is seen. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/jvc.h"
#include "tests/jitvm/chunk_rig.h"

#define TEXT                                                                                       \
    ".source \"s.jv\"\n.flags trap-overflow\n.extension ext, 2, 1\n"                               \
    ".main 2\n.slot 0, s\n.line 1\nConst 1.5\nConst \"text\"\n.line 2\nExtended ext, 7\n"          \
    "SetSlot s\nReturn\n.function f, 1, 2\n.slot 1, t\n.line 9\nGetSlot 0\nReturnValue\n"

struct file {
    struct jitvm_chunk *chunk;
    uint8_t *bytes;
    size_t len;
};

static struct file file_of(const char *text)
{
    struct file file = {.chunk = chunk_of(text)};
    struct jitvm_error err = {0};
    void *bytes = NULL;
    cr_assert_eq(jitvm_chunk_write(file.chunk, &bytes, &file.len, &err), 0, "%s", err.message);
    file.bytes = bytes;
    return file;
}

static void end(struct file *file)
{
    jitvm_chunk_unref(file->chunk);
    free(file->bytes);
}

/* From a block that has not one byte more, for the sanitizer to see. */
static int read_bytes(const uint8_t *bytes, size_t len, struct jitvm_error *err)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    struct jitvm_chunk *chunk = NULL;
    memcpy(copy, bytes, len);
    int rc = jitvm_chunk_read(copy, len, &chunk, err);
    free(copy);
    if (rc == 0)
        jitvm_chunk_unref(chunk);
    return rc;
}

static void expect_refused(const struct file *file, const char *message)
{
    struct jitvm_error err = {0};
    cr_assert_lt(read_bytes(file->bytes, file->len, &err), 0);
    cr_assert_str_eq(err.message, message);
}

/* Offset of the contents of a section. */
static size_t section_at(const struct file *file, enum jvc_section section)
{
    size_t at = JVC_HEADER_SIZE;
    for (unsigned i = 0; i < section; i++) {
        uint64_t len = 0;
        memcpy(&len, file->bytes + at + 4, sizeof(len));
        at += 12 + len;
    }
    return at + 12;
}

Test(jvc, what_is_read_is_written_again_byte_by_byte)
{
    struct file file = file_of(TEXT);
    struct jitvm_chunk *again = NULL;
    struct jitvm_error err = {0};
    void *bytes = NULL;
    size_t len = 0;
    cr_assert_eq(jitvm_chunk_read(file.bytes, file.len, &again, &err), 0, "%s", err.message);
    cr_assert_eq(jitvm_chunk_write(again, &bytes, &len, &err), 0);
    cr_assert_eq(len, file.len);
    cr_assert_arr_eq((uint8_t *)bytes, file.bytes, len);
    expect_identical(file.chunk, again);
    free(bytes);
    jitvm_chunk_unref(again);
    end(&file);
}

Test(jvc, everything_of_the_chunk_is_there_again)
{
    struct file file = file_of(TEXT);
    struct jitvm_chunk *again = NULL;
    cr_assert_eq(jitvm_chunk_read(file.bytes, file.len, &again, NULL), 0);
    cr_assert_str_eq(again->source, "s.jv");
    cr_assert_eq(again->flags, CHUNK_TRAP_OVERFLOW);
    cr_assert_eq(again->constant_count, 2);
    cr_assert_float_eq(again->constants[0].as.f, 1.5, 0);
    cr_assert_eq(again->constants[1].as.str->len, 4);
    cr_assert_eq(chunk_find_function(again, "f"), 1);
    cr_assert_str_eq(chunk_function_name(again, 0), "main");
    cr_assert_str_eq(chunk_name(again, again->slot_names[3]), "t");
    cr_assert_eq(again->extensions[0].pops, 2);
    cr_assert_eq(chunk_line_at(again, 1), 1);
    cr_assert_eq(chunk_line_at(again, 4), 2);
    cr_assert_eq(chunk_line_at(again, 6), 9);
    cr_assert_eq(chunk_function_at(again, 4), 0);
    cr_assert_eq(chunk_function_at(again, 5), 1);
    jitvm_chunk_unref(again);
    end(&file);
}

Test(jvc, a_file_that_ends_early_is_refused_wherever_it_ends)
{
    struct file file = file_of(TEXT);
    for (size_t len = 0; len < file.len; len++) {
        struct jitvm_error err = {0};
        cr_assert_eq(read_bytes(file.bytes, len, &err), JITVM_ERR_INVALID);
        if (len >= JVC_HEADER_SIZE) {
            struct file cut = file_of(TEXT);
            jvc_seal(cut.bytes, len);
            cr_assert_eq(read_bytes(cut.bytes, len, &err), JITVM_ERR_INVALID);
            cr_assert_str_eq(err.message, "a .jvc file that ends early");
            end(&cut);
        }
    }
    end(&file);
}

Test(jvc, one_byte_that_is_another_is_seen_wherever_it_is)
{
    struct file file = file_of(TEXT);
    for (size_t at = 0; at < file.len; at++) {
        file.bytes[at] ^= 0x10;
        cr_assert_eq(read_bytes(file.bytes, file.len, NULL), JITVM_ERR_INVALID);
        file.bytes[at] ^= 0x10;
    }
    cr_assert_eq(read_bytes(file.bytes, file.len, NULL), 0);
    end(&file);
}

Test(jvc, bytes_behind_the_end_are_refused)
{
    struct file file = file_of(TEXT);
    file.bytes = realloc(file.bytes, file.len + 1);
    file.bytes[file.len++] = 0;
    jvc_seal(file.bytes, file.len);
    expect_refused(&file, "1 bytes behind the end of a .jvc file");
    end(&file);
}

Test(jvc, what_is_no_jvc_file_is_called_that)
{
    struct file file = file_of(TEXT);
    file.bytes[0] = 'x';
    expect_refused(&file, "not a .jvc file");
    file.len = 8;
    expect_refused(&file, "not a .jvc file");
    end(&file);
}

Test(jvc, another_version_is_refused)
{
    struct file file = file_of(TEXT);
    file.bytes[JVC_MAGIC_SIZE] = 2;
    jvc_seal(file.bytes, file.len);
    expect_refused(&file, "a .jvc file of version 2, not 1");
    end(&file);
}

Test(jvc, a_file_made_for_another_list_of_ops_is_refused)
{
    struct file file = file_of(TEXT);
    file.bytes[JVC_ABI_AT] ^= 1;
    jvc_identity(file.bytes, file.len, file.bytes + JVC_IDENTITY_AT);
    expect_refused(&file, "a .jvc file made for another list of ops");
    end(&file);
}

Test(jvc, another_identity_than_that_of_the_contents_is_damage)
{
    struct file file = file_of(TEXT);
    file.bytes[JVC_IDENTITY_AT + 15] ^= 1;
    expect_refused(&file, "a damaged .jvc file: its contents have another identity");
    end(&file);
}

/* Changes one byte of the contents of a section, with a checksum that fits. */
#define REFUSED_BYTE(sentence, section, offset, value, message)                                    \
    Test(jvc, sentence)                                                                            \
    {                                                                                              \
        struct file file = file_of(TEXT);                                                          \
        file.bytes[section_at(&file, section) + (size_t)(offset)] = (value);                       \
        jvc_seal(file.bytes, file.len);                                                            \
        expect_refused(&file, message);                                                            \
        end(&file);                                                                                \
    }

REFUSED_BYTE(a_section_in_anothers_place_is_refused, JVC_EXTN, -12, 'X',
             "a .jvc file without section 3 in its place")
REFUSED_BYTE(a_section_longer_than_the_file_is_refused, JVC_EXTN, -1, 0x80,
             "a .jvc file that ends early")
REFUSED_BYTE(a_table_longer_than_its_section_is_refused, JVC_EXTN, 0, 2,
             "a .jvc file that ends early")
REFUSED_BYTE(a_table_shorter_than_its_section_is_refused, JVC_EXTN, 0, 0,
             "6 bytes too many in section 3 of a .jvc file")
REFUSED_BYTE(a_table_longer_than_the_limit_is_refused, JVC_NAME, 3, 1,
             "a .jvc file with a table of 16777220, more than 1048576")
REFUSED_BYTE(a_name_longer_than_its_section_is_refused, JVC_NAME, 7, 0x7f,
             "a .jvc file that ends early")
REFUSED_BYTE(a_0_in_the_name_of_the_source_is_refused, JVC_SRCE, 1, 0,
             "a 0 in the name of the source")
REFUSED_BYTE(a_constant_of_an_unknown_kind_is_refused, JVC_CNST, 4, JITVM_HANDLE,
             "constant 0 is of kind 6, which none can be")
REFUSED_BYTE(a_mark_of_slot_names_that_is_neither_0_nor_1_is_refused, JVC_FUNC, 16, 2,
             "function 0: 2 is not 0 or 1")
REFUSED_BYTE(the_verifier_has_the_last_word, JVC_CODE, 4, OP_Add,
             "main: op 0 (Add): takes 2 operands where there are 0")

Test(jvc, an_unknown_flag_is_refused)
{
    struct file file = file_of(TEXT);
    file.bytes[JVC_FLAGS_AT] = 3;
    jvc_seal(file.bytes, file.len);
    expect_refused(&file, "unknown flags 0x3");
    end(&file);
}

/* ---- identity ------------------------------------------------------------------------------- */

static void expect_different(const char *left, const char *right)
{
    struct jitvm_chunk *a = chunk_of(left), *b = chunk_of(right);
    cr_assert_arr_neq(a->identity, b->identity, 16);
    jitvm_chunk_unref(a);
    jitvm_chunk_unref(b);
}

Test(jvc, the_identity_covers_all_of_a_chunk)
{
    const char *plain = ".main 1\nNop\nReturn\n";
    expect_different(plain, ".main 1\nReturn\n");
    expect_different(plain, ".main 2\nNop\nReturn\n");
    expect_different(plain, ".source \"other\"\n.main 1\nNop\nReturn\n");
    expect_different(plain, ".flags trap-overflow\n.main 1\nNop\nReturn\n");
    expect_different(plain, ".names unused\n.main 1\nNop\nReturn\n");
    expect_different(plain, ".constants 1\n.main 1\nNop\nReturn\n");
    expect_different(plain, ".main 1\n.slot 0, x\nNop\nReturn\n");
    expect_different(plain, ".main 1\n.line 1\nNop\nReturn\n");
    expect_different(plain, ".extension e, 0, 0\n.main 1\nNop\nReturn\n");
    expect_different(plain, ".main 1\nNop\nReturn\n.function f, 0, 0\nReturn\n");
    expect_different(".main 0\nFloat 0.0\nReturn\n", ".main 0\nFloat -0.0\nReturn\n");
    expect_different(".main 0\nConst 0\nReturn\n", ".main 0\nConst 0.0\nReturn\n");
}

Test(jvc, the_same_text_gives_the_same_identity)
{
    struct jitvm_chunk *a = chunk_of(TEXT), *b = chunk_of(TEXT);
    expect_identical(a, b);
    jitvm_chunk_unref(a);
    jitvm_chunk_unref(b);
}

Test(jvc, a_chunk_lives_as_long_as_somebody_has_it)
{
    struct jitvm_chunk *chunk = chunk_of(TEXT);
    cr_assert_eq(jitvm_chunk_ref(chunk), chunk);
    jitvm_chunk_unref(chunk);
    cr_assert_str_eq(chunk->source, "s.jv");
    jitvm_chunk_unref(chunk);
    jitvm_chunk_unref(NULL);
}
