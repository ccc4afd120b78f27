/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant folding: only of literals, and only what every tier computes the same: arithmetic of two
 * ints or two floats, comparisons of two of one kind, joined strings. What the C library computes
 * (powers, float remainders) is left to the run.
 */
#include <string.h>

#include "guest/jitvm/lang/ast.h"
#include "guest/jitvm/value/number.h"

/* Without its operands: a chain of them is as long as the text, and who walks the tree would follow
 * it by recursion. */
static void become(struct node *node, enum node_kind kind)
{
    node->kind = (uint8_t)kind;
    node->a = node->b = NULL;
    node->depth = 1;
}

static void become_int(struct node *node, int64_t i)
{
    become(node, NODE_INT);
    node->as.i = i;
}

static void become_float(struct node *node, double f)
{
    become(node, NODE_FLOAT);
    node->as.f = number_canonical(f);
}

static void become_bool(struct node *node, bool b)
{
    become(node, NODE_BOOL);
    node->as.i = b;
}

static int64_t wrapped(uint64_t bits)
{
    int64_t i;
    memcpy(&i, &bits, sizeof i);
    return i;
}

static bool fold_int_compare(struct node *node, int64_t a, int64_t b)
{
    switch (node->op) {
    case OP_Eq:
        become_bool(node, a == b);
        return true;
    case OP_Ne:
        become_bool(node, a != b);
        return true;
    case OP_Lt:
        become_bool(node, a < b);
        return true;
    case OP_Le:
        become_bool(node, a <= b);
        return true;
    case OP_Gt:
        become_bool(node, a > b);
        return true;
    case OP_Ge:
        become_bool(node, a >= b);
        return true;
    case OP_Cmp:
        become_int(node, (a > b) - (a < b));
        return true;
    default:
        return false;
    }
}

static bool fold_int_bits(struct node *node, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (node->op) {
    case OP_BitAnd:
        become_int(node, wrapped(x & y));
        return true;
    case OP_BitOr:
        become_int(node, wrapped(x | y));
        return true;
    case OP_BitXor:
        become_int(node, wrapped(x ^ y));
        return true;
    case OP_Shl:
        become_int(node, wrapped(x << (y & 63)));
        return true;
    case OP_Shr:
        become_int(node, a >> (y & 63));
        return true;
    default:
        return false;
    }
}

static void fold_int(struct node *node, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    if (fold_int_compare(node, a, b) || fold_int_bits(node, a, b))
        return;
    if (node->op == OP_Add)
        become_int(node, wrapped(x + y));
    else if (node->op == OP_Sub)
        become_int(node, wrapped(x - y));
    else if (node->op == OP_Mul)
        become_int(node, wrapped(x * y));
    else if (node->op == OP_Div && b != 0)
        become_float(node, (double)a / (double)b);
    else if (node->op == OP_IntDiv && b != 0)
        become_int(node, number_int_div(a, b));
    else if (node->op == OP_Mod)
        become_int(node, number_int_mod(a, b));
}

static void fold_float(struct node *node, double a, double b)
{
    if (node->op == OP_Add)
        become_float(node, a + b);
    else if (node->op == OP_Sub)
        become_float(node, a - b);
    else if (node->op == OP_Mul)
        become_float(node, a * b);
    else if (node->op == OP_Div && b != 0)
        become_float(node, a / b);
    else if (node->op == OP_Lt)
        become_bool(node, a < b);
    else if (node->op == OP_Gt)
        become_bool(node, a > b);
}

static void fold_join(struct lang *lang, struct node *node)
{
    const struct node *a = node->a, *b = node->b;
    size_t len = a->as.str.len + b->as.str.len;
    char *bytes = lang_alloc(lang, len);
    if (!bytes)
        return;
    if (a->as.str.len > 0)
        memcpy(bytes, a->as.str.bytes, a->as.str.len);
    if (b->as.str.len > 0)
        memcpy(bytes + a->as.str.len, b->as.str.bytes, b->as.str.len);
    become(node, NODE_STR);
    node->as.str.bytes = bytes;
    node->as.str.len = len;
}

/* A long chain of joined literals must not take memory by its square. */
#define FOLD_JOIN_MAX 4096u

static void fold_binary(struct lang *lang, struct node *node)
{
    const struct node *a = node->a, *b = node->b;
    if (a->kind == NODE_INT && b->kind == NODE_INT)
        fold_int(node, a->as.i, b->as.i);
    else if (a->kind == NODE_FLOAT && b->kind == NODE_FLOAT)
        fold_float(node, a->as.f, b->as.f);
    else if (a->kind == NODE_STR && b->kind == NODE_STR && node->op == OP_Concat &&
             a->as.str.len < FOLD_JOIN_MAX)
        fold_join(lang, node);
}

static void fold_unary(struct node *node)
{
    bool truth;
    if (node->op == OP_Neg && node->a->kind == NODE_INT)
        become_int(node, wrapped(0 - (uint64_t)node->a->as.i));
    else if (node->op == OP_Neg && node->a->kind == NODE_FLOAT)
        become_float(node, -node->a->as.f);
    else if (node->op == OP_BitNot && node->a->kind == NODE_INT)
        become_int(node, ~node->a->as.i);
    else if (node->op == OP_Not && node_truth(node->a, &truth))
        become_bool(node, !truth);
}

void node_fold(struct lang *lang, struct node *node)
{
    if (node->kind == NODE_BINARY)
        fold_binary(lang, node);
    else if (node->kind == NODE_UNARY)
        fold_unary(node);
}

bool node_truth(const struct node *node, bool *truth)
{
    switch (node->kind) {
    case NODE_UNDEF:
        *truth = false;
        return true;
    case NODE_BOOL:
    case NODE_INT:
        *truth = node->as.i != 0;
        return true;
    case NODE_FLOAT:
        *truth = node->as.f != 0; /* a NaN is true */
        return true;
    case NODE_STR:
        *truth = node->as.str.len > 1 || (node->as.str.len == 1 && *node->as.str.bytes != '0');
        return true;
    default:
        return false;
    }
}
