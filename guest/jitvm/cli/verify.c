/* SPDX-License-Identifier: Apache-2.0 */
/* jitvm verify: would the program be accepted? Loading it has found out. */
#include "guest/jitvm/cli/look.h"

static const char help[] =
    "Usage: jitvm verify [OPTIONS] FILE\n"
    "\n"
    "Reads the program, checks all of it as before a run, and says `FILE: ok` and its identity,\n"
    "or on stderr what is wrong. Nothing of it is run.\n"
    "\n"
    "      --as jv|jasm|jvc  what FILE is, if its name does not say; stdin (-) is .jv\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit status: 0; 2 wrong usage; 74 wrong text; 75 refused by the verifier, or damaged;\n"
    "77 not readable.\n"
    "\n"
    "Example:\n"
    "  jitvm verify fib.jvc\n";

static int say_ok(const struct jitvm_chunk *chunk, const char *name)
{
    uint8_t identity[16];
    jitvm_chunk_identity(chunk, identity);
    printf("%s: ok ", name);
    for (unsigned i = 0; i < sizeof identity; i++)
        printf("%02x", identity[i]);
    putchar('\n');
    return cli_flush(CLI_OK);
}

int cli_verify(int argc, char **argv)
{
    return look_at("verify", help, argc, argv, say_ok);
}
