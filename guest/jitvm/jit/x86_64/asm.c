/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of x86-64 on integers, and control. */
#include "guest/jitvm/jit/x86_64/encode.h"

#include <cpuid.h>

#include "guest/jitvm/jitvm.h"

/* Of an immediate: signed or unsigned where it is as wide as the operand. */
static bool value_in(struct assembler *a, enum x86_width w, int32_t value)
{
    if (w == X86_W8 ? value >= INT8_MIN && value <= UINT8_MAX
                    : w != X86_W16 || (value >= INT16_MIN && value <= UINT16_MAX))
        return true;
    asm_fail(a, JITVM_ERR_VALUE);
    return false;
}

static unsigned imm_width(enum x86_width w)
{
    return w == X86_W64 ? 4 : w;
}

static bool cond_valid(struct assembler *a, enum x86_cond cond)
{
    if (cond <= X86_G)
        return true;
    asm_fail(a, JITVM_ERR_VALUE);
    return false;
}

/* "j", "set" or "cmov" with the condition. */
struct cond_name {
    char bytes[8];
};

static struct cond_name cond_name(const char *before, enum x86_cond cond)
{
    static const char *const names[] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                        "s", "ns", "p", "np", "l", "ge", "le", "g"};
    struct cond_name out;
    (void)snprintf(out.bytes, sizeof(out.bytes), "%s%s", before, names[cond]);
    return out;
}

/* ---- moves ----------------------------------------------------------------------------------- */

void x86_mov_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "mov", sized(w, 0x88, RM_FIRST), reg_op(w, from), reg_op(w, to), x86_none);
}

void x86_mov_ri(struct assembler *a, enum x86_reg to, int64_t value)
{
    struct form plus = {.opcode = 0xb8, .place = RM_PLUS};
    if (value >= 0 && value <= UINT32_MAX) {
        x86_emit(a, "mov", plus, x86_none, reg_op(X86_W32, to), imm_op(4, value));
    } else if (value >= INT32_MIN && value < 0) {
        x86_emit(a, "mov", sized(X86_W64, 0xc6, RM_FIRST), digit(0), reg_op(X86_W64, to),
                 imm_op(4, value));
    } else {
        plus.wide = true;
        x86_emit(a, "movabs", plus, x86_none, reg_op(X86_W64, to), imm_op(8, value));
    }
}

void x86_zero(struct assembler *a, enum x86_reg to)
{
    x86_alu_rr(a, X86_XOR, X86_W32, to, to);
}

/* movzx of 1 or 2 bytes: writing 32 bits clears the rest. movsx to all 64. */
static void extend(struct assembler *a, bool sign, enum x86_width w, enum x86_reg to,
                   struct operand from)
{
    enum x86_width out = sign ? X86_W64 : X86_W32;
    unsigned opcode = (sign ? 0xbe : 0xb6) | (w == X86_W16);
    x86_emit(a, sign ? "movsx" : "movzx", sized_0f(out, opcode, RM_LAST), reg_op(out, to), from,
             x86_none);
}

static void extend_long(struct assembler *a, enum x86_reg to, struct operand from)
{
    x86_emit(a, "movsxd", (struct form){.opcode = 0x63, .wide = true}, reg_op(X86_W64, to), from,
             x86_none);
}

void x86_mov_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from)
{
    if (!x86_width_in(a, w, WIDTHS_ALL))
        return;
    if (w == X86_W8 || w == X86_W16)
        extend(a, false, w, to, mem_op(w, from));
    else
        x86_emit(a, "mov", sized(w, 0x8a, RM_LAST), reg_op(w, to), mem_op(w, from), x86_none);
}

void x86_movsx_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from)
{
    if (!x86_width_in(a, w, X86_W8 | X86_W16 | X86_W32))
        return;
    if (w == X86_W32)
        extend_long(a, to, mem_op(w, from));
    else
        extend(a, true, w, to, mem_op(w, from));
}

void x86_movzx_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from)
{
    if (x86_width_in(a, w, X86_W8 | X86_W16))
        extend(a, false, w, to, reg_op(w, from));
}

void x86_movsx_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from)
{
    if (!x86_width_in(a, w, X86_W8 | X86_W16 | X86_W32))
        return;
    if (w == X86_W32)
        extend_long(a, to, reg_op(w, from));
    else
        extend(a, true, w, to, reg_op(w, from));
}

