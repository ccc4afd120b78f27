/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: with escapes, and raw. */
#include "guest/jitvm/lang/lexer_string.h"

#include "guest/jitvm/value/number.h"

#include <string.h>

struct string_source {
    struct lexer *lexer;
    const struct token *token;
    char *out; /* as long as the source, which no escape exceeds */
    size_t len;
};

static bool at_end(const struct lexer *lexer)
{
    return lexer->at >= lexer->lang->len;
}

static char here(const struct lexer *lexer)
{
    if (at_end(lexer))
        return '\0';
    return lexer->lang->text[lexer->at];
}

static void escape_fail(struct string_source *in, const char *why)
{
    struct lexer *lexer = in->lexer;
    (void)lang_fail(lexer->lang, lexer->line, (uint32_t)(lexer->at - lexer->line_start) + 1, "%s",
                    why);
}

static void put_utf8(struct string_source *in, uint32_t c)
{
    if (c < 0x80) {
        in->out[in->len++] = (char)c;
        return;
    }
    unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    in->out[in->len++] = (char)(lead[more] | (c >> (6 * more)));
    while (more-- > 0)
        in->out[in->len++] = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
}

/* After "\x". */
static void escape_byte(struct string_source *in)
{
    struct lexer *lexer = in->lexer;
    int value = 0;
    for (int i = 0; i < 2; i++, lexer->at++) {
        int digit = number_digit(here(lexer));
        if (digit < 0)
            return escape_fail(in, "expected two hexadecimal digits after '\\x'");
        value = value * 16 + digit;
    }
    in->out[in->len++] = (char)value;
}

/* After "\u". */
static void escape_unicode(struct string_source *in)
{
    struct lexer *lexer = in->lexer;
    uint32_t value = 0;
    unsigned digits = 0;
    if (here(lexer) != '{')
        return escape_fail(in, "expected '{' after '\\u', as in \"\\u{e9}\"");
    for (lexer->at++; number_digit(here(lexer)) >= 0 && digits < 7; lexer->at++, digits++)
        value = value * 16 + (uint32_t)number_digit(here(lexer));
    if (here(lexer) != '}' || digits == 0)
        return escape_fail(in, "expected up to six hexadecimal digits and '}' after '\\u{'");
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return escape_fail(in, "there is no such Unicode character");
    lexer->at++;
    put_utf8(in, value);
}

/* After the backslash. */
static void escape(struct string_source *in)
{
    static const char names[] = "nrte0\\\"'", bytes[] = "\n\r\t\033\0\\\"'";
    char c = here(in->lexer);
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (found)
        in->out[in->len++] = bytes[found - names];
    else if (c != 'x' && c != 'u')
        return escape_fail(
            in, "unknown escape; there are \\n \\r \\t \\e \\0 \\\\ \\\" \\' \\xNN \\u{...}");
    in->lexer->at++;
    if (c == 'x')
        escape_byte(in);
    else if (c == 'u')
        escape_unicode(in);
}

/* Bytes up to the closing quote, as they stand in the source. */
static size_t string_length(const struct lexer *lexer)
{
    const char *text = lexer->lang->text;
    size_t at = lexer->at;
    while (at < lexer->lang->len && text[at] != '"' && text[at] != '\n')
        at += text[at] == '\\' ? 2 : 1;
    return at - lexer->at;
}

void lex_string(struct lexer *lexer, struct token *token)
{
    lexer->at++;
    struct string_source in = {.lexer = lexer, .token = token};
    in.out = lang_alloc(lexer->lang, string_length(lexer));
    while (in.out && !at_end(lexer) && here(lexer) != '"' && here(lexer) != '\n') {
        char c = lexer->lang->text[lexer->at++];
        if (c == '\\')
            escape(&in);
        else
            in.out[in.len++] = c;
        if (lexer->lang->status != 0)
            return;
    }
    if (here(lexer) != '"') {
        (void)lang_fail(lexer->lang, token->line, token->column,
                        "this string has no closing '\"' on its line");
        return;
    }
    lexer->at++;
    token->kind = TOKEN_STR;
    token->as.str.bytes = in.out;
    token->as.str.len = in.len;
}

void lex_raw_string(struct lexer *lexer, struct token *token)
{
    size_t start = ++lexer->at;
    while (!at_end(lexer) && here(lexer) != '\'') {
        if (here(lexer) == '\n')
            lexer_newline(lexer);
        else
            lexer->at++;
    }
    token->kind = TOKEN_STR;
    token->as.str.bytes = lexer->lang->text + start;
    token->as.str.len = lexer->at - start;
    if (at_end(lexer))
        (void)lang_fail(lexer->lang, token->line, token->column,
                        "this string has no closing \"'\"");
    else
        lexer->at++;
}
