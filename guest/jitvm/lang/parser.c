/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's statements and functions. Expressions: parser_expr.c. */
#include "guest/jitvm/lang/parser.h"

#include <string.h>

/* ---- tokens, nodes -------------------------------------------------------------------------- */

void parser_advance(struct parser *parser)
{
    parser->token = parser->ahead;
    parser->ahead = lexer_next(&parser->lexer);
    if (parser->lang->status != 0)
        parser->token.kind = TOKEN_END;
}

bool parser_accept(struct parser *parser, enum token_kind kind)
{
    if (parser->token.kind != kind)
        return false;
    parser_advance(parser);
    return true;
}

struct node *parser_fail(struct parser *parser, const char *expected)
{
    char found[TOKEN_TEXT_MAX];
    token_describe(&parser->token, found);
    (void)lang_fail(parser->lang, parser->token.line, parser->token.column, "expected %s, found %s",
                    expected, found);
    parser->token.kind = TOKEN_END;
    return NULL;
}

struct node *parser_fail_at(struct parser *parser, uint32_t line, uint32_t column,
                            const char *message)
{
    (void)lang_fail(parser->lang, line, column, "%s", message);
    parser->token.kind = TOKEN_END;
    return NULL;
}

bool parser_expect(struct parser *parser, enum token_kind kind, const char *where)
{
    if (parser_accept(parser, kind))
        return true;
    char expected[80];
    (void)snprintf(expected, sizeof expected, "%s %s", token_kind_text(kind), where);
    (void)parser_fail(parser, expected);
    return false;
}

static bool too_deep(struct parser *parser, uint32_t line, uint32_t column)
{
    (void)lang_fail(parser->lang, line, column, "nested too deeply: %u levels at most",
                    LANG_NESTING);
    parser->token.kind = TOKEN_END;
    return false;
}

bool parser_continues(const struct parser *parser)
{
    return parser->brackets > 0 || !parser->token.first_of_line;
}

bool parser_enter(struct parser *parser)
{
    if (++parser->nesting > LANG_NESTING)
        return too_deep(parser, parser->token.line, parser->token.column);
    return parser->lang->status == 0;
}

void parser_leave(struct parser *parser)
{
    parser->nesting--;
}

