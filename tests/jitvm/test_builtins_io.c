/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jitvm/builtin_call.h"

#include <errno.h>

/* What was written, and what is to be read, a few bytes at a time. */
static struct {
    char out[1 << 16];
    size_t out_len, writes;
    bool fails;
    const char *in;
    size_t in_len, step;
} host;

static int host_write(void *context, const void *bytes, size_t len)
{
    (void)context;
    host.writes++;
    if (host.fails) {
        errno = ENOSPC;
        return -1;
    }
    cr_assert_leq(len, sizeof host.out - host.out_len);
    memcpy(host.out + host.out_len, bytes, len);
    host.out_len += len;
    return 0;
}

static ptrdiff_t host_read(void *context, void *bytes, size_t len)
{
    (void)context;
    if (host.fails)
        return -1;
    size_t n = host.step < len ? host.step : len;
    n = n < host.in_len ? n : host.in_len;
    memcpy(bytes, host.in, n);
    host.in += n;
    host.in_len -= n;
    return (ptrdiff_t)n;
}

static void feed(const char *text, size_t step)
{
    host.in = text;
    host.in_len = strlen(text);
    host.step = step;
    jitvm_set_input(vm, host_read, NULL);
}

static void begin(void)
{
    vm_begin();
    memset(&host, 0, sizeof host);
    jitvm_set_output(vm, host_write, NULL);
}

TestSuite(builtins_io, .init = begin, .fini = vm_end);

static void printed(const char *wanted)
{
    cr_assert_eq(vm_flush(vm), 0);
    host.out[host.out_len] = '\0';
    cr_assert_str_eq(host.out, wanted);
}

Test(builtins_io, print_and_say_write_text_without_anything_between)
{
    GIVES("undef", "print", S("a"), I(1), F(2), B(true), B(false), U);
    GIVES("undef", "say", A(I(1), S("x")), S("!"));
    struct jitvm_value none;
    cr_assert_eq(call("say", NULL, 0, &none), 0);
    printed("a12.011 x!\n\n");
}

Test(builtins_io, output_is_held_back_until_there_is_much_of_it)
{
    for (int i = 0; i < 1000; i++)
        GIVES("undef", "print", S("12345678"));
    cr_assert_eq(host.writes, 0);
    for (int i = 0; i < 1000; i++)
        GIVES("undef", "print", S("12345678"));
    cr_assert_eq(host.writes, 1);
    cr_assert_eq(vm_flush(vm), 0);
    cr_assert_eq(host.out_len, 16000);
}

Test(builtins_io, a_long_text_comes_after_what_was_held_back)
{
    char many[20001];
    memset(many, 'x', 20000);
    many[20000] = '\0';
    GIVES("undef", "print", S("first "));
    GIVES("undef", "print", S(many));
    cr_assert_eq(host.out_len, 20006);
    cr_assert_eq(memcmp(host.out, "first xx", 8), 0);
}

Test(builtins_io, a_write_that_fails_is_an_error_once)
{
    host.fails = true;
    GIVES("undef", "print", S("lost"));
    cr_assert_eq(vm_flush(vm), JITVM_ERR_IO);
    cr_assert(strstr(vm->error.message, "No space"));
    vm->error.status = JITVM_OK;
    cr_assert_eq(vm_flush(vm), 0);
}

Test(builtins_io, lines_come_without_their_end_whatever_the_reads_give)
{
    for (size_t step = 1; step < 12; step++) {
        feed("one\n\nthree", step);
        gives("\"one\"", "readline", NULL, 0);
        gives("\"\"", "readline", NULL, 0);
        gives("\"three\"", "readline", NULL, 0);
        gives("undef", "readline", NULL, 0);
        gives("undef", "readline", NULL, 0);
    }
}

Test(builtins_io, a_last_line_with_an_end_is_the_last_one)
{
    feed("a\nb\n", 99);
    gives("\"a\"", "readline", NULL, 0);
    gives("\"b\"", "readline", NULL, 0);
    gives("undef", "readline", NULL, 0);
}

