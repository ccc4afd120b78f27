/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assemble() in a process of its own, `thaw-image assemble`, so that it can run under fakeroot(1)
 * and be ended at once. Between the two is a pipe of lines: "pid N", "step TEXT", and at the end
 * "done" or "error FAILURE CODE TEXT".
 */
#ifndef THAW_IMAGE_WORKER_H
#define THAW_IMAGE_WORKER_H

#include "vmm/image/assemble.h"

#include <stdbool.h>

/*
 * Runs the assembly in a child, under fakeroot when asked, and waits for it. `held_fd` is left
 * open in the child as long as it runs (a lock). Signals that interrupt_block() has blocked end
 * the child and then the call (THAW_FAIL_INTERRUPTED). When it returns, no process of the
 * child's writes to the output any more.
 */
int worker_run(const struct assembly *assembly, bool fakeroot, int held_fd,
               const struct image_progress *progress, struct thaw_error *err);

/* The child: `argv` are the `argc` words after "assemble". Returns the exit status. */
int worker_main(int argc, char **argv);

#endif
