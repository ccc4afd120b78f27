/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ops that compiled code calls when it has no form of its own for them. */
#include "guest/jitvm/vm/ops.h"

op_fn op_slow(unsigned op)
{
#define OP_ENTRY(name) [CODE_##name] = op_##name,
    static const op_fn table[CODE_COUNT] = {OPS(OP_ENTRY)};
#undef OP_ENTRY
    return table[op];
}
