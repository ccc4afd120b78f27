/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disassembler. What it writes assembles to the same chunk: where the numbers of names or
 * constants are not those that the assembler would give, tables of them come first.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/chunk/asm.h"
#include "guest/jitvm/chunk/order.h"
#include "guest/jitvm/value/number.h"

struct writer {
    const struct jitvm_chunk *chunk;
    FILE *to;
    uint32_t *labels;      /* of each op: the number of its label in its function, or 0 */
    uint32_t *slot_owners; /* of each name: the function that has a slot of it, found last */
    uint32_t *slots;       /* of each name: the first slot there */
    uint32_t next_line;    /* index in the line table */
    const struct chunk_function *function;
    uint32_t f;
};

static void write_text(const struct writer *w, const char *text)
{
    (void)fputs(text, w->to);
}

static void write_quoted(const struct writer *w, const char *bytes, size_t len)
{
    static const char meanings[] = "\n\t\r\\\"", letters[] = "ntr\\\"";
    (void)fputc('"', w->to);
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        const char *found = c == '\0' ? NULL : strchr(meanings, c);
        if (found)
            (void)fprintf(w->to, "\\%c", letters[found - meanings]);
        else if (c < 0x20 || c > 0x7e)
            (void)fprintf(w->to, "\\x%02x", (unsigned)(unsigned char)c);
        else
            (void)fputc(c, w->to);
    }
    (void)fputc('"', w->to);
}

static void write_name(const struct writer *w, uint32_t name)
{
    const struct jitvm_str *str = w->chunk->names[name];
    if (jasm_is_word(str->bytes, str->len))
        (void)fwrite(str->bytes, 1, str->len, w->to);
    else
        write_quoted(w, str->bytes, str->len);
}

/* Always with something that an integer has not. */
static void write_float(const struct writer *w, double f)
{
    char text[NUMBER_TEXT_MAX];
    size_t len = number_format_float(f, text);
    bool plain = true;
    for (size_t i = 0; i < len; i++)
        plain = plain && ((text[i] >= '0' && text[i] <= '9') || text[i] == '-');
    (void)fprintf(w->to, "%.*s%s", (int)len, text, plain ? ".0" : "");
}

static void write_constant(const struct writer *w, uint32_t index)
{
    const struct jitvm_value *constant = &w->chunk->constants[index];
    if (constant->kind == JITVM_STR)
        write_quoted(w, constant->as.str->bytes, constant->as.str->len);
    else if (constant->kind == JITVM_FLOAT)
        write_float(w, constant->as.f);
    else
        (void)fprintf(w->to, "%lld", (long long)constant->as.i);
}

static void write_function_name(const struct writer *w, uint32_t f)
{
    if (f == 0)
        write_text(w, ".main");
    else
        write_name(w, w->chunk->functions[f].name);
}

/* By its name, where that means this slot and no other. */
static void write_slot(const struct writer *w, uint32_t slot)
{
    uint32_t name = UINT32_MAX;
    if (w->function->slot_names != UINT32_MAX)
        name = w->chunk->slot_names[w->function->slot_names + slot];
    if (name != UINT32_MAX && w->slots[name] == slot)
        write_name(w, name);
    else
        (void)fprintf(w->to, "%u", slot);
}

static void write_label(const struct writer *w, uint32_t op)
{
    (void)fprintf(w->to, "L%u", w->labels[op]);
}

/* ---- ops ------------------------------------------------------------------------------------ */

static void write_place(const struct writer *w, const struct jitvm_op *op)
{
    write_text(w, op->a == 0 ? "slot " : "global ");
    if (op->a == 0)
        write_slot(w, op->b);
    else
        write_name(w, op->b);
    (void)fprintf(w->to, ", %u", op->c);
}

static void write_two_slots(const struct writer *w, const struct jitvm_op *op)
{
    write_slot(w, op->a);
    write_text(w, ", ");
    write_slot(w, op->c);
}

static void write_float_bits(const struct writer *w, const struct jitvm_op *op)
{
    double f;
    memcpy(&f, &op->imm, sizeof(f));
    write_float(w, f);
}