struct node *parser_node(struct parser *parser, enum node_kind kind)
{
    struct node *node = lang_alloc(parser->lang, sizeof *node);
    if (!node) {
        parser->token.kind = TOKEN_END;
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->line = parser->token.line;
    node->column = parser->token.column;
    node->depth = 1;
    return node;
}

static uint32_t depth_with(uint32_t depth, const struct node *child)
{
    return child && child->depth + 1u > depth ? child->depth + 1u : depth;
}

struct node *parser_done(struct parser *parser, struct node *node)
{
    uint32_t depth = node->depth;
    if (node->kind == NODE_BINARY && node->a->kind == NODE_BINARY)
        depth = depth > node->a->depth ? depth : node->a->depth;
    else
        depth = depth_with(depth, node->a);
    depth = depth_with(depth, node->b);
    depth = depth_with(depth, node->c);
    for (const struct node *child = node->list; child; child = child->next)
        depth = depth_with(depth, child);
    if (depth > LANG_NESTING) {
        (void)too_deep(parser, node->line, node->column);
        return NULL;
    }
    node->depth = (uint16_t)depth;
    return parser->lang->status == 0 ? node : NULL;
}

void node_list_init(struct node_list *list)
{
    *list = (struct node_list){.first = NULL};
    list->end = &list->first;
}

void node_list_add(struct node_list *list, struct node *node)
{
    *list->end = node;
    list->end = &node->next;
    list->count++;
}

struct node *parser_name_node(struct parser *parser, enum node_kind kind)
{
    struct node *node = parser_node(parser, kind);
    if (!node)
        return NULL;
    node->as.name.symbol = lang_symbol(parser->lang, parser->token.text, parser->token.len);
    parser_advance(parser);
    return parser->lang->status == 0 ? node : NULL;
}

/* ---- statements ----------------------------------------------------------------------------- */

static struct node *parse_statement(struct parser *parser);

static struct node *parse_block_body(struct parser *parser, struct node *block)
{
    struct node_list list;
    node_list_init(&list);
    while (parser->token.kind != TOKEN_BRACE_CLOSE && parser->token.kind != TOKEN_END) {
        if (parser_accept(parser, TOKEN_SEMICOLON))
            continue;
        struct node *statement = parse_statement(parser);
        if (!statement)
            return NULL;
        node_list_add(&list, statement);
    }
    block->list = list.first;
    block->count = list.count;
    return parser_done(parser, block);
}

struct node *parser_block(struct parser *parser, const char *where)
{
    struct node *block = parser_node(parser, NODE_BLOCK);
    uint32_t opened_line = parser->token.line;
    if (!block || !parser_expect(parser, TOKEN_BRACE_OPEN, where) || !parser_enter(parser))
        return NULL;
    uint32_t brackets = parser->brackets;
    parser->brackets = 0;
    block = parse_block_body(parser, block);
    parser->brackets = brackets;
    parser_leave(parser);
    char closing[60];
    (void)snprintf(closing, sizeof closing, "to close the block of line %u", opened_line);
    return block && parser_expect(parser, TOKEN_BRACE_CLOSE, closing) ? block : NULL;
}

/* A statement ends at ';', at a line end, before '}'. */
static bool expect_statement_end(struct parser *parser)
{
    const struct token *token = &parser->token;
    if (parser_accept(parser, TOKEN_SEMICOLON) || token->kind == TOKEN_BRACE_CLOSE ||
        token->first_of_line || (token->kind == TOKEN_END && parser->lang->status == 0))
        return true;
    (void)parser_fail(parser, "';' or a new line after the statement");
    return false;
}

static struct node *parse_let(struct parser *parser)
{
    parser_advance(parser);
    if (parser->token.kind != TOKEN_NAME)
        return parser_fail(parser, "a name after 'let'");
    struct node *let = parser_name_node(parser, NODE_LET);
    if (!let)
        return NULL;
    if (parser_continues(parser) && parser_accept(parser, TOKEN_ASSIGN)) {
        let->a = parser_expression(parser);
        if (!let->a)
            return NULL;
    }
    return expect_statement_end(parser) ? parser_done(parser, let) : NULL;
}

static struct node *parse_arm(struct parser *parser)
{
    struct node *arm = parser_node(parser, NODE_ARM);
    parser_advance(parser);
    if (!arm || !(arm->a = parser_expression(parser)))
        return NULL;
    arm->b = parser_block(parser, "after the condition");
    return arm->b ? parser_done(parser, arm) : NULL;
}

static struct node *parse_if(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_IF);
    struct node_list arms;
    node_list_init(&arms);
    while (node) {
        struct node *arm = parse_arm(parser);
        if (!arm)
            return NULL;
        node_list_add(&arms, arm);
        if (!parser_accept(parser, TOKEN_ELSE))
            break;
        if (parser->token.kind == TOKEN_IF)
            continue;
        node->b = parser_block(parser, "after 'else'");
        if (!node->b)
            return NULL;
        break;
    }
    if (!node)
        return NULL;
    node->list = arms.first;
    return parser_done(parser, node);
}

static struct node *parse_while(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_WHILE);
    parser_advance(parser);
    if (!node || !(node->a = parser_expression(parser)))
        return NULL;
    node->b = parser_block(parser, "after the condition");
    return node->b ? parser_done(parser, node) : NULL;
}

static bool parse_for_names(struct parser *parser, struct node *node)
{
    struct node_list names;
    node_list_init(&names);
    do {
        if (parser->token.kind != TOKEN_NAME) {
            (void)parser_fail(parser, "the name of a loop variable after 'for'");
            return false;
        }
        struct node *name = parser_name_node(parser, NODE_LET);
        if (!name)
            return false;
        node_list_add(&names, name);
    } while (names.count < 2 && parser_accept(parser, TOKEN_COMMA));
    node->list = names.first;
    node->count = names.count;
    return parser_expect(parser, TOKEN_IN, "after the loop variable");
}

static struct node *parse_for(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_FOR);
    parser_advance(parser);
    if (!node || !parse_for_names(parser, node) || !(node->a = parser_range(parser)))
        return NULL;
    if (node->a->kind == NODE_RANGE && node->count == 2)
        return parser_fail_at(parser, node->list->next->line, node->list->next->column,
                              "a range gives one value at a time: one loop variable");
    node->b = parser_block(parser, "after what the loop walks");
    return node->b ? parser_done(parser, node) : NULL;
}

