/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assembler: its bytes and its texts beside those of the GNU assembler (asm_x86_64.inc, made by
 * asm_table.sh), labels, the pool, errors. That code runs is shown in test_jit_code.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/jit/x86_64/asm.h"
#include "guest/jitvm/jitvm.h"

/* ---- every form, with many operands ---------------------------------------------------------- */

static const struct row {
    const char *text, *bytes;
} table[] = {
#include "tests/jitvm/asm_x86_64.inc"
};

/* Registers and addresses are dealt in turn, so that all of them meet all kinds of forms. */
struct dealer {
    struct assembler a;
    unsigned reg, other, mem;
};

static enum x86_reg next_reg(struct dealer *d)
{
    d->reg += 5;
    return (enum x86_reg)(d->reg & 15);
}

/* Dealt from another pack: arguments are evaluated in whatever order the compiler likes. */
static enum x86_reg other_reg(struct dealer *d)
{
    d->other += 7;
    return (enum x86_reg)(d->other & 15);
}

static enum x86_xmm next_xmm(struct dealer *d)
{
    return (enum x86_xmm)next_reg(d);
}

static enum x86_xmm other_xmm(struct dealer *d)
{
    return (enum x86_xmm)other_reg(d);
}

/* All bases, those with an encoding of their own (rsp, rbp, r12, r13) with all distances. */
static const int32_t distances[] = {0, 8, -8, 127, -128, 128, -129, 0x12345678, INT32_MIN};

static struct x86_mem mem_number(unsigned n)
{
    static const unsigned scales[] = {1, 2, 4, 8};
    int32_t disp = distances[n % 9];
    enum x86_reg base = (enum x86_reg)(n / 2 % 16);
    enum x86_reg index = (enum x86_reg)((n * 3 + n / 16) % 16);
    if (n % 2 && index != X86_RSP)
        return x86_at_index(base, index, scales[n / 3 % 4], disp);
    return x86_at(base, disp);
}

static struct x86_mem next_mem(struct dealer *d)
{
    return mem_number(d->mem++);
}

static const enum x86_width alu_widths[] = {X86_W8, X86_W32, X86_W64};
static const enum x86_width all_widths[] = {X86_W8, X86_W16, X86_W32, X86_W64};
static const enum x86_width long_widths[] = {X86_W32, X86_W64};
static const int32_t numbers[] = {0, 1, -1, 100, 127, -128};
static const int32_t large[] = {128, -129, 0x12345678, INT32_MIN, INT32_MAX};