void x86_mov_mr(struct assembler *a, enum x86_width w, struct x86_mem to, enum x86_reg from)
{
    if (x86_width_in(a, w, WIDTHS_ALL))
        x86_emit(a, "mov", sized(w, 0x88, RM_FIRST), reg_op(w, from), mem_op(w, to), x86_none);
}

void x86_mov_mi(struct assembler *a, enum x86_width w, struct x86_mem to, int32_t value)
{
    if (x86_width_in(a, w, WIDTHS_ALL) && value_in(a, w, value))
        x86_emit(a, "mov", sized(w, 0xc6, RM_FIRST), digit(0), mem_op(w, to),
                 imm_op(imm_width(w), value));
}

void x86_lea(struct assembler *a, enum x86_reg to, struct x86_mem address)
{
    x86_emit(a, "lea", (struct form){.opcode = 0x8d, .wide = true}, reg_op(X86_W64, to),
             mem_op(0, address), x86_none);
}

void x86_xchg_rr(struct assembler *a, enum x86_width w, enum x86_reg one, enum x86_reg other)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "xchg", sized(w, 0x86, RM_FIRST), reg_op(w, other), reg_op(w, one), x86_none);
}

static void cmov(struct assembler *a, enum x86_cond cond, enum x86_width w, enum x86_reg to,
                 struct operand from)
{
    if (x86_width_in(a, w, WIDTHS_LONG) && cond_valid(a, cond))
        x86_emit(a, cond_name("cmov", cond).bytes, sized_0f(w, 0x40 + cond, RM_LAST), reg_op(w, to),
                 from, x86_none);
}

void x86_cmov_rr(struct assembler *a, enum x86_cond cond, enum x86_width w, enum x86_reg to,
                 enum x86_reg from)
{
    cmov(a, cond, w, to, reg_op(w, from));
}

void x86_cmov_rm(struct assembler *a, enum x86_cond cond, enum x86_width w, enum x86_reg to,
                 struct x86_mem from)
{
    cmov(a, cond, w, to, mem_op(w, from));
}

static void setcc(struct assembler *a, enum x86_cond cond, struct operand to)
{
    if (cond_valid(a, cond))
        x86_emit(a, cond_name("set", cond).bytes, sized_0f(X86_W8, 0x90 + cond, RM_FIRST), digit(0),
                 to, x86_none);
}

void x86_setcc_r(struct assembler *a, enum x86_cond cond, enum x86_reg to)
{
    setcc(a, cond, reg_op(X86_W8, to));
}

void x86_setcc_m(struct assembler *a, enum x86_cond cond, struct x86_mem to)
{
    setcc(a, cond, mem_op(X86_W8, to));
}

void x86_push_r(struct assembler *a, enum x86_reg reg)
{
    x86_emit(a, "push", (struct form){.opcode = 0x50, .place = RM_PLUS}, x86_none,
             reg_op(X86_W64, reg), x86_none);
}

void x86_push_m(struct assembler *a, struct x86_mem from)
{
    x86_emit(a, "push", (struct form){.opcode = 0xff}, digit(6), mem_op(X86_W64, from), x86_none);
}

