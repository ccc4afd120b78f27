/* SPDX-License-Identifier: Apache-2.0 */
/* Small functions, assembled, published and run: that the pieces of the code base fit together. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "guest/jitvm/jit/memory.h"
#include "guest/jitvm/jit/x86_64/asm.h"

struct code {
    struct assembler a;
    struct jit_memory *memory;
};

static void start(struct code *c)
{
    cr_assert_eq(jit_memory_new(1 << 20, &c->memory), 0);
    asm_init(&c->a, x86_features(), false);
}

static void end(struct code *c)
{
    asm_free(&c->a);
    jit_memory_free(c->memory);
}

/* Ends the function and puts its address into *function, a pointer to a function. */
static void finish(struct code *c, void *function)
{
    x86_ret(&c->a);
    cr_assert_eq(asm_finish(&c->a), 0);
    const void *at = jit_memory_publish(c->memory, c->a.bytes, c->a.len, ASM_ALIGN);
    cr_assert_not_null(at);
    memcpy(function, &at, sizeof(at));
    asm_reset(&c->a);
}

Test(jit_code, a_loop_over_memory)
{
    struct code c;
    start(&c);
    struct assembler *a = &c.a;
    struct asm_label done = asm_label_new(a);
    x86_zero(a, X86_RAX);
    x86_zero(a, X86_RCX);
    struct asm_label loop = asm_here(a);
    x86_alu_rr(a, X86_CMP, X86_W64, X86_RCX, X86_RSI);
    x86_jcc(a, X86_GE, done);
    x86_alu_rm(a, X86_ADD, X86_W64, X86_RAX, x86_at_index(X86_RDI, X86_RCX, 8, 0));
    x86_unary_r(a, X86_INC, X86_W64, X86_RCX);
    x86_jmp(a, loop);
    asm_bind(a, done);
    int64_t (*sum)(const int64_t *, int64_t);
    finish(&c, &sum);
    int64_t numbers[] = {1, -20, 300, INT64_C(4) << 40};
    cr_expect_eq(sum(numbers, 4), 281 + (INT64_C(4) << 40));
    cr_expect_eq(sum(numbers, 0), 0);
    end(&c);
}

Test(jit_code, recursion_through_a_call_to_a_label)
{
    struct code c;
    start(&c);
    struct assembler *a = &c.a;
    struct asm_label fib = asm_here(a), small = asm_label_new(a);
    x86_mov_rr(a, X86_W64, X86_RAX, X86_RDI);
    x86_alu_ri(a, X86_CMP, X86_W64, X86_RDI, 2);
    x86_jcc(a, X86_L, small);
    x86_push_r(a, X86_RBX);
    x86_push_r(a, X86_RDI);
    x86_lea(a, X86_RDI, x86_at(X86_RDI, -1));
    x86_call(a, fib);
    x86_mov_rr(a, X86_W64, X86_RBX, X86_RAX);
    x86_pop_r(a, X86_RDI);
    x86_alu_ri(a, X86_SUB, X86_W64, X86_RDI, 2);
    x86_call(a, fib);
    x86_alu_rr(a, X86_ADD, X86_W64, X86_RAX, X86_RBX);
    x86_pop_r(a, X86_RBX);
    asm_bind(a, small);
    int64_t (*function)(int64_t);
    finish(&c, &function);
    cr_expect_eq(function(20), 6765);
    end(&c);
}

Test(jit_code, constants_of_the_pool_are_read)
{
    struct code c;
    start(&c);
    struct assembler *a = &c.a;
    struct asm_label sign = asm_constant_pair(a, UINT64_C(1) << 63, 0);
    x86_sse_xm(a, X86_MULSD, X86_XMM0, x86_at_label(asm_constant_float(a, 2.5)));
    x86_bits_xm(a, X86_XORPD, X86_XMM0, x86_at_label(sign));
    double (*function)(double);
    finish(&c, &function);
    cr_expect_eq(function(4), -10);
    cr_expect(signbit(function(0)));
    end(&c);
}

Test(jit_code, ints_and_floats_are_converted)
{
    struct code c;
    start(&c);
    x86_cvtsi2sd_xr(&c.a, X86_W64, X86_XMM0, X86_RDI);
    double (*to_float)(int64_t);
    finish(&c, &to_float);
    x86_cvttsd2si_rx(&c.a, X86_W64, X86_RAX, X86_XMM0);
    int64_t (*to_int)(double);
    finish(&c, &to_int);
    x86_movq_rx(&c.a, X86_RAX, X86_XMM0);
    uint64_t (*bits)(double);
    finish(&c, &bits);
    cr_expect_eq(to_float(-3), -3.0);
    cr_expect_eq(to_int(-3.9), -3);
    cr_expect_eq(to_int(NAN), INT64_MIN);
    cr_expect_eq(bits(1.0), UINT64_C(0x3ff) << 52);
    end(&c);
}

