/* SPDX-License-Identifier: Apache-2.0 */
/* n short lines made piece by piece, joined, and summed up byte by byte. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *bytes;
    size_t len, room;
};

static void text_add(struct text *text, const char *bytes, size_t len)
{
    while (text->len + len > text->room) {
        text->room = text->room ? text->room * 2 : 16;
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes)
            abort();
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static struct text line_of(int64_t i)
{
    struct text line = {0};
    for (int64_t j = 0; j < 10; j++) {
        char number[24];
        int len = snprintf(number, sizeof number, "%" PRId64, (i * 7 + j * j) % 1000);
        text_add(&line, number, (size_t)len);
        text_add(&line, ",", 1);
    }
    return line;
}

static struct text join(struct text *lines, int64_t n)
{
    struct text all = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i > 0)
            text_add(&all, "\n", 1);
        text_add(&all, lines[i].bytes, lines[i].len);
        free(lines[i].bytes);
    }
    free(lines);
    return all;
}

static void run(int64_t n)
{
    struct text *lines = calloc((size_t)n, sizeof *lines);
    if (!lines)
        abort();
    for (int64_t i = 0; i < n; i++)
        lines[i] = line_of(i);
    struct text text = join(lines, n);
    int64_t sum = 0;
    for (size_t i = 0; i < text.len; i++)
        sum = (sum * 31 + (unsigned char)text.bytes[i]) % 1000003;
    (void)printf("%zu %" PRId64, text.len, sum);
    free(text.bytes);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 150000;
    (void)printf("string_building ");
    run(n);
    (void)printf("\n");
    return 0;
}
