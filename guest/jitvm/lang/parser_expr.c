/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's expressions. */
#include "guest/jitvm/lang/parser.h"

#include <string.h>

/* Weakest first. Comparisons do not chain: `a < b < c` is an error. */
enum precedence {
    PREC_NONE,
    PREC_OR,
    PREC_AND,
    PREC_COMPARE,
    PREC_JOIN,
    PREC_BITS,
    PREC_SHIFT,
    PREC_ADD,
    PREC_MULTIPLY,
};

struct infix {
    uint8_t token, precedence, kind, op;
};

static const struct infix infixes[] = {
    {TOKEN_OR_OR, PREC_OR, NODE_OR, OP_Nop},
    {TOKEN_AND_AND, PREC_AND, NODE_AND, OP_Nop},
    {TOKEN_EQ, PREC_COMPARE, NODE_BINARY, OP_Eq},
    {TOKEN_NE, PREC_COMPARE, NODE_BINARY, OP_Ne},
    {TOKEN_LT, PREC_COMPARE, NODE_BINARY, OP_Lt},
    {TOKEN_LE, PREC_COMPARE, NODE_BINARY, OP_Le},
    {TOKEN_GT, PREC_COMPARE, NODE_BINARY, OP_Gt},
    {TOKEN_GE, PREC_COMPARE, NODE_BINARY, OP_Ge},
    {TOKEN_NUM_CMP, PREC_COMPARE, NODE_BINARY, OP_Cmp},
    {TOKEN_STR_EQ, PREC_COMPARE, NODE_BINARY, OP_StrEq},
    {TOKEN_STR_NE, PREC_COMPARE, NODE_BINARY, OP_StrNe},
    {TOKEN_STR_LT, PREC_COMPARE, NODE_BINARY, OP_StrLt},
    {TOKEN_STR_LE, PREC_COMPARE, NODE_BINARY, OP_StrLe},
    {TOKEN_STR_GT, PREC_COMPARE, NODE_BINARY, OP_StrGt},
    {TOKEN_STR_GE, PREC_COMPARE, NODE_BINARY, OP_StrGe},
    {TOKEN_STR_CMP, PREC_COMPARE, NODE_BINARY, OP_StrCmp},
    {TOKEN_JOIN, PREC_JOIN, NODE_BINARY, OP_Concat},
    {TOKEN_OR, PREC_BITS, NODE_BINARY, OP_BitOr},
    {TOKEN_XOR, PREC_BITS, NODE_BINARY, OP_BitXor},
    {TOKEN_AND, PREC_BITS, NODE_BINARY, OP_BitAnd},
    {TOKEN_SHL, PREC_SHIFT, NODE_BINARY, OP_Shl},
    {TOKEN_SHR, PREC_SHIFT, NODE_BINARY, OP_Shr},
    {TOKEN_PLUS, PREC_ADD, NODE_BINARY, OP_Add},
    {TOKEN_MINUS, PREC_ADD, NODE_BINARY, OP_Sub},
    {TOKEN_TIMES, PREC_MULTIPLY, NODE_BINARY, OP_Mul},
    {TOKEN_OVER, PREC_MULTIPLY, NODE_BINARY, OP_Div},
    {TOKEN_MOD, PREC_MULTIPLY, NODE_BINARY, OP_Mod},
    {TOKEN_INT_DIV, PREC_MULTIPLY, NODE_BINARY, OP_IntDiv},
};

static struct node *parse_binary(struct parser *parser, unsigned least);
static struct node *parse_unary(struct parser *parser);

static struct node *str_node(struct parser *parser, const char *bytes, size_t len)
{
    struct node *node = parser_node(parser, NODE_STR);
    if (!node)
        return NULL;
    node->as.str.bytes = bytes;
    node->as.str.len = len;
    parser_advance(parser);
    return node;
}

/* ---- primaries ------------------------------------------------------------------------------ */

static struct node *parse_int(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_INT);
    const struct token *token = &parser->token;
    bool decimal = token->len < 2 || (token->text[1] != 'x' && token->text[1] != 'X' &&
                                      token->text[1] != 'b' && token->text[1] != 'B');
    if (!node)
        return NULL;
    if (decimal && token->as.i > INT64_MAX)
        return parser_fail_at(parser, token->line, token->column,
                              "this number has more than 64 bits; with '.0' it is a float");
    memcpy(&node->as.i, &token->as.i, sizeof node->as.i);
    parser_advance(parser);
    return node;
}

