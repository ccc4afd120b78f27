/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .jasm text form; docs/jitvm-ops.md defines it. Inside: one line at a time, one token ahead.
 *
 * Functions give 0 or a negative jitvm_status, with line and column in *err.
 */
#ifndef JITVM_CHUNK_ASM_H
#define JITVM_CHUNK_ASM_H

#include "guest/jitvm/chunk/builder.h"
#include "guest/jitvm/chunk/intern.h"

enum jasm_token_kind {
    JASM_END, /* of the line */
    JASM_WORD,
    JASM_DIRECTIVE, /* a word with a dot before it, which is part of its text */
    JASM_NUMBER,
    JASM_STRING, /* its text is what it stands for, valid until the next token */
    JASM_COMMA,
    JASM_COLON,
};

struct jasm_token {
    enum jasm_token_kind kind;
    const char *text;
    size_t len;
    uint32_t column;
};

/* A label of the function that is being read. */
struct jasm_label {
    const char *name; /* in the text */
    size_t len;
    uint32_t id;           /* the builder's */
    uint32_t line, column; /* of the first mention */
    bool placed;
};

/* What a name stands for in the function that is being read. */
struct jasm_slot_name {
    uint32_t function; /* whose slot; UINT32_MAX: nobody's */
    uint32_t slot;
};

/* Ops of one function, in the order of the text. */
struct jasm_range {
    uint32_t first, end;
};

struct jasm_reader {
    const char *text;
    size_t len, at;    /* `at`: behind the current token */
    size_t line_start; /* offset */
    uint32_t line;
    struct jasm_token token;
    char *string; /* the current one, decoded */
    size_t string_room;

    struct jitvm_builder *builder;
    struct intern ops;
    bool functions_declared; /* this is the second reading */
    uint32_t functions;      /* begun so far, but for main */
    bool main_begun;
    uint32_t function;                 /* UINT32_MAX: none yet */
    uint32_t slots;                    /* of it */
    struct jasm_slot_name *slot_names; /* by name index */
    size_t slot_name_room, slot_name_count;
    struct jasm_label *labels;
    size_t label_room;
    uint32_t label_count;
    struct intern label_index;
    uint32_t *op_lines; /* of the text, in its order */
    size_t op_line_room;
    uint32_t op_count;
    struct jasm_range *ranges; /* by function */
    size_t range_room;
    uint32_t range_count;

    struct jitvm_error *err;
};

/* For %.*s: what a message shows of a token. */
static inline int jasm_shown(size_t len)
{
    return len < 80 ? (int)len : 80;
}

/* Whether the name can be written without quotes. */
bool jasm_is_word(const char *name, size_t len);

/* asm_lex.c. The first moves to the next line, from the start of which the second reads; false at
 * the end of the text. */
bool jasm_next_line(struct jasm_reader *r);
int jasm_next_token(struct jasm_reader *r);
bool jasm_colon_follows(const struct jasm_reader *r); /* the current token */
/* JITVM_ERR_SYNTAX, at the current token. */
int jasm_fail(const struct jasm_reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool jasm_token_is(const struct jasm_reader *r, enum jasm_token_kind kind, const char *text);

/* asm_operand.c: each reads one operand, and moves behind it. */
int jasm_expect_name(const struct jasm_reader *r, const char *what); /* does not move */
int jasm_read_uint(struct jasm_reader *r, uint64_t most, uint64_t *out);
int jasm_read_int(struct jasm_reader *r, int64_t *out);
int jasm_read_literal(struct jasm_reader *r, uint32_t *constant);
int jasm_read_comma(struct jasm_reader *r);
int jasm_read_op(struct jasm_reader *r); /* a whole op, with its name */

/* asm_label.c */
int jasm_label_of(struct jasm_reader *r, const struct jasm_token *name, struct jasm_label **out);
int jasm_place_label(struct jasm_reader *r, const struct jasm_token *name);
int jasm_end_labels(struct jasm_reader *r); /* all placed? Then forgets them. */

#endif
