/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder. Bodies are kept in the order in which they were begun, with jumps by label; when one
 * ends its labels become indices, and the peephole pass runs over it. Build puts the bodies in the
 * order of the functions.
 */
#include "guest/jitvm/chunk/builder.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/intern.h"
#include "guest/jitvm/chunk/order.h"
#include "guest/jitvm/value/grow.h"
#include "guest/jitvm/value/number.h"

#define NO_FUNCTION UINT32_MAX
#define UNPLACED    UINT32_MAX

/* One function; first, count and slot_names are of the builder's own arrays. */
struct body {
    struct chunk_function function;
    bool begun, named; /* a slot has a name */
};

struct jitvm_builder {
    struct jitvm_chunk *chunk; /* names, constants, extensions grow in it */
    size_t name_room, constant_room, extension_room;
    struct intern intern;

    struct body *bodies;
    uint32_t body_count;
    size_t body_room;
    uint32_t current;

    struct jitvm_op *ops; /* of all bodies begun */
    uint32_t *lines;      /* of each op */
    uint32_t op_count;
    size_t op_room, line_room;

    uint32_t *slot_names;
    uint32_t slot_name_count;
    size_t slot_name_room;

    uint32_t *labels; /* of the current function: index in its body, or UNPLACED */
    uint32_t label_count;
    size_t label_room;

    uint32_t line;
    bool no_fusing;
    struct jitvm_error error; /* the first */
};

static void fail(struct jitvm_builder *b, enum jitvm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct jitvm_builder *b, enum jitvm_status status, const char *format, ...)
{
    if (b->error.status != JITVM_OK)
        return;
    char why[JITVM_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    (void)chunk_fail(&b->error, status, "%s", why);
}

static void fail_memory(struct jitvm_builder *b)
{
    fail(b, JITVM_ERR_MEMORY, "no memory for a chunk");
}

static bool failed(const struct jitvm_builder *b)
{
    return b->error.status != JITVM_OK;
}

bool builder_failed(const struct jitvm_builder *b)
{
    return failed(b);
}

static char *copy_source(const char *source, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, source, len);
        copy[len] = '\0';
    }
    return copy;
}

int jitvm_builder_new(const char *source, struct jitvm_builder **out, struct jitvm_error *err)
{
    struct jitvm_builder *b = calloc(1, sizeof(*b));
    if (!b || !(b->chunk = chunk_alloc()) || !(b->bodies = calloc(1, sizeof(*b->bodies)))) {
        if (b)
            free(b->chunk);
        free(b);
        return chunk_fail(err, JITVM_ERR_MEMORY, "no memory for a builder");
    }
    atomic_init(&b->chunk->refs, 1);
    b->body_room = b->body_count = 1;
    b->bodies[0].function.name = UINT32_MAX;
    b->current = NO_FUNCTION;
    builder_set_source(b, source, strlen(source));
    *out = b;
    return 0;
}

void jitvm_builder_free(struct jitvm_builder *b)
{
    if (!b)
        return;
    jitvm_chunk_unref(b->chunk);
    intern_free(&b->intern);
    free(b->bodies);
    free(b->ops);
    free(b->lines);
    free(b->slot_names);
    free(b->labels);
    free(b);
}

void builder_set_source(struct jitvm_builder *b, const char *source, size_t len)
{
    if (len > CHUNK_SOURCE_MAX || memchr(source, '\0', len)) {
        fail(b, JITVM_ERR_LIMIT, "a name of the source of more than %u bytes, or with a 0",
             CHUNK_SOURCE_MAX);
        return;
    }
    char *copy = copy_source(source, len);
    if (!copy) {
        fail_memory(b);
        return;
    }
    free(b->chunk->source);
    b->chunk->source = copy;
}

void builder_set_flags(struct jitvm_builder *b, uint32_t chunk_flags)
{
    b->chunk->flags = chunk_flags;
}

void builder_no_fusing(struct jitvm_builder *b)
{
    b->no_fusing = true;
}

