/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/init-oci/workload.h"

#include "guest/init-oci/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PASSWD_MAX   ((size_t)1 << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- environment -------------------------------------------------------------------------- */

static bool same_key(const char *entry, const char *other)
{
    size_t length = strcspn(entry, "=");
    return strncmp(entry, other, length) == 0 && other[length] == '=';
}

static const char *value_of(const char *const *envp, const char *key)
{
    size_t length = strlen(key);
    for (; *envp; envp++) {
        if (strncmp(*envp, key, length) == 0 && (*envp)[length] == '=')
            return *envp + length + 1;
    }
    return NULL;
}

int environment_put(struct environment *env, const char *entry)
{
    for (size_t i = 0; i < env->count; i++) {
        if (same_key(entry, env->entries[i])) {
            env->entries[i] = entry;
            return 0;
        }
    }
    if (env->count + 1 >= env->capacity) {
        size_t capacity = env->capacity * 2 + 16;
        const char **grown = reallocarray(env->entries, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        env->entries = grown;
        env->capacity = capacity;
    }
    env->entries[env->count++] = entry;
    env->entries[env->count] = NULL;
    return 0;
}

int environment_create(const struct spec *spec, const char *home, struct environment *env)
{
    size_t capacity = spec->env.count + 2;
    *env = (struct environment){.entries = calloc(capacity, sizeof(*env->entries)),
                                .capacity = capacity};
    if (!env->entries)
        return -ENOMEM;
    memcpy(env->entries, spec->env.items, spec->env.count * sizeof(*env->entries));
    env->count = spec->env.count;
    const char *given = value_of(env->entries, "HOME");
    return home && (!given || !*given) ? environment_put(env, home) : 0;
}

void environment_free(struct environment *env)
{
    free(env->entries);
    *env = (struct environment){0};
}

/* passwd(5): name:password:uid:gid:comment:directory:shell. Cuts the line up. */
static const char *home_in_line(char *line, uint32_t uid)
{
    char *fields[7] = {0};
    for (size_t i = 0; i < 7 && line; i++)
        fields[i] = strsep(&line, ":");
    if (!fields[5] || fields[2][0] < '0' || fields[2][0] > '9')
        return NULL;
    char *end;
    unsigned long long value = strtoull(fields[2], &end, 10);
    return *end == '\0' && value == uid ? fields[5] : NULL;
}

char *workload_home(uint32_t uid)
{
    const char *home = NULL;
    cleanup_free char *passwd = NULL;
    size_t size;
    if (file_read_all(AT_FDCWD, "/etc/passwd", PASSWD_MAX, &passwd, &size) == 0) {
        char *rest = passwd;
        while (rest && !home)
            home = home_in_line(strsep(&rest, "\n"), uid);
    }
    if (!home || !*home)
        home = "/";
    size_t length = strlen("HOME=") + strlen(home) + 1;
    char *entry = malloc(length);
    if (entry)
        snprintf(entry, length, "HOME=%s", home);
    return entry;
}

/* ---- execve ------------------------------------------------------------------------------- */

/* execve takes strings that it does not change, under a type that says otherwise. */
static int try_exec(const char *path, const char *const *argv, const char *const *envp)
{
    execve(path, (char *const *)argv, (char *const *)envp);
    return errno;
}

/* As execvpe(3): goes on where there is nothing, remembers where there is no permission. An empty
 * element is the current directory. */
static int search_and_exec(const char *const *argv, const char *const *envp)
{
    const char *path = value_of(envp, "PATH");
    if (!path)
        path = DEFAULT_PATH;
    int remembered = ENOENT;
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, ":");
        char file[PATH_MAX];
        int written =
            snprintf(file, sizeof(file), "%.*s%s%s", (int)length, at, length ? "/" : "", argv[0]);
        int code = written > 0 && (size_t)written < sizeof(file) ? try_exec(file, argv, envp)
                                                                 : ENAMETOOLONG;
        if (code == EACCES)
            remembered = EACCES;
        else if (code != ENOENT && code != ENOTDIR && code != ENAMETOOLONG)
            return code;
        at += length;
        if (*at == '\0')
            return remembered;
    }
}

int workload_exec(const char *const *argv, const char *const *envp)
{
    const char *name = argv[0];
    int code = ENOENT;
    if (strchr(name, '/'))
        code = try_exec(name, argv, envp);
    else if (*name)
        code = search_and_exec(argv, envp);

    /* One write, so that the line stays in one piece. */
    char line[PATH_MAX + 128];
    int length =
        snprintf(line, sizeof(line), "init-oci: %.*s: %s\n", PATH_MAX, name, strerror(code));
    if (length > 0)
        file_write_full(STDERR_FILENO, line, (size_t)length);
    return code == ENOENT ? WORKLOAD_NOT_FOUND : WORKLOAD_CANNOT_EXECUTE;
}

void workload_reset_signals(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &action, NULL); /* EINVAL for libc's own, which nobody has touched */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
