/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assembler. It reads the text twice: first what names and functions there are, so that a call
 * may stand before what it calls; then everything.
 */
#include "guest/jitvm/chunk/asm.h"

#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/value/grow.h"

#define NO_FUNCTION UINT32_MAX

static int fail_memory(const struct jasm_reader *r)
{
    return chunk_fail(r->err, JITVM_ERR_MEMORY, "no memory to assemble a chunk");
}

/* ---- directives: each is called behind its own name ----------------------------------------- */

static int read_flags(struct jasm_reader *r)
{
    if (!jasm_token_is(r, JASM_WORD, "trap-overflow"))
        return jasm_fail(r, "expected a flag: trap-overflow");
    builder_set_flags(r->builder, CHUNK_TRAP_OVERFLOW);
    return jasm_next_token(r);
}

static int read_source(struct jasm_reader *r)
{
    if (r->token.kind != JASM_STRING)
        return jasm_fail(r, "expected the name of the source, in quotes");
    builder_set_source(r->builder, r->token.text, r->token.len);
    return jasm_next_token(r);
}

static int read_names(struct jasm_reader *r)
{
    for (;;) {
        int rc = jasm_expect_name(r, "a name");
        if (rc < 0)
            return rc;
        (void)builder_name(r->builder, r->token.text, r->token.len);
        rc = jasm_next_token(r);
        if (rc < 0 || r->token.kind == JASM_END)
            return rc;
        rc = jasm_read_comma(r);
        if (rc < 0)
            return rc;
    }
}

static int read_constants(struct jasm_reader *r)
{
    for (;;) {
        uint32_t constant = 0;
        int rc = jasm_read_literal(r, &constant);
        if (rc < 0 || r->token.kind == JASM_END)
            return rc;
        rc = jasm_read_comma(r);
        if (rc < 0)
            return rc;
    }
}

static int read_comma_uint(struct jasm_reader *r, uint64_t most, uint64_t *out)
{
    int rc = jasm_read_comma(r);
    return rc < 0 ? rc : jasm_read_uint(r, most, out);
}

static int read_extension(struct jasm_reader *r)
{
    uint64_t pops = 0, pushes = 0;
    int rc = jasm_expect_name(r, "the extension's name");
    if (rc < 0)
        return rc;
    uint32_t name = builder_name(r->builder, r->token.text, r->token.len);
    if (builder_find_extension(r->builder, r->token.text, r->token.len) >= 0)
        return jasm_fail(r, "extension %.*s is there twice", jasm_shown(r->token.len),
                         r->token.text);
    rc = jasm_next_token(r);
    if (rc == 0)
        rc = read_comma_uint(r, UINT8_MAX, &pops);
    if (rc == 0)
        rc = read_comma_uint(r, 1, &pushes);
    if (rc == 0)
        (void)builder_extension_named(r->builder, name, (unsigned)pops, (unsigned)pushes);
    return rc;
}

static int end_function(struct jasm_reader *r)
{
    uint32_t line = r->line, column = r->token.column;
    int rc = r->function == NO_FUNCTION ? 0 : jasm_end_labels(r);
    if (rc == 0) {
        r->line = line;
        r->token.column = column;
    }
    return rc;
}

static void end_range(struct jasm_reader *r)
{
    if (r->function != NO_FUNCTION)
        r->ranges[r->function].end = r->op_count;
}

static int begin_range(struct jasm_reader *r, uint32_t function)
{
    end_range(r);
    struct jasm_range *ranges =
        grow(r->ranges, &r->range_room, (size_t)function + 1, sizeof(*ranges));
    if (!ranges)
        return fail_memory(r);
    r->ranges = ranges;
    for (; r->range_count <= function; r->range_count++)
        ranges[r->range_count] = (struct jasm_range){0};
    ranges[function] = (struct jasm_range){.first = r->op_count, .end = r->op_count};
    return 0;
}

static int begin(struct jasm_reader *r, uint32_t function, uint32_t slots, uint32_t arity)
{
    int rc = begin_range(r, function);
    if (rc < 0)
        return rc;
    r->function = function;
    r->slots = slots;
    builder_begin(r->builder, function);
    builder_line(r->builder, 0);
    for (uint32_t i = arity; i < slots; i++)
        (void)builder_slot(r->builder, NULL, 0);
    return 0;
}