void builder_line(struct jitvm_builder *b, uint32_t line)
{
    b->line = line;
}

/* ---- names and constants -------------------------------------------------------------------- */

static bool remember(struct jitvm_builder *b, enum intern_kind kind, const void *key, size_t len,
                     uint32_t index)
{
    if (intern_add(&b->intern, kind, key, len, index))
        return true;
    fail_memory(b);
    return false;
}

static void add_name(struct jitvm_builder *b, const char *name, size_t len)
{
    struct jitvm_chunk *chunk = b->chunk;
    if (chunk->name_count >= CHUNK_NAMES_MAX) {
        fail(b, JITVM_ERR_LIMIT, "more than %u names", CHUNK_NAMES_MAX);
        return;
    }
    struct jitvm_str **names = grow(chunk->names, &b->name_room, (size_t)chunk->name_count + 1,
                                    sizeof(struct jitvm_str *));
    if (names)
        chunk->names = names;
    struct jitvm_str *str = names ? str_new_immortal(name, len) : NULL;
    if (!str) {
        fail_memory(b);
        return;
    }
    names[chunk->name_count++] = str;
    (void)remember(b, INTERN_NAME, str->bytes, len, chunk->name_count - 1);
}

uint32_t builder_name(struct jitvm_builder *b, const char *name, size_t len)
{
    if (failed(b))
        return 0;
    int64_t found = intern_find(&b->intern, INTERN_NAME, name, len);
    if (found >= 0)
        return (uint32_t)found;
    add_name(b, name, len);
    return failed(b) ? 0 : b->chunk->name_count - 1;
}

/* Takes over a str, which is freed when there is no room. `key` is as intern_add takes it. */
static uint32_t add_constant(struct jitvm_builder *b, struct jitvm_value value,
                             enum intern_kind kind, const void *key, size_t len)
{
    struct jitvm_chunk *chunk = b->chunk;
    struct jitvm_value *constants = NULL;
    if (chunk->constant_count >= CHUNK_CONSTANTS_MAX)
        fail(b, JITVM_ERR_LIMIT, "more than %u constants", CHUNK_CONSTANTS_MAX);
    else if (!(constants = grow(chunk->constants, &b->constant_room,
                                (size_t)chunk->constant_count + 1, sizeof(*constants))))
        fail_memory(b);
    if (!constants) {
        if (value.kind == JITVM_STR)
            free(value.as.str);
        return 0;
    }
    chunk->constants = constants;
    constants[chunk->constant_count++] = value;
    return remember(b, kind, key, len, chunk->constant_count - 1) ? chunk->constant_count - 1 : 0;
}

uint32_t builder_const_str(struct jitvm_builder *b, const char *bytes, size_t len)
{
    if (failed(b))
        return 0;
    int64_t found = intern_find(&b->intern, INTERN_STR, bytes, len);
    if (found >= 0)
        return (uint32_t)found;
    struct jitvm_str *str = str_new_immortal(bytes, len);
    if (!str) {
        fail_memory(b);
        return 0;
    }
    struct jitvm_value value = {.kind = JITVM_STR, .as.str = str};
    return add_constant(b, value, INTERN_STR, str->bytes, len);
}

static uint32_t const_number(struct jitvm_builder *b, enum intern_kind kind,
                             struct jitvm_value value)
{
    if (failed(b))
        return 0;
    int64_t found = intern_find(&b->intern, kind, &value.as.i, sizeof(value.as.i));
    if (found >= 0)
        return (uint32_t)found;
    return add_constant(b, value, kind, &value.as.i, sizeof(value.as.i));
}

uint32_t builder_const_int(struct jitvm_builder *b, int64_t i)
{
    return const_number(b, INTERN_INT, jitvm_int(i));
}

uint32_t builder_const_float(struct jitvm_builder *b, double f)
{
    struct jitvm_value value = {.kind = JITVM_FLOAT, .as.f = number_canonical(f)};
    return const_number(b, INTERN_FLOAT, value);
}

