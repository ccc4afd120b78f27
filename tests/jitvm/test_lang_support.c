/* SPDX-License-Identifier: Apache-2.0 */
/* The helpers of the language's tests. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/chunk.h"
#include "tests/jitvm/test_lang.h"

/* In memory of its own length, so that a read behind the text is seen. */
static int compile(const char *text, struct jitvm_chunk **chunk, struct jitvm_error *err)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    int rc = jitvm_compile("test", copy, len, chunk, err);
    free(copy);
    return rc;
}

static struct jitvm_chunk *compiled(const char *text)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    cr_assert_eq(compile(text, &chunk, &err), 0, "%s\nin: %s", err.message, text);
    return chunk;
}

/* ---- ops as text ---------------------------------------------------------------------------- */

static void print_constant(FILE *out, struct jitvm_value value)
{
    size_t len = 0;
    const char *bytes = jitvm_str_bytes(value, &len);
    (void)fprintf(out, " '%.*s'", (int)len, bytes);
}

static void print_place(FILE *out, const struct jitvm_chunk *chunk, const struct jitvm_op *op)
{
    if (op->a)
        (void)fprintf(out, " %s/%u", chunk_name(chunk, op->b), op->c);
    else
        (void)fprintf(out, " s%u/%u", op->b, op->c);
}

static void print_numbers(FILE *out, const struct jitvm_op *op, uint32_t first)
{
    double f;
    memcpy(&f, &op->imm, sizeof f);
    switch (op_format(op->code)) {
    case OP_FMT_INT:
        (void)fprintf(out, " %" PRId64, op->imm);
        break;
    case OP_FMT_FLOAT:
        (void)fprintf(out, " %g", f);
        break;
    case OP_FMT_SLOT:
    case OP_FMT_DYNAMIC:
        (void)fprintf(out, " %u", op->a);
        break;
    case OP_FMT_FUNC:
    case OP_FMT_COUNT:
        (void)fprintf(out, " %u", op->b);
        break;
    case OP_FMT_JUMP:
        (void)fprintf(out, " @%u", op->b - first);
        break;
    case OP_FMT_CALL:
        (void)fprintf(out, " %u/%u", op->b, op->a);
        break;
    case OP_FMT_SLOT2:
        (void)fprintf(out, " %u %u", op->a, op->c);
        break;
    case OP_FMT_SLOT_INT_JUMP:
        (void)fprintf(out, " %u %" PRId64 " @%u", op->a, op->imm, op->b - first);
        break;
    case OP_FMT_SLOT2_INT:
        (void)fprintf(out, " %u %u %" PRId64, op->a, op->c, op->imm);
        break;
    default:
        break;
    }
}

static void print_op(FILE *out, const struct jitvm_chunk *chunk, const struct jitvm_op *op,
                     uint32_t first)
{
    (void)fprintf(out, "%s", op_name(op->code));
    switch (op_format(op->code)) {
    case OP_FMT_CONST:
        print_constant(out, chunk->constants[op->b]);
        break;
    case OP_FMT_GLOBAL:
        (void)fprintf(out, " %s", chunk_name(chunk, op->b));
        break;
    case OP_FMT_BUILTIN:
        (void)fprintf(out, " %s/%u", chunk_name(chunk, op->b), op->a);
        break;
    case OP_FMT_PLACE:
        print_place(out, chunk, op);
        break;
    default:
        print_numbers(out, op, first);
        break;
    }
}

static char *ops_text(const struct jitvm_chunk *chunk, const char *function)
{
    char *text = NULL;
    size_t len = 0;
    int64_t index = strcmp(function, "main") == 0 ? 0 : chunk_find_function(chunk, function);
    cr_assert(index >= 0, "no function %s", function);
    FILE *out = open_memstream(&text, &len);
    const struct chunk_function *f = &chunk->functions[index];
    for (uint32_t i = 0; i < f->count; i++) {
        (void)fputs(i > 0 ? "; " : "", out);
        print_op(out, chunk, &chunk->ops[f->first + i], f->first);
    }
    (void)fclose(out);
    return text;
}

