/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builtins about values themselves, about failing and about time; and what all builtins share.
 */
#include "guest/jitvm/vm/builtins.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- shared --------------------------------------------------------------------------------- */

int text_of(struct jitvm *vm, struct jitvm_value v, struct text *text)
{
    text->str = NULL;
    text->bytes = text->room;
    switch (v.kind) {
    case JITVM_STR:
        text->bytes = v.as.str->bytes;
        text->len = v.as.str->len;
        return 0;
    case JITVM_INT:
        text->len = number_format_int(v.as.i, text->room);
        return 0;
    case JITVM_FLOAT:
        text->len = number_format_float(v.as.f, text->room);
        return 0;
    default:
        text->len = 0;
        text->str = value_to_str(&vm->heap, v);
        if (!text->str)
            return vm_raise_heap(vm);
        text->bytes = text->str->bytes;
        text->len = text->str->len;
        return 0;
    }
}

void text_end(struct jitvm *vm, struct text *text)
{
    if (text->str)
        object_release(&vm->heap, &text->str->object);
    text->str = NULL;
}

struct jitvm_array *array_argument(struct jitvm *vm, const char *builtin, struct jitvm_value v)
{
    if (v.kind == JITVM_ARRAY)
        return v.as.array;
    jitvm_raise(vm, JITVM_ERR_TYPE, "%s: takes an array, not %s", builtin, value_kind_name(v.kind));
    return NULL;
}

int function_argument(struct jitvm *vm, const char *builtin, struct jitvm_value v)
{
    if (v.kind == JITVM_FUNC || v.kind == JITVM_NATIVE)
        return 0;
    return jitvm_raise(vm, JITVM_ERR_TYPE, "%s: takes a function, not %s", builtin,
                       value_kind_name(v.kind));
}

int give_str(struct jitvm *vm, struct jitvm_str *str, struct jitvm_value *out)
{
    if (!str)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_STR, .as.str = str};
    return 0;
}

int give_array(struct jitvm *vm, struct jitvm_array *array, struct jitvm_value *out)
{
    if (!array)
        return vm_raise_heap(vm);
    *out = (struct jitvm_value){.kind = JITVM_ARRAY, .as.array = array};
    return 0;
}

int give_or_drop(struct jitvm *vm, int rc, struct jitvm_value *out)
{
    if (rc < 0) {
        value_release(&vm->heap, *out);
        *out = jitvm_undef();
    }
    return rc;
}

struct part part_of(size_t len, const struct jitvm_value *args, unsigned count)
{
    /* Lengths are below 2^33, so none of this overflows. */
    int64_t n = (int64_t)len;
    int64_t from = value_to_int(args[0]);
    if (from < 0)
        from = from < -n ? 0 : from + n;
    if (from > n)
        from = n;
    int64_t most = n - from;
    int64_t wanted = count > 1 ? value_to_int(args[1]) : most;
    if (wanted < 0)
        wanted = 0;
    return (struct part){(size_t)from, (size_t)(wanted < most ? wanted : most)};
}

int joining_begin(struct jitvm *vm, struct joining *joining)
{
    joining->str = str_new(&vm->heap, "", 0);
    return joining->str ? 0 : vm_raise_heap(vm);
}

int joining_add(struct jitvm *vm, struct joining *joining, const char *bytes, size_t len)
{
    if (len == 0)
        return 0;
    joining->str = str_append(&vm->heap, joining->str, bytes, len);
    return joining->str ? 0 : vm_raise_heap(vm);
}

void joining_end(struct jitvm *vm, struct joining *joining)
{
    if (joining->str)
        object_release(&vm->heap, &joining->str->object);
    joining->str = NULL;
}

/* ---- values --------------------------------------------------------------------------------- */

static int core_type(BUILTIN_ARGS)
{
    const char *name = value_kind_name(args[0].kind);
    return give_str(vm, str_new(&vm->heap, name, strlen(name)), out);
}

static int core_len(BUILTIN_ARGS)
{
    *out = jitvm_int((int64_t)jitvm_length(args[0]));
    return 0;
}

static int core_str(BUILTIN_ARGS)
{
    return give_str(vm, value_to_str(&vm->heap, args[0]), out);
}

static int core_int(BUILTIN_ARGS)
{
    *out = jitvm_int(value_to_int(args[0]));
    return 0;
}

static int core_float(BUILTIN_ARGS)
{
    *out = jitvm_float(value_to_float(args[0]));
    return 0;
}

