/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer: names, numbers, signs; strings are in lexer_string.c. */
#include "guest/jitvm/lang/lexer.h"

#include <string.h>

#include "guest/jitvm/lang/lexer_string.h"
#include "guest/jitvm/value/number.h"

#define NUMBER_DIGITS_MAX 400u

static const struct sign {
    const char *text;
    uint8_t len;
    uint8_t kind;
} keywords[] =
    {
#define X(name, text) {text, sizeof text - 1, TOKEN_##name},
        LANG_KEYWORDS(X)},
  signs[] = {LANG_SIGNS(X)
#undef X
};

static const char *const kind_texts[TOKEN_KINDS] = {
    [TOKEN_END] = "the end of the text", [TOKEN_NAME] = "a name",  [TOKEN_INT] = "a number",
    [TOKEN_FLOAT] = "a number",          [TOKEN_STR] = "a string",
#define X(name, text) [TOKEN_##name] = "'" text "'",
    LANG_KEYWORDS(X) LANG_SIGNS(X)
#undef X
};

const char *token_kind_text(enum token_kind kind)
{
    return kind_texts[kind];
}

void token_describe(const struct token *token, char out[TOKEN_TEXT_MAX])
{
    int len = token->len < 32 ? (int)token->len : 32;
    const char *more = token->len > 32 ? "..." : "";
    if (token->kind == TOKEN_NAME)
        (void)snprintf(out, TOKEN_TEXT_MAX, "the name '%.*s%s'", len, token->text, more);
    else if (token->kind == TOKEN_INT || token->kind == TOKEN_FLOAT)
        (void)snprintf(out, TOKEN_TEXT_MAX, "the number %.*s%s", len, token->text, more);
    else
        (void)snprintf(out, TOKEN_TEXT_MAX, "%s", kind_texts[token->kind]);
}

/* ---- characters ----------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The byte `ahead` further on; 0 behind the end, which no token begins with. */
static char peek(const struct lexer *lexer, size_t ahead)
{
    if (ahead >= lexer->lang->len - lexer->at)
        return '\0';
    return lexer->lang->text[lexer->at + ahead];
}

static void skip_comment(struct lexer *lexer)
{
    while (lexer->at < lexer->lang->len && lexer->lang->text[lexer->at] != '\n')
        lexer->at++;
}

/* Blanks, comments and line ends; true when there was a line end. */
static bool skip_blanks(struct lexer *lexer)
{
    bool line_end = false;
    while (lexer->at < lexer->lang->len) {
        char c = lexer->lang->text[lexer->at];
        if (c == '#') {
            skip_comment(lexer);
        } else if (c == '\n') {
            lexer_newline(lexer);
            line_end = true;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            lexer->at++;
        } else {
            break;
        }
    }
    return line_end;
}

void lexer_newline(struct lexer *lexer)
{
    lexer->at++;
    lexer->line++;
    lexer->line_start = lexer->at;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void number_fail(struct lexer *lexer, const struct token *token, const char *why)
{
    (void)lang_fail(lexer->lang, token->line, token->column, "%s", why);
}

/* Digits after "0x" or "0b". All 64 bits may be given. */
static void lex_radix(struct lexer *lexer, struct token *token, unsigned radix)
{
    uint64_t value = 0;
    bool any = false;
    lexer->at += 2;
    for (;; lexer->at++) {
        char c = peek(lexer, 0);
        if (c == '_')
            continue;
        int digit = number_digit(c);
        if (digit < 0 || digit >= (int)radix)
            break;
        if (value > UINT64_MAX / radix)
            return number_fail(lexer, token, "this number has more than 64 bits");
        value = value * radix + (unsigned)digit;
        any = true;
    }
    if (!any)
        return number_fail(lexer, token, "expected digits after '0x' or '0b'");
    token->kind = TOKEN_INT;
    token->as.i = value;
}

struct digits {
    char text[NUMBER_DIGITS_MAX];
    uint32_t len;
    bool too_long;
};

static void digits_add(struct digits *digits, char c)
{
    if (digits->len < NUMBER_DIGITS_MAX)
        digits->text[digits->len++] = c;
    else
        digits->too_long = true;
}

static void lex_digits(struct lexer *lexer, struct digits *digits)
{
    for (; is_digit(peek(lexer, 0)) || peek(lexer, 0) == '_'; lexer->at++)
        if (peek(lexer, 0) != '_')
            digits_add(digits, peek(lexer, 0));
}

/* True when there was a fraction; "1..2" is a range, "1.x" no number. */
static bool lex_fraction(struct lexer *lexer, struct digits *digits)
{
    if (peek(lexer, 0) != '.' || !is_digit(peek(lexer, 1)))
        return false;
    digits_add(digits, '.');
    lexer->at++;
    lex_digits(lexer, digits);
    return true;
}

static bool lex_exponent(struct lexer *lexer, struct digits *digits)
{
    if (peek(lexer, 0) != 'e' && peek(lexer, 0) != 'E')
        return false;
    bool has_sign = peek(lexer, 1) == '-' || peek(lexer, 1) == '+';
    if (!is_digit(peek(lexer, has_sign ? 2 : 1)))
        return false;
    digits_add(digits, 'e');
    if (has_sign)
        digits_add(digits, peek(lexer, 1));
    lexer->at += has_sign ? 2 : 1;
    lex_digits(lexer, digits);
    return true;
}

static void lex_decimal_int(struct lexer *lexer, struct token *token, const struct digits *digits)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < digits->len; i++) {
        value = value * 10 + (uint64_t)(digits->text[i] - '0');
        if (value > (uint64_t)1 << 63)
            return number_fail(lexer, token,
                               "this number has more than 64 bits; with '.0' it is a float");
    }
    token->kind = TOKEN_INT;
    token->as.i = value;
}