static struct node *parse_return(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_RETURN);
    parser_advance(parser);
    const struct token *token = &parser->token;
    bool bare = token->first_of_line || token->kind == TOKEN_SEMICOLON ||
                token->kind == TOKEN_BRACE_CLOSE || token->kind == TOKEN_END;
    if (!node || (!bare && !(node->a = parser_expression(parser))))
        return NULL;
    return expect_statement_end(parser) ? parser_done(parser, node) : NULL;
}

static struct node *parse_word(struct parser *parser, enum node_kind kind)
{
    struct node *node = parser_node(parser, kind);
    parser_advance(parser);
    return node && expect_statement_end(parser) ? node : NULL;
}

/* The op of `a op= b`; OP_Nop for '='; -1: no assignment. */
static int assignment_op(enum token_kind kind)
{
    static const struct {
        enum token_kind kind;
        enum op_code op;
    } ops[] = {{TOKEN_ASSIGN, OP_Nop},         {TOKEN_PLUS_ASSIGN, OP_Add},
               {TOKEN_MINUS_ASSIGN, OP_Sub},   {TOKEN_TIMES_ASSIGN, OP_Mul},
               {TOKEN_OVER_ASSIGN, OP_Div},    {TOKEN_INT_DIV_ASSIGN, OP_IntDiv},
               {TOKEN_MOD_ASSIGN, OP_Mod},     {TOKEN_POWER_ASSIGN, OP_Pow},
               {TOKEN_JOIN_ASSIGN, OP_Concat}, {TOKEN_AND_ASSIGN, OP_BitAnd},
               {TOKEN_OR_ASSIGN, OP_BitOr},    {TOKEN_XOR_ASSIGN, OP_BitXor},
               {TOKEN_SHL_ASSIGN, OP_Shl},     {TOKEN_SHR_ASSIGN, OP_Shr},
               {TOKEN_PLUS_PLUS, OP_Add},      {TOKEN_MINUS_MINUS, OP_Sub}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i].kind == kind)
            return (int)ops[i].op;
    return -1;
}

static struct node *parse_assigned(struct parser *parser, bool step)
{
    if (!step)
        return parser_expression(parser);
    struct node *one = parser_node(parser, NODE_INT);
    if (one)
        one->as.i = 1;
    return one;
}

/* `x++` is `x += 1`. */
static struct node *parse_assignment(struct parser *parser, struct node *place, int op)
{
    struct node *node = parser_node(parser, NODE_ASSIGN);
    if (!node)
        return NULL;
    if (place->kind != NODE_NAME && place->kind != NODE_INDEX)
        return parser_fail_at(parser, place->line, place->column,
                              "only a variable or an element of one can be assigned to");
    bool step = parser->token.kind == TOKEN_PLUS_PLUS || parser->token.kind == TOKEN_MINUS_MINUS;
    parser_advance(parser);
    node->op = (uint16_t)op;
    node->a = place;
    node->b = parse_assigned(parser, step);
    if (!node->b || !expect_statement_end(parser))
        return NULL;
    return parser_done(parser, node);
}

/* Line starts that show what was meant. */
static struct node *fail_at_statement(struct parser *parser)
{
    const struct token *token = &parser->token;
    bool joins =
        (token->kind >= TOKEN_STR_EQ && token->kind <= TOKEN_OR) || assignment_op(token->kind) >= 0;
    if (joins && token->first_of_line)
        return parser_fail(parser, "a statement (an operator that continues a line stands at the "
                                   "end of the line before)");
    if (token->kind == TOKEN_ELSE)
        return parser_fail(parser, "a statement ('else' needs an 'if' before it)");
    return parser_fail(parser, "a statement");
}

static bool begins_statement(enum token_kind kind)
{
    static const enum token_kind others[] = {
        TOKEN_NAME, TOKEN_INT,        TOKEN_FLOAT,        TOKEN_STR,  TOKEN_FN,
        TOKEN_TAKE, TOKEN_PAREN_OPEN, TOKEN_BRACKET_OPEN, TOKEN_TRUE, TOKEN_FALSE,
        TOKEN_NOT,  TOKEN_UNDEF,      TOKEN_MINUS,        TOKEN_XOR};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] == kind)
            return true;
    return false;
}

