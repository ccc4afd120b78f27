/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting what works by place: assignments, and the calls that change or look into a container. */
#include <string.h>

#include "guest/jitvm/lang/gen.h"

/* ---- places --------------------------------------------------------------------------------- */

bool gen_place_of(struct node *node, struct gen_place *place)
{
    uint32_t count = 0;
    struct node *base = node;
    for (; base->kind == NODE_INDEX; base = base->a)
        count++;
    if (base->kind != NODE_NAME || !base->as.name.variable || count > OP_KEYS_MAX)
        return false;
    place->variable = base->as.name.variable;
    place->count = count;
    for (; node->kind == NODE_INDEX; node = node->a)
        place->keys[--count] = node->b;
    return true;
}

void gen_path_slot(struct gen *g, const struct node *node, enum op_code code, uint32_t slot,
                   uint32_t keys)
{
    gen_emit(g, node, (struct jitvm_op){.code = (uint16_t)code, .a = 0, .b = slot, .c = keys});
}

void gen_path(struct gen *g, const struct node *node, enum op_code code,
              const struct gen_place *place)
{
    gen_emit(g, node,
             (struct jitvm_op){.code = (uint16_t)code,
                               .a = place->variable->global,
                               .b = gen_variable(g, place->variable),
                               .c = place->count});
}

void gen_place_keys(struct gen *g, const struct gen_place *place)
{
    for (uint32_t i = 0; i < place->count; i++)
        gen_value(g, place->keys[i]);
}

/* ---- assignments ---------------------------------------------------------------------------- */

/* Evaluating it twice is the same as once. */
static bool key_is_simple(const struct node *key)
{
    return key->kind <= NODE_STR || (key->kind == NODE_NAME && key->as.name.variable);
}

static bool keys_are_simple(const struct gen_place *place)
{
    for (uint32_t i = 0; i < place->count; i++)
        if (!key_is_simple(place->keys[i]))
            return false;
    return true;
}

static void gen_keys_by_slots(struct gen *g, const struct node *node, const struct gen_place *place)
{
    uint32_t slots[OP_KEYS_MAX];
    for (uint32_t i = 0; i < place->count; i++) {
        slots[i] = gen_slot(g);
        gen_value(g, place->keys[i]);
        gen_set_slot(g, node, slots[i]);
    }
    for (uint32_t i = 0; i < 2 * place->count; i++)
        gen_get_slot(g, node, slots[i % place->count]);
}

/* [k.. k..]: one set to read with, one to write with. */
static void gen_keys_twice(struct gen *g, const struct node *node, const struct gen_place *place)
{
    if (keys_are_simple(place)) {
        gen_place_keys(g, place);
        gen_place_keys(g, place);
    } else if (place->count <= 2) {
        gen_place_keys(g, place);
        gen_op(g, node, place->count == 1 ? OP_Dup : OP_Dup2);
    } else {
        gen_keys_by_slots(g, node, place);
    }
}

static void gen_assign_path(struct gen *g, struct node *node, const struct gen_place *place)
{
    if (node->op == OP_Nop) {
        gen_place_keys(g, place);
        gen_value(g, node->b);
    } else {
        gen_keys_twice(g, node, place);
        gen_path(g, node, OP_GetPath, place);
        gen_value(g, node->b);
        gen_op(g, node, (enum op_code)node->op);
    }
    gen_path(g, node, OP_SetPath, place);
}

static void gen_assign_variable(struct gen *g, struct node *node, struct lang_variable *variable)
{
    if (node->op != OP_Nop)
        gen_get(g, node, variable);
    gen_value(g, node->b);
    if (node->op != OP_Nop)
        gen_op(g, node, (enum op_code)node->op);
    gen_set(g, node, variable);
}

