/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/jitvm/vm/code.h"

const char *code_op_name(unsigned op)
{
    static const char *const names[CODE_COUNT] = {
#define X(name, format) #name,
#include "guest/jitvm/vm/code.def"
#undef X
    };
    return names[op];
}

enum code_format code_op_format(unsigned op)
{
    static const uint8_t formats[CODE_COUNT] = {
#define X(name, format) CODE_FMT_##format,
#include "guest/jitvm/vm/code.def"
#undef X
    };
    return (enum code_format)formats[op];
}

bool code_is_branch(unsigned op)
{
    enum code_format format = code_op_format(op);
    return format == CODE_FMT_J || format == CODE_FMT_SJ || format == CODE_FMT_SSJ ||
           format == CODE_FMT_SKJ;
}

bool code_is_back(unsigned op)
{
    switch (op) {
    case CODE_JT_BACK:
    case CODE_JF_BACK:
    case CODE_JT_KEEP_BACK:
    case CODE_JF_KEEP_BACK:
    case CODE_JMP_BACK:
    case CODE_INCJLT_BACK:
    case CODE_INCJLT_RK_BACK:
        return true;
    default:
        return op >= CODE_JEQ_BACK && op <= CODE_JNGE_RK_BACK;
    }
}

bool code_ends_flow(unsigned op)
{
    return op == CODE_JMP || op == CODE_JMP_BACK || op == CODE_RET || op == CODE_RETU;
}
