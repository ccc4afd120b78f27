/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier, one op at a time: operands in range, fields that are not operands 0. */
#include "guest/jitvm/chunk/verify.h"

#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/value/number.h"

/* What verify_op hands down. */
struct op_check {
    const struct jitvm_chunk *chunk;
    const struct chunk_function *function;
    const struct jitvm_op *op;
    uint32_t f, ip;
    struct jitvm_error *err;
};

static int fail_args(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip,
                     struct jitvm_error *err, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));
static int fail_args(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip,
                     struct jitvm_error *err, const char *format, va_list args)
{
    char why[JITVM_MESSAGE_MAX / 2];
    (void)vsnprintf(why, sizeof(why), format, args);
    unsigned code = chunk->ops[ip].code;
    (void)chunk_fail(err, JITVM_ERR_INVALID, "%.47s: op %u (%s): %s", chunk_function_name(chunk, f),
                     ip, code < OP_COUNT ? op_name(code) : "?", why);
    if (err) {
        err->depth = 1;
        err->frames[0] = (struct jitvm_frame){.ip = ip, .line = chunk_line_at(chunk, ip)};
        (void)snprintf(err->frames[0].function, sizeof(err->frames[0].function), "%.47s",
                       chunk_function_name(chunk, f));
    }
    return JITVM_ERR_INVALID;
}

int verify_fail_op(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip,
                   struct jitvm_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fail_args(chunk, f, ip, err, format, args);
    va_end(args);
    return rc;
}