/* Of the formats that begin with a slot. */
static void write_slots_operands(const struct writer *w, const struct jitvm_op *op)
{
    enum op_format format = op_format(op->code);
    if (format == OP_FMT_SLOT || format == OP_FMT_SLOT_INT_JUMP)
        write_slot(w, op->a);
    else
        write_two_slots(w, op);
    if (format == OP_FMT_SLOT || format == OP_FMT_SLOT2)
        return;
    (void)fprintf(w->to, ", %lld", (long long)op->imm);
    if (format == OP_FMT_SLOT2_INT)
        return;
    write_text(w, ", ");
    if (format == OP_FMT_SLOT_INT_JUMP)
        write_label(w, op->b);
    else
        write_constant(w, op->b);
}

/* Of the formats that begin with a name. */
static void write_named_operands(const struct writer *w, const struct jitvm_op *op)
{
    enum op_format format = op_format(op->code);
    if (format == OP_FMT_FUNC || format == OP_FMT_CALL)
        write_function_name(w, op->b);
    else if (format == OP_FMT_EXTENDED || format == OP_FMT_EXTENDED_WIDE)
        write_name(w, w->chunk->extensions[op->b].name);
    else
        write_name(w, op->b);
    if (format == OP_FMT_EXTENDED_WIDE)
        (void)fprintf(w->to, ", %llu", (unsigned long long)op->imm);
    else if (format != OP_FMT_FUNC && format != OP_FMT_GLOBAL)
        (void)fprintf(w->to, ", %u", op->a);
}

static void write_operands(const struct writer *w, const struct jitvm_op *op)
{
    switch (op_format(op->code)) {
    case OP_FMT_NONE:
        break;
    case OP_FMT_INT:
        (void)fprintf(w->to, "%lld", (long long)op->imm);
        break;
    case OP_FMT_FLOAT:
        write_float_bits(w, op);
        break;
    case OP_FMT_CONST:
        write_constant(w, op->b);
        break;
    case OP_FMT_COUNT:
    case OP_FMT_LINE:
        (void)fprintf(w->to, "%u", op->b);
        break;
    case OP_FMT_PLACE:
        write_place(w, op);
        break;
    case OP_FMT_JUMP:
        write_label(w, op->b);
        break;
    case OP_FMT_DYNAMIC:
        (void)fprintf(w->to, "%u", op->a);
        break;
    case OP_FMT_FUNC:
    case OP_FMT_GLOBAL:
    case OP_FMT_CALL:
    case OP_FMT_BUILTIN:
    case OP_FMT_EXTENDED:
    case OP_FMT_EXTENDED_WIDE:
        write_named_operands(w, op);
        break;
    case OP_FMT_SLOT:
    case OP_FMT_SLOT2:
    case OP_FMT_SLOT_INT_JUMP:
    case OP_FMT_SLOT2_INT:
    case OP_FMT_SLOT2_INT_CONST:
        write_slots_operands(w, op);
        break;
    }
}

static void write_op(struct writer *w, uint32_t ip)
{
    const struct jitvm_chunk *chunk = w->chunk;
    const struct jitvm_op *op = &chunk->ops[ip];
    if (w->labels[ip] > 0)
        (void)fprintf(w->to, "L%u:\n", w->labels[ip]);
    if (w->next_line < chunk->line_count && chunk->lines[w->next_line].ip == ip)
        (void)fprintf(w->to, "    .line %u\n", chunk->lines[w->next_line++].line);
    (void)fprintf(w->to, "    %s", op_name(op->code));
    if (op_format(op->code) != OP_FMT_NONE)
        write_text(w, " ");
    write_operands(w, op);
    write_text(w, "\n");
}

/* ---- functions ------------------------------------------------------------------------------ */

static void number_labels(struct writer *w)
{
    uint32_t first = w->function->first, end = first + w->function->count, number = 0;
    for (uint32_t ip = first; ip < end; ip++)
        if (op_is_jump(w->chunk->ops[ip].code))
            w->labels[w->chunk->ops[ip].b] = 1;
    for (uint32_t ip = first; ip < end; ip++)
        if (w->labels[ip] > 0)
            w->labels[ip] = ++number;
}