static int read_main(struct jasm_reader *r)
{
    uint64_t slots = 0;
    int rc = r->main_begun ? jasm_fail(r, ".main is there twice") : end_function(r);
    if (rc == 0)
        rc = jasm_read_uint(r, CHUNK_SLOTS_MAX, &slots);
    if (rc < 0)
        return rc;
    r->main_begun = true;
    return begin(r, 0, (uint32_t)slots, 0);
}

/* `fib, 1, 2`: the name, how many arguments, how many slots. Declares it when it is not there. */
static int read_function_head(struct jasm_reader *r, uint32_t *arity, uint32_t *slots)
{
    uint64_t args = 0, all = 0;
    int rc = jasm_expect_name(r, "the function's name");
    if (rc < 0)
        return rc;
    bool declared = r->functions_declared;
    if (!declared && builder_find_function(r->builder, r->token.text, r->token.len) >= 0)
        return jasm_fail(r, "function %.*s is there twice", jasm_shown(r->token.len),
                         r->token.text);
    uint32_t name = builder_name(r->builder, r->token.text, r->token.len);
    rc = jasm_next_token(r);
    if (rc == 0)
        rc = read_comma_uint(r, OP_ARGS_MAX, &args);
    if (rc == 0 && !declared)
        (void)builder_function_named(r->builder, name, (unsigned)args);
    if (rc == 0)
        rc = read_comma_uint(r, CHUNK_SLOTS_MAX, &all);
    if (rc == 0 && all < args)
        rc = jasm_fail(r, "fewer slots than arguments");
    *arity = (uint32_t)args;
    *slots = (uint32_t)all;
    return rc;
}

static int read_function(struct jasm_reader *r)
{
    uint32_t arity = 0, slots = 0;
    int rc = end_function(r);
    if (rc == 0)
        rc = read_function_head(r, &arity, &slots);
    if (rc < 0)
        return rc;
    return begin(r, ++r->functions, slots, arity);
}

/* The first slot of a name is the one that the name stands for. */
static int name_slot(struct jasm_reader *r, uint32_t slot, uint32_t name)
{
    while (r->slot_name_count <= name) {
        struct jasm_slot_name *names =
            grow(r->slot_names, &r->slot_name_room, r->slot_name_count + 1, sizeof(*names));
        if (!names)
            return fail_memory(r);
        r->slot_names = names;
        names[r->slot_name_count++].function = NO_FUNCTION;
    }
    if (r->slot_names[name].function != r->function)
        r->slot_names[name] = (struct jasm_slot_name){.function = r->function, .slot = slot};
    return 0;
}

static int read_slot(struct jasm_reader *r)
{
    uint64_t slot = 0;
    if (r->function == NO_FUNCTION)
        return jasm_fail(r, "a slot outside of a function");
    int rc = jasm_read_uint(r, UINT16_MAX, &slot);
    if (rc == 0 && slot >= r->slots)
        rc = jasm_fail(r, "slot %u of %u", (unsigned)slot, r->slots);
    if (rc == 0)
        rc = jasm_read_comma(r);
    if (rc == 0)
        rc = jasm_expect_name(r, "the slot's name");
    if (rc < 0)
        return rc;
    builder_name_slot(r->builder, (uint32_t)slot, r->token.text, r->token.len);
    uint32_t name = builder_name(r->builder, r->token.text, r->token.len);
    rc = jasm_next_token(r);
    return rc < 0 || builder_failed(r->builder) ? rc : name_slot(r, (uint32_t)slot, name);
}

static int read_line_number(struct jasm_reader *r)
{
    uint64_t line = 0;
    int rc = jasm_read_uint(r, UINT32_MAX, &line);
    builder_line(r->builder, (uint32_t)line);
    return rc;
}

static int read_directive(struct jasm_reader *r)
{
    static const struct {
        const char *name;
        int (*read)(struct jasm_reader *r);
    } directives[] = {
        {".line", read_line_number}, {".slot", read_slot},           {".function", read_function},
        {".main", read_main},        {".constants", read_constants}, {".names", read_names},
        {".source", read_source},    {".flags", read_flags},         {".extension", read_extension},
    };
    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        if (!jasm_token_is(r, JASM_DIRECTIVE, directives[i].name))
            continue;
        int rc = jasm_next_token(r);
        return rc < 0 ? rc : directives[i].read(r);
    }
    return jasm_fail(r, "no directive is called %.*s", jasm_shown(r->token.len), r->token.text);
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Where the op stood, for what the verifier says of it. */
static int note_op(struct jasm_reader *r)
{
    uint32_t *op_lines =
        grow(r->op_lines, &r->op_line_room, (size_t)r->op_count + 1, sizeof(*op_lines));
    if (!op_lines)
        return fail_memory(r);
    r->op_lines = op_lines;
    op_lines[r->op_count++] = r->line;
    return 0;
}

