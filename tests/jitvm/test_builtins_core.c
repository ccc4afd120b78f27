/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/builtin_call.h"

TestSuite(builtins_core, .init = vm_begin, .fini = vm_end);

Test(builtins_core, type_names_every_kind)
{
    GIVES("\"undef\"", "type", U);
    GIVES("\"bool\"", "type", B(true));
    GIVES("\"int\"", "type", I(1));
    GIVES("\"float\"", "type", F(1));
    GIVES("\"str\"", "type", S("a"));
    GIVES("\"array\"", "type", EMPTY);
}

Test(builtins_core, len_counts_bytes_and_elements)
{
    GIVES("3", "len", S("abc"));
    GIVES("2", "len", A(I(1), I(2)));
    GIVES("0", "len", U);
}

Test(builtins_core, conversions_are_those_of_the_ops)
{
    GIVES("\"1.5\"", "str", F(1.5));
    GIVES("12", "int", S(" 12 "));
    GIVES("0", "int", S("12x"));
    GIVES("9223372036854775807", "int", F(1e300));
    GIVES("2.0", "float", I(2));
    GIVES("false", "bool", S("0"));
    GIVES("true", "bool", S("0.0"));
}

Test(builtins_core, error_fails_with_the_text_of_its_argument)
{
    FAILS(JITVM_ERR_HOST, "error", S("no such user"));
    cr_assert_str_eq(vm->error.message, "no such user");
    FAILS(JITVM_ERR_HOST, "error", A(I(1), I(2)));
    cr_assert_str_eq(vm->error.message, "1 2");
    FAILS(JITVM_ERR_HOST, "error", U);
    cr_assert_str_eq(vm->error.message, "error without a message");
}

Test(builtins_core, error_does_not_read_its_argument_as_a_format)
{
    FAILS(JITVM_ERR_HOST, "error", S("%s%n%d"));
    cr_assert_str_eq(vm->error.message, "%s%n%d");
}

Test(builtins_core, a_message_longer_than_an_error_holds_is_cut)
{
    struct jitvm_value text;
    char many[1000];
    memset(many, 'x', sizeof many);
    cr_assert_eq(jitvm_str(vm, many, sizeof many, &text), 0);
    FAILS(JITVM_ERR_HOST, "error", text);
    cr_assert_eq(strlen(vm->error.message), JITVM_MESSAGE_MAX - 1);
}

Test(builtins_core, assert_fails_unless_its_condition_is_true)
{
    GIVES("undef", "assert", I(1));
    FAILS(JITVM_ERR_HOST, "assert", I(0));
    cr_assert_str_eq(vm->error.message, "assertion failed");
    FAILS(JITVM_ERR_HOST, "assert", S(""), S("it is empty"));
    cr_assert_str_eq(vm->error.message, "it is empty");
}

Test(builtins_core, the_clock_does_not_go_back_and_sleep_takes_time)
{
    struct jitvm_value before, after, slept;
    cr_assert_eq(call("clock", NULL, 0, &before), 0);
    GIVES("undef", "sleep", F(0.02));
    cr_assert_eq(call("clock", NULL, 0, &after), 0);
    cr_assert_geq(after.as.f - before.as.f, 0.02);
    cr_assert_eq(call("time", NULL, 0, &slept), 0);
    cr_assert_gt(slept.as.f, 1.7e9);
}

Test(builtins_core, sleep_refuses_what_is_no_time)
{
    FAILS(JITVM_ERR_VALUE, "sleep", I(-1));
    FAILS(JITVM_ERR_VALUE, "sleep", F(__builtin_nan("")));
    FAILS(JITVM_ERR_VALUE, "sleep", F(1e300));
}

Test(builtins_core, a_wrong_number_of_arguments_is_refused)
{
    FAILS(JITVM_ERR_ARITY, "len", I(1), I(2));
    FAILS(JITVM_ERR_ARITY, "assert", I(1), I(2), I(3));
}

Test(builtins_core, for_refuses_an_end_that_a_step_past_it_wraps_around_from)
{
    GIVES("undef", "for", I(INT64_MAX), I(1), B(false));
    FAILS(JITVM_ERR_VALUE, "for", I(INT64_MAX), I(1), B(true));
    FAILS(JITVM_ERR_VALUE, "for", I(INT64_MAX), I(2), B(false));
    GIVES("undef", "for", I(INT64_MIN), I(-1), B(false));
    FAILS(JITVM_ERR_VALUE, "for", I(INT64_MIN), I(-1), B(true));
    GIVES("undef", "for", I(-1), I(INT64_MIN), B(false));
    FAILS(JITVM_ERR_VALUE, "for", I(-1), I(INT64_MIN), B(true));
    GIVES("undef", "for", I(1), I(INT64_MAX), B(false));
    FAILS(JITVM_ERR_VALUE, "for", I(1), I(INT64_MAX), B(true));
    GIVES("undef", "for", I(INT64_MAX), I(0), B(true));
}

Test(builtins_core, all_builtins_are_there_with_true_tables)
{
    static const char *const names[] = {
        "print",  "say",     "eprint",  "readline",    "readall",   "args",   "type",  "len",
        "str",    "int",     "float",   "bool",        "error",     "assert", "time",  "clock",
        "sleep",  "substr",  "find",    "rfind",       "split",     "join",   "upper", "lower",
        "trim",   "repeat",  "replace", "starts_with", "ends_with", "chr",    "ord",   "format",
        "sort",   "reverse", "map",     "grep",        "reduce",    "sum",    "min",   "max",
        "slice",  "concat",  "fill",    "range",       "insert",    "remove", "keys",  "values",
        "exists", "abs",     "floor",   "ceil",        "round",     "trunc",  "sqrt",  "sin",
        "cos",    "tan",     "asin",    "acos",        "atan",      "atan2",  "sinh",  "cosh",
        "tanh",   "exp",     "log",     "log2",        "log10",     "pow",    "gcd",   "lcm",
        "mulmod", "rand",    "srand",   "for"};
    cr_assert_eq(vm->native_count, sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct jitvm_native *n = &vm->natives[native(names[i]).as.i];
        cr_assert(n->min_args <= n->max_args && n->result <= JITVM_KINDS, "%s", names[i]);
        cr_assert(!(n->flags & JITVM_PURE) || (n->flags & JITVM_NO_REENTER), "%s", names[i]);
    }
}