void x86_pop_r(struct assembler *a, enum x86_reg reg)
{
    x86_emit(a, "pop", (struct form){.opcode = 0x58, .place = RM_PLUS}, x86_none,
             reg_op(X86_W64, reg), x86_none);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static const char *alu_name(enum x86_alu op)
{
    static const char *const names[] = {"add", "or", NULL, NULL, "and", "sub", "xor", "cmp"};
    return op <= X86_CMP ? names[op] : NULL;
}

static bool alu_valid(struct assembler *a, enum x86_alu op, enum x86_width w)
{
    if (!alu_name(op))
        asm_fail(a, JITVM_ERR_VALUE);
    return x86_width_in(a, w, WIDTHS_ALU) && alu_name(op);
}

void x86_alu_rr(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                enum x86_reg from)
{
    if (alu_valid(a, op, w))
        x86_emit(a, alu_name(op), sized(w, (unsigned)op << 3, RM_FIRST), reg_op(w, from),
                 reg_op(w, to), x86_none);
}

void x86_alu_rm(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                struct x86_mem from)
{
    if (alu_valid(a, op, w))
        x86_emit(a, alu_name(op), sized(w, (unsigned)op << 3 | 2, RM_LAST), reg_op(w, to),
                 mem_op(w, from), x86_none);
}

void x86_alu_mr(struct assembler *a, enum x86_alu op, enum x86_width w, struct x86_mem to,
                enum x86_reg from)
{
    if (alu_valid(a, op, w))
        x86_emit(a, alu_name(op), sized(w, (unsigned)op << 3, RM_FIRST), reg_op(w, from),
                 mem_op(w, to), x86_none);
}

static void alu_imm(struct assembler *a, enum x86_alu op, enum x86_width w, struct operand to,
                    int32_t value)
{
    bool small = w != X86_W8 && fits_i8(value);
    struct form form = sized(w, 0x80, RM_FIRST);
    if (small)
        form.opcode = 0x83;
    else if (to.kind == OP_REG && to.reg == X86_RAX)
        form = sized(w, (unsigned)op << 3 | 4, RM_FIXED);
    x86_emit(a, alu_name(op), form, form.place == RM_FIXED ? x86_none : digit(op), to,
             imm_op(small ? 1 : imm_width(w), value));
}

void x86_alu_ri(struct assembler *a, enum x86_alu op, enum x86_width w, enum x86_reg to,
                int32_t value)
{
    if (alu_valid(a, op, w) && value_in(a, w, value))
        alu_imm(a, op, w, reg_op(w, to), value);
}

void x86_alu_mi(struct assembler *a, enum x86_alu op, enum x86_width w, struct x86_mem to,
                int32_t value)
{
    if (alu_valid(a, op, w) && value_in(a, w, value))
        alu_imm(a, op, w, mem_op(w, to), value);
}

void x86_test_rr(struct assembler *a, enum x86_width w, enum x86_reg one, enum x86_reg other)
{
    if (x86_width_in(a, w, WIDTHS_ALU))
        x86_emit(a, "test", sized(w, 0x84, RM_FIRST), reg_op(w, other), reg_op(w, one), x86_none);
}

void x86_test_ri(struct assembler *a, enum x86_width w, enum x86_reg reg, int32_t value)
{
    if (!x86_width_in(a, w, WIDTHS_ALU) || !value_in(a, w, value))
        return;
    bool fixed = reg == X86_RAX;
    x86_emit(a, "test", fixed ? sized(w, 0xa8, RM_FIXED) : sized(w, 0xf6, RM_FIRST), digit(0),
             reg_op(w, reg), imm_op(imm_width(w), value));
}

void x86_test_mr(struct assembler *a, enum x86_width w, struct x86_mem mem, enum x86_reg reg)
{
    if (x86_width_in(a, w, WIDTHS_ALU))
        x86_emit(a, "test", sized(w, 0x84, RM_FIRST), reg_op(w, reg), mem_op(w, mem), x86_none);
}

void x86_test_mi(struct assembler *a, enum x86_width w, struct x86_mem mem, int32_t value)
{
    if (x86_width_in(a, w, WIDTHS_ALU) && value_in(a, w, value))
        x86_emit(a, "test", sized(w, 0xf6, RM_FIRST), digit(0), mem_op(w, mem),
                 imm_op(imm_width(w), value));
}

/* A number of bits, below the width. */
static bool bits_in(struct assembler *a, enum x86_width w, unsigned bits)
{
    if (bits < 8 * (unsigned)w)
        return true;
    asm_fail(a, JITVM_ERR_VALUE);
    return false;
}

void x86_bt_ri(struct assembler *a, enum x86_width w, enum x86_reg reg, unsigned bit)
{
    if (x86_width_in(a, w, WIDTHS_LONG) && bits_in(a, w, bit))
        x86_emit(a, "bt", sized_0f(w, 0xba, RM_FIRST), digit(4), reg_op(w, reg), imm_op(1, bit));
}

void x86_bt_rr(struct assembler *a, enum x86_width w, enum x86_reg reg, enum x86_reg bit)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "bt", sized_0f(w, 0xa3, RM_FIRST), reg_op(w, bit), reg_op(w, reg), x86_none);
}

