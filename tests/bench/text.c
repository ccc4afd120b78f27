/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/text.h"

#include <math.h>
#include <string.h>

static bool is_tail(char c)
{
    return (c & 0xc0) == 0x80;
}

/* A space between the groups of three of the digits before the point. */
static void group(char text[TEXT_NUMBER_MAX])
{
    size_t start = text[0] == '-', end = start + strspn(text + start, "0123456789");
    if (end - start < 5)
        return;
    for (size_t at = end - 3; at > start && at < end; at -= at < 3 ? at : 3) {
        size_t length = strlen(text);
        if (length + 2 > TEXT_NUMBER_MAX)
            return;
        memmove(text + at + 1, text + at, length - at + 1);
        text[at] = ' ';
    }
}

static const char *fixed(double value, int decimals, char out[TEXT_NUMBER_MAX])
{
    double size = fabs(value);
    bool plain = size <= 0 || (size >= 1e-6 && size < 1e12);
    (void)snprintf(out, TEXT_NUMBER_MAX, plain ? "%.*f" : "%.*g", plain ? decimals : 3, value);
    group(out);
    return out;
}

/* Decimals that leave `digits` digits that count. */
static int decimals_for(double value, int digits)
{
    double size = fabs(value);
    int before = size > 0 ? (int)floor(log10(size)) + 1 : 1;
    int decimals = digits - before;
    return decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
}

const char *text_number(double value, char out[TEXT_NUMBER_MAX])
{
    return fixed(value, value == floor(value) ? 0 : decimals_for(value, 3), out);
}

const char *text_ratio(double value, char out[TEXT_NUMBER_MAX])
{
    double size = fabs(value);
    return fixed(value, size >= 0.1 && size < 10 ? 3 : decimals_for(value, 3), out);
}

const char *text_exact(double value, char out[TEXT_NUMBER_MAX])
{
    fixed(value, value == floor(value) ? 0 : decimals_for(value, 6), out);
    if (strchr(out, '.') && !strchr(out, 'e')) {
        size_t length = strlen(out);
        while (out[length - 1] == '0')
            out[--length] = '\0';
        if (out[length - 1] == '.')
            out[length - 1] = '\0';
    }
    return out;
}

void text_escape(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            (void)fputs("&amp;", out);
        else if (c == '<')
            (void)fputs("&lt;", out);
        else if (c == '>')
            (void)fputs("&gt;", out);
        else if (c == '"')
            (void)fputs("&quot;", out);
        else if (c == '\'')
            (void)fputs("&#39;", out);
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            (void)fputs("&#xfffd;", out);
        else
            (void)fputc(c, out);
    }
}

size_t text_length(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += !is_tail(*text);
    return n;
}

/* Stops before the character that is one too many. */
static void print_cells(FILE *out, const char *text, size_t cells)
{
    for (size_t n = 0; *text; text++) {
        if (!is_tail(*text) && n++ == cells)
            return;
        unsigned char c = (unsigned char)*text;
        (void)fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
}

void text_cell(FILE *out, const char *text, size_t cells, bool right)
{
    size_t length = text_length(text), fill = length < cells ? cells - length : 0;
    if (right)
        (void)fprintf(out, "%*s", (int)fill, "");
    print_cells(out, text, length > cells ? cells - 3 : cells);
    if (length > cells)
        (void)fputs("...", out);
    if (!right)
        (void)fprintf(out, "%*s", (int)fill, "");
}

static double character_width(char c)
{
    if (is_tail(c))
        return 0;
    if (strchr("fijlrt.,:;'|!()[]/ -", c))
        return 0.36;
    if (strchr("mwMW%@", c))
        return 0.92;
    return c & 0x80 ? 1 : c >= 'A' && c <= 'Z' ? 0.7 : 0.59;
}

double text_width(const char *text, double size)
{
    double width = 0;
    for (; *text; text++)
        width += character_width(*text);
    return width * size;
}

void text_fit(const char *text, double size, double width, char *out, size_t out_size)
{
    bool cut = text_width(text, size) > width;
    double left = width / size - (cut ? 1 : 0);
    size_t n = 0;
    for (; *text && n + 8 < out_size; text++) {
        left -= character_width(*text);
        if (!is_tail(*text) && left < 0)
            break;
        out[n++] = *text;
    }
    while (*text && n > 0 && is_tail(*text))
        text--, n--;
    (void)snprintf(out + n, out_size - n, "%s", *text ? "\u2026" : "");
}

void text_axis(const char *what, const char *unit, bool logarithmic, char out[TEXT_AXIS_MAX])
{
    char name[192], of[96];
    text_fit(what, 1, 24, name, sizeof(name));
    text_fit(unit, 1, 8, of, sizeof(of));
    (void)snprintf(out, TEXT_AXIS_MAX, "%s%s%s%s", name, name[0] && of[0] ? ", " : "", of,
                   logarithmic ? " (logarithmic)" : "");
}
