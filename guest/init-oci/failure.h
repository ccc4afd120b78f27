/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why init, or the workload's child before its execve, cannot go on: one line of text, which
 * ends up before the user's eyes as `init-failed reason=...`.
 *
 * Every fallible function of init returns 0 (or a descriptor) or a negative errno, and fills a
 * struct failure, its last parameter. The innermost step names the thing and the reason
 * ("/dev/shm: No such device"); callers put the part of the spec before it ("mounts[2] ").
 */
#ifndef THAW_INIT_FAILURE_H
#define THAW_INIT_FAILURE_H

#define FAILURE_MAX 232 /* with `init-failed reason=` and the NUL it fits a control line */

struct failure {
    char reason[FAILURE_MAX]; /* NUL-terminated; cut off when longer */
};

/* Sets "<what>: <strerror(code)>"; `code` is a positive errno. Returns -code. */
__attribute__((format(printf, 3, 4))) int fail(struct failure *failure, int code, const char *what,
                                               ...);

/* Sets the whole sentence. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int fail_plainly(struct failure *failure, const char *why,
                                                       ...);

/* Puts text before the reason, as it is; returns `rc`, for `return fail_in(failure, rc, ...)`. */
__attribute__((format(printf, 3, 4))) int fail_in(struct failure *failure, int rc,
                                                  const char *where, ...);

#endif