Test(jit_code, division_gives_quotient_and_remainder)
{
    struct code c;
    start(&c);
    x86_mov_rr(&c.a, X86_W64, X86_RCX, X86_RDX);
    x86_mov_rr(&c.a, X86_W64, X86_RAX, X86_RDI);
    x86_cqo(&c.a, X86_W64);
    x86_idiv_r(&c.a, X86_W64, X86_RSI);
    x86_mov_mr(&c.a, X86_W64, x86_at(X86_RCX, 0), X86_RDX);
    int64_t (*divide)(int64_t, int64_t, int64_t *);
    finish(&c, &divide);
    int64_t rest = 0;
    cr_expect_eq(divide(-17, 5, &rest), -3);
    cr_expect_eq(rest, -2);
    end(&c);
}

Test(jit_code, conditions_after_a_comparison)
{
    static const struct {
        enum x86_cond cond;
        int less, equal, greater;
    } rows[] = {
        {X86_L, 1, 0, 0}, {X86_LE, 1, 1, 0}, {X86_G, 0, 0, 1}, {X86_GE, 0, 1, 1},
        {X86_E, 0, 1, 0}, {X86_NE, 1, 0, 1}, {X86_B, 0, 0, 1}, {X86_A, 1, 0, 0},
    };
    struct code c;
    start(&c);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        x86_zero(&c.a, X86_RAX);
        x86_alu_rr(&c.a, X86_CMP, X86_W64, X86_RDI, X86_RSI);
        x86_setcc_r(&c.a, rows[i].cond, X86_RAX);
        int (*test)(int64_t, int64_t);
        finish(&c, &test);
        /* -1 is the largest of all without a sign: B and A are the other way round. */
        cr_expect_eq(test(-1, 1), rows[i].less, "row %zu", i);
        cr_expect_eq(test(1, 1), rows[i].equal, "row %zu", i);
        cr_expect_eq(test(1, -1), rows[i].greater, "row %zu", i);
    }
    end(&c);
}

Test(jit_code, a_jump_ahead_over_much_code_and_back)
{
    struct code c;
    start(&c);
    struct asm_label ahead = asm_label_new(&c.a), out = asm_label_new(&c.a);
    x86_jmp(&c.a, ahead);
    struct asm_label back = asm_here(&c.a);
    x86_mov_ri(&c.a, X86_RAX, 42);
    x86_jmp(&c.a, out);
    for (int i = 0; i < 1000; i++)
        x86_ud2(&c.a);
    asm_bind(&c.a, ahead);
    x86_jmp(&c.a, back);
    asm_bind(&c.a, out);
    x86_align(&c.a, 16);
    int (*function)(void);
    finish(&c, &function);
    cr_expect_eq(function(), 42);
    end(&c);
}

Test(jit_code, a_number_of_any_size_is_loaded)
{
    static const int64_t numbers[] = {0,
                                      1,
                                      -1,
                                      INT32_MAX,
                                      INT32_MIN,
                                      INT64_MAX,
                                      INT64_MIN,
                                      UINT32_MAX,
                                      INT64_C(-2147483649),
                                      INT64_C(4294967296)};
    struct code c;
    start(&c);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        x86_mov_ri(&c.a, X86_RAX, -1);
        x86_mov_ri(&c.a, X86_RAX, numbers[i]);
        int64_t (*function)(void);
        finish(&c, &function);
        cr_expect_eq(function(), numbers[i]);
    }
    end(&c);
}

Test(jit_code, bytes_of_all_registers_are_the_low_ones)
{
    struct code c;
    start(&c);
    for (enum x86_reg reg = X86_RSI; reg <= X86_RDI; reg++) {
        x86_mov_mr(&c.a, X86_W8, x86_at(X86_RDX, 0), reg);
        x86_movzx_rr(&c.a, X86_W8, X86_RAX, reg);
        int (*function)(int64_t, int64_t, uint8_t *);
        finish(&c, &function);
        uint8_t byte = 0;
        cr_expect_eq(function(0x1234, 0x1234, &byte), 0x34);
        cr_expect_eq(byte, 0x34);
    }
    end(&c);
}

Test(jit_code, rounding_is_used_where_the_processor_has_it)
{
    struct code c;
    start(&c);
    if (c.a.features_allowed & X86_SSE41)
        x86_roundsd_xx(&c.a, X86_FLOOR, X86_XMM0, X86_XMM0);
    else
        x86_sse_xx(&c.a, X86_SQRTSD, X86_XMM0, X86_XMM0);
    double (*function)(double);
    bool rounds = c.a.features_used & X86_SSE41;
    finish(&c, &function);
    cr_expect_eq(function(6.25), rounds ? 6.0 : 2.5);
    end(&c);
}
