/* SPDX-License-Identifier: Apache-2.0 */
/* The tables behind op.h, made from op.def. */
#include "guest/jitvm/chunk/op.h"

#include <string.h>

#include "guest/jitvm/chunk/chunk.h"

#define VARY UINT8_MAX

struct op_info {
    const char *name;
    uint8_t format, pops, pushes;
};

static const struct op_info op_table[OP_COUNT] = {
#define X(name, operands, pops, pushes) {#name, OP_FMT_##operands, pops, pushes},
#include "guest/jitvm/chunk/op.def"
#undef X
};

const char *op_name(unsigned code)
{
    return op_table[code].name;
}

int op_find(const char *name, size_t len)
{
    for (int code = 0; code < OP_COUNT; code++)
        if (strlen(op_table[code].name) == len && memcmp(op_table[code].name, name, len) == 0)
            return code;
    return -1;
}

enum op_format op_format(unsigned code)
{
    return op_table[code].format;
}

bool op_is_jump(unsigned code)
{
    return op_format(code) == OP_FMT_JUMP || op_format(code) == OP_FMT_SLOT_INT_JUMP;
}

bool op_ends_flow(unsigned code)
{
    return code == OP_Jump || code == OP_Return || code == OP_ReturnValue;
}

static uint32_t varying_pops(const struct jitvm_op *op, const struct chunk_extension *extension)
{
    switch (op->code) {
    case OP_MakeArray:
        return op->b;
    case OP_MakeHash:
        return 2 * op->b;
    case OP_SetPath:
    case OP_PushPath:
        return op->c + 1;
    case OP_Call:
    case OP_CallBuiltin:
        return op->a;
    case OP_CallDynamic:
        return op->a + 1u;
    case OP_Extended:
    case OP_ExtendedWide:
        return extension ? extension->pops : 0;
    default:
        return op->c; /* the other ops with a place */
    }
}

struct op_effect op_effect(const struct jitvm_op *op, const struct chunk_extension *extension)
{
    const struct op_info *info = &op_table[op->code];
    struct op_effect effect = {.pops = info->pops, .pushes = info->pushes};
    if (info->pops == VARY)
        effect.pops = varying_pops(op, extension);
    if (info->pushes == VARY)
        effect.pushes = extension ? extension->pushes : 0;
    return effect;
}