static void unary(struct assembler *a, enum x86_unary op, enum x86_width w, struct operand operand)
{
    static const char *const names[] = {
        [X86_NOT] = "not", [X86_NEG] = "neg", [X86_INC] = "inc", [X86_DEC] = "dec"};
    if (!x86_width_in(a, w, WIDTHS_ALU))
        return;
    if (op > X86_DEC || !names[op])
        asm_fail(a, JITVM_ERR_VALUE);
    else
        x86_emit(a, names[op], sized(w, op >= X86_INC ? 0xfe : 0xf6, RM_FIRST), digit(op & 7),
                 operand, x86_none);
}

void x86_unary_r(struct assembler *a, enum x86_unary op, enum x86_width w, enum x86_reg reg)
{
    unary(a, op, w, reg_op(w, reg));
}

void x86_unary_m(struct assembler *a, enum x86_unary op, enum x86_width w, struct x86_mem mem)
{
    unary(a, op, w, mem_op(w, mem));
}

void x86_imul_rr(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "imul", sized_0f(w, 0xaf, RM_LAST), reg_op(w, to), reg_op(w, from), x86_none);
}

void x86_imul_rm(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "imul", sized_0f(w, 0xaf, RM_LAST), reg_op(w, to), mem_op(w, from), x86_none);
}

static void imul_imm(struct assembler *a, enum x86_width w, enum x86_reg to, struct operand from,
                     int32_t value)
{
    bool small = fits_i8(value);
    struct form form = {.opcode = small ? 0x6b : 0x69, .wide = w == X86_W64};
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "imul", form, reg_op(w, to), from, imm_op(small ? 1 : 4, value));
}

void x86_imul_rri(struct assembler *a, enum x86_width w, enum x86_reg to, enum x86_reg from,
                  int32_t value)
{
    imul_imm(a, w, to, reg_op(w, from), value);
}

void x86_imul_rmi(struct assembler *a, enum x86_width w, enum x86_reg to, struct x86_mem from,
                  int32_t value)
{
    imul_imm(a, w, to, mem_op(w, from), value);
}

void x86_idiv_r(struct assembler *a, enum x86_width w, enum x86_reg reg)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "idiv", sized(w, 0xf6, RM_FIRST), digit(7), reg_op(w, reg), x86_none);
}

void x86_idiv_m(struct assembler *a, enum x86_width w, struct x86_mem mem)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        x86_emit(a, "idiv", sized(w, 0xf6, RM_FIRST), digit(7), mem_op(w, mem), x86_none);
}

static void shift(struct assembler *a, enum x86_shift op, enum x86_width w, unsigned opcode,
                  enum x86_reg reg, struct operand bits)
{
    static const char *const names[] = {[X86_SHL] = "shl", [X86_SHR] = "shr", [X86_SAR] = "sar"};
    if (op > X86_SAR || !names[op])
        asm_fail(a, JITVM_ERR_VALUE);
    else
        x86_emit(a, names[op], sized(w, opcode, RM_FIRST), digit(op), reg_op(w, reg), bits);
}

void x86_shift_ri(struct assembler *a, enum x86_shift op, enum x86_width w, enum x86_reg reg,
                  unsigned bits)
{
    /* By one there is an opcode of its own, whose operand is only text. */
    if (x86_width_in(a, w, WIDTHS_LONG) && bits_in(a, w, bits))
        shift(a, op, w, bits == 1 ? 0xd0 : 0xc0, reg, imm_op(bits != 1, bits));
}

void x86_shift_rcl(struct assembler *a, enum x86_shift op, enum x86_width w, enum x86_reg reg)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        shift(a, op, w, 0xd2, reg, (struct operand){.kind = OP_CL});
}

/* ---- control --------------------------------------------------------------------------------- */

/* Instructions without operands, and padding. */
static void plain(struct assembler *a, const char *name, const void *bytes, size_t len)
{
    uint32_t at = asm_position(a);
    asm_append(a, bytes, len);
    asm_note(a, at, name);
}

void x86_cqo(struct assembler *a, enum x86_width w)
{
    if (x86_width_in(a, w, WIDTHS_LONG))
        plain(a, w == X86_W64 ? "cqo" : "cdq", w == X86_W64 ? "\x48\x99" : "\x99",
              w == X86_W64 ? 2 : 1);
}

void x86_ret(struct assembler *a)
{
    plain(a, "ret", "\xc3", 1);
}

void x86_ud2(struct assembler *a)
{
    plain(a, "ud2", "\x0f\x0b", 2);
}

void x86_int3(struct assembler *a)
{
    plain(a, "int3", "\xcc", 1);
}