Test(builtins_io, readall_gives_what_is_left)
{
    feed("one\ntwo\nthree", 2);
    gives("\"one\"", "readline", NULL, 0);
    gives("\"two\\nthree\"", "readall", NULL, 0);
    gives("\"\"", "readall", NULL, 0);
    gives("undef", "readline", NULL, 0);
}

Test(builtins_io, a_question_is_written_before_its_answer_is_read)
{
    feed("me\n", 99);
    GIVES("undef", "print", S("who? "));
    cr_assert_eq(host.writes, 0);
    gives("\"me\"", "readline", NULL, 0);
    cr_assert_eq(host.writes, 1);
}

Test(builtins_io, a_read_that_fails_is_an_error)
{
    struct jitvm_value out;
    feed("abc", 99);
    host.fails = true;
    cr_assert_eq(call("readline", NULL, 0, &out), JITVM_ERR_IO);
}

Test(builtins_io, input_longer_than_the_heap_may_be_is_refused)
{
    static char many[3 << 20];
    struct jitvm_value out;
    memset(many, 'x', sizeof many - 1);
    feed(many, 1 << 16);
    cr_assert_eq(call("readline", NULL, 0, &out), JITVM_ERR_HEAP);
    feed(many, 1 << 16);
    cr_assert_eq(call("readall", NULL, 0, &out), JITVM_ERR_HEAP);
}

Test(builtins_io, args_are_what_the_host_said)
{
    static const char *const args[] = {"a", "", "-x"};
    gives("[]", "args", NULL, 0);
    cr_assert_eq(jitvm_set_args(vm, 3, args, NULL), 0);
    gives("[\"a\", \"\", \"-x\"]", "args", NULL, 0);
    cr_assert_eq(jitvm_set_args(vm, 0, NULL, NULL), 0);
    gives("[]", "args", NULL, 0);
}

/* ---- what a host does besides --------------------------------------------------------------- */

static int seven(struct jitvm *of, void *context, const struct jitvm_value *args, unsigned count,
                 struct jitvm_value *out)
{
    (void)of, (void)context, (void)args, (void)count;
    *out = jitvm_int(7);
    return 0;
}

Test(builtins_io, a_host_function_takes_the_place_of_a_builtin)
{
    uint32_t count = vm->native_count;
    add_native("len", seven, NULL, 1);
    cr_assert_eq(vm->native_count, count);
    GIVES("7", "len", S("x"));
    add_native("lens", seven, NULL, 1);
    cr_assert_eq(vm->native_count, count + 1);
}

Test(builtins_io, an_improper_host_function_is_refused)
{
    struct jitvm_error err;
    struct jitvm_native bad = {"x", seven, NULL, 2, 1, 0, JITVM_KINDS};
    cr_assert_eq(jitvm_register(vm, &bad, &err), JITVM_ERR_VALUE);
    bad = (struct jitvm_native){"x", NULL, NULL, 0, 1, 0, JITVM_KINDS};
    cr_assert_eq(jitvm_register(vm, &bad, &err), JITVM_ERR_VALUE);
    bad = (struct jitvm_native){"x", seven, NULL, 0, 1, 0, JITVM_KINDS + 1};
    cr_assert_eq(jitvm_register(vm, &bad, &err), JITVM_ERR_VALUE);
}

Test(builtins_io, a_value_that_does_not_fit_is_released_all_the_same)
{
    uint64_t before = vm->heap.bytes;
    struct jitvm_value not_array = I(1);
    cr_assert_eq(jitvm_array_push(vm, &not_array, S("lost")), JITVM_ERR_TYPE);
    cr_assert_eq(jitvm_hash_set(vm, &not_array, I(1), S("lost")), JITVM_ERR_TYPE);
    cr_assert_eq(vm->heap.bytes, before);
}

Test(builtins_io, a_shared_container_is_copied_before_a_host_changes_it)
{
    struct jitvm_value array = A(I(1)), other = array;
    jitvm_retain(other);
    cr_assert_eq(jitvm_array_push(vm, &array, I(2)), 0);
    cr_assert_eq(jitvm_length(array), 2);
    cr_assert_eq(jitvm_length(other), 1);
    jitvm_release(vm, array);
    jitvm_release(vm, other);
}