static bool same_effect(const struct chunk_extension *extension, unsigned pops, unsigned pushes)
{
    return extension->pops == pops && extension->pushes == pushes;
}

static uint32_t add_extension(struct jitvm_builder *b, uint32_t name, unsigned pops,
                              unsigned pushes)
{
    struct jitvm_chunk *chunk = b->chunk;
    struct chunk_extension *extensions =
        grow(chunk->extensions, &b->extension_room, (size_t)chunk->extension_count + 1,
             sizeof(*extensions));
    if (!extensions) {
        fail_memory(b);
        return 0;
    }
    chunk->extensions = extensions;
    extensions[chunk->extension_count++] =
        (struct chunk_extension){.name = name, .pops = (uint8_t)pops, .pushes = (uint8_t)pushes};
    uint32_t index = chunk->extension_count - 1;
    return remember(b, INTERN_EXTENSION, &name, sizeof(name), index) ? index : 0;
}

uint32_t builder_extension(struct jitvm_builder *b, const char *name, size_t len, unsigned pops,
                           unsigned pushes)
{
    return builder_extension_named(b, builder_name(b, name, len), pops, pushes);
}

uint32_t builder_extension_named(struct jitvm_builder *b, uint32_t index, unsigned pops,
                                 unsigned pushes)
{
    if (failed(b))
        return 0;
    int64_t found = intern_find(&b->intern, INTERN_EXTENSION, &index, sizeof(index));
    if (found >= 0 && same_effect(&b->chunk->extensions[found], pops, pushes))
        return (uint32_t)found;
    if (found >= 0)
        fail(b, JITVM_ERR_INVALID, "extension %.47s with two effects", chunk_name(b->chunk, index));
    else if (pops > UINT8_MAX || pushes > 1)
        fail(b, JITVM_ERR_LIMIT, "extension %.47s takes more than 255 values or pushes more than 1",
             chunk_name(b->chunk, index));
    return failed(b) ? 0 : add_extension(b, index, pops, pushes);
}

int64_t builder_find_name(const struct jitvm_builder *b, const char *name, size_t len)
{
    return intern_find(&b->intern, INTERN_NAME, name, len);
}

static int64_t find_named(const struct jitvm_builder *b, enum intern_kind kind, const char *name,
                          size_t len)
{
    int64_t found = builder_find_name(b, name, len);
    uint32_t index = (uint32_t)found;
    return found < 0 ? -1 : intern_find(&b->intern, kind, &index, sizeof(index));
}

int64_t builder_find_function(const struct jitvm_builder *b, const char *name, size_t len)
{
    return find_named(b, INTERN_FUNCTION, name, len);
}

int64_t builder_find_extension(const struct jitvm_builder *b, const char *name, size_t len)
{
    return find_named(b, INTERN_EXTENSION, name, len);
}

/* ---- functions ------------------------------------------------------------------------------ */

static uint32_t add_body(struct jitvm_builder *b, uint32_t name, unsigned arity)
{
    struct body *bodies =
        grow(b->bodies, &b->body_room, (size_t)b->body_count + 1, sizeof(*bodies));
    if (!bodies) {
        fail_memory(b);
        return 0;
    }
    b->bodies = bodies;
    bodies[b->body_count++] = (struct body){
        .function = {.name = name, .arity = (uint16_t)arity, .slots = (uint16_t)arity}};
    uint32_t index = b->body_count - 1;
    return remember(b, INTERN_FUNCTION, &name, sizeof(name), index) ? index : 0;
}

uint32_t builder_function(struct jitvm_builder *b, const char *name, size_t len, unsigned arity)
{
    return builder_function_named(b, builder_name(b, name, len), arity);
}