static void lex_number(struct lexer *lexer, struct token *token)
{
    char second = peek(lexer, 1);
    if (peek(lexer, 0) == '0' && (second == 'x' || second == 'X'))
        return lex_radix(lexer, token, 16);
    if (peek(lexer, 0) == '0' && (second == 'b' || second == 'B'))
        return lex_radix(lexer, token, 2);
    struct digits digits = {.len = 0};
    lex_digits(lexer, &digits);
    bool fraction = lex_fraction(lexer, &digits);
    bool exponent = lex_exponent(lexer, &digits);
    if (digits.too_long)
        return number_fail(lexer, token, "this number has more than 400 digits");
    if (!fraction && !exponent)
        return lex_decimal_int(lexer, token, &digits);
    token->kind = TOKEN_FLOAT;
    if (!number_parse_float(digits.text, digits.len, &token->as.f))
        number_fail(lexer, token, "this is no number");
}

/* ---- tokens --------------------------------------------------------------------------------- */

static void lex_name(struct lexer *lexer, struct token *token)
{
    size_t start = lexer->at;
    while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
        lexer->at++;
    size_t len = lexer->at - start;
    token->kind = TOKEN_NAME;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (keywords[i].len == len && memcmp(keywords[i].text, token->text, len) == 0)
            token->kind = (enum token_kind)keywords[i].kind;
}

static void lex_sign(struct lexer *lexer, struct token *token)
{
    size_t left = lexer->lang->len - lexer->at;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (signs[i].len <= left && memcmp(signs[i].text, token->text, signs[i].len) == 0) {
            token->kind = (enum token_kind)signs[i].kind;
            lexer->at += signs[i].len;
            return;
        }
    unsigned char c = (unsigned char)*token->text;
    if (c > ' ' && c < 127)
        (void)lang_fail(lexer->lang, token->line, token->column, "unexpected character '%c'", c);
    else
        (void)lang_fail(lexer->lang, token->line, token->column,
                        "unexpected byte 0x%02x: letters outside ASCII belong into strings", c);
}

static void lex_token(struct lexer *lexer, struct token *token)
{
    char c = *token->text;
    if (is_digit(c))
        lex_number(lexer, token);
    else if (is_letter(c))
        lex_name(lexer, token);
    else if (c == '"')
        lex_string(lexer, token);
    else if (c == '\'')
        lex_raw_string(lexer, token);
    else
        lex_sign(lexer, token);
}

/* "12abc" would otherwise be a number and a name. */
static void check_number_end(struct lexer *lexer, const struct token *token)
{
    if ((token->kind == TOKEN_INT || token->kind == TOKEN_FLOAT) && is_letter(peek(lexer, 0)))
        number_fail(lexer, token, "a letter follows this number at once");
}

struct token lexer_next(struct lexer *lexer)
{
    bool line_end = skip_blanks(lexer);
    size_t start = lexer->at;
    struct token token = {.kind = TOKEN_END,
                          .line = lexer->line,
                          .column = (uint32_t)(start - lexer->line_start) + 1,
                          .first_of_line = line_end,
                          .text = lexer->lang->text + start};
    if (lexer->lang->status != 0 || start == lexer->lang->len)
        return token;
    lex_token(lexer, &token);
    check_number_end(lexer, &token);
    token.len = (uint32_t)(lexer->at - start);
    if (lexer->lang->status != 0)
        token.kind = TOKEN_END;
    return token;
}

void lexer_init(struct lexer *lexer, struct lang *lang)
{
    *lexer = (struct lexer){.lang = lang, .line = 1};
    /* "#!" is a comment anyway; a byte order mark is not. */
    if (lang->len >= 3 && memcmp(lang->text, "\xef\xbb\xbf", 3) == 0)
        lexer->at = lexer->line_start = 3;
}
