/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm disasm: a program as .jasm text. */
#include "guest/jitvm/cli/look.h"

static const char help[] =
    "Usage: jitvm disasm [OPTIONS] FILE\n"
    "\n"
    "Prints the program as .jasm text. `jitvm asm` makes the same program of it again.\n"
    "\n"
    "      --as jv|jasm|jvc  what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help            this text\n"
    "\n"
    "Example:\n"
    "  jitvm disasm fib.jv\n";

static int disassemble(const struct jitvm_chunk *chunk, const char *name)
{
    struct jitvm_error err;
    if (jitvm_disassemble(chunk, stdout, &err) < 0)
        return cli_report(name, &err);
    return cli_flush(CLI_OK);
}

int cli_disasm(int argc, char **argv)
{
    return look_at("disasm", help, argc, argv, disassemble);
}
