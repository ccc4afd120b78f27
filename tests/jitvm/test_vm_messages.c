/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that a person has to read: the same words, by place and by value. */
#include <criterion/criterion.h>
#include <string.h>

#include "guest/jitvm/jitvm.h"

static void expect_message(const char *text, const char *message)
{
    struct jitvm_config config;
    struct jitvm_chunk *chunk = NULL;
    struct jitvm *vm = NULL;
    struct jitvm_error err;
    cr_assert_eq(jitvm_config_default(&config, NULL), 0);
    cr_assert_eq(jitvm_compile("test", text, strlen(text), &chunk, &err), 0, "%s", err.message);
    cr_assert_eq(jitvm_new(&config, &vm, NULL), 0);
    cr_assert_eq(jitvm_load(vm, chunk, NULL), 0);
    cr_assert_lt(jitvm_run(vm, NULL, &err), 0, "%s", text);
    cr_assert_str_eq(err.message, message, "%s: %s", text, err.message);
    jitvm_free(vm);
    jitvm_chunk_unref(chunk);
}

Test(messages, say_what_cannot_be_looked_into)
{
    static const char *const keys = "cannot take the keys of int";
    static const char *const values = "cannot take the values of int";
    expect_message("keys(5)", keys);
    expect_message("let a = 5; keys(a)", keys);
    expect_message("values(5)", values);
    expect_message("for x in 5 { }", values);
    expect_message("let a = 5; for x in a { }", values);
    expect_message("exists(5, 1)", "cannot look into int");
    expect_message("let a = 5; exists(a[1])", "cannot look into int");
}