#define EACH(name, array)                                                                          \
    for (size_t name##_at = 0; name##_at < sizeof(array) / sizeof((array)[0]); name##_at++)
#define OF(name, array) ((array)[name##_at])
#define TIMES(n)        for (unsigned times = 0; times < (n); times++)

static void moves_between_registers(struct dealer *d)
{
    struct assembler *a = &d->a;
    EACH(w, long_widths)
    TIMES(16) x86_mov_rr(a, OF(w, long_widths), next_reg(d), (enum x86_reg)times);
    TIMES(16) x86_mov_ri(a, (enum x86_reg)times, 0x12345678);
    TIMES(16) x86_mov_ri(a, (enum x86_reg)times, -2);
    TIMES(16) x86_mov_ri(a, (enum x86_reg)times, 0x123456789abcdef0);
    static const int64_t edges[] = {0,
                                    1,
                                    INT32_MAX,
                                    UINT32_MAX,
                                    INT32_MIN,
                                    INT64_MIN,
                                    (int64_t)1 << 32,
                                    INT64_MAX,
                                    -1,
                                    4095,
                                    (int64_t)INT32_MIN - 1};
    EACH(e, edges) x86_mov_ri(a, next_reg(d), OF(e, edges));
    TIMES(16) x86_zero(a, (enum x86_reg)times);
    TIMES(16) x86_movzx_rr(a, X86_W8, next_reg(d), (enum x86_reg)times);
    TIMES(16) x86_movzx_rr(a, X86_W16, next_reg(d), (enum x86_reg)times);
    TIMES(16) x86_movsx_rr(a, X86_W8, next_reg(d), (enum x86_reg)times);
    TIMES(4) x86_movsx_rr(a, X86_W16, next_reg(d), other_reg(d));
    TIMES(4) x86_movsx_rr(a, X86_W32, next_reg(d), other_reg(d));
    EACH(w, long_widths)
    TIMES(8)
    x86_xchg_rr(a, OF(w, long_widths), (enum x86_reg)(1 + times), (enum x86_reg)(15 - times));
    TIMES(16) x86_push_r(a, (enum x86_reg)times);
    TIMES(16) x86_pop_r(a, (enum x86_reg)times);
    TIMES(16) x86_setcc_r(a, (enum x86_cond)times, (enum x86_reg)times);
    EACH(w, long_widths)
    TIMES(16) x86_cmov_rr(a, (enum x86_cond)times, OF(w, long_widths), next_reg(d), other_reg(d));
}

static void moves_to_and_from_memory(struct dealer *d)
{
    struct assembler *a = &d->a;
    /* As many as there are different ones before they repeat. */
    TIMES(144) x86_mov_rm(a, X86_W64, next_reg(d), next_mem(d));
    EACH(w, all_widths)
    TIMES(17) x86_mov_rm(a, OF(w, all_widths), (enum x86_reg)(times & 15), next_mem(d));
    EACH(w, all_widths)
    TIMES(17) x86_mov_mr(a, OF(w, all_widths), next_mem(d), (enum x86_reg)(times & 15));
    TIMES(5) x86_movsx_rm(a, X86_W8, next_reg(d), next_mem(d));
    TIMES(5) x86_movsx_rm(a, X86_W16, next_reg(d), next_mem(d));
    TIMES(5) x86_movsx_rm(a, X86_W32, next_reg(d), next_mem(d));
    TIMES(33) x86_lea(a, next_reg(d), next_mem(d));
    EACH(w, all_widths)
    EACH(n, numbers) x86_mov_mi(a, OF(w, all_widths), next_mem(d), OF(n, numbers));
    EACH(n, large) x86_mov_mi(a, X86_W64, next_mem(d), OF(n, large));
    x86_mov_mi(a, X86_W8, next_mem(d), 255);
    x86_mov_mi(a, X86_W16, next_mem(d), 65535);
    TIMES(16) x86_setcc_m(a, (enum x86_cond)times, next_mem(d));
    TIMES(16) x86_cmov_rm(a, (enum x86_cond)times, X86_W64, next_reg(d), next_mem(d));
    TIMES(5) x86_cmov_rm(a, X86_E, X86_W32, next_reg(d), next_mem(d));
    TIMES(17) x86_push_m(a, next_mem(d));
}

static void alu_of(struct dealer *d, enum x86_alu op, enum x86_width w, unsigned times_each)
{
    struct assembler *a = &d->a;
    TIMES(times_each) x86_alu_rr(a, op, w, (enum x86_reg)times, next_reg(d));
    TIMES(5) x86_alu_rm(a, op, w, next_reg(d), next_mem(d));
    TIMES(5) x86_alu_mr(a, op, w, next_mem(d), next_reg(d));
    EACH(n, numbers) x86_alu_ri(a, op, w, next_reg(d), OF(n, numbers));
    EACH(n, numbers) x86_alu_mi(a, op, w, next_mem(d), OF(n, numbers));
    x86_alu_ri(a, op, w, X86_RAX, 5);
    if (w == X86_W8)
        return;
    EACH(n, large) x86_alu_ri(a, op, w, next_reg(d), OF(n, large));
    x86_alu_ri(a, op, w, X86_RAX, 1000);
    x86_alu_mi(a, op, w, next_mem(d), -1000);
}

static void arithmetic(struct dealer *d)
{
    static const enum x86_alu ops[] = {X86_ADD, X86_OR, X86_AND, X86_SUB, X86_XOR, X86_CMP};
    EACH(op, ops) EACH(w, alu_widths) alu_of(d, OF(op, ops), OF(w, alu_widths), op_at ? 4 : 16);
    struct assembler *a = &d->a;
    EACH(w, alu_widths)
    {
        enum x86_width w = OF(w, alu_widths);
        TIMES(16) x86_test_rr(a, w, (enum x86_reg)times, next_reg(d));
        TIMES(16) x86_test_ri(a, w, (enum x86_reg)times, 100);
        TIMES(5) x86_test_mr(a, w, next_mem(d), next_reg(d));
        TIMES(5) x86_test_mi(a, w, next_mem(d), -3);
    }
}

static void one_operand(struct dealer *d)
{
    static const enum x86_unary ops[] = {X86_NOT, X86_NEG, X86_INC, X86_DEC};
    EACH(op, ops) EACH(w, alu_widths)
    {
        TIMES(16) x86_unary_r(&d->a, OF(op, ops), OF(w, alu_widths), (enum x86_reg)times);
        TIMES(3) x86_unary_m(&d->a, OF(op, ops), OF(w, alu_widths), next_mem(d));
    }
}

static void multiplication_and_shifts(struct dealer *d, enum x86_width w)
{
    static const enum x86_shift shifts[] = {X86_SHL, X86_SHR, X86_SAR};
    struct assembler *a = &d->a;
    TIMES(16) x86_imul_rr(a, w, (enum x86_reg)times, next_reg(d));
    TIMES(5) x86_imul_rm(a, w, next_reg(d), next_mem(d));
    EACH(n, numbers) x86_imul_rri(a, w, next_reg(d), other_reg(d), OF(n, numbers));
    EACH(n, large) x86_imul_rri(a, w, next_reg(d), other_reg(d), OF(n, large));
    EACH(n, large) x86_imul_rmi(a, w, next_reg(d), next_mem(d), OF(n, large));
    x86_imul_rmi(a, w, next_reg(d), next_mem(d), 3);
    TIMES(16) x86_idiv_r(a, w, (enum x86_reg)times);
    TIMES(5) x86_idiv_m(a, w, next_mem(d));
    x86_cqo(a, w);
    TIMES(5) x86_bt_ri(a, w, next_reg(d), times * 7);
    TIMES(5) x86_bt_rr(a, w, next_reg(d), other_reg(d));
    EACH(s, shifts)
    {
        TIMES(16) x86_shift_ri(a, OF(s, shifts), w, (enum x86_reg)times, times);
        TIMES(5) x86_shift_rcl(a, OF(s, shifts), w, next_reg(d));
    }
}

static void control(struct dealer *d)
{
    struct assembler *a = &d->a;
    TIMES(16) x86_jmp_r(a, (enum x86_reg)times);
    TIMES(16) x86_call_r(a, (enum x86_reg)times);
    TIMES(17) x86_jmp_m(a, next_mem(d));
    TIMES(17) x86_call_m(a, next_mem(d));
    x86_ret(a);
    x86_ud2(a);
    x86_int3(a);
}

static void floating_moves(struct dealer *d)
{
    struct assembler *a = &d->a;
    TIMES(17) x86_movsd_xm(a, next_xmm(d), next_mem(d));
    TIMES(17) x86_movsd_mx(a, next_mem(d), next_xmm(d));
    TIMES(17) x86_movups_xm(a, next_xmm(d), next_mem(d));
    TIMES(17) x86_movups_mx(a, next_mem(d), next_xmm(d));
    TIMES(16) x86_movapd_xx(a, (enum x86_xmm)times, next_xmm(d));
    TIMES(16) x86_movq_xr(a, (enum x86_xmm)times, next_reg(d));
    TIMES(16) x86_movq_rx(a, (enum x86_reg)times, next_xmm(d));
}

static void floating_arithmetic(struct dealer *d)
{
    struct assembler *a = &d->a;
    for (enum x86_sse op = X86_SQRTSD; op <= X86_UCOMISD; op++) {
        TIMES(8) x86_sse_xx(a, op, next_xmm(d), other_xmm(d));
        TIMES(8) x86_sse_xm(a, op, next_xmm(d), next_mem(d));
    }
    for (enum x86_bits op = X86_ANDPD; op <= X86_PXOR; op++) {
        TIMES(4) x86_bits_xx(a, op, next_xmm(d), other_xmm(d));
        TIMES(4) x86_bits_xm(a, op, next_xmm(d), next_mem(d));
    }
    EACH(w, long_widths)
    {
        TIMES(16) x86_cvtsi2sd_xr(a, OF(w, long_widths), (enum x86_xmm)times, next_reg(d));
        TIMES(5) x86_cvtsi2sd_xm(a, OF(w, long_widths), next_xmm(d), next_mem(d));
        TIMES(16) x86_cvttsd2si_rx(a, OF(w, long_widths), next_reg(d), (enum x86_xmm)times);
    }
    for (enum x86_round mode = X86_NEAREST; mode <= X86_TRUNC; mode++)
        TIMES(4) x86_roundsd_xx(a, mode, next_xmm(d), other_xmm(d));
}

static void every_form(struct dealer *d)
{
    moves_between_registers(d);
    moves_to_and_from_memory(d);
    arithmetic(d);
    one_operand(d);
    EACH(w, long_widths) multiplication_and_shifts(d, OF(w, long_widths));
    control(d);
    floating_moves(d);
    floating_arithmetic(d);
}

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    *out = 0;
    for (size_t i = 0; i < len; i++)
        out += snprintf(out, 3, "%02x", bytes[i]);
}

