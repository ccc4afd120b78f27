/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builtins called by name in a VM without a program, with what they give compared as .jv writes it.
 * Every call must leave as much of the heap in use as there was before it.
 */
#ifndef TESTS_JITVM_BUILTIN_CALL_H
#define TESTS_JITVM_BUILTIN_CALL_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guest/jitvm/vm/vm.h"

static struct jitvm *vm;

static inline void vm_begin(void)
{
    struct jitvm_config config;
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    config.jit = JITVM_JIT_OFF;
    config.limits.heap_bytes = 1 << 20;
    config.seed = 7;
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
}

static inline void vm_end(void)
{
    jitvm_free(vm);
}

/* ---- arguments ------------------------------------------------------------------------------ */

#define U    jitvm_undef()
#define B(b) jitvm_bool(b)
#define I(i) jitvm_int(i)
#define F(f) jitvm_float(f)
#define S(s) make_str(s)
#define A(...)                                                                                     \
    make_array((const struct jitvm_value[]){__VA_ARGS__},                                          \
               sizeof((const struct jitvm_value[]){__VA_ARGS__}) / sizeof(struct jitvm_value))
#define EMPTY make_array(NULL, 0)

static inline struct jitvm_value make_str(const char *text)
{
    struct jitvm_value v;
    cr_assert_eq(jitvm_str(vm, text, strlen(text), &v), 0);
    return v;
}

static inline struct jitvm_value make_array(const struct jitvm_value *elements, size_t count)
{
    struct jitvm_value array;
    cr_assert_eq(jitvm_array(vm, &array), 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(jitvm_array_push(vm, &array, elements[i]), 0);
    return array;
}

/* A builtin or host function as a value. */
static inline struct jitvm_value native(const char *name)
{
    uint32_t index = vm_find_native(vm, name);
    cr_assert_neq(index, VM_NO_NATIVE, "no builtin %s", name);
    return (struct jitvm_value){.kind = JITVM_NATIVE, .as.i = index};
}

static inline void add_native(const char *name, jitvm_native_fn fn, void *context, uint8_t args)
{
    struct jitvm_native n = {name, fn, context, args, args, 0, JITVM_KINDS};
    cr_assert_eq(jitvm_register(vm, &n, NULL), 0);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Calls and releases the arguments. */
static inline int call(const char *name, const struct jitvm_value *args, unsigned count,
                       struct jitvm_value *out)
{
    uint64_t before = vm->heap.bytes;
    vm->error.status = JITVM_OK;
    int rc = jitvm_apply(vm, native(name), args, count, out);
    if (rc < 0)
        cr_assert_eq(vm->heap.bytes, before, "%s: failed and kept memory", name);
    for (unsigned i = 0; i < count; i++)
        jitvm_release(vm, args[i]);
    return rc;
}

static inline void gives(const char *wanted, const char *name, const struct jitvm_value *args,
                         unsigned count)
{
    struct jitvm_value result;
    int rc = call(name, args, count, &result);
    cr_assert_eq(rc, 0, "%s: %s", name, vm->error.message);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    cr_assert_eq(value_print(to, result), 0);
    fclose(to);
    cr_assert_str_eq(text, wanted, "%s: %s, not %s", name, text, wanted);
    free(text);
    uint8_t kind = vm->natives[vm_find_native(vm, name)].result;
    cr_assert(kind == JITVM_KINDS || kind == result.kind, "%s: not of the kind it promises", name);
    jitvm_release(vm, result);
}

#define VALUES(...)                                                                                \
    (const struct jitvm_value[]){__VA_ARGS__},                                                     \
        sizeof((const struct jitvm_value[]){__VA_ARGS__}) / sizeof(struct jitvm_value)

/* sizeof does not evaluate its operand: each argument is made once. */
#define GIVES(wanted, name, ...) gives(wanted, name, VALUES(__VA_ARGS__))
#define FAILS(status, name, ...)                                                                   \
    do {                                                                                           \
        struct jitvm_value out_;                                                                   \
        cr_assert_eq(call(name, VALUES(__VA_ARGS__), &out_), status, "%s", name);                  \
    } while (0)

#endif
