/* SPDX-License-Identifier: Apache-2.0 */
/* Ops of .jasm text, operand by operand. */
#include "guest/jitvm/chunk/asm.h"

#include <string.h>

#include "guest/jitvm/value/number.h"

int jasm_read_comma(struct jasm_reader *r)
{
    if (r->token.kind != JASM_COMMA)
        return jasm_fail(r, "expected a comma");
    return jasm_next_token(r);
}

int jasm_read_uint(struct jasm_reader *r, uint64_t most, uint64_t *out)
{
    *out = 0;
    if (r->token.kind != JASM_NUMBER)
        return jasm_fail(r, "expected a number");
    for (size_t i = 0; i < r->token.len; i++) {
        unsigned digit = (unsigned)(r->token.text[i] - '0');
        if (digit > 9)
            return jasm_fail(r, "expected a number without sign or fraction");
        if (digit > most || *out > (most - digit) / 10)
            return jasm_fail(r, "expected a number of at most %llu", (unsigned long long)most);
        *out = *out * 10 + digit;
    }
    return jasm_next_token(r);
}

int jasm_read_int(struct jasm_reader *r, int64_t *out)
{
    if (r->token.kind != JASM_NUMBER || !number_parse_int(r->token.text, r->token.len, out))
        return jasm_fail(r, "expected an integer of 64 bits");
    return jasm_next_token(r);
}

static bool is_float_word(const struct jasm_reader *r)
{
    return jasm_token_is(r, JASM_WORD, "inf") || jasm_token_is(r, JASM_WORD, "nan");
}

static int read_float(struct jasm_reader *r, double *out)
{
    bool number = r->token.kind == JASM_NUMBER || is_float_word(r);
    if (!number || !number_parse_float(r->token.text, r->token.len, out))
        return jasm_fail(r, "expected a number");
    *out = number_canonical(*out);
    return jasm_next_token(r);
}

/* 12 is an int, 12.0, 1e5 and -inf are floats. */
static bool looks_like_float(const struct jasm_token *token)
{
    for (size_t i = 0; i < token->len; i++)
        if (strchr(".eEin", token->text[i]))
            return true;
    return false;
}

int jasm_read_literal(struct jasm_reader *r, uint32_t *constant)
{
    if (r->token.kind == JASM_STRING) {
        *constant = builder_const_str(r->builder, r->token.text, r->token.len);
        return jasm_next_token(r);
    }
    if (is_float_word(r) || (r->token.kind == JASM_NUMBER && looks_like_float(&r->token))) {
        double f = 0;
        int rc = read_float(r, &f);
        *constant = rc == 0 ? builder_const_float(r->builder, f) : 0;
        return rc;
    }
    if (r->token.kind != JASM_NUMBER)
        return jasm_fail(r, "expected a number or a string");
    int64_t i = 0;
    int rc = jasm_read_int(r, &i);
    *constant = rc == 0 ? builder_const_int(r->builder, i) : 0;
    return rc;
}

int jasm_expect_name(const struct jasm_reader *r, const char *what)
{
    if (r->token.kind != JASM_WORD && r->token.kind != JASM_STRING)
        return jasm_fail(r, "expected %s", what);
    return 0;
}

static int read_chunk_name(struct jasm_reader *r, const char *what, uint32_t *out)
{
    int rc = jasm_expect_name(r, what);
    if (rc < 0)
        return rc;
    *out = builder_name(r->builder, r->token.text, r->token.len);
    return jasm_next_token(r);
}

static int read_slot(struct jasm_reader *r, uint32_t *out)
{
    uint64_t number = 0;
    if (r->token.kind == JASM_NUMBER) {
        int rc = jasm_read_uint(r, UINT16_MAX, &number);
        *out = (uint32_t)number;
        return rc;
    }
    int rc = jasm_expect_name(r, "a slot: its number or name");
    if (rc < 0)
        return rc;
    int64_t index = builder_find_name(r->builder, r->token.text, r->token.len);
    if (index < 0 || (size_t)index >= r->slot_name_count ||
        r->slot_names[index].function != r->function)
        return jasm_fail(r, "no slot of this function is called %.*s", jasm_shown(r->token.len),
                         r->token.text);
    *out = r->slot_names[index].slot;
    return jasm_next_token(r);
}

static int read_function(struct jasm_reader *r, uint32_t *out)
{
    *out = 0;
    if (jasm_token_is(r, JASM_DIRECTIVE, ".main"))
        return jasm_next_token(r);
    int rc = jasm_expect_name(r, "a function");
    if (rc < 0)
        return rc;
    int64_t found = builder_find_function(r->builder, r->token.text, r->token.len);
    if (found < 0)
        return jasm_fail(r, "no function %.*s", jasm_shown(r->token.len), r->token.text);
    *out = (uint32_t)found;
    return jasm_next_token(r);
}

static int read_extension(struct jasm_reader *r, uint32_t *out)
{
    int rc = jasm_expect_name(r, "an extension");
    if (rc < 0)
        return rc;
    int64_t found = builder_find_extension(r->builder, r->token.text, r->token.len);
    if (found < 0)
        return jasm_fail(r, "no extension %.*s: .extension declares one", jasm_shown(r->token.len),
                         r->token.text);
    *out = (uint32_t)found;
    return jasm_next_token(r);
}

static int read_target(struct jasm_reader *r, uint32_t *label)
{
    if (r->token.kind != JASM_WORD)
        return jasm_fail(r, "expected a label");
    struct jasm_label *found = NULL;
    int rc = jasm_label_of(r, &r->token, &found);
    if (rc < 0)
        return rc;
    *label = found->id;
    return jasm_next_token(r);
}