/* The nops that the manuals recommend, by length. */
static void nop(struct assembler *a, unsigned len)
{
    static const char *const nops[] = {
        "",
        "\x90",
        "\x66\x90",
        "\x0f\x1f\x00",
        "\x0f\x1f\x40\x00",
        "\x0f\x1f\x44\x00\x00",
        "\x66\x0f\x1f\x44\x00\x00",
        "\x0f\x1f\x80\x00\x00\x00\x00",
        "\x0f\x1f\x84\x00\x00\x00\x00\x00",
    };
    plain(a, "nop", nops[len], len);
}

void x86_align(struct assembler *a, unsigned to)
{
    if (!to || to > ASM_ALIGN || (to & (to - 1))) {
        asm_fail(a, JITVM_ERR_VALUE);
        return;
    }
    unsigned left = -asm_position(a) & (to - 1);
    for (; left > 8; left -= 8)
        nop(a, 8);
    if (left)
        nop(a, left);
}

/* The distance of a label behind, seen from the end of a jump of two bytes, if one byte holds it.
 */
static bool near(const struct assembler *a, struct asm_label to, int8_t *distance)
{
    if (!asm_bound(a, to))
        return false;
    int64_t far = (int64_t)asm_offset(a, to) - ((int64_t)asm_position(a) + 2);
    *distance = (int8_t)far;
    return fits_i8(far);
}

static void jump_near(struct assembler *a, unsigned opcode, int8_t distance)
{
    uint8_t bytes[2] = {(uint8_t)opcode, (uint8_t)distance};
    asm_append(a, bytes, sizeof(bytes));
}

/* `opcode` has one byte or two; the distance follows it. */
static void jump_far(struct assembler *a, const char *opcode, size_t len, struct asm_label to)
{
    static const uint8_t distance[4];
    asm_append(a, opcode, len);
    uint32_t at = asm_position(a);
    asm_append(a, distance, sizeof(distance));
    asm_refer(a, at, at + 4, to);
}

static void note_label(struct assembler *a, uint32_t at, const char *name, struct asm_label label)
{
    if (!a->listing)
        return;
    char text[ASM_LABEL_TEXT], whole[ASM_LABEL_TEXT + 16];
    asm_label_text(a, label, text);
    (void)snprintf(whole, sizeof(whole), "%s %s", name, text);
    asm_note(a, at, whole);
}

void x86_jmp(struct assembler *a, struct asm_label to)
{
    uint32_t at = asm_position(a);
    int8_t distance;
    if (near(a, to, &distance))
        jump_near(a, 0xeb, distance);
    else
        jump_far(a, "\xe9", 1, to);
    note_label(a, at, "jmp", to);
}

void x86_jcc(struct assembler *a, enum x86_cond cond, struct asm_label to)
{
    if (!cond_valid(a, cond))
        return;
    uint32_t at = asm_position(a);
    int8_t distance;
    if (near(a, to, &distance))
        jump_near(a, 0x70 + cond, distance);
    else
        jump_far(a, (char[]){0x0f, (char)(0x80 + cond)}, 2, to);
    note_label(a, at, cond_name("j", cond).bytes, to);
}

void x86_call(struct assembler *a, struct asm_label to)
{
    uint32_t at = asm_position(a);
    jump_far(a, "\xe8", 1, to);
    note_label(a, at, "call", to);
}

void x86_jmp_r(struct assembler *a, enum x86_reg to)
{
    x86_emit(a, "jmp", (struct form){.opcode = 0xff}, digit(4), reg_op(X86_W64, to), x86_none);
}

void x86_jmp_m(struct assembler *a, struct x86_mem to)
{
    x86_emit(a, "jmp", (struct form){.opcode = 0xff}, digit(4), mem_op(X86_W64, to), x86_none);
}

void x86_call_r(struct assembler *a, enum x86_reg to)
{
    x86_emit(a, "call", (struct form){.opcode = 0xff}, digit(2), reg_op(X86_W64, to), x86_none);
}

void x86_call_m(struct assembler *a, struct x86_mem to)
{
    x86_emit(a, "call", (struct form){.opcode = 0xff}, digit(2), mem_op(X86_W64, to), x86_none);
}

uint32_t x86_features(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return 0;
    return ecx & bit_SSE4_1 ? X86_SSE41 : 0;
}
