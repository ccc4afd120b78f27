/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PID 1 hands to the waiting child when it lets it go: what to change about arguments and
 * environment. It travels through a pipe, so the child needs nothing of init's memory.
 */
#ifndef THAW_INIT_INVOCATION_H
#define THAW_INIT_INVOCATION_H

#include <stddef.h>

struct invocation {
    const char **argv; /* replaces process.args when argc > 0; NULL-terminated; owned */
    size_t argc;
    const char **envp; /* added to process.env, the last one of a key wins; owned */
    size_t envc;
    char *bytes; /* what the strings lie in; owned, NULL when they are borrowed */
};

/* Writes it whole, length first. Returns 0 or a negative errno. */
int invocation_send(int fd, const struct invocation *invocation);

/* Reads one. -EPIPE when the other side is gone, -EPROTO when it is not well-formed. The caller
 * ends with invocation_free(). */
int invocation_receive(int fd, struct invocation *invocation);

void invocation_free(struct invocation *invocation);

#endif