static struct node *parse_word_literal(struct parser *parser, enum node_kind kind, int64_t value)
{
    struct node *node = parser_node(parser, kind);
    if (node)
        node->as.i = value;
    parser_advance(parser);
    return node;
}

static struct node *parse_float(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_FLOAT);
    if (node)
        node->as.f = parser->token.as.f;
    parser_advance(parser);
    return node;
}

/* Elements up to, not with, `close`. */
static bool parse_elements(struct parser *parser, enum token_kind close, struct node_list *list)
{
    node_list_init(list);
    while (parser->token.kind != close) {
        struct node *element =
            close == TOKEN_BRACKET_CLOSE ? parser_range(parser) : parser_expression(parser);
        if (!element)
            return false;
        node_list_add(list, element);
        if (!parser_accept(parser, TOKEN_COMMA))
            break;
    }
    return true;
}

static struct node *check_array(struct parser *parser, struct node *node)
{
    if (node->count > OP_COUNT_MAX)
        return parser_fail_at(parser, node->line, node->column,
                              "an array literal has at most 4096 elements; push() adds more");
    for (const struct node *e = node->list; e; e = e->next)
        if (e->kind == NODE_RANGE && node->count > 1)
            return parser_fail_at(parser, e->line, e->column,
                                  "a range in an array literal stands alone: [1..10]");
    return parser_done(parser, node);
}

static struct node *parse_array(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_ARRAY);
    struct node_list list;
    parser_advance(parser);
    parser->brackets++;
    bool parsed = node && parse_elements(parser, TOKEN_BRACKET_CLOSE, &list);
    parser->brackets--;
    if (!parsed || !parser_expect(parser, TOKEN_BRACKET_CLOSE, "after the elements"))
        return NULL;
    node->list = list.first;
    node->count = list.count;
    return check_array(parser, node);
}

static bool is_word(const struct token *token)
{
    return token->kind == TOKEN_NAME || (token->kind >= TOKEN_FN && token->kind <= TOKEN_STR_CMP);
}

static bool parse_pair(struct parser *parser, struct node_list *list)
{
    struct node *key = is_word(&parser->token) && parser->ahead.kind == TOKEN_COLON
                           ? str_node(parser, parser->token.text, parser->token.len)
                           : parser_expression(parser);
    if (!key || !parser_expect(parser, TOKEN_COLON, "between key and value"))
        return false;
    struct node *value = parser_expression(parser);
    if (!value)
        return false;
    node_list_add(list, key);
    node_list_add(list, value);
    return true;
}

static bool parse_pairs(struct parser *parser, struct node_list *list)
{
    node_list_init(list);
    while (parser->token.kind != TOKEN_BRACE_CLOSE) {
        if (!parse_pair(parser, list))
            return false;
        if (!parser_accept(parser, TOKEN_COMMA))
            break;
    }
    return true;
}

static struct node *parse_hash(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_HASH);
    struct node_list list;
    parser_advance(parser);
    parser->brackets++;
    bool parsed = node && parse_pairs(parser, &list);
    parser->brackets--;
    if (!parsed || !parser_expect(parser, TOKEN_BRACE_CLOSE, "after the entries"))
        return NULL;
    node->list = list.first;
    node->count = list.count / 2;
    if (node->count > OP_COUNT_MAX / 2)
        return parser_fail_at(parser, node->line, node->column,
                              "a hash literal has at most 2048 entries; assignments add more");
    return parser_done(parser, node);
}

static struct node *parse_fn(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_FN);
    struct token fn = parser->token;
    parser_advance(parser);
    if (!node)
        return NULL;
    if (parser->token.kind == TOKEN_NAME)
        return parser_fail(parser, "'(': a function in an expression has no name");
    node->as.function = parser_function(parser, NULL, &fn);
    if (!node->as.function)
        return NULL;
    node->b = node->as.function->body; /* its depth counts */
    return parser_done(parser, node);
}

static struct node *parse_take(struct parser *parser)
{
    parser_advance(parser);
    if (parser->token.kind != TOKEN_NAME)
        return parser_fail(parser, "the name of a variable after 'take'");
    return parser_name_node(parser, NODE_TAKE);
}

