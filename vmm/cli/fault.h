/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's page that cannot be read any more: the file behind it was truncated, or its disk fails.
 * The guest is over then, whoever has touched the page, and thaw says why in one line.
 */
#ifndef THAW_CLI_FAULT_H
#define THAW_CLI_FAULT_H

#include "snapshot/restore.h"

/*
 * From here on a SIGBUS of any thread at a page of `restore`'s memory writes that line, gives
 * the terminal on `terminal_fd` its settings of now back, and ends the process with
 * CLI_STATUS_OWN_FAILURE; any other SIGBUS kills it as ever. `restore` is borrowed until
 * fault_unwatch(). One at a time: a signal's handler is the process's.
 */
void fault_watch(const struct restore *restore, int terminal_fd);
void fault_unwatch(void);

/* After the guest ended with THAW_FAIL_KVM_INTERNAL: when KVM failed because of such a page, `err`
 * says that instead (THAW_FAIL_SNAPSHOT_SHORT). Returns the negative code. */
int fault_explain(const struct restore *restore, struct thaw_error *err);

#endif
