/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stages of compiling a .jv text share: the text, the memory, the names, the first error.
 *
 * Stages: lexer.c makes tokens, parser.c a tree (ast.h), resolve.c says what each name means,
 * gen.c gives the ops to the builder. The first error is kept, and everything behind it is given
 * up quickly: after lang_fail each stage returns without having changed anything that matters.
 */
#ifndef JITVM_LANG_LANG_H
#define JITVM_LANG_LANG_H

#include "guest/jitvm/jitvm.h"
#include "guest/jitvm/lang/lang_arena.h"

#define LANG_SOURCE_MAX ((size_t)16 << 20) /* bytes of a text */
#define LANG_NESTING    256u               /* levels of expressions and blocks, one in another */

struct lang_variable;
struct lang_function;

/* A name: each text has one symbol. */
struct lang_symbol {
    struct lang_symbol *next; /* of the same bucket */
    const char *text;         /* in the source */
    uint32_t len, hash;
    struct lang_variable *binding;  /* the innermost variable of the name, or NULL */
    struct lang_variable *file;     /* the variable of the file's outermost level, or NULL */
    struct lang_function *function; /* the named function, or NULL */
};

struct lang {
    const char *text;
    size_t len;
    struct lang_arena arena;
    struct lang_symbol **buckets;
    uint32_t bucket_count, symbol_count;
    struct jitvm_error *err;
    int status; /* 0 until something has failed */
};

/* Keeps the first error: "line 3:14: message". Returns its status. Line and column from 1. */
int lang_fail(struct lang *lang, uint32_t line, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int lang_no_memory(struct lang *lang);

/* Zeroed; NULL when there is no memory, which is then the error. */
void *lang_alloc(struct lang *lang, size_t size);

/* The symbol of `text`, which must live as long as the compilation; NULL without memory. */
struct lang_symbol *lang_symbol(struct lang *lang, const char *text, size_t len);

/* The visible name most like this one, or NULL when none is alike. */
const struct lang_symbol *lang_nearest(const struct lang *lang, const struct lang_symbol *name);

#endif
