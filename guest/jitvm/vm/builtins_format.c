/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format(). The text comes from a program, so that it is read here and never given to printf: what
 * printf sees is made of what was understood.
 */
#include "guest/jitvm/vm/builtins_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct directive {
    bool left, zeros, plus, blank;
    int width;
    int precision; /* -1: none */
    char kind;
};

/* The longest double has 309 digits before the point. */
#define NUMBER_MAX (FORMAT_WIDTH_MAX + 400)

struct formatting {
    struct jitvm *vm;
    struct joining joining;
    const char *at, *end; /* what is still to be read of the text */
    const struct jitvm_value *args;
    unsigned count, used;
};

static bool read_flag(struct formatting *f, struct directive *d)
{
    switch (f->at < f->end ? *f->at : '\0') {
    case '-':
        return d->left = true;
    case '0':
        return d->zeros = true;
    case '+':
        return d->plus = true;
    case ' ':
        return d->blank = true;
    default:
        return false;
    }
}

/* A number, 0 when there are no digits; -1 when it is above FORMAT_WIDTH_MAX. */
static int read_width(struct formatting *f)
{
    int n = 0;
    for (; f->at < f->end && *f->at >= '0' && *f->at <= '9'; f->at++) {
        n = 10 * n + (*f->at - '0');
        if (n > FORMAT_WIDTH_MAX)
            return -1;
    }
    return n;
}

static int wide(struct formatting *f)
{
    return jitvm_raise(f->vm, JITVM_ERR_VALUE, "format: a width above %d", FORMAT_WIDTH_MAX);
}

/* What is behind the '%'. */
static int read_directive(struct formatting *f, struct directive *d)
{
    *d = (struct directive){.precision = -1};
    while (read_flag(f, d))
        f->at++;
    d->width = read_width(f);
    if (d->width < 0)
        return wide(f);
    if (f->at < f->end && *f->at == '.') {
        f->at++;
        d->precision = read_width(f);
        if (d->precision < 0)
            return wide(f);
    }
    if (f->at == f->end)
        return jitvm_raise(f->vm, JITVM_ERR_VALUE, "format: the text ends within a directive");
    d->kind = *f->at++;
    if (memchr("dsfxeg%", d->kind, 7))
        return 0;
    return jitvm_raise(f->vm, JITVM_ERR_VALUE,
                       "format: no directive '%%%c': there are "
                       "%%d %%x %%f %%e %%g %%s %%%%",
                       d->kind > ' ' && d->kind < 127 ? d->kind : '?');
}

/* ---- a number as text ----------------------------------------------------------------------- */

/* printf writes the locale's point, which may be several bytes. */
static size_t put_point(char *text, size_t len)
{
    size_t from = 0;
    while (from < len && (memchr("+- 0123456789", text[from], 13) != NULL))
        from++;
    if (from == len || memchr("einxEINX", text[from], 8))
        return len;
    size_t to = from;
    while (to < len && !memchr("0123456789e", text[to], 11))
        to++;
    text[from] = '.';
    memmove(text + from + 1, text + to, len - to);
    return len - (to - from) + 1;
}

static size_t float_text(const struct directive *d, double value, char out[NUMBER_MAX])
{
    int precision = d->precision < 0 ? 6 : d->precision;
    int len = snprintf(out, NUMBER_MAX,
                       d->kind == 'f'   ? "%.*f"
                       : d->kind == 'e' ? "%.*e"
                                        : "%.*g",
                       precision, value);
    return put_point(out, (size_t)len);
}

static size_t number_text(const struct directive *d, struct jitvm_value v, char out[NUMBER_MAX])
{
    if (d->kind == 'd')
        return number_format_int(value_to_int(v), out);
    if (d->kind == 'x')
        return (size_t)snprintf(out, NUMBER_MAX, "%" PRIx64, (uint64_t)value_to_int(v));
    return float_text(d, value_to_float(v), out);
}