static struct node *parse_parenthesis(struct parser *parser)
{
    parser_advance(parser);
    parser->brackets++;
    struct node *node = parser_expression(parser);
    parser->brackets--;
    if (!node || !parser_expect(parser, TOKEN_PAREN_CLOSE, "after the expression"))
        return NULL;
    return node;
}

static struct node *parse_primary(struct parser *parser)
{
    switch (parser->token.kind) {
    case TOKEN_INT:
        return parse_int(parser);
    case TOKEN_FLOAT:
        return parse_float(parser);
    case TOKEN_STR:
        return str_node(parser, parser->token.as.str.bytes, parser->token.as.str.len);
    case TOKEN_TRUE:
        return parse_word_literal(parser, NODE_BOOL, 1);
    case TOKEN_FALSE:
        return parse_word_literal(parser, NODE_BOOL, 0);
    case TOKEN_UNDEF:
        return parse_word_literal(parser, NODE_UNDEF, 0);
    case TOKEN_NAME:
        return parser_name_node(parser, NODE_NAME);
    case TOKEN_TAKE:
        return parse_take(parser);
    case TOKEN_FN:
        return parse_fn(parser);
    case TOKEN_PAREN_OPEN:
        return parse_parenthesis(parser);
    case TOKEN_BRACKET_OPEN:
        return parse_array(parser);
    case TOKEN_BRACE_OPEN:
        return parse_hash(parser);
    default:
        return parser_fail(parser, "an expression");
    }
}

/* ---- calls and indices ---------------------------------------------------------------------- */

static struct node *parse_call(struct parser *parser, struct node *callee)
{
    struct node *node = parser_node(parser, NODE_CALL);
    struct node_list list;
    if (!node)
        return NULL;
    node->line = callee->line;
    node->column = callee->column;
    parser_advance(parser);
    parser->brackets++;
    bool parsed = parse_elements(parser, TOKEN_PAREN_CLOSE, &list);
    parser->brackets--;
    if (!parsed || !parser_expect(parser, TOKEN_PAREN_CLOSE, "after the arguments"))
        return NULL;
    node->a = callee;
    node->list = list.first;
    node->count = list.count;
    if (node->count > OP_ARGS_MAX)
        return parser_fail_at(parser, node->line, node->column, "a call has at most 250 arguments");
    return parser_done(parser, node);
}

static struct node *parse_index(struct parser *parser, struct node *container)
{
    struct node *node = parser_node(parser, NODE_INDEX);
    parser_advance(parser);
    if (!node)
        return NULL;
    parser->brackets++;
    node->a = container;
    node->b = parser_expression(parser);
    parser->brackets--;
    if (!node->b || !parser_expect(parser, TOKEN_BRACKET_CLOSE, "after the index"))
        return NULL;
    return parser_done(parser, node);
}

static struct node *parse_member(struct parser *parser, struct node *container)
{
    struct node *node = parser_node(parser, NODE_INDEX);
    parser_advance(parser);
    if (!node)
        return NULL;
    if (!is_word(&parser->token))
        return parser_fail(parser, "a name after '.'");
    node->a = container;
    node->b = str_node(parser, parser->token.text, parser->token.len);
    return node->b ? parser_done(parser, node) : NULL;
}

