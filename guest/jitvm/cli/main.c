/* SPDX-License-Identifier: Apache-2.0 */
/* The program `jitvm`: picks the verb. */
#include "guest/jitvm/cli/cli.h"

#include <string.h>

static const struct verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", "run a program", cli_run},
    {"compile", "make a .jvc of a program, to start sooner", cli_compile},
    {"asm", "make a .jvc of .jasm text", cli_asm},
    {"disasm", "print a program as .jasm text", cli_disasm},
    {"verify", "say whether a program would be accepted", cli_verify},
    {"stats", "run a program and print what the VM did", cli_stats},
    {"bench", "time a program in each tier", cli_bench},
};

static int print_help(void)
{
    puts("jitvm: an embedded bytecode VM with compilers\n"
         "\n"
         "Usage: jitvm VERB [OPTIONS] FILE\n"
         "\n"
         "Verbs:");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        printf("  %-8s %s\n", verbs[i].name, verbs[i].summary);
    puts("\n"
         "  jitvm VERB --help   teaches a verb\n"
         "  jitvm --version     prints the version\n"
         "\n"
         "A FILE is .jv (the language), .jasm (assembly text) or .jvc (compiled); - is stdin.\n"
         "\n"
         "A first try:\n"
         "  echo 'say(\"hello \", 6 * 7);' >hello.jv\n"
         "  jitvm run hello.jv");
    return cli_flush(CLI_OK);
}

static int print_version(void)
{
    puts("jitvm " THAW_VERSION);
    return cli_flush(CLI_OK);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        fputs("jitvm: no verb (see jitvm --help)\n", stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help();
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return print_version();
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "jitvm: %s: unknown verb (see jitvm --help)\n", name);
    return CLI_USAGE;
}