Test(jit_asm, every_form_has_the_bytes_and_text_of_the_gnu_assembler)
{
    struct dealer d = {.reg = 0};
    asm_init(&d.a, X86_SSE41, true);
    every_form(&d);
    cr_assert_eq(asm_finish(&d.a), 0);
    size_t rows = sizeof(table) / sizeof(table[0]);
    for (size_t i = 0; i < d.a.line_count && i < rows; i++) {
        const struct asm_line *line = &d.a.lines[i];
        char bytes[40];
        hex(d.a.bytes + line->offset, line->len, bytes);
        cr_assert_str_eq(d.a.text + line->text, table[i].text, "row %zu", i);
        cr_assert_str_eq(bytes, table[i].bytes, "row %zu: %s", i, table[i].text);
    }
    cr_assert_eq(d.a.line_count, rows);
    asm_free(&d.a);
}

Test(jit_asm, the_bytes_are_the_same_without_a_listing)
{
    struct dealer with = {.reg = 0}, without = {.reg = 0};
    asm_init(&with.a, X86_SSE41, true);
    asm_init(&without.a, X86_SSE41, false);
    every_form(&with);
    every_form(&without);
    cr_assert_eq(with.a.len, without.a.len);
    cr_assert_arr_eq(with.a.bytes, without.a.bytes, with.a.len);
    cr_assert_null(without.a.text);
    cr_assert_null(without.a.lines);
    asm_free(&with.a);
    asm_free(&without.a);
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* What is emitted before, behind a label: so many bytes. */
static void emit_bytes(struct assembler *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        x86_int3(a);
}

static void expect_tail(const struct assembler *a, const char *expected)
{
    char bytes[64];
    size_t len = strlen(expected) / 2;
    cr_assert_geq(a->len, len);
    hex(a->bytes + a->len - len, len, bytes);
    cr_assert_str_eq(bytes, expected);
}

Test(jit_asm, a_jump_back_is_short_as_far_as_one_byte_reaches)
{
    static const struct {
        unsigned between;
        const char *jmp, *jcc;
    } rows[] = {
        {0, "ebfe", "74fe"},
        {126, "eb80", "7480"},
        {127, "e97cffffff", "0f847bffffff"},
    };
    for (size_t i = 0; i < 3; i++) {
        for (int conditional = 0; conditional < 2; conditional++) {
            struct assembler a;
            asm_init(&a, 0, false);
            struct asm_label back = asm_here(&a);
            emit_bytes(&a, rows[i].between);
            if (conditional)
                x86_jcc(&a, X86_E, back);
            else
                x86_jmp(&a, back);
            cr_assert_eq(asm_finish(&a), 0);
            expect_tail(&a, conditional ? rows[i].jcc : rows[i].jmp);
            asm_free(&a);
        }
    }
}

Test(jit_asm, a_jump_ahead_and_a_call_are_filled_in_at_the_end)
{
    struct assembler a;
    asm_init(&a, 0, false);
    struct asm_label ahead = asm_label_new(&a);
    x86_jmp(&a, ahead);
    x86_jcc(&a, X86_NE, ahead);
    x86_call(&a, ahead);
    x86_lea(&a, X86_R9, x86_at_label(ahead));
    cr_assert_not(asm_bound(&a, ahead));
    asm_bind(&a, ahead);
    cr_assert_eq(asm_offset(&a, ahead), 23);
    cr_assert_eq(asm_finish(&a), 0);
    expect_tail(&a, "e912000000"
                    "0f850c000000"
                    "e807000000"
                    "4c8d0d00000000");
    asm_free(&a);
}

Test(jit_asm, the_pool_is_aligned_shared_and_reached_past_an_immediate)
{
    struct assembler a;
    asm_init(&a, 0, false);
    struct asm_label eight = asm_constant(&a, 8);
    struct asm_label pair = asm_constant_pair(&a, 1, 2);
    cr_assert_eq(asm_constant(&a, 8).id, eight.id);
    cr_assert_eq(asm_constant_float(&a, 1.0).id, asm_constant(&a, UINT64_C(0x3ff) << 52).id);
    cr_assert_neq(asm_constant_pair(&a, 8, 0).id, eight.id);
    x86_alu_mi(&a, X86_CMP, X86_W32, x86_at_label(eight), 1000);
    cr_assert_eq(asm_finish(&a), 0);
    cr_assert_eq(asm_offset(&a, pair), 16);
    cr_assert_eq(asm_offset(&a, eight), 48);
    cr_assert_eq(a.len, 64);
    uint8_t distance = 48 - 10;
    cr_assert_eq(a.bytes[2], distance);
    asm_free(&a);
}

Test(jit_asm, padding_is_made_of_nops)
{
    struct assembler a;
    asm_init(&a, 0, false);
    for (unsigned before = 1; before <= 16; before++) {
        asm_reset(&a);
        emit_bytes(&a, before);
        x86_align(&a, 16);
        cr_assert_eq(a.len, 16);
        cr_assert(before == 16 || a.bytes[before] != 0xcc);
    }
    cr_assert_eq(asm_finish(&a), 0);
    asm_free(&a);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void wrong_width(struct assembler *a)
{
    x86_mov_rr(a, X86_W8, X86_RAX, X86_RCX);
}
static void wrong_index(struct assembler *a)
{
    x86_lea(a, X86_RAX, x86_at_index(X86_RAX, X86_RSP, 1, 0));
}
static void wrong_scale(struct assembler *a)
{
    x86_lea(a, X86_RAX, x86_at_index(X86_RAX, X86_RCX, 3, 0));
}
static void wrong_register(struct assembler *a)
{
    x86_push_r(a, (enum x86_reg)16);
}
static void wrong_number(struct assembler *a)
{
    x86_mov_mi(a, X86_W8, x86_at(X86_RAX, 0), 256);
}
static void wrong_shift(struct assembler *a)
{
    x86_shift_ri(a, X86_SHL, X86_W32, X86_RAX, 32);
}
static void feature_not_allowed(struct assembler *a)
{
    x86_roundsd_xx(a, X86_FLOOR, X86_XMM0, X86_XMM0);
}
static void label_not_bound(struct assembler *a)
{
    x86_jmp(a, asm_label_new(a));
}
static void label_bound_twice(struct assembler *a)
{
    asm_bind(a, asm_here(a));
}
static void label_of_nobody(struct assembler *a)
{
    x86_jmp(a, (struct asm_label){77});
}

Test(jit_asm, a_mistake_is_remembered_and_told_at_the_end)
{
    static void (*const mistakes[])(struct assembler *) = {
        wrong_width, wrong_index,         wrong_scale,     wrong_register,    wrong_number,
        wrong_shift, feature_not_allowed, label_not_bound, label_bound_twice, label_of_nobody,
    };
    struct assembler a;
    asm_init(&a, 0, false);
    EACH(m, mistakes)
    {
        asm_reset(&a);
        OF(m, mistakes)(&a);
        x86_ret(&a);
        cr_assert_eq(asm_finish(&a), JITVM_ERR_VALUE, "mistake %zu", m_at);
    }
    asm_reset(&a);
    x86_ret(&a);
    cr_assert_eq(asm_finish(&a), 0, "a reset forgets");
    asm_free(&a);
}

Test(jit_asm, after_running_out_of_memory_all_is_dropped_and_that_is_told)
{
    struct dealer d = {.reg = 0};
    asm_init(&d.a, X86_SSE41, true);
    asm_fail(&d.a, JITVM_ERR_MEMORY);
    every_form(&d);
    struct asm_label label = asm_here(&d.a);
    x86_jmp(&d.a, label);
    x86_movsd_xm(&d.a, X86_XMM0, x86_at_label(asm_constant(&d.a, 1)));
    asm_name(&d.a, label, "lost");
    asm_comment(&d.a, "lost");
    cr_assert_eq(asm_finish(&d.a), JITVM_ERR_MEMORY);
    cr_assert_eq(d.a.len, 0);
    cr_assert_null(d.a.bytes);
    asm_free(&d.a);
}

Test(jit_asm, code_that_is_too_large_is_refused)
{
    struct assembler a;
    asm_init(&a, 0, false);
    static const uint8_t page[4096];
    for (unsigned i = 0; i <= ASM_SIZE_MAX / sizeof(page); i++)
        asm_append(&a, page, sizeof(page));
    cr_assert_eq(asm_finish(&a), JITVM_ERR_LIMIT);
    asm_free(&a);
}

Test(jit_asm, the_features_that_code_uses_are_known)
{
    struct assembler a;
    asm_init(&a, X86_SSE41, false);
    x86_sse_xx(&a, X86_ADDSD, X86_XMM0, X86_XMM1);
    cr_assert_eq(a.features_used, 0);
    x86_roundsd_xx(&a, X86_FLOOR, X86_XMM0, X86_XMM1);
    cr_assert_eq(a.features_used, X86_SSE41);
    asm_reset(&a);
    cr_assert_eq(a.features_used, 0);
    asm_free(&a);
}

/* ---- listing --------------------------------------------------------------------------------- */

Test(jit_asm, a_dump_shows_offsets_bytes_names_comments_and_the_pool)
{
    struct assembler a;
    asm_init(&a, 0, true);
    struct asm_label loop = asm_here(&a), out = asm_label_new(&a);
    asm_name(&a, loop, "loop%d", 1);
    asm_comment(&a, "slot %s", "i");
    x86_unary_r(&a, X86_INC, X86_W64, X86_RAX);
    x86_jcc(&a, X86_E, out);
    x86_jmp(&a, loop);
    asm_bind(&a, out);
    x86_movsd_xm(&a, X86_XMM3, x86_at_label(asm_constant_float(&a, 1.0)));
    cr_assert_eq(asm_finish(&a), 0);
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    cr_assert_not_null(to);
    cr_assert_eq(asm_dump(&a, 0x1000, to), 0);
    fclose(to);
    cr_expect_str_eq(
        text, "loop1:\n"
              "                                                ; slot i\n"
              "    1000  48 ff c0                             inc rax\n"
              "    1003  0f 84 02 00 00 00                    je L1\n"
              "    1009  eb f5                                jmp loop1\n"
              "L1:\n"
              "    100b  f2 0f 10 1d 0d 00 00 00              movsd xmm3, qword ptr [rip+L2]\n"
              "L2:\n"
              "    1020  00 00 00 00 00 00 f0 3f              .quad 0x3ff0000000000000\n");
    free(text);
    asm_free(&a);
}