static int read_label_or_op(struct jasm_reader *r)
{
    if (r->function == NO_FUNCTION)
        return jasm_fail(r, "outside of a function: .main or .function begins one");
    int rc = 0;
    while (rc == 0 && r->token.kind == JASM_WORD && jasm_colon_follows(r)) {
        rc = jasm_place_label(r, &r->token);
        if (rc == 0)
            rc = jasm_next_token(r);
        if (rc == 0)
            rc = jasm_next_token(r);
    }
    if (rc < 0 || r->token.kind != JASM_WORD)
        return rc;
    rc = note_op(r);
    return rc < 0 ? rc : jasm_read_op(r);
}

static int read_line(struct jasm_reader *r)
{
    int rc = jasm_next_token(r);
    if (rc == 0 && r->token.kind == JASM_DIRECTIVE)
        rc = read_directive(r);
    else if (rc == 0 && r->token.kind == JASM_WORD)
        rc = read_label_or_op(r);
    if (rc == 0 && r->token.kind != JASM_END)
        rc = jasm_fail(r, "expected the end of the line");
    return rc;
}

/* Only names and functions. What is wrong with other lines is for the second reading to say. */
static int declare_line(struct jasm_reader *r)
{
    if (jasm_next_token(r) < 0)
        return 0;
    bool names = jasm_token_is(r, JASM_DIRECTIVE, ".names");
    if (!names && !jasm_token_is(r, JASM_DIRECTIVE, ".function"))
        return 0;
    uint32_t arity = 0, slots = 0;
    int rc = jasm_next_token(r);
    if (rc == 0)
        rc = names ? read_names(r) : read_function_head(r, &arity, &slots);
    return rc;
}

static int read_lines(struct jasm_reader *r, int (*read)(struct jasm_reader *r))
{
    r->line = 0;
    r->at = r->line_start = 0;
    int rc = 0;
    while (rc == 0 && !builder_failed(r->builder) && jasm_next_line(r))
        rc = read(r);
    return rc;
}

static int read_text(struct jasm_reader *r)
{
    for (unsigned code = 0; code < OP_COUNT; code++)
        if (!intern_add(&r->ops, INTERN_NAME, op_name(code), strlen(op_name(code)), code))
            return fail_memory(r);
    int rc = read_lines(r, declare_line);
    r->functions_declared = true;
    if (rc == 0)
        rc = read_lines(r, read_line);
    if (rc == 0 && !builder_failed(r->builder))
        rc = end_function(r);
    return rc;
}

/* ---- what the verifier says ----------------------------------------------------------------- */

/* Ops are verified by function, but may stand in another order in the text. */
static uint32_t line_of_op(const struct jasm_reader *r, uint32_t ip)
{
    for (uint32_t f = 0; f < r->range_count; f++) {
        uint32_t count = r->ranges[f].end - r->ranges[f].first;
        if (ip < count)
            return r->op_lines[r->ranges[f].first + ip];
        ip -= count;
    }
    return 0;
}

/* The builder's failures belong to the line where reading stopped. */
static int build(struct jasm_reader *r, struct jitvm_chunk **out)
{
    bool stopped = builder_failed(r->builder);
    end_range(r);
    int rc = builder_build(r->builder, out, r->err);
    if (rc < 0 && r->err) {
        if (stopped)
            r->err->line = r->line;
        else if (r->err->depth > 0)
            r->err->line = line_of_op(r, r->err->frames[0].ip);
        r->err->column = r->err->line > 0;
    }
    return rc;
}

static void free_reader(struct jasm_reader *r)
{
    jitvm_builder_free(r->builder);
    intern_free(&r->ops);
    intern_free(&r->label_index);
    free(r->string);
    free(r->slot_names);
    free(r->labels);
    free(r->op_lines);
    free(r->ranges);
}

int jitvm_assemble(const char *name, const char *text, size_t len, struct jitvm_chunk **out,
                   struct jitvm_error *err)
{
    struct jasm_reader r = {.text = text, .len = len, .function = NO_FUNCTION, .err = err};
    int rc = jitvm_builder_new(name, &r.builder, err);
    if (rc < 0)
        return rc;
    builder_no_fusing(r.builder);
    rc = read_text(&r);
    if (rc == 0)
        rc = build(&r, out);
    free_reader(&r);
    return rc;
}
