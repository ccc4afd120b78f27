/* SPDX-License-Identifier: Apache-2.0 */
/* A value as .jv would write it. See value.h. */
#include "guest/jitvm/value/array.h"
#include "guest/jitvm/value/hash.h"
#include "guest/jitvm/value/value.h"

#define PRINT_DEPTH 100

static void print_byte(FILE *to, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char special[] = "\n\t\r\"\\", letter[] = "ntr\"\\";
    for (size_t i = 0; i + 1 < sizeof special; i++) {
        if (byte == (unsigned char)special[i]) {
            fputc('\\', to);
            fputc(letter[i], to);
            return;
        }
    }
    if (byte >= 0x20 && byte != 0x7f) {
        fputc(byte, to);
        return;
    }
    fputs("\\x", to);
    fputc(hex[byte >> 4], to);
    fputc(hex[byte & 15], to);
}

static void print_str(FILE *to, const struct jitvm_str *str)
{
    fputc('"', to);
    for (size_t i = 0; i < str->len; i++)
        print_byte(to, (unsigned char)str->bytes[i]);
    fputc('"', to);
}

static void print_value(FILE *to, struct jitvm_value v, unsigned depth);

static void print_array(FILE *to, const struct jitvm_array *array, unsigned depth)
{
    fputc('[', to);
    for (size_t i = 0; i < array->len; i++) {
        fputs(i ? ", " : "", to);
        print_value(to, array_at(array, i), depth);
    }
    fputc(']', to);
}

static void print_hash(FILE *to, const struct jitvm_hash *hash, unsigned depth)
{
    size_t at = 0;
    const char *between = "";
    const struct hash_entry *entry;
    fputc('{', to);
    while ((entry = hash_next(hash, &at))) {
        fputs(between, to);
        print_value(to, entry->key, depth);
        fputs(": ", to);
        print_value(to, entry->value, depth);
        between = ", ";
    }
    fputc('}', to);
}

static void print_plain(FILE *to, struct jitvm_value v)
{
    char room[NUMBER_TEXT_MAX];
    size_t len;
    const char *text = value_text(&v, room, &len);
    fwrite(text, 1, len, to);
}

static void print_value(FILE *to, struct jitvm_value v, unsigned depth)
{
    if (value_on_heap(v) && v.kind != JITVM_STR && depth == PRINT_DEPTH)
        fputs("...", to);
    else if (v.kind == JITVM_UNDEF)
        fputs("undef", to);
    else if (v.kind == JITVM_BOOL)
        fputs(v.as.i ? "true" : "false", to);
    else if (v.kind == JITVM_STR)
        print_str(to, v.as.str);
    else if (v.kind == JITVM_ARRAY)
        print_array(to, v.as.array, depth + 1);
    else if (v.kind == JITVM_HASH)
        print_hash(to, v.as.hash, depth + 1);
    else
        print_plain(to, v);
}

int value_print(FILE *to, struct jitvm_value v)
{
    print_value(to, v, 0);
    return ferror(to) ? -1 : 0;
}