static struct node *parse_postfix(struct parser *parser)
{
    struct node *node = parse_primary(parser);
    while (node && parser_continues(parser)) {
        if (parser->token.kind == TOKEN_PAREN_OPEN)
            node = parse_call(parser, node);
        else if (parser->token.kind == TOKEN_BRACKET_OPEN)
            node = parse_index(parser, node);
        else if (parser->token.kind == TOKEN_DOT)
            node = parse_member(parser, node);
        else
            break;
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------ */

static struct node *make_binary(struct parser *parser, struct node *node, struct node *a,
                                struct node *b)
{
    if (!b)
        return NULL;
    node->a = a;
    node->b = b;
    node = parser_done(parser, node);
    if (node)
        node_fold(parser->lang, node);
    return node;
}

/* `**` binds more than a sign on its left, less than one on its right: -2 ** -2 is -(2 ** (-2)). */
static struct node *parse_power(struct parser *parser)
{
    struct node *base = parse_postfix(parser);
    if (!base || parser->token.kind != TOKEN_POWER || !parser_continues(parser))
        return base;
    struct node *node = parser_node(parser, NODE_BINARY);
    if (!node)
        return NULL;
    node->op = OP_Pow;
    parser_advance(parser);
    struct node *exponent = parser_enter(parser) ? parse_unary(parser) : NULL;
    parser_leave(parser);
    return make_binary(parser, node, base, exponent);
}

static enum op_code unary_op(enum token_kind kind)
{
    return kind == TOKEN_MINUS ? OP_Neg
           : kind == TOKEN_NOT ? OP_Not
           : kind == TOKEN_XOR ? OP_BitNot
                               : OP_Nop;
}

/* -9223372036854775808, whose digits alone are too many. */
static struct node *parse_least_int(struct parser *parser, struct node *node)
{
    parser_advance(parser);
    parser_advance(parser);
    node->kind = NODE_INT;
    node->as.i = INT64_MIN;
    return node;
}

static bool at_least_int(const struct parser *parser)
{
    return parser->token.kind == TOKEN_MINUS && parser->ahead.kind == TOKEN_INT &&
           parser->ahead.as.i == (uint64_t)1 << 63;
}

static struct node *parse_operand(struct parser *parser, struct node *node)
{
    node->a = parser_enter(parser) ? parse_unary(parser) : NULL;
    parser_leave(parser);
    if (!node->a || !parser_done(parser, node))
        return NULL;
    node_fold(parser->lang, node);
    return node;
}

static struct node *parse_unary(struct parser *parser)
{
    enum op_code op = unary_op(parser->token.kind);
    if (op == OP_Nop)
        return parse_power(parser);
    struct node *node = parser_node(parser, NODE_UNARY);
    if (!node)
        return NULL;
    if (at_least_int(parser))
        return parse_least_int(parser, node);
    node->op = (uint16_t)op;
    parser_advance(parser);
    return parse_operand(parser, node);
}

static const struct infix *find_infix(const struct parser *parser)
{
    if (!parser_continues(parser))
        return NULL;
    for (size_t i = 0; i < sizeof infixes / sizeof *infixes; i++)
        if (infixes[i].token == parser->token.kind)
            return &infixes[i];
    return NULL;
}

static bool refuse_chain(struct parser *parser, const struct infix *infix, unsigned last)
{
    if (infix->precedence != PREC_COMPARE || last != PREC_COMPARE)
        return false;
    (void)parser_fail_at(parser, parser->token.line, parser->token.column,
                         "comparisons do not chain; write a < b && b < c");
    return true;
}

static struct node *parse_binary(struct parser *parser, unsigned least)
{
    struct node *left = parse_unary(parser);
    unsigned last = PREC_NONE;
    while (left) {
        const struct infix *infix = find_infix(parser);
        if (!infix || infix->precedence < least)
            return left;
        struct node *node = parser_node(parser, (enum node_kind)infix->kind);
        if (!node || refuse_chain(parser, infix, last))
            return NULL;
        node->op = infix->op;
        last = infix->precedence;
        parser_advance(parser);
        struct node *right =
            parser_enter(parser) ? parse_binary(parser, infix->precedence + 1u) : NULL;
        parser_leave(parser);
        left = make_binary(parser, node, left, right);
    }
    return NULL;
}

struct node *parser_expression(struct parser *parser)
{
    struct node *node = parser_enter(parser) ? parse_binary(parser, PREC_OR) : NULL;
    parser_leave(parser);
    return node;
}

/* ---- ranges --------------------------------------------------------------------------------- */

static bool at_step(const struct parser *parser)
{
    return parser->token.kind == TOKEN_NAME && parser->token.len == 4 &&
           memcmp(parser->token.text, "step", 4) == 0 && parser_continues(parser);
}

struct node *parser_range(struct parser *parser)
{
    struct node *from = parser_expression(parser);
    bool included = parser->token.kind == TOKEN_UPTO;
    if (!from || (parser->token.kind != TOKEN_BELOW && !included) || !parser_continues(parser))
        return from;
    struct node *node = parser_node(parser, NODE_RANGE);
    parser_advance(parser);
    if (!node || !(node->b = parser_expression(parser)))
        return NULL;
    node->a = from;
    node->flag = included;
    if (at_step(parser)) {
        parser_advance(parser);
        if (!(node->c = parser_expression(parser)))
            return NULL;
    }
    return parser_done(parser, node);
}
