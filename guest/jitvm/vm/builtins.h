/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What builtins share: arguments as text, as containers, as offsets. Who calls a builtin has
 * checked the number of arguments against its table, and *out is undef.
 */
#ifndef JITVM_VM_BUILTINS_H
#define JITVM_VM_BUILTINS_H

#include "guest/jitvm/vm/vm.h"

/* Parameters of a builtin, of which few need all. */
#define BUILTIN_UNUSED __attribute__((unused))
#define BUILTIN_ARGS                                                                               \
    BUILTIN_UNUSED struct jitvm *vm, BUILTIN_UNUSED void *context,                                 \
        BUILTIN_UNUSED const struct jitvm_value *args, BUILTIN_UNUSED unsigned count,              \
        BUILTIN_UNUSED struct jitvm_value *out

/* The text of a value. That of a number is in `room`, so that it costs no allocation. */
struct text {
    const char *bytes;
    size_t len;
    struct jitvm_str *str; /* a reference, or NULL */
    char room[NUMBER_TEXT_MAX];
};

/* 0, or HEAP raised; text_end either way. The argument must outlive the text. */
int text_of(struct jitvm *vm, struct jitvm_value v, struct text *text);
void text_end(struct jitvm *vm, struct text *text);

/* The argument if it is an array or hash; otherwise NULL, with TYPE raised in the builtin's name.
 */
struct jitvm_array *array_argument(struct jitvm *vm, const char *builtin, struct jitvm_value v);

/* 0, or TYPE raised, as above: is it a function that jitvm_apply takes? */
int function_argument(struct jitvm *vm, const char *builtin, struct jitvm_value v);

/* *out becomes the string, which may be NULL: then HEAP is raised. Takes the reference. */
int give_str(struct jitvm *vm, struct jitvm_str *str, struct jitvm_value *out);
int give_array(struct jitvm *vm, struct jitvm_array *array, struct jitvm_value *out);

/* Returns rc; when it says failure, what is in *out already is released. */
int give_or_drop(struct jitvm *vm, int rc, struct jitvm_value *out);

/* The part [*from, *from + *count) of `len` things that the arguments (from[, count]) mean: from
 * below 0 counts from the end, both are cut to what is there. */
struct part {
    size_t from, count;
};
struct part part_of(size_t len, const struct jitvm_value *args, unsigned count);

/* A new string in the making: bytes are added at its end. After a failure (HEAP raised) it is
 * empty again and needs no end. */
struct joining {
    struct jitvm_str *str;
};
int joining_begin(struct jitvm *vm, struct joining *joining);
int joining_add(struct jitvm *vm, struct joining *joining, const char *bytes, size_t len);
void joining_end(struct jitvm *vm, struct joining *joining); /* throws it away, if still there */

#endif