uint32_t builder_function_named(struct jitvm_builder *b, uint32_t index, unsigned arity)
{
    if (failed(b))
        return 0;
    if (intern_find(&b->intern, INTERN_FUNCTION, &index, sizeof(index)) >= 0)
        fail(b, JITVM_ERR_INVALID, "function %.47s is there twice", chunk_name(b->chunk, index));
    else if (b->body_count >= CHUNK_FUNCTIONS_MAX)
        fail(b, JITVM_ERR_LIMIT, "more than %u functions", CHUNK_FUNCTIONS_MAX);
    else if (arity > OP_ARGS_MAX)
        fail(b, JITVM_ERR_LIMIT, "%.47s: more than %u arguments", chunk_name(b->chunk, index),
             OP_ARGS_MAX);
    return failed(b) ? 0 : add_body(b, index, arity);
}

static struct body *current(struct jitvm_builder *b)
{
    if (b->current == NO_FUNCTION)
        builder_begin(b, 0);
    return &b->bodies[b->current];
}

static const char *body_name(const struct jitvm_builder *b, uint32_t f)
{
    return f == 0 ? "main" : chunk_name(b->chunk, b->bodies[f].function.name);
}

static bool label_at(const struct jitvm_builder *b, uint32_t at)
{
    for (uint32_t i = 0; i < b->label_count; i++)
        if (b->labels[i] == at)
            return true;
    return false;
}

/* Control may come to the end of the body: what a language's function without a return does. */
static void end_with_return(struct jitvm_builder *b)
{
    uint32_t count = b->op_count - b->bodies[b->current].function.first;
    if (count > 0 && op_ends_flow(b->ops[b->op_count - 1].code) && !label_at(b, count))
        return;
    (void)builder_op(b, OP_Return);
}

/* Labels become indices in the body. */
static void resolve_labels(struct jitvm_builder *b)
{
    for (uint32_t i = b->bodies[b->current].function.first; i < b->op_count; i++) {
        struct jitvm_op *op = &b->ops[i];
        if (!op_is_jump(op->code))
            continue;
        if (b->labels[op->b] == UNPLACED) {
            fail(b, JITVM_ERR_INVALID, "%.47s: a jump to a label that is nowhere",
                 body_name(b, b->current));
            return;
        }
        op->b = b->labels[op->b];
    }
}

static void fuse_body(struct jitvm_builder *b)
{
    uint32_t first = b->bodies[b->current].function.first, count = b->op_count - first;
    if (fuse_ops(b->ops + first, b->lines + first, &count, b->chunk->constants))
        b->op_count = first + count;
    else
        fail_memory(b);
}

static void end_body(struct jitvm_builder *b)
{
    if (b->current == NO_FUNCTION || failed(b))
        return;
    if (!b->no_fusing)
        end_with_return(b);
    if (!failed(b))
        resolve_labels(b);
    if (!failed(b) && !b->no_fusing)
        fuse_body(b);
    struct chunk_function *function = &b->bodies[b->current].function;
    function->count = b->op_count - function->first;
    b->current = NO_FUNCTION;
}

void builder_begin(struct jitvm_builder *b, uint32_t function)
{
    end_body(b);
    if (failed(b))
        return;
    if (function >= b->body_count || b->bodies[function].begun) {
        fail(b, JITVM_ERR_INVALID, "function %u is begun twice, or not there", function);
        return;
    }
    struct body *body = &b->bodies[function];
    b->current = function;
    b->label_count = 0;
    body->begun = true;
    body->function.first = b->op_count;
    body->function.slot_names = b->slot_name_count;
    body->function.slots = 0;
    for (unsigned i = 0; i < body->function.arity; i++)
        (void)builder_slot(b, NULL, 0);
}