static int read_u16(struct jasm_reader *r, uint16_t *out)
{
    uint64_t number = 0;
    int rc = jasm_read_uint(r, UINT16_MAX, &number);
    *out = (uint16_t)number;
    return rc;
}

static int read_u32(struct jasm_reader *r, uint32_t *out)
{
    uint64_t number = 0;
    int rc = jasm_read_uint(r, UINT32_MAX, &number);
    *out = (uint32_t)number;
    return rc;
}

/* `slot x, 2` or `global x, 2`. */
static int read_place(struct jasm_reader *r, struct jitvm_op *op)
{
    op->a = jasm_token_is(r, JASM_WORD, "global");
    if (!op->a && !jasm_token_is(r, JASM_WORD, "slot"))
        return jasm_fail(r, "expected `slot` or `global`");
    int rc = jasm_next_token(r);
    if (rc == 0)
        rc = op->a ? read_chunk_name(r, "a global", &op->b) : read_slot(r, &op->b);
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : read_u32(r, &op->c);
}

static int read_slot_a(struct jasm_reader *r, struct jitvm_op *op)
{
    uint32_t slot = 0;
    int rc = read_slot(r, &slot);
    op->a = (uint16_t)slot;
    return rc;
}

static int read_two_slots(struct jasm_reader *r, struct jitvm_op *op)
{
    int rc = read_slot_a(r, op);
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : read_slot(r, &op->c);
}

static int read_loop(struct jasm_reader *r, struct jitvm_op *op)
{
    int rc = read_two_slots(r, op);
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : jasm_read_int(r, &op->imm);
}

static int read_loop_const(struct jasm_reader *r, struct jitvm_op *op)
{
    int rc = read_loop(r, op);
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : jasm_read_literal(r, &op->b);
}

/* b is the label until the op is given to the builder. */
static int read_slot_jump(struct jasm_reader *r, struct jitvm_op *op)
{
    int rc = read_slot_a(r, op);
    if (rc == 0)
        rc = jasm_read_comma(r);
    if (rc == 0)
        rc = jasm_read_int(r, &op->imm);
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : read_target(r, &op->b);
}

static int read_float_bits(struct jasm_reader *r, struct jitvm_op *op)
{
    double f = 0;
    int rc = read_float(r, &f);
    memcpy(&op->imm, &f, sizeof(f));
    return rc;
}

static int read_wide(struct jasm_reader *r, struct jitvm_op *op)
{
    uint64_t number = 0;
    int rc = read_extension(r, &op->b);
    if (rc == 0)
        rc = jasm_read_comma(r);
    if (rc == 0)
        rc = jasm_read_uint(r, UINT64_MAX, &number);
    op->imm = (int64_t)number;
    return rc;
}

static int read_then_count(struct jasm_reader *r, int rc, struct jitvm_op *op)
{
    if (rc == 0)
        rc = jasm_read_comma(r);
    return rc < 0 ? rc : read_u16(r, &op->a);
}

static int read_operands(struct jasm_reader *r, struct jitvm_op *op)
{
    switch (op_format(op->code)) {
    case OP_FMT_NONE:
        return 0;
    case OP_FMT_INT:
        return jasm_read_int(r, &op->imm);
    case OP_FMT_FLOAT:
        return read_float_bits(r, op);
    case OP_FMT_CONST:
        return jasm_read_literal(r, &op->b);
    case OP_FMT_FUNC:
        return read_function(r, &op->b);
    case OP_FMT_SLOT:
        return read_slot_a(r, op);
    case OP_FMT_GLOBAL:
        return read_chunk_name(r, "a global", &op->b);
    case OP_FMT_COUNT:
    case OP_FMT_LINE:
        return read_u32(r, &op->b);
    case OP_FMT_PLACE:
        return read_place(r, op);
    case OP_FMT_JUMP:
        return read_target(r, &op->b);
    case OP_FMT_CALL:
        return read_then_count(r, read_function(r, &op->b), op);
    case OP_FMT_DYNAMIC:
        return read_u16(r, &op->a);
    case OP_FMT_BUILTIN:
        return read_then_count(r, read_chunk_name(r, "a builtin", &op->b), op);
    case OP_FMT_EXTENDED:
        return read_then_count(r, read_extension(r, &op->b), op);
    case OP_FMT_EXTENDED_WIDE:
        return read_wide(r, op);
    case OP_FMT_SLOT2:
        return read_two_slots(r, op);
    case OP_FMT_SLOT_INT_JUMP:
        return read_slot_jump(r, op);
    case OP_FMT_SLOT2_INT:
        return read_loop(r, op);
    case OP_FMT_SLOT2_INT_CONST:
        return read_loop_const(r, op);
    }
    return jasm_fail(r, "an op of an unknown format");
}

int jasm_read_op(struct jasm_reader *r)
{
    int64_t code = intern_find(&r->ops, INTERN_NAME, r->token.text, r->token.len);
    if (code < 0)
        return jasm_fail(r, "no op is called %.*s", jasm_shown(r->token.len), r->token.text);
    struct jitvm_op op = {.code = (uint16_t)code};
    int rc = jasm_next_token(r);
    if (rc == 0)
        rc = read_operands(r, &op);
    if (rc < 0)
        return rc;
    if (op_is_jump(op.code))
        builder_jump_op(r->builder, op, op.b);
    else
        (void)builder_emit(r->builder, op);
    return 0;
}
