/* SPDX-License-Identifier: Apache-2.0 */
/* The very end of the child: environment and execve, as shells and runc have them. */
#ifndef THAW_INIT_WORKLOAD_H
#define THAW_INIT_WORKLOAD_H

#include "guest/init-oci/failure.h"
#include "guest/init-oci/spec.h"

#include <stddef.h>

/* Exit statuses of POSIX's shells (XCU 2.8.2). */
#define WORKLOAD_CANNOT_EXECUTE 126
#define WORKLOAD_NOT_FOUND      127

/* An environment being put together. Entries are borrowed. */
struct environment {
    const char **entries; /* NULL-terminated; owned */
    size_t count, capacity;
};

/* Starts with spec->env. `home` ("HOME=/root", or NULL) is added when it names none. Returns 0 or
 * -ENOMEM. */
int environment_create(const struct spec *spec, const char *home, struct environment *env);

/* Adds "KEY=value", in the place of another value of KEY. Returns 0 or -ENOMEM. */
int environment_put(struct environment *env, const char *entry);

void environment_free(struct environment *env);

/* "HOME=<directory>" as the /etc/passwd of the root has it for `uid`; "HOME=/" without one.
 * NULL: out of memory. The caller frees it. */
char *workload_home(uint32_t uid);

/* Replaces the process. A name without a slash is looked for in the PATH of `envp`. When that
 * fails, says why on the standard error, in one line, and returns the exit status. */
int workload_exec(const char *const *argv, const char *const *envp);

/* Every signal's default action, and no signal blocked. */
void workload_reset_signals(void);

#endif