uint32_t builder_slot(struct jitvm_builder *b, const char *name, size_t len)
{
    struct body *body = failed(b) ? NULL : current(b);
    if (!body || failed(b))
        return 0;
    if (body->function.slots >= CHUNK_SLOTS_MAX) {
        fail(b, JITVM_ERR_LIMIT, "%.47s: more than %u slots", body_name(b, b->current),
             CHUNK_SLOTS_MAX);
        return 0;
    }
    uint32_t *names =
        grow(b->slot_names, &b->slot_name_room, (size_t)b->slot_name_count + 1, sizeof(*names));
    if (!names) {
        fail_memory(b);
        return 0;
    }
    b->slot_names = names;
    names[b->slot_name_count++] = UINT32_MAX;
    uint32_t slot = body->function.slots++;
    builder_name_slot(b, slot, name, len);
    return slot;
}

void builder_name_slot(struct jitvm_builder *b, uint32_t slot, const char *name, size_t len)
{
    if (!name || failed(b))
        return;
    struct body *body = current(b);
    if (failed(b))
        return;
    if (slot >= body->function.slots) {
        fail(b, JITVM_ERR_INVALID, "%.47s: slot %u of %u", body_name(b, b->current), slot,
             body->function.slots);
        return;
    }
    b->slot_names[body->function.slot_names + slot] = builder_name(b, name, len);
    body->named = true;
}

/* ---- ops ------------------------------------------------------------------------------------ */

static bool op_room(struct jitvm_builder *b)
{
    size_t need = (size_t)b->op_count + 1;
    struct jitvm_op *ops = grow(b->ops, &b->op_room, need, sizeof(*ops));
    if (ops)
        b->ops = ops;
    uint32_t *lines = grow(b->lines, &b->line_room, need, sizeof(*lines));
    if (lines)
        b->lines = lines;
    return ops && lines;
}

static uint32_t append(struct jitvm_builder *b, const struct jitvm_op *op)
{
    struct body *body = failed(b) ? NULL : current(b);
    if (!body || failed(b))
        return 0;
    if (op->code >= OP_COUNT)
        fail(b, JITVM_ERR_INVALID, "no op has the number %u", op->code);
    else if (b->op_count >= CHUNK_OPS_MAX)
        fail(b, JITVM_ERR_LIMIT, "more than %u ops", CHUNK_OPS_MAX);
    else if (!op_room(b))
        fail_memory(b);
    if (failed(b))
        return 0;
    b->ops[b->op_count] = *op;
    b->lines[b->op_count++] = b->line;
    return b->op_count - 1 - body->function.first;
}

/* The peephole pass looks at constants before the verifier has seen the op. */
static bool constant_missing(const struct jitvm_builder *b, const struct jitvm_op *op)
{
    enum op_format format = op->code < OP_COUNT ? op_format(op->code) : OP_FMT_NONE;
    return (format == OP_FMT_CONST || format == OP_FMT_SLOT2_INT_CONST) && !failed(b) &&
           op->b >= b->chunk->constant_count;
}

uint32_t builder_emit(struct jitvm_builder *b, struct jitvm_op op)
{
    if (constant_missing(b, &op))
        fail(b, JITVM_ERR_INVALID, "%s: constant %u is not there", op_name(op.code), op.b);
    if (op.code < OP_COUNT && op_is_jump(op.code)) {
        fail(b, JITVM_ERR_INVALID, "%s without a label", op_name(op.code));
        return 0;
    }
    return append(b, &op);
}

uint32_t builder_op(struct jitvm_builder *b, enum op_code code)
{
    return builder_emit(b, (struct jitvm_op){.code = (uint16_t)code});
}

uint32_t builder_label(struct jitvm_builder *b)
{
    if (failed(b))
        return 0;
    (void)current(b);
    uint32_t *labels = grow(b->labels, &b->label_room, (size_t)b->label_count + 1, sizeof(*labels));
    if (!labels) {
        fail_memory(b);
        return 0;
    }
    b->labels = labels;
    labels[b->label_count] = UNPLACED;
    return b->label_count++;
}

void builder_place(struct jitvm_builder *b, uint32_t label)
{
    if (failed(b))
        return;
    struct body *body = current(b);
    if (label >= b->label_count || b->labels[label] != UNPLACED)
        fail(b, JITVM_ERR_INVALID, "%.47s: a label that is not there or placed twice",
             body_name(b, b->current));
    else
        b->labels[label] = b->op_count - body->function.first;
}