void gen_assign(struct gen *g, struct node *node)
{
    struct gen_place place;
    if (!gen_place_of(node->a, &place))
        (void)lang_fail(g->lang, node->a->line, node->a->column,
                        "a place has at most %u keys, one behind another", OP_KEYS_MAX);
    else if (place.count > 0)
        gen_assign_path(g, node, &place);
    else
        gen_assign_variable(g, node, place.variable);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* What has no place goes through the builtin of the same name. */
static void gen_walked_value(struct gen *g, struct node *node, enum op_code code)
{
    gen_value(g, node);
    gen_builtin(g, node, code == OP_KeysPath ? "keys" : "values", 1);
}

void gen_walked(struct gen *g, struct node *node, enum op_code code)
{
    struct gen_place place;
    if (!gen_place_of(node, &place))
        return gen_walked_value(g, node, code);
    gen_place_keys(g, &place);
    gen_path(g, node, code, &place);
}

static const struct special {
    const char *name;
    uint16_t op;
    uint8_t args, keys; /* as many, at least */
    enum {
        BY_PLACE, /* needs one */
        BY_WALK,  /* works on any value */
        BY_VALUE  /* an op on a value */
    } how;
} specials[] = {
    {"push", OP_PushPath, 2, 0, BY_PLACE},     {"pop", OP_PopPath, 1, 0, BY_PLACE},
    {"shift", OP_ShiftPath, 1, 0, BY_PLACE},   {"delete", OP_DeletePath, 1, 1, BY_PLACE},
    {"exists", OP_ExistsPath, 1, 1, BY_PLACE}, {"keys", OP_KeysPath, 1, 0, BY_WALK},
    {"values", OP_ValuesPath, 1, 0, BY_WALK},  {"len", OP_Len, 1, 0, BY_VALUE},
    {"int", OP_ToInt, 1, 0, BY_VALUE},         {"float", OP_ToFloat, 1, 0, BY_VALUE},
    {"str", OP_ToStr, 1, 0, BY_VALUE},
};

static const struct special *find_special(const struct node *call)
{
    const struct node_name *name = &call->a->as.name;
    if (call->a->kind != NODE_NAME || name->variable || name->function)
        return NULL;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (strlen(specials[i].name) == name->symbol->len &&
            memcmp(specials[i].name, name->symbol->text, name->symbol->len) == 0)
            return specials[i].op == OP_ExistsPath && call->count == 2 ? NULL : &specials[i];
    return NULL;
}

static void gen_by_place(struct gen *g, struct node *call, const struct special *special,
                         bool wanted)
{
    struct gen_place place;
    struct node *first = call->list;
    if (!gen_place_of(first, &place) || place.count < special->keys) {
        (void)lang_fail(
            g->lang, first->line, first->column, "%s() needs %s, as in %s", special->name,
            special->keys ? "an element of a variable" : "a variable or an element of one",
            special->keys ? "h[k]" : "a or a[i]");
        return;
    }
    gen_place_keys(g, &place);
    if (special->args == 2)
        gen_value(g, first->next);
    gen_path(g, call, (enum op_code)special->op, &place);
    if (special->args == 2 && wanted)
        gen_op(g, call, OP_Undef);
    else if (special->args == 1 && !wanted)
        gen_op(g, call, OP_Pop);
}

static void gen_by_value(struct gen *g, struct node *call, const struct special *special)
{
    struct gen_place place;
    if (special->op == OP_Len && gen_place_of(call->list, &place))
        return gen_walked(g, call->list, OP_LenPath);
    gen_value(g, call->list);
    gen_op(g, call, (enum op_code)special->op);
}

bool gen_special(struct gen *g, struct node *call, bool wanted)
{
    const struct special *special = find_special(call);
    if (!special)
        return false;
    if (call->count != special->args) {
        (void)lang_fail(g->lang, call->line, call->column, "%s() takes %u argument%s, %u %s given",
                        special->name, special->args, special->args == 1 ? "" : "s", call->count,
                        call->count == 1 ? "is" : "are");
        return true;
    }
    if (special->how == BY_PLACE) {
        gen_by_place(g, call, special, wanted);
        return true;
    }
    if (special->how == BY_WALK)
        gen_walked(g, call->list, (enum op_code)special->op);
    else
        gen_by_value(g, call, special);
    if (!wanted)
        gen_op(g, call, OP_Pop);
    return true;
}
