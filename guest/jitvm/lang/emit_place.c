/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting what works by place: assignments, and the calls that change or look into a container. */
#include <string.h>

#include "guest/jitvm/lang/emit.h"

/* ---- places --------------------------------------------------------------------------------- */

bool emit_place_of(struct node *node, struct emit_place *place)
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

void emit_path_slot(struct emitter *e, const struct node *node, enum op_code code, uint32_t slot,
                    uint32_t keys)
{
    emit(e, node, (struct jitvm_op){.code = (uint16_t)code, .a = 0, .b = slot, .c = keys});
}

void emit_path(struct emitter *e, const struct node *node, enum op_code code,
               const struct emit_place *place)
{
    emit(e, node,
         (struct jitvm_op){.code = (uint16_t)code,
                           .a = place->variable->global,
                           .b = emit_variable(e, place->variable),
                           .c = place->count});
}

void emit_place_keys(struct emitter *e, const struct emit_place *place)
{
    for (uint32_t i = 0; i < place->count; i++)
        emit_value(e, place->keys[i]);
}

/* ---- assignments ---------------------------------------------------------------------------- */

/* Evaluating it twice is the same as once. */
static bool key_is_simple(const struct node *key)
{
    return key->kind <= NODE_STR || (key->kind == NODE_NAME && key->as.name.variable);
}

static bool keys_are_simple(const struct emit_place *place)
{
    for (uint32_t i = 0; i < place->count; i++)
        if (!key_is_simple(place->keys[i]))
            return false;
    return true;
}

static void emit_keys_by_slots(struct emitter *e, const struct node *node,
                               const struct emit_place *place)
{
    uint32_t slots[OP_KEYS_MAX];
    for (uint32_t i = 0; i < place->count; i++) {
        slots[i] = emit_slot(e);
        emit_value(e, place->keys[i]);
        emit_set_slot(e, node, slots[i]);
    }
    for (uint32_t i = 0; i < 2 * place->count; i++)
        emit_get_slot(e, node, slots[i % place->count]);
}

/* [k.. k..]: one set to read with, one to write with. */
static void emit_keys_twice(struct emitter *e, const struct node *node,
                            const struct emit_place *place)
{
    if (keys_are_simple(place)) {
        emit_place_keys(e, place);
        emit_place_keys(e, place);
    } else if (place->count <= 2) {
        emit_place_keys(e, place);
        emit_op(e, node, place->count == 1 ? OP_Dup : OP_Dup2);
    } else {
        emit_keys_by_slots(e, node, place);
    }
}

static void emit_assign_path(struct emitter *e, struct node *node, const struct emit_place *place)
{
    if (node->op == OP_Nop) {
        emit_place_keys(e, place);
        emit_value(e, node->b);
    } else {
        emit_keys_twice(e, node, place);
        emit_path(e, node, OP_GetPath, place);
        emit_value(e, node->b);
        emit_op(e, node, (enum op_code)node->op);
    }
    emit_path(e, node, OP_SetPath, place);
}

static void emit_assign_variable(struct emitter *e, struct node *node,
                                 struct lang_variable *variable)
{
    if (node->op != OP_Nop)
        emit_get(e, node, variable);
    emit_value(e, node->b);
    if (node->op != OP_Nop)
        emit_op(e, node, (enum op_code)node->op);
    emit_set(e, node, variable);
}

void emit_assign(struct emitter *e, struct node *node)
{
    struct emit_place place;
    if (!emit_place_of(node->a, &place))
        (void)lang_fail(e->lang, node->a->line, node->a->column,
                        "a place has at most %u keys, one behind another", OP_KEYS_MAX);
    else if (place.count > 0)
        emit_assign_path(e, node, &place);
    else
        emit_assign_variable(e, node, place.variable);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* What has no place goes through the builtin of the same name. */
static void emit_walked_value(struct emitter *e, struct node *node, enum op_code code)
{
    const char *name = code == OP_KeysPath ? "keys" : "values";
    emit_value(e, node);
    emit(e, node,
         (struct jitvm_op){
             .code = OP_CallBuiltin, .a = 1, .b = builder_name(e->builder, name, strlen(name))});
}

void emit_walked(struct emitter *e, struct node *node, enum op_code code)
{
    struct emit_place place;
    if (!emit_place_of(node, &place))
        return emit_walked_value(e, node, code);
    emit_place_keys(e, &place);
    emit_path(e, node, code, &place);
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

static void emit_by_place(struct emitter *e, struct node *call, const struct special *special,
                          bool wanted)
{
    struct emit_place place;
    struct node *first = call->list;
    if (!emit_place_of(first, &place) || place.count < special->keys) {
        (void)lang_fail(
            e->lang, first->line, first->column, "%s() needs %s, as in %s", special->name,
            special->keys ? "an element of a variable" : "a variable or an element of one",
            special->keys ? "h[k]" : "a or a[i]");
        return;
    }
    emit_place_keys(e, &place);
    if (special->args == 2)
        emit_value(e, first->next);
    emit_path(e, call, (enum op_code)special->op, &place);
    if (special->args == 2 && wanted)
        emit_op(e, call, OP_Undef);
    else if (special->args == 1 && !wanted)
        emit_op(e, call, OP_Pop);
}

static void emit_by_value(struct emitter *e, struct node *call, const struct special *special)
{
    struct emit_place place;
    if (special->op == OP_Len && emit_place_of(call->list, &place))
        return emit_walked(e, call->list, OP_LenPath);
    emit_value(e, call->list);
    emit_op(e, call, (enum op_code)special->op);
}

bool emit_special(struct emitter *e, struct node *call, bool wanted)
{
    const struct special *special = find_special(call);
    if (!special)
        return false;
    if (call->count != special->args) {
        (void)lang_fail(e->lang, call->line, call->column, "%s() takes %u argument%s, %u %s given",
                        special->name, special->args, special->args == 1 ? "" : "s", call->count,
                        call->count == 1 ? "is" : "are");
        return true;
    }
    if (special->how == BY_PLACE) {
        emit_by_place(e, call, special, wanted);
        return true;
    }
    if (special->how == BY_WALK)
        emit_walked(e, call->list, (enum op_code)special->op);
    else
        emit_by_value(e, call, special);
    if (!wanted)
        emit_op(e, call, OP_Pop);
    return true;
}