void expect_ops(const char *text, const char *function, const char *ops)
{
    struct jitvm_chunk *chunk = compiled(text);
    char *seen = ops_text(chunk, function);
    cr_assert_str_eq(seen, ops, "%s\n  gives    %s\n  and not  %s", text, seen, ops);
    free(seen);
    jitvm_chunk_unref(chunk);
}

void expect_error(const char *text, uint32_t line, uint32_t column, const char *message)
{
    struct jitvm_chunk *chunk = NULL;
    struct jitvm_error err;
    char expected[JITVM_MESSAGE_MAX];
    (void)snprintf(expected, sizeof expected, "line %u:%u: %s", line, column, message);
    cr_assert_eq(compile(text, &chunk, &err), JITVM_ERR_SYNTAX, "compiles: %s", text);
    cr_assert_str_eq(err.message, expected, "%s\n  says     %s\n  and not  %s", text, err.message,
                     expected);
    cr_assert_eq(err.status, JITVM_ERR_SYNTAX);
    cr_assert_eq(err.line, line);
    cr_assert_eq(err.column, column);
    cr_assert_eq(jitvm_compile("test", text, strlen(text), &chunk, NULL), JITVM_ERR_SYNTAX,
                 "nobody has to want the message");
}

/* ---- running -------------------------------------------------------------------------------- */

struct output {
    char *text;
    size_t len;
    FILE *file;
};

static int output_write(void *context, const void *bytes, size_t len)
{
    struct output *output = context;
    return fwrite(bytes, 1, len, output->file) == len ? 0 : -1;
}

static struct jitvm *loaded(const char *text, enum jitvm_jit jit, struct output *output)
{
    struct jitvm_config config;
    struct jitvm_error err;
    struct jitvm *vm = NULL;
    struct jitvm_chunk *chunk = compiled(text);
    cr_assert_eq(jitvm_config_default(&config, &err), 0, "%s", err.message);
    config.jit = jit;
    config.trace.block_threshold = 0;
    config.limits.fuel = 10000000;
    cr_assert_eq(jitvm_new(&config, &vm, &err), 0, "%s", err.message);
    cr_assert_eq(jitvm_load(vm, chunk, &err), 0, "%s\nin: %s", err.message, text);
    jitvm_chunk_unref(chunk);
    output->file = open_memstream(&output->text, &output->len);
    jitvm_set_output(vm, output_write, output);
    return vm;
}

static void unload(struct jitvm *vm, struct output *output)
{
    jitvm_free(vm);
    (void)fclose(output->file);
}

static void expect_output_of(const char *text, enum jitvm_jit jit, const char *printed)
{
    struct output output = {.text = NULL};
    struct jitvm_error err;
    struct jitvm *vm = loaded(text, jit, &output);
    int rc = jitvm_run(vm, NULL, &err);
    unload(vm, &output);
    cr_assert_eq(rc, 0, "%s\nin: %s", err.message, text);
    cr_assert_str_eq(output.text, printed, "tier %d: %s\n  prints   %s\n  and not  %s", (int)jit,
                     text, output.text, printed);
    free(output.text);
}

void expect_output(const char *text, const char *printed)
{
    expect_output_of(text, JITVM_JIT_OFF, printed);
    expect_output_of(text, JITVM_JIT_BLOCK, printed);
}

static void expect_failure_of(const char *text, enum jitvm_jit jit, enum jitvm_status status,
                              uint32_t line)
{
    struct output output = {.text = NULL};
    struct jitvm_error err;
    struct jitvm *vm = loaded(text, jit, &output);
    int rc = jitvm_run(vm, NULL, &err);
    unload(vm, &output);
    free(output.text);
    cr_assert_eq(rc, (int)status, "%s\nin: %s", rc < 0 ? err.message : "no error", text);
    cr_assert(err.depth > 0);
    cr_assert_eq(err.frames[0].line, line, "line %u", err.frames[0].line);
}

void expect_failure(const char *text, enum jitvm_status status, uint32_t line)
{
    expect_failure_of(text, JITVM_JIT_OFF, status, line);
    expect_failure_of(text, JITVM_JIT_BLOCK, status, line);
}
