/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print, say, eprint, readline, readall, args. print and say write the text of their arguments one
 * after the other, without anything between them.
 */
#include "guest/jitvm/vm/builtins.h"

#include <string.h>

/* Arguments as text, one after the other, each given to `write`. */
static int each_text(struct jitvm *vm, const struct jitvm_value *args, unsigned count,
                     int (*write)(struct jitvm *vm, const void *bytes, size_t len))
{
    for (unsigned i = 0; i < count; i++) {
        struct text text;
        int rc = text_of(vm, args[i], &text);
        if (rc < 0)
            return rc;
        rc = write(vm, text.bytes, text.len);
        text_end(vm, &text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int io_print(BUILTIN_ARGS)
{
    return each_text(vm, args, count, vm_write);
}

static int io_say(BUILTIN_ARGS)
{
    int rc = each_text(vm, args, count, vm_write);
    return rc < 0 ? rc : vm_write(vm, "\n", 1);
}

static int io_eprint(BUILTIN_ARGS)
{
    return each_text(vm, args, count, vm_write_error);
}

static int io_readline(BUILTIN_ARGS)
{
    const char *line;
    size_t len;
    int rc = vm_read_line(vm, &line, &len);
    if (rc < 0 || !line)
        return rc;
    if (line[len - 1] == '\n')
        len--;
    return give_str(vm, str_new(&vm->heap, line, len), out);
}

static int io_readall(BUILTIN_ARGS)
{
    const char *bytes;
    size_t len;
    int rc = vm_read_all(vm, &bytes, &len);
    return rc < 0 ? rc : give_str(vm, str_new(&vm->heap, bytes ? bytes : "", len), out);
}

static int io_args(BUILTIN_ARGS)
{
    if (vm->args.kind != JITVM_ARRAY)
        return give_array(vm, array_new(&vm->heap, 0), out);
    value_retain(vm->args);
    *out = vm->args;
    return 0;
}

const struct jitvm_native *builtins_io(unsigned *count)
{
    static const struct jitvm_native table[] = {
        {"print", io_print, NULL, 0, JITVM_ANY_COUNT, JITVM_NO_REENTER, JITVM_UNDEF},
        {"say", io_say, NULL, 0, JITVM_ANY_COUNT, JITVM_NO_REENTER, JITVM_UNDEF},
        {"eprint", io_eprint, NULL, 0, JITVM_ANY_COUNT, JITVM_NO_REENTER, JITVM_UNDEF},
        {"readline", io_readline, NULL, 0, 0, JITVM_NO_REENTER, JITVM_KINDS},
        {"readall", io_readall, NULL, 0, 0, JITVM_NO_REENTER, JITVM_STR},
        {"args", io_args, NULL, 0, 0, JITVM_NO_REENTER, JITVM_ARRAY},
    };
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}
