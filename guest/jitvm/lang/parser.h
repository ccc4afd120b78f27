/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to tree, by recursive descent; expressions by precedence climbing. A function that fails has
 * called lang_fail and returns NULL; from then on the current token is the end of the text.
 */
#ifndef JITVM_LANG_PARSER_H
#define JITVM_LANG_PARSER_H

#include "guest/jitvm/lang/ast.h"
#include "guest/jitvm/lang/lexer.h"

struct parser {
    struct lang *lang;
    struct lexer lexer;
    struct token token, ahead; /* the current one, the next one */
    uint32_t nesting;
    uint32_t brackets;          /* open ( and [ : line ends in them mean nothing */
    struct lang_function *last; /* the function parsed last */
};

/* The whole text as the top level; the other functions follow it by `next`. NULL: failed. */
struct lang_function *parser_run(struct lang *lang);

/* What the files of the parser have from each other. */
void parser_advance(struct parser *parser);
bool parser_accept(struct parser *parser, enum token_kind kind);
/* "expected ')' after the arguments, found ..." */
bool parser_expect(struct parser *parser, enum token_kind kind, const char *where);
struct node *parser_fail(struct parser *parser, const char *expected); /* at the current token */
struct node *parser_fail_at(struct parser *parser, uint32_t line, uint32_t column,
                            const char *message);
/* Does the token go on with what stands before it? Not one that begins a line, outside of brackets.
 */
bool parser_continues(const struct parser *parser);
bool parser_enter(struct parser *parser); /* one level deeper, or fails; pairs with leave */
void parser_leave(struct parser *parser);

struct node *parser_node(struct parser *parser, enum node_kind kind);
/* Gives `node` its depth from its children; NULL when it is nested too deeply. */
struct node *parser_done(struct parser *parser, struct node *node);

struct node *parser_expression(struct parser *parser);
/* `from..to`, `from..=to`, `step`; or `from` itself when no range follows. */
struct node *parser_range(struct parser *parser);
struct node *parser_block(struct parser *parser, const char *where);
/* After `fn` and the name: parameters and body. */
struct lang_function *parser_function(struct parser *parser, struct lang_symbol *symbol,
                                      const struct token *fn);
struct node *parser_name_node(struct parser *parser, enum node_kind kind);

struct node_list {
    struct node *first, **end;
    uint32_t count, depth;
};
void node_list_init(struct node_list *list);
void node_list_add(struct node_list *list, struct node *node);

#endif
