/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of a .jv text. */
#ifndef JITVM_LANG_LEXER_H
#define JITVM_LANG_LEXER_H

#include "guest/jitvm/lang/lang.h"

/* X(name, text): keywords, then signs, a longer one before its beginnings. */
#define LANG_KEYWORDS(X)                                                                           \
    X(FN, "fn")                                                                                    \
    X(LET, "let")                                                                                  \
    X(IF, "if")                                                                                    \
    X(ELSE, "else")                                                                                \
    X(WHILE, "while")                                                                              \
    X(FOR, "for")                                                                                  \
    X(IN, "in")                                                                                    \
    X(BREAK, "break")                                                                              \
    X(CONTINUE, "continue")                                                                        \
    X(RETURN, "return")                                                                            \
    X(TAKE, "take")                                                                                \
    X(TRUE, "true")                                                                                \
    X(FALSE, "false")                                                                              \
    X(UNDEF, "undef")                                                                              \
    X(STR_EQ, "eq")                                                                                \
    X(STR_NE, "ne")                                                                                \
    X(STR_LT, "lt")                                                                                \
    X(STR_LE, "le")                                                                                \
    X(STR_GT, "gt")                                                                                \
    X(STR_GE, "ge")                                                                                \
    X(STR_CMP, "cmp")
#define LANG_SIGNS(X)                                                                              \
    X(POWER_ASSIGN, "**=")                                                                         \
    X(INT_DIV_ASSIGN, "//=")                                                                       \
    X(SHL_ASSIGN, "<<=")                                                                           \
    X(SHR_ASSIGN, ">>=")                                                                           \
    X(NUM_CMP, "<=>")                                                                              \
    X(UPTO, "..=")                                                                                 \
    X(PLUS_ASSIGN, "+=")                                                                           \
    X(MINUS_ASSIGN, "-=")                                                                          \
    X(TIMES_ASSIGN, "*=")                                                                          \
    X(OVER_ASSIGN, "/=")                                                                           \
    X(MOD_ASSIGN, "%=")                                                                            \
    X(JOIN_ASSIGN, "~=")                                                                           \
    X(AND_ASSIGN, "&=")                                                                            \
    X(OR_ASSIGN, "|=")                                                                             \
    X(XOR_ASSIGN, "^=")                                                                            \
    X(PLUS_PLUS, "++")                                                                             \
    X(MINUS_MINUS, "--")                                                                           \
    X(POWER, "**")                                                                                 \
    X(INT_DIV, "//")                                                                               \
    X(SHL, "<<")                                                                                   \
    X(SHR, ">>")                                                                                   \
    X(EQ, "==")                                                                                    \
    X(NE, "!=")                                                                                    \
    X(LE, "<=")                                                                                    \
    X(GE, ">=")                                                                                    \
    X(AND_AND, "&&")                                                                               \
    X(OR_OR, "||")                                                                                 \
    X(BELOW, "..")                                                                                 \
    X(LT, "<")                                                                                     \
    X(GT, ">")                                                                                     \
    X(PLUS, "+")                                                                                   \
    X(MINUS, "-")                                                                                  \
    X(TIMES, "*")                                                                                  \
    X(OVER, "/")                                                                                   \
    X(MOD, "%")                                                                                    \
    X(JOIN, "~")                                                                                   \
    X(AND, "&")                                                                                    \
    X(OR, "|")                                                                                     \
    X(XOR, "^")                                                                                    \
    X(NOT, "!")                                                                                    \
    X(ASSIGN, "=")                                                                                 \
    X(DOT, ".")                                                                                    \
    X(COMMA, ",")                                                                                  \
    X(COLON, ":")                                                                                  \
    X(SEMICOLON, ";")                                                                              \
    X(PAREN_OPEN, "(")                                                                             \
    X(PAREN_CLOSE, ")")                                                                            \
    X(BRACKET_OPEN, "[")                                                                           \
    X(BRACKET_CLOSE, "]")                                                                          \
    X(BRACE_OPEN, "{")                                                                             \
    X(BRACE_CLOSE, "}")

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_STR,
#define X(name, text) TOKEN_##name,
    LANG_KEYWORDS(X) LANG_SIGNS(X)
#undef X
        TOKEN_KINDS
};

struct token {
    enum token_kind kind;
    uint32_t line, column; /* of its first byte, from 1 */
    bool first_of_line;    /* a line ends between it and the token before */
    const char *text;      /* as written: in the source */
    uint32_t len;
    union {
        uint64_t i; /* of a decimal: up to 2^63, which only a '-' makes valid */
        double f;
        struct {
            const char *bytes; /* escapes done; in the source or the arena */
            size_t len;
        } str;
    } as;
};

struct lexer {
    struct lang *lang;
    size_t at, line_start;
    uint32_t line;
};

void lexer_init(struct lexer *lexer, struct lang *lang);
/* The next token; TOKEN_END at the end, and after an error for ever. */
struct token lexer_next(struct lexer *lexer);

/* What a message calls a token: "'{'", "the name 'x'", "the end of the text". */
#define TOKEN_TEXT_MAX 64
void token_describe(const struct token *token, char out[TOKEN_TEXT_MAX]);
const char *token_kind_text(enum token_kind kind); /* "'('", "a name"; static */

#endif