/* Marks for each name the first slot that has it, and declares them all. */
static void write_slot_names(struct writer *w)
{
    if (w->function->slot_names == UINT32_MAX)
        return;
    for (uint32_t slot = 0; slot < w->function->slots; slot++) {
        uint32_t name = w->chunk->slot_names[w->function->slot_names + slot];
        if (name == UINT32_MAX)
            continue;
        if (w->slot_owners[name] != w->f) {
            w->slot_owners[name] = w->f;
            w->slots[name] = slot;
        }
        (void)fprintf(w->to, "    .slot %u, ", slot);
        write_name(w, name);
        write_text(w, "\n");
    }
}

static void write_function(struct writer *w, uint32_t f)
{
    w->f = f;
    w->function = &w->chunk->functions[f];
    if (f == 0) {
        (void)fprintf(w->to, "\n.main %u\n", w->function->slots);
    } else {
        write_text(w, "\n.function ");
        write_function_name(w, f);
        (void)fprintf(w->to, ", %u, %u\n", w->function->arity, w->function->slots);
    }
    number_labels(w);
    write_slot_names(w);
    for (uint32_t i = 0; i < w->function->count; i++)
        write_op(w, w->function->first + i);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void write_tables(const struct writer *w)
{
    for (uint32_t i = 0; i < w->chunk->name_count; i++) {
        write_text(w, i % 8 == 0 ? "\n.names " : ", ");
        write_name(w, i);
    }
    for (uint32_t i = 0; i < w->chunk->constant_count; i++) {
        write_text(w, "\n.constants ");
        write_constant(w, i);
    }
    write_text(w, "\n");
}

static void write_extensions(const struct writer *w)
{
    for (uint32_t i = 0; i < w->chunk->extension_count; i++) {
        const struct chunk_extension *extension = &w->chunk->extensions[i];
        write_text(w, ".extension ");
        write_name(w, extension->name);
        (void)fprintf(w->to, ", %u, %u\n", extension->pops, extension->pushes);
    }
}

static void write_chunk(struct writer *w, bool tables)
{
    write_text(w, "; ");
    for (unsigned i = 0; i < sizeof(w->chunk->identity); i++)
        (void)fprintf(w->to, "%02x", w->chunk->identity[i]);
    write_text(w, "\n.source ");
    write_quoted(w, w->chunk->source, strlen(w->chunk->source));
    write_text(w, "\n");
    if (w->chunk->flags & CHUNK_TRAP_OVERFLOW)
        write_text(w, ".flags trap-overflow\n");
    if (tables)
        write_tables(w);
    write_extensions(w);
    for (uint32_t f = 0; f < w->chunk->function_count; f++)
        write_function(w, f);
}

static bool alloc_marks(struct writer *w)
{
    size_t names = (size_t)w->chunk->name_count + 1;
    w->labels = calloc((size_t)w->chunk->op_count + 1, sizeof(*w->labels));
    w->slots = calloc(names, sizeof(*w->slots));
    w->slot_owners = malloc(names * sizeof(*w->slot_owners));
    if (w->slot_owners)
        memset(w->slot_owners, 0xff, names * sizeof(*w->slot_owners));
    return w->labels && w->slots && w->slot_owners;
}

int jitvm_disassemble(const struct jitvm_chunk *chunk, FILE *to, struct jitvm_error *err)
{
    struct writer w = {.chunk = chunk, .to = to};
    struct chunk_order order = {0};
    int rc = 0;
    if (alloc_marks(&w) && chunk_order_of(chunk, &order))
        write_chunk(&w, !chunk_order_is_natural(&order, chunk));
    else
        rc = chunk_fail(err, JITVM_ERR_MEMORY, "no memory to disassemble a chunk");
    chunk_order_free(&order);
    free(w.labels);
    free(w.slots);
    free(w.slot_owners);
    if (rc == 0 && (fflush(to) != 0 || ferror(to)))
        rc = chunk_fail(err, JITVM_ERR_IO, "the text of a chunk could not be written");
    return rc;
}
