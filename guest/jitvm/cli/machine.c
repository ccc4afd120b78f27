/* SPDX-License-Identifier: Apache-2.0 */
/* The VM that a verb runs a program in: its options, its thread, its interruption. */
#include "guest/jitvm/cli/machine.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* Of a call that a builtin makes, which takes more than others. */
#define STACK_PER_CALL ((size_t)1024)
#define STACK_BESIDES  ((size_t)256 << 10) /* builtins, the C library */

const char machine_help[] =
    "      --jit off|linear|block  what is compiled: nothing, functions of one basic block,\n"
    "                              whole functions (the default)\n"
    "      --fuel N                stop after N back edges and calls\n"
    "      --heap N[K|M|G]         bytes of strings, arrays and hashes at once; default 1G\n"
    "      --depth N               calls nested in each other, to 1000000; default 4000\n"
    "      --seed N                of rand(); default: another one each time\n"
    "      --dump code,ir,asm      print these to stderr while functions are compiled\n"
    "      --perf-map              name compiled functions for perf(1), in /tmp/perf-PID.map\n"
    "      --gdb                   show compiled functions to a debugger\n";

/* ---- options -------------------------------------------------------------------------------- */

bool machine_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9 || digit > max || n > (max - digit) / 10)
            return false;
        n = 10 * n + digit;
    }
    *out = n;
    return n <= max;
}

static bool parse_size(const char *text, uint64_t *out)
{
    char digits[24];
    size_t len = strlen(text);
    static const char units[] = "KMG";
    const char *unit = len ? strchr(units, text[len - 1]) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    len -= unit ? 1 : 0;
    if (len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (!machine_number(digits, UINT64_MAX >> shift, out))
        return false;
    *out <<= shift;
    return true;
}

static bool parse_jit(const char *text, enum jitvm_jit *out)
{
    static const char *const names[] = {"off", "linear", "block"};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum jitvm_jit)i;
            return true;
        }
    }
    return false;
}

static unsigned dump_flag(const char *name, size_t len)
{
    if (len == 4 && memcmp(name, "code", 4) == 0)
        return JITVM_DUMP_CODE;
    if (len == 2 && memcmp(name, "ir", 2) == 0)
        return JITVM_DUMP_IR;
    return len == 3 && memcmp(name, "asm", 3) == 0 ? JITVM_DUMP_ASM : 0;
}

static bool parse_dump(const char *text, unsigned *debug)
{
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned flag = dump_flag(text, len);
        if (!flag)
            return false;
        *debug |= flag;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

static bool parse_depth(const char *text, uint32_t *out)
{
    uint64_t depth;
    if (!machine_number(text, JITVM_DEPTH_MAX, &depth) || depth == 0)
        return false;
    *out = (uint32_t)depth;
    return true;
}

int machine_config(struct jitvm_config *config)
{
    struct jitvm_error err;
    if (jitvm_config_default(config, &err) == 0)
        return CLI_OK;
    return cli_fail(err.status, "environment: %s", err.message);
}

/* False when the value is none that the option takes. */
static bool set_option(struct jitvm_config *config, int option, const char *value)
{
    switch (option) {
    case MACHINE_JIT:
        return parse_jit(value, &config->jit);
    case MACHINE_FUEL:
        return machine_number(value, UINT64_MAX - 1, &config->limits.fuel);
    case MACHINE_HEAP:
        return parse_size(value, &config->limits.heap_bytes);
    case MACHINE_DEPTH:
        return parse_depth(value, &config->limits.depth);
    case MACHINE_DUMP:
        return parse_dump(value, &config->debug);
    case MACHINE_SEED:
        return machine_number(value, UINT64_MAX, &config->seed);
    default:
        config->debug |= option == MACHINE_GDB ? JITVM_DEBUG_GDB : JITVM_DEBUG_PERF;
        return true;
    }
}

int machine_option(struct jitvm_config *config, const char *verb, int option, const char *value)
{
    static const char *const wanted[] = {
        [0] = "--jit: off, linear or block",
        [MACHINE_FUEL - MACHINE_JIT] = "--fuel: a number",
        [MACHINE_HEAP - MACHINE_JIT] = "--heap: a number, then K, M, G or nothing",
        [MACHINE_DEPTH - MACHINE_JIT] = "--depth: 1 to 1000000",
        [MACHINE_DUMP - MACHINE_JIT] = "--dump: of code, ir, asm, with commas",
        [MACHINE_SEED - MACHINE_JIT] = "--seed: a number",
    };
    if (set_option(config, option, value))
        return 0;
    return cli_usage(verb, "%s, not '%s'", wanted[option - MACHINE_JIT], value);
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* A signal handler has no argument of ours. */
static _Atomic(struct jitvm *) watched;

static void on_interrupt(int signal)
{
    (void)signal;
    struct jitvm *vm = atomic_load(&watched);
    if (vm)
        jitvm_interrupt(vm);
}

struct body {
    int (*run)(void *context);
    void *context;
    int status;
};

/* The signal is for this thread alone, so that a read that it waits in ends. */
static void *thread_main(void *argument)
{
    struct body *body = argument;
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    body->status = body->run(body->context);
    return NULL;
}

static void prepare_signals(void)
{
    /* Not restarting: a read ends. Reset: the second one ends a program that does not listen. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, before;
    sigaction(SIGINT, NULL, &before);
    if (before.sa_handler == SIG_IGN) /* in the background */
        return;
    sigaction(SIGINT, &action, NULL);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
}

int machine_thread(uint32_t depth, int (*run)(void *context), void *context)
{
    struct body body = {run, context, CLI_OK};
    prepare_signals();
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_t thread;
    int rc = pthread_attr_setstacksize(&attr, depth * STACK_PER_CALL + STACK_BESIDES);
    if (rc == 0)
        rc = pthread_create(&thread, &attr, thread_main, &body);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return cli_fail(JITVM_ERR_MEMORY, "--depth %u: a stack for it: %s", depth, strerror(rc));
    pthread_join(thread, NULL);
    return body.status;
}

/* ---- a VM ----------------------------------------------------------------------------------- */

void machine_watch(struct jitvm *vm)
{
    atomic_store(&watched, vm);
}

static int open_vm(const struct jitvm_config *config, struct jitvm_chunk *chunk,
                   struct cli_args args, struct jitvm **out, struct jitvm_error *err)
{
    int rc = jitvm_new(config, out, err);
    if (rc == 0)
        rc = jitvm_set_args(*out, args.count, args.list, err);
    if (rc == 0)
        rc = jitvm_load(*out, chunk, err);
    return rc;
}

struct jitvm *machine_open(const struct jitvm_config *config, struct jitvm_chunk *chunk,
                           struct cli_args args, const char *source, int *status)
{
    struct jitvm *vm = NULL;
    struct jitvm_error err;
    if (open_vm(config, chunk, args, &vm, &err) < 0) {
        jitvm_free(vm);
        *status = cli_report(source, &err);
        return NULL;
    }
    machine_watch(vm);
    return vm;
}

void machine_close(struct jitvm *vm)
{
    if (atomic_load(&watched) == vm)
        machine_watch(NULL);
    jitvm_free(vm);
}