void builder_jump_op(struct jitvm_builder *b, struct jitvm_op op, uint32_t label)
{
    if (failed(b))
        return;
    if (op.code >= OP_COUNT || !op_is_jump(op.code) || label >= b->label_count) {
        fail(b, JITVM_ERR_INVALID, "a jump that is none, or to a label that is not there");
        return;
    }
    op.b = label;
    (void)append(b, &op);
}

void builder_jump(struct jitvm_builder *b, enum op_code code, uint32_t label)
{
    builder_jump_op(b, (struct jitvm_op){.code = (uint16_t)code}, label);
}

/* ---- putting it together -------------------------------------------------------------------- */

static uint32_t count_slot_names(const struct jitvm_builder *b)
{
    uint32_t count = 0;
    for (uint32_t f = 0; f < b->body_count; f++)
        if (b->bodies[f].named)
            count += b->bodies[f].function.slots;
    return count;
}

static bool alloc_tables(struct jitvm_builder *b)
{
    struct jitvm_chunk *chunk = b->chunk;
    chunk->functions = calloc(b->body_count, sizeof(*chunk->functions));
    chunk->ops = calloc((size_t)b->op_count + 1, sizeof(*chunk->ops));
    chunk->lines = calloc((size_t)b->op_count + 1, sizeof(*chunk->lines));
    chunk->slot_names = calloc((size_t)count_slot_names(b) + 1, sizeof(*chunk->slot_names));
    return chunk->functions && chunk->ops && chunk->lines && chunk->slot_names;
}

static void put_ops(struct jitvm_builder *b, const struct chunk_function *from)
{
    struct jitvm_chunk *chunk = b->chunk;
    uint32_t first = chunk->op_count, line = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        struct jitvm_op op = b->ops[from->first + i];
        if (op_is_jump(op.code))
            op.b += first;
        if (b->lines[from->first + i] != line) {
            line = b->lines[from->first + i];
            chunk->lines[chunk->line_count++] =
                (struct chunk_line){.ip = chunk->op_count, .line = line};
        }
        chunk->ops[chunk->op_count++] = op;
    }
}

static void put_slot_names(struct jitvm_builder *b, const struct body *body,
                           struct chunk_function *to)
{
    struct jitvm_chunk *chunk = b->chunk;
    to->slot_names = UINT32_MAX;
    if (!body->named)
        return;
    to->slot_names = chunk->slot_name_count;
    memcpy(chunk->slot_names + chunk->slot_name_count, b->slot_names + body->function.slot_names,
           to->slots * sizeof(*b->slot_names));
    chunk->slot_name_count += to->slots;
}

static void put_functions(struct jitvm_builder *b)
{
    struct jitvm_chunk *chunk = b->chunk;
    for (uint32_t f = 0; f < b->body_count; f++) {
        struct chunk_function *to = &chunk->functions[chunk->function_count++];
        *to = b->bodies[f].function;
        to->first = chunk->op_count;
        put_slot_names(b, &b->bodies[f], to);
        put_ops(b, &b->bodies[f].function);
    }
}

static void assemble(struct jitvm_builder *b)
{
    end_body(b);
    if (failed(b))
        return;
    if (!b->chunk->source || !alloc_tables(b)) {
        fail_memory(b);
        return;
    }
    put_functions(b);
    if (!b->no_fusing && !chunk_reorder(b->chunk))
        fail_memory(b);
}

int builder_build(struct jitvm_builder *b, struct jitvm_chunk **out, struct jitvm_error *err)
{
    assemble(b);
    if (failed(b)) {
        if (err)
            *err = b->error;
        return b->error.status;
    }
    struct jitvm_chunk *chunk = b->chunk;
    b->chunk = NULL;
    fail(b, JITVM_ERR_INVALID, "the builder has built already");
    return chunk_finish(chunk, out, err);
}