static int fail(const struct op_check *at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int fail(const struct op_check *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fail_args(at->chunk, at->f, at->ip, at->err, format, args);
    va_end(args);
    return rc;
}

static int check_slot(const struct op_check *at, uint32_t slot)
{
    if (slot >= at->function->slots)
        return fail(at, "slot %u of %u", slot, at->function->slots);
    return 0;
}

static int check_name(const struct op_check *at)
{
    if (at->op->b >= at->chunk->name_count)
        return fail(at, "name %u of %u", at->op->b, at->chunk->name_count);
    return 0;
}

static int check_constant(const struct op_check *at)
{
    if (at->op->b >= at->chunk->constant_count)
        return fail(at, "constant %u of %u", at->op->b, at->chunk->constant_count);
    return 0;
}

static int check_target(const struct op_check *at)
{
    uint32_t first = at->function->first;
    if (at->op->b < first || at->op->b - first >= at->function->count)
        return fail(at, "jumps to op %u, outside of the function", at->op->b);
    return 0;
}

static int check_float(const struct op_check *at)
{
    double f;
    memcpy(&f, &at->op->imm, sizeof(f));
    if (f != f && (uint64_t)at->op->imm != NUMBER_NAN_BITS)
        return fail(at, "a NaN that is not the canonical one");
    return 0;
}

static int check_count(const struct op_check *at)
{
    uint32_t most = at->op->code == OP_MakeHash ? OP_COUNT_MAX / 2 : OP_COUNT_MAX;
    if (at->op->b > most)
        return fail(at, "a count of %u, more than %u", at->op->b, most);
    return 0;
}

static int check_place(const struct op_check *at)
{
    const struct jitvm_op *op = at->op;
    bool needs_key =
        op->code == OP_SetPath || op->code == OP_DeletePath || op->code == OP_ExistsPath;
    if (op->a > 1)
        return fail(at, "a place of kind %u: neither slot nor global", op->a);
    if (op->c > OP_KEYS_MAX)
        return fail(at, "%u keys, more than %u", op->c, OP_KEYS_MAX);
    if (op->c == 0 && needs_key)
        return fail(at, "needs a key");
    return op->a == 0 ? check_slot(at, op->b) : check_name(at);
}

static int check_function(const struct op_check *at)
{
    if (at->op->b >= at->chunk->function_count)
        return fail(at, "function %u of %u", at->op->b, at->chunk->function_count);
    return 0;
}

static int check_call(const struct op_check *at)
{
    int rc = check_function(at);
    if (rc < 0)
        return rc;
    unsigned arity = at->chunk->functions[at->op->b].arity;
    if (at->op->a != arity)
        return fail(at, "%u arguments for a function that takes %u", at->op->a, arity);
    return 0;
}

static int check_args(const struct op_check *at)
{
    if (at->op->a > OP_ARGS_MAX)
        return fail(at, "%u arguments, more than %u", at->op->a, OP_ARGS_MAX);
    return 0;
}

static int check_builtin(const struct op_check *at)
{
    int rc = check_args(at);
    return rc < 0 ? rc : check_name(at);
}

static int check_extended(const struct op_check *at)
{
    if (at->op->b >= at->chunk->extension_count)
        return fail(at, "extension %u of %u", at->op->b, at->chunk->extension_count);
    if (op_format(at->op->code) == OP_FMT_EXTENDED && at->op->a > UINT8_MAX)
        return fail(at, "argument %u, more than 255", at->op->a);
    return 0;
}

static int check_line(const struct op_check *at)
{
    return at->op->b == 0 ? fail(at, "line 0") : 0;
}

static int check_limit(const struct op_check *at)
{
    if (at->op->imm < INT32_MIN || at->op->imm > INT32_MAX)
        return fail(at, "a limit of more than 32 bits");
    return 0;
}

static int check_slots(const struct op_check *at)
{
    int rc = check_slot(at, at->op->a);
    return rc < 0 ? rc : check_slot(at, at->op->c);
}

static int check_slot_jump(const struct op_check *at)
{
    int rc = check_slot(at, at->op->a);
    if (rc == 0)
        rc = check_limit(at);
    if (rc == 0)
        rc = check_target(at);
    if (rc == 0 && at->op->code == OP_SlotIncLtIntJumpBack && at->op->b > at->ip)
        rc = fail(at, "jumps forward, to op %u", at->op->b);
    return rc;
}

static int check_loop(const struct op_check *at)
{
    int rc = check_slots(at);
    if (rc == 0)
        rc = check_limit(at);
    if (rc == 0 && at->op->a == at->op->c)
        rc = fail(at, "slot %u twice", at->op->a);
    return rc;
}

static int check_loop_const(const struct op_check *at)
{
    int rc = check_loop(at);
    if (rc == 0)
        rc = check_constant(at);
    if (rc == 0 && at->chunk->constants[at->op->b].kind != JITVM_STR)
        rc = fail(at, "constant %u is not a string", at->op->b);
    return rc;
}

static int check_operands(const struct op_check *at)
{
    switch (op_format(at->op->code)) {
    case OP_FMT_NONE:
    case OP_FMT_INT:
        return 0;
    case OP_FMT_FLOAT:
        return check_float(at);
    case OP_FMT_CONST:
        return check_constant(at);
    case OP_FMT_FUNC:
        return check_function(at);
    case OP_FMT_SLOT:
        return check_slot(at, at->op->a);
    case OP_FMT_GLOBAL:
        return check_name(at);
    case OP_FMT_COUNT:
        return check_count(at);
    case OP_FMT_PLACE:
        return check_place(at);
    case OP_FMT_JUMP:
        return check_target(at);
    case OP_FMT_CALL:
        return check_call(at);
    case OP_FMT_DYNAMIC:
        return check_args(at);
    case OP_FMT_BUILTIN:
        return check_builtin(at);
    case OP_FMT_EXTENDED:
    case OP_FMT_EXTENDED_WIDE:
        return check_extended(at);
    case OP_FMT_LINE:
        return check_line(at);
    case OP_FMT_SLOT2:
        return check_slots(at);
    case OP_FMT_SLOT_INT_JUMP:
        return check_slot_jump(at);
    case OP_FMT_SLOT2_INT:
        return check_loop(at);
    case OP_FMT_SLOT2_INT_CONST:
        return check_loop_const(at);
    }
    return fail(at, "operands of an unknown format");
}

enum { USES_A = 1, USES_B = 2, USES_C = 4, USES_IMM = 8 };

static const uint8_t uses[] = {
    [OP_FMT_NONE] = 0,
    [OP_FMT_INT] = USES_IMM,
    [OP_FMT_FLOAT] = USES_IMM,
    [OP_FMT_CONST] = USES_B,
    [OP_FMT_FUNC] = USES_B,
    [OP_FMT_SLOT] = USES_A,
    [OP_FMT_GLOBAL] = USES_B,
    [OP_FMT_COUNT] = USES_B,
    [OP_FMT_PLACE] = USES_A | USES_B | USES_C,
    [OP_FMT_JUMP] = USES_B,
    [OP_FMT_CALL] = USES_A | USES_B,
    [OP_FMT_DYNAMIC] = USES_A,
    [OP_FMT_BUILTIN] = USES_A | USES_B,
    [OP_FMT_EXTENDED] = USES_A | USES_B,
    [OP_FMT_EXTENDED_WIDE] = USES_B | USES_IMM,
    [OP_FMT_LINE] = USES_B,
    [OP_FMT_SLOT2] = USES_A | USES_C,
    [OP_FMT_SLOT_INT_JUMP] = USES_A | USES_B | USES_IMM,
    [OP_FMT_SLOT2_INT] = USES_A | USES_C | USES_IMM,
    [OP_FMT_SLOT2_INT_CONST] = USES_A | USES_B | USES_C | USES_IMM,
};

/* Two chunks that do the same would otherwise have two identities. */
static int check_unused(const struct op_check *at)
{
    const struct jitvm_op *op = at->op;
    uint8_t used = uses[op_format(op->code)];
    bool stray = (op->a != 0 && !(used & USES_A)) || (op->b != 0 && !(used & USES_B)) ||
                 (op->c != 0 && !(used & USES_C)) || (op->imm != 0 && !(used & USES_IMM)) ||
                 op->reserved != 0;
    return stray ? fail(at, "a field that it does not use is not 0") : 0;
}

int verify_op(const struct jitvm_chunk *chunk, uint32_t f, uint32_t ip, struct jitvm_error *err)
{
    struct op_check at = {.chunk = chunk,
                          .function = &chunk->functions[f],
                          .op = &chunk->ops[ip],
                          .f = f,
                          .ip = ip,
                          .err = err};
    if (at.op->code >= OP_COUNT)
        return fail(&at, "no op has the number %u", at.op->code);
    int rc = check_operands(&at);
    return rc < 0 ? rc : check_unused(&at);
}