static int core_bool(BUILTIN_ARGS)
{
    *out = jitvm_bool(value_truthy(args[0]));
    return 0;
}

/* ---- failing -------------------------------------------------------------------------------- */

/* Fails with the text of the value as message, cut to what an error holds; with `otherwise` when
 * there is none. */
static int fail_with(struct jitvm *vm, struct jitvm_value message, const char *otherwise)
{
    struct text text;
    int rc = text_of(vm, message, &text);
    if (rc < 0)
        return rc;
    int len = text.len < JITVM_MESSAGE_MAX ? (int)text.len : JITVM_MESSAGE_MAX;
    rc = len ? jitvm_raise(vm, JITVM_ERR_HOST, "%.*s", len, text.bytes)
             : jitvm_raise(vm, JITVM_ERR_HOST, "%s", otherwise);
    text_end(vm, &text);
    return rc;
}

static int core_error(BUILTIN_ARGS)
{
    return fail_with(vm, args[0], "error without a message");
}

static int core_assert(BUILTIN_ARGS)
{
    if (value_truthy(args[0]))
        return 0;
    return fail_with(vm, count > 1 ? args[1] : jitvm_undef(), "assertion failed");
}

/* for(end, step, included): what the language asks before a range whose end it does not know; no
 * program can name it. A step past an end near the last int would wrap, and the loop not end. */
static int core_for(BUILTIN_ARGS)
{
    int64_t end = value_to_int(args[0]), step = value_to_int(args[1]);
    int64_t spare = value_truthy(args[2]) ? 0 : 1;
    if (step == 0 || (step > 0 ? end <= INT64_MAX - step + spare : end >= INT64_MIN - step - spare))
        return 0;
    return jitvm_raise(vm, JITVM_ERR_VALUE,
                       "the range ends so near the last int that a step past it wraps around");
}

/* ---- time ----------------------------------------------------------------------------------- */

static int give_clock(clockid_t id, struct jitvm_value *out)
{
    struct timespec now;
    clock_gettime(id, &now);
    *out = jitvm_float((double)now.tv_sec + (double)now.tv_nsec / 1e9);
    return 0;
}

static int core_time(BUILTIN_ARGS)
{
    return give_clock(CLOCK_REALTIME, out);
}

static int core_clock(BUILTIN_ARGS)
{
    return give_clock(CLOCK_MONOTONIC, out);
}

#define SLEEP_MAX 1e9 /* seconds, about 32 years: what every time_t holds */

static int core_sleep(BUILTIN_ARGS)
{
    double seconds = value_to_float(args[0]);
    if (!(seconds >= 0 && seconds <= SLEEP_MAX))
        return jitvm_raise(vm, JITVM_ERR_VALUE, "sleep: takes 0 to 1e9 seconds");
    int rc = vm_flush(vm);
    if (rc < 0)
        return rc;
    time_t whole = (time_t)seconds;
    struct timespec left = {whole, (long)((seconds - (double)whole) * 1e9)};
    do {
        if (atomic_exchange(&vm->interrupted, false))
            return jitvm_raise(vm, JITVM_ERR_INTERRUPTED, "interrupted");
    } while (nanosleep(&left, &left) < 0 && errno == EINTR);
    return 0;
}

const struct jitvm_native *builtins_core(unsigned *count)
{
    static const struct jitvm_native table[] = {
        {"type", core_type, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_STR},
        {"len", core_len, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_INT},
        {"str", core_str, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_STR},
        {"int", core_int, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_INT},
        {"float", core_float, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_FLOAT},
        {"bool", core_bool, NULL, 1, 1, JITVM_PURE | JITVM_NO_REENTER, JITVM_BOOL},
        {"error", core_error, NULL, 1, 1, JITVM_NO_REENTER, JITVM_UNDEF},
        {"assert", core_assert, NULL, 1, 2, JITVM_NO_REENTER, JITVM_UNDEF},
        {"for", core_for, NULL, 3, 3, JITVM_NO_REENTER, JITVM_UNDEF},
        {"time", core_time, NULL, 0, 0, JITVM_NO_REENTER, JITVM_FLOAT},
        {"clock", core_clock, NULL, 0, 0, JITVM_NO_REENTER, JITVM_FLOAT},
        {"sleep", core_sleep, NULL, 1, 1, JITVM_NO_REENTER, JITVM_UNDEF},
    };
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}