/* ---- writing -------------------------------------------------------------------------------- */

static int put(struct formatting *f, const char *bytes, size_t len)
{
    return joining_add(f->vm, &f->joining, bytes, len);
}

static int put_times(struct formatting *f, char c, size_t n)
{
    char many[FORMAT_WIDTH_MAX];
    memset(many, c, n);
    return put(f, many, n);
}

/* `sign` (0 or 1 byte), then `bytes`, with what the width asks for before, between or behind. */
static int put_padded(struct formatting *f, const struct directive *d, bool zeros, const char *sign,
                      const char *bytes, size_t len)
{
    size_t all = strlen(sign) + len, width = (size_t)d->width;
    size_t pad = width > all ? width - all : 0;
    int rc = pad && !d->left && !zeros ? put_times(f, ' ', pad) : 0;
    if (rc == 0)
        rc = put(f, sign, strlen(sign));
    if (rc == 0 && pad && !d->left && zeros)
        rc = put_times(f, '0', pad);
    if (rc == 0)
        rc = put(f, bytes, len);
    return rc == 0 && pad && d->left ? put_times(f, ' ', pad) : rc;
}

static int put_number(struct formatting *f, const struct directive *d, struct jitvm_value v)
{
    char text[NUMBER_MAX];
    size_t len = number_text(d, v, text);
    bool negative = text[0] == '-';
    const char *sign = negative ? "-" : d->kind == 'x' ? "" : d->plus ? "+" : d->blank ? " " : "";
    const char *digits = text + negative;
    /* Zeros before "inf" would make no number of it. */
    bool zeros = d->zeros && ((*digits >= '0' && *digits <= '9') || d->kind == 'x');
    return put_padded(f, d, zeros, sign, digits, len - negative);
}

static int put_text(struct formatting *f, const struct directive *d, struct jitvm_value v)
{
    struct text text;
    int rc = text_of(f->vm, v, &text);
    if (rc < 0)
        return rc;
    size_t len = text.len;
    if (d->precision >= 0 && len > (size_t)d->precision)
        len = (size_t)d->precision;
    rc = put_padded(f, d, false, "", text.bytes, len);
    text_end(f->vm, &text);
    return rc;
}

static int put_directive(struct formatting *f)
{
    struct directive d;
    int rc = read_directive(f, &d);
    if (rc < 0)
        return rc;
    if (d.kind == '%')
        return put(f, "%", 1);
    if (f->used == f->count)
        return jitvm_raise(f->vm, JITVM_ERR_VALUE, "format: more directives than values (%u)",
                           f->count);
    struct jitvm_value v = f->args[f->used++];
    return d.kind == 's' ? put_text(f, &d, v) : put_number(f, &d, v);
}

static int put_all(struct formatting *f)
{
    while (f->at < f->end) {
        const char *percent = memchr(f->at, '%', (size_t)(f->end - f->at));
        const char *upto = percent ? percent : f->end;
        int rc = put(f, f->at, (size_t)(upto - f->at));
        f->at = percent ? percent + 1 : upto;
        if (rc == 0 && percent)
            rc = put_directive(f);
        if (rc < 0)
            return rc;
    }
    if (f->used < f->count)
        return jitvm_raise(f->vm, JITVM_ERR_VALUE, "format: %u values for %u directives", f->count,
                           f->used);
    return 0;
}

int builtin_format(BUILTIN_ARGS)
{
    struct text text;
    int rc = text_of(vm, args[0], &text);
    if (rc < 0)
        return rc;
    struct formatting f = {.vm = vm,
                           .at = text.bytes,
                           .end = text.bytes + text.len,
                           .args = args + 1,
                           .count = count - 1};
    rc = joining_begin(vm, &f.joining);
    if (rc == 0)
        rc = put_all(&f);
    text_end(vm, &text);
    if (rc == 0)
        return give_str(vm, f.joining.str, out);
    joining_end(vm, &f.joining);
    return rc;
}
