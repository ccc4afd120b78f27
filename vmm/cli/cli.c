/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void cli_report(const struct thaw_error *err)
{
    fprintf(stderr, "thaw: %s [%s]\n", err->message, thaw_failure_name(err->failure));
}

int cli_next_option(int argc, char **argv, const char *shorts, const struct option *longs,
                    struct thaw_error *err)
{
    opterr = 0;
    int at = optind ? optind : 1;
    int c = getopt_long(argc, argv, shorts, longs, NULL);
    if (c == ':') {
        thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "%s: needs a value (see thaw %s --help)",
                     argv[at], argv[0]);
        return '?';
    }
    if (c == '?')
        thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "%s: unknown option (see thaw %s --help)",
                     argv[at], argv[0]);
    return c;
}

/* Digits only: strtoull would take signs, blanks and prefixes. */
static int parse_digits(const char *text, uint64_t *number, const char **rest)
{
    uint64_t value = 0;
    const char *at = text;
    for (; isdigit((unsigned char)*at); at++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return -ERANGE;
    *number = value;
    *rest = at;
    return at == text ? -EINVAL : 0;
}

int cli_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
                     uint64_t *number, struct thaw_error *err)
{
    const char *rest;
    if (parse_digits(text, number, &rest) < 0 || *rest != '\0' || *number < min || *number > max)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s %s: expected a number from %llu to %llu", option, text,
                            (unsigned long long)min, (unsigned long long)max);
    return 0;
}

int cli_parse_size(const char *option, const char *text, uint64_t *size, struct thaw_error *err)
{
    static const char units[] = "KkMmGg";
    const char *rest = text;
    int rc = parse_digits(text, size, &rest);
    unsigned shift = 20;
    if (rc == 0 && *rest != '\0') {
        const char *unit = strchr(units, *rest);
        shift = unit ? 10 + 10 * (unsigned)((unit - units) / 2) : 0;
        rest++;
    }
    if (rc < 0 || *rest != '\0' || shift == 0 || *size > UINT64_MAX >> shift)
        return thaw_fail_as(err, THAW_FAIL_MEMORY, EINVAL,
                            "%s %s: expected a size such as 128M or 2G", option, text);
    *size <<= shift;
    return 0;
}

int cli_parse_seconds(const char *option, const char *text, uint64_t *ns, struct thaw_error *err)
{
    const double year = 366.0 * 24 * 3600;
    char *rest;
    errno = 0;
    double seconds = strtod(text, &rest);
    if (errno || rest == text || *rest != '\0' || !isfinite(seconds) || seconds <= 0 ||
        seconds > year)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s %s: expected a number of seconds, more than 0", option, text);
    *ns = (uint64_t)(seconds * 1e9);
    return 0;
}

int cli_find_installed(const char *name, char *path, size_t path_size)
{
    char directory[4096];
    ssize_t n = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    if (n <= 0)
        return -ENOENT;
    directory[n] = '\0';
    char *slash = strrchr(directory, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';

    static const char *const places[] = {"", "/../share/thaw"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int length = snprintf(path, path_size, "%s%s/%s", directory, places[i], name);
        if (length > 0 && (size_t)length < path_size && access(path, F_OK) == 0)
            return 0;
    }
    return -ENOENT;
}

int cli_add_variable(const char **env, size_t *count, const char *text, struct thaw_error *err)
{
    size_t key = strcspn(text, "=");
    if (key == 0)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL, "--env %s: expected KEY=VALUE or KEY",
                            text);
    if (*count == CLI_ENV_MAX)
        return thaw_fail_as(err, THAW_FAIL_USAGE, E2BIG, "--env: at most %u", CLI_ENV_MAX);
    if (text[key] == '=') {
        env[(*count)++] = text;
        return 0;
    }
    for (char **own = environ; *own; own++)
        if (strncmp(*own, text, key) == 0 && (*own)[key] == '=')
            env[(*count)++] = *own;
    return 0;
}

int cli_split_arguments(int argc, char **argv, char ***args, size_t *arg_count)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") != 0)
            continue;
        *args = argv + i + 1;
        *arg_count = (size_t)(argc - i - 1);
        return i;
    }
    return argc;
}

int cli_take_word(int argc, char **argv, const char *verb, const char **word,
                  struct thaw_error *err)
{
    *word = optind < argc ? argv[optind] : NULL;
    if (optind + 1 < argc)
        return thaw_fail_as(err, THAW_FAIL_USAGE, EINVAL,
                            "%s: unexpected argument; a command comes after -- (see thaw %s "
                            "--help)",
                            argv[optind + 1], verb);
    return 0;
}

int cli_open_console(const char *path, struct thaw_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd >= 0)
        return fd;
    return thaw_fail_io(err, errno, "--console %s", path);
}

void cli_allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, connections are refused one by one */
}
