/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of .jasm text. */
#include "guest/jitvm/chunk/asm.h"

#include <stdarg.h>
#include <string.h>

#include "guest/jitvm/value/grow.h"
#include "guest/jitvm/value/number.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool goes_on(char c)
{
    return is_letter(c) || is_digit(c) || c == '.' || c == '-';
}

bool jasm_is_word(const char *name, size_t len)
{
    if (len == 0 || !is_letter(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!goes_on(name[i]))
            return false;
    return true;
}

int jasm_fail(const struct jasm_reader *r, const char *format, ...)
{
    char why[JITVM_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    (void)chunk_fail(r->err, JITVM_ERR_SYNTAX, "%s", why);
    if (r->err) {
        r->err->line = r->line;
        r->err->column = r->token.column;
    }
    return JITVM_ERR_SYNTAX;
}

bool jasm_token_is(const struct jasm_reader *r, enum jasm_token_kind kind, const char *text)
{
    size_t len = strlen(text);
    return r->token.kind == kind && r->token.len == len && memcmp(r->token.text, text, len) == 0;
}

bool jasm_next_line(struct jasm_reader *r)
{
    if (r->line > 0) {
        const char *end = memchr(r->text + r->line_start, '\n', r->len - r->line_start);
        if (!end)
            return false;
        r->line_start = (size_t)(end - r->text) + 1;
    }
    if (r->line_start >= r->len)
        return false;
    r->line++;
    r->at = r->line_start;
    return true;
}

/* '\n' at the end of the text too: what ends a line. */
static char peek(const struct jasm_reader *r)
{
    if (r->at == r->len)
        return '\n';
    return r->text[r->at];
}

static void skip_blanks(struct jasm_reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\r')
        r->at++;
    if (peek(r) == ';')
        while (peek(r) != '\n')
            r->at++;
}

bool jasm_colon_follows(const struct jasm_reader *r)
{
    size_t at = r->at;
    while (at < r->len && (r->text[at] == ' ' || r->text[at] == '\t'))
        at++;
    return at < r->len && r->text[at] == ':';
}

/* The token is the text from its start up to here. */
static int end_token(struct jasm_reader *r, enum jasm_token_kind kind)
{
    r->token.kind = kind;
    r->token.len = (size_t)(r->text + r->at - r->token.text);
    return 0;
}

static int read_hex(struct jasm_reader *r, char *out)
{
    int high = number_digit(peek(r));
    r->at += high >= 0;
    int low = high >= 0 ? number_digit(peek(r)) : -1;
    r->at += low >= 0;
    *out = (char)(high * 16 + low);
    return low >= 0 ? 0 : jasm_fail(r, "\\x in a string needs two hexadecimal digits");
}

/* Behind the backslash. */
static int read_escape(struct jasm_reader *r, char *out)
{
    static const char letters[] = "ntr\\\"", meanings[] = "\n\t\r\\\"";
    char c = peek(r);
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    if (c != '\n')
        r->at++;
    if (c == 'x')
        return read_hex(r, out);
    if (!found)
        return jasm_fail(r, "no such escape in a string: use \\n \\t \\r \\\\ \\\" \\xHH");
    *out = meanings[found - letters];
    return 0;
}

static int add_byte(struct jasm_reader *r, char c)
{
    char *string = grow(r->string, &r->string_room, r->token.len + 1, 1);
    if (!string)
        return chunk_fail(r->err, JITVM_ERR_MEMORY, "no memory for a string");
    r->string = string;
    r->token.text = string;
    string[r->token.len++] = c;
    return 0;
}

static int read_string(struct jasm_reader *r)
{
    r->token.kind = JASM_STRING;
    r->token.text = "";
    for (r->at++; peek(r) != '"';) {
        char c = peek(r);
        if (c == '\n')
            return jasm_fail(r, "a string without an end");
        r->at++;
        int rc = c == '\\' ? read_escape(r, &c) : 0;
        if (rc == 0)
            rc = add_byte(r, c);
        if (rc < 0)
            return rc;
    }
    r->at++;
    return 0;
}

static int read_word(struct jasm_reader *r, enum jasm_token_kind kind)
{
    do
        r->at++;
    while (goes_on(peek(r)));
    return end_token(r, kind);
}

static int read_number(struct jasm_reader *r)
{
    do
        r->at++;
    while (goes_on(peek(r)) || peek(r) == '+');
    return end_token(r, JASM_NUMBER);
}

static int read_mark(struct jasm_reader *r, enum jasm_token_kind kind)
{
    r->at++;
    return end_token(r, kind);
}

int jasm_next_token(struct jasm_reader *r)
{
    skip_blanks(r);
    r->token = (struct jasm_token){.text = r->text + r->at,
                                   .column = (uint32_t)(r->at - r->line_start + 1)};
    char c = peek(r);
    if (c == '\n')
        return end_token(r, JASM_END);
    if (c == '"')
        return read_string(r);
    if (c == ',')
        return read_mark(r, JASM_COMMA);
    if (c == ':')
        return read_mark(r, JASM_COLON);
    if (is_letter(c))
        return read_word(r, JASM_WORD);
    if (is_digit(c) || c == '-' || c == '+')
        return read_number(r);
    if (c == '.')
        return read_word(r, JASM_DIRECTIVE);
    return jasm_fail(r, "nothing begins with byte 0x%02x", (unsigned)(unsigned char)c);
}
