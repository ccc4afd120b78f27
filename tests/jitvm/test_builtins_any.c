/* SPDX-License-Identifier: Apache-2.0 */
/* Every builtin with arguments of every kind, most of them senseless. */
#include "tests/jitvm/builtin_call.h"

static uint64_t state;

static uint64_t pick(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static int64_t some_int(void)
{
    static const int64_t edges[] = {
        0, 1, -1, 2, 255, 256, INT64_MAX, INT64_MIN, INT64_C(1) << 60, -(INT64_C(1) << 33)};
    return pick(2) ? edges[pick(sizeof(edges) / sizeof(edges[0]))] : (int64_t)pick(20) - 10;
}

static double some_float(void)
{
    static const double edges[] = {0.0, -0.0, 0.5, -1.5, 1e300, -1e300, 1e-300, 9.3e18};
    uint64_t i = pick(sizeof(edges) / sizeof(edges[0]) + 2);
    return i == 0 ? __builtin_nan("") : i == 1 ? __builtin_inf() : edges[i - 2];
}

static struct jitvm_value some_function(void)
{
    static const char *const names[] = {"len", "str", "concat", "max", "format", "error"};
    return native(names[pick(sizeof(names) / sizeof(names[0]))]);
}

static struct jitvm_value some_value(unsigned depth);

static struct jitvm_value some_container(unsigned depth)
{
    struct jitvm_value array = EMPTY;
    uint64_t n = pick(6), same = pick(2);
    for (uint64_t i = 0; i < n; i++)
        jitvm_array_push(vm, &array, same ? I(some_int()) : some_value(depth + 1));
    if (pick(3))
        return array;
    struct jitvm_value hash;
    cr_assert_eq(jitvm_hash(vm, &hash), 0);
    for (uint64_t i = 0; i < n; i++) {
        struct jitvm_value element = jitvm_array_at(array, i);
        cr_assert_eq(jitvm_hash_set(vm, &hash, element, I((int64_t)i)), 0);
        jitvm_release(vm, element);
    }
    jitvm_release(vm, array);
    return hash;
}

static struct jitvm_value some_value(unsigned depth)
{
    static const char *const texts[] = {"",   "a",    "0",     "-12", "1e3",         "%d %5s|%x",
                                        "%%", "%-5g", " a,b ", ",",   "longer text", "%.3f%",
                                        "aa", "aaaa", "%08.3e"};
    switch (pick(depth > 3 ? 5 : 8)) {
    case 0:
        return U;
    case 1:
        return B(pick(2));
    case 2:
        return I(some_int());
    case 3:
        return F(some_float());
    case 4:
        return S(texts[pick(sizeof(texts) / sizeof(texts[0]))]);
    case 5:
        return some_function();
    default:
        return some_container(depth);
    }
}

/* Those that would wait, or write where the tests' own results are. */
static bool left_out(const char *name)
{
    static const char *const names[] = {"sleep", "readline", "readall", "eprint"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static int swallow(void *context, const void *bytes, size_t len)
{
    (void)context, (void)bytes, (void)len;
    return 0;
}

static void call_with_anything(const struct jitvm_native *n)
{
    struct jitvm_value args[6], out;
    unsigned most = n->max_args < 5 ? n->max_args : 5;
    unsigned count = n->min_args + (unsigned)pick(most - n->min_args + 1);
    for (unsigned i = 0; i < count; i++)
        args[i] = some_value(0);
    int rc = call(n->name, args, count, &out);
    if (rc < 0) {
        cr_assert_eq(rc, vm->error.status, "%s", n->name);
        cr_assert_gt(strlen(vm->error.message), 0, "%s", n->name);
        return;
    }
    cr_assert(n->result == JITVM_KINDS || n->result == out.kind, "%s", n->name);
    cr_assert(out.kind != JITVM_FLOAT || out.as.f == out.as.f ||
                  (uint64_t)out.as.i == NUMBER_NAN_BITS,
              "%s", n->name);
    jitvm_release(vm, out);
}

TestSuite(builtins_any, .init = vm_begin, .fini = vm_end);

Test(builtins_any, takes_arguments_of_all_kinds_and_keeps_nothing)
{
    state = UINT64_C(0x2545f4914f6cdd1d);
    jitvm_set_output(vm, swallow, NULL);
    uint64_t before = vm->heap.bytes;
    for (unsigned round = 0; round < 300; round++) {
        for (uint32_t i = 0; i < vm->native_count; i++) {
            if (!left_out(vm->natives[i].name))
                call_with_anything(&vm->natives[i]);
            cr_assert_eq(vm->heap.bytes, before, "%s kept memory", vm->natives[i].name);
        }
    }
}