static struct node *parse_simple(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_EXPR);
    if (!node || !begins_statement(parser->token.kind))
        return node ? fail_at_statement(parser) : NULL;
    node->a = parser_expression(parser);
    if (!node->a)
        return NULL;
    int op = assignment_op(parser->token.kind);
    if (op >= 0 && parser_continues(parser))
        return parse_assignment(parser, node->a, op);
    return expect_statement_end(parser) ? parser_done(parser, node) : NULL;
}

/* `fn name(...)`: an empty statement where it stands. */
static struct node *parse_named_function(struct parser *parser)
{
    struct node *empty = parser_node(parser, NODE_BLOCK);
    struct token fn = parser->token;
    if (parser->nesting > 1)
        return parser_fail_at(parser, fn.line, fn.column,
                              "named functions stand at the outermost level; "
                              "here, write: let name = fn(...) { ... }");
    parser_advance(parser);
    struct lang_symbol *symbol = lang_symbol(parser->lang, parser->token.text, parser->token.len);
    parser_advance(parser);
    return empty && symbol && parser_function(parser, symbol, &fn) ? empty : NULL;
}

static struct node *parse_any_statement(struct parser *parser)
{
    switch (parser->token.kind) {
    case TOKEN_LET:
        return parse_let(parser);
    case TOKEN_IF:
        return parse_if(parser);
    case TOKEN_WHILE:
        return parse_while(parser);
    case TOKEN_FOR:
        return parse_for(parser);
    case TOKEN_BREAK:
        return parse_word(parser, NODE_BREAK);
    case TOKEN_CONTINUE:
        return parse_word(parser, NODE_CONTINUE);
    case TOKEN_RETURN:
        return parse_return(parser);
    case TOKEN_BRACE_OPEN:
        return parser_block(parser, "to open a block");
    case TOKEN_FN:
        return parser->ahead.kind == TOKEN_NAME ? parse_named_function(parser)
                                                : parse_simple(parser);
    default:
        return parse_simple(parser);
    }
}

static struct node *parse_statement(struct parser *parser)
{
    struct node *node = parser_enter(parser) ? parse_any_statement(parser) : NULL;
    parser_leave(parser);
    return node;
}

/* ---- functions ------------------------------------------------------------------------------ */

static bool parse_params(struct parser *parser, struct lang_function *function)
{
    struct node_list params;
    node_list_init(&params);
    if (!parser_expect(parser, TOKEN_PAREN_OPEN, "before the parameters"))
        return false;
    while (parser->token.kind != TOKEN_PAREN_CLOSE) {
        if (parser->token.kind != TOKEN_NAME)
            return parser_fail(parser, "the name of a parameter");
        struct node *param = parser_name_node(parser, NODE_LET);
        if (!param)
            return false;
        if (params.count == OP_ARGS_MAX)
            return parser_fail_at(parser, param->line, param->column,
                                  "a function has at most 250 parameters");
        node_list_add(&params, param);
        if (!parser_accept(parser, TOKEN_COMMA))
            break;
    }
    function->first_param = params.first;
    function->arity = params.count;
    return parser_expect(parser, TOKEN_PAREN_CLOSE, "after the parameters");
}

struct lang_function *parser_function(struct parser *parser, struct lang_symbol *symbol,
                                      const struct token *fn)
{
    struct lang_function *function = lang_alloc(parser->lang, sizeof *function);
    if (!function)
        return NULL;
    *function = (struct lang_function){.symbol = symbol, .line = fn->line, .column = fn->column};
    /* Linked before its body, so that functions are in the order in which they begin. */
    parser->last->next = function;
    parser->last = function;
    if (!parse_params(parser, function))
        return NULL;
    function->body = parser_block(parser, "before the function's body");
    return function->body ? function : NULL;
}

struct lang_function *parser_run(struct lang *lang)
{
    struct parser parser = {.lang = lang};
    struct lang_function *main = lang_alloc(lang, sizeof *main);
    if (!main)
        return NULL;
    main->line = 1;
    main->column = 1;
    parser.last = main;
    lexer_init(&parser.lexer, lang);
    parser_advance(&parser);
    parser_advance(&parser);
    struct node *block = parser_node(&parser, NODE_BLOCK);
    main->body = block ? parse_block_body(&parser, block) : NULL;
    if (main->body && parser.token.kind == TOKEN_BRACE_CLOSE)
        (void)parser_fail(&parser, "a statement (no block is open)");
    return lang->status == 0 ? main : NULL;
}
