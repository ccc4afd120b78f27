/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of x86-64 on floating point: SSE2, and roundsd of SSE4.1. */
#include "guest/jitvm/jit/x86_64/encode.h"

#include "guest/jitvm/jitvm.h"

void x86_movsd_xm(struct assembler *a, enum x86_xmm to, struct x86_mem from)
{
    x86_emit(a, "movsd", sse_form(0xf2, 0x10, RM_LAST), xmm_op(to), mem_op(8, from), x86_none);
}

void x86_movsd_mx(struct assembler *a, struct x86_mem to, enum x86_xmm from)
{
    x86_emit(a, "movsd", sse_form(0xf2, 0x11, RM_FIRST), xmm_op(from), mem_op(8, to), x86_none);
}

void x86_movups_xm(struct assembler *a, enum x86_xmm to, struct x86_mem from)
{
    x86_emit(a, "movups", sse_form(0, 0x10, RM_LAST), xmm_op(to), mem_op(16, from), x86_none);
}

void x86_movups_mx(struct assembler *a, struct x86_mem to, enum x86_xmm from)
{
    x86_emit(a, "movups", sse_form(0, 0x11, RM_FIRST), xmm_op(from), mem_op(16, to), x86_none);
}

void x86_movapd_xx(struct assembler *a, enum x86_xmm to, enum x86_xmm from)
{
    x86_emit(a, "movapd", sse_form(0x66, 0x28, RM_LAST), xmm_op(to), xmm_op(from), x86_none);
}

void x86_movq_xr(struct assembler *a, enum x86_xmm to, enum x86_reg from)
{
    x86_emit(a, "movq", wide(sse_form(0x66, 0x6e, RM_LAST)), xmm_op(to), reg_op(X86_W64, from),
             x86_none);
}

void x86_movq_rx(struct assembler *a, enum x86_reg to, enum x86_xmm from)
{
    x86_emit(a, "movq", wide(sse_form(0x66, 0x7e, RM_FIRST)), xmm_op(from), reg_op(X86_W64, to),
             x86_none);
}

struct sse_op {
    const char *name;
    uint8_t prefix, opcode;
};

/* NULL: there is no such instruction. */
static const struct sse_op *sse_op(struct assembler *a, enum x86_sse op)
{
    static const struct sse_op ops[] = {
        [X86_SQRTSD] = {"sqrtsd", 0xf2, 0x51}, [X86_ADDSD] = {"addsd", 0xf2, 0x58},
        [X86_MULSD] = {"mulsd", 0xf2, 0x59},   [X86_SUBSD] = {"subsd", 0xf2, 0x5c},
        [X86_DIVSD] = {"divsd", 0xf2, 0x5e},   [X86_UCOMISD] = {"ucomisd", 0x66, 0x2e},
    };
    if (op <= X86_UCOMISD)
        return &ops[op];
    asm_fail(a, JITVM_ERR_VALUE);
    return NULL;
}

static const struct sse_op *bits_op(struct assembler *a, enum x86_bits op)
{
    static const struct sse_op ops[] = {
        [X86_ANDPD] = {"andpd", 0x66, 0x54}, [X86_ANDNPD] = {"andnpd", 0x66, 0x55},
        [X86_ORPD] = {"orpd", 0x66, 0x56},   [X86_XORPD] = {"xorpd", 0x66, 0x57},
        [X86_PXOR] = {"pxor", 0x66, 0xef},
    };
    if (op <= X86_PXOR)
        return &ops[op];
    asm_fail(a, JITVM_ERR_VALUE);
    return NULL;
}

static void emit_sse(struct assembler *a, const struct sse_op *op, enum x86_xmm to,
                     struct operand from)
{
    if (op)
        x86_emit(a, op->name, sse_form(op->prefix, op->opcode, RM_LAST), xmm_op(to), from,
                 x86_none);
}

void x86_sse_xx(struct assembler *a, enum x86_sse op, enum x86_xmm to, enum x86_xmm from)
{
    emit_sse(a, sse_op(a, op), to, xmm_op(from));
}

void x86_sse_xm(struct assembler *a, enum x86_sse op, enum x86_xmm to, struct x86_mem from)
{
    emit_sse(a, sse_op(a, op), to, mem_op(8, from));
}

void x86_bits_xx(struct assembler *a, enum x86_bits op, enum x86_xmm to, enum x86_xmm from)
{
    emit_sse(a, bits_op(a, op), to, xmm_op(from));
}

void x86_bits_xm(struct assembler *a, enum x86_bits op, enum x86_xmm to, struct x86_mem from)
{
    emit_sse(a, bits_op(a, op), to, mem_op(16, from));
}

static void cvtsi2sd(struct assembler *a, enum x86_width w, enum x86_xmm to, struct operand from)
{
    if (!x86_width_in(a, w, WIDTHS_LONG))
        return;
    struct form form = sse_form(0xf2, 0x2a, RM_LAST);
    x86_bits_xx(a, X86_XORPD, to, to);
    x86_emit(a, "cvtsi2sd", w == X86_W64 ? wide(form) : form, xmm_op(to), from, x86_none);
}

void x86_cvtsi2sd_xr(struct assembler *a, enum x86_width w, enum x86_xmm to, enum x86_reg from)
{
    cvtsi2sd(a, w, to, reg_op(w, from));
}

void x86_cvtsi2sd_xm(struct assembler *a, enum x86_width w, enum x86_xmm to, struct x86_mem from)
{
    cvtsi2sd(a, w, to, mem_op(w, from));
}

void x86_cvttsd2si_rx(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_xmm from)
{
    struct form form = sse_form(0xf2, 0x2c, RM_LAST);
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "cvttsd2si", w == X86_W64 ? wide(form) : form, reg_op(w, to), xmm_op(from),
                 x86_none);
}

void x86_roundsd_xx(struct assembler *a, enum x86_round mode, enum x86_xmm to, enum x86_xmm from)
{
    if (!(a->features_allowed & X86_SSE41) || mode < X86_NEAREST || mode > X86_TRUNC) {
        asm_fail(a, JITVM_ERR_VALUE);
        return;
    }
    struct form form = {.prefix = 0x66, .opcode = 0x0b, .map = MAP_0F3A};
    a->features_used |= X86_SSE41;
    x86_emit(a, "roundsd", form, xmm_op(to), xmm_op(from), imm_op(1, mode));
}
