/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Init's side of the mailbox (guest/include/thaw/mailbox.h): the window is mapped once, early;
 * what is in it is copied out and only the copy is looked at.
 */
#ifndef THAW_INIT_MAILBOX_H
#define THAW_INIT_MAILBOX_H

#include "thaw/mailbox.h"

#include <stdbool.h>
#include <stddef.h>

/* The monitor's window; NULL where there is none. */
struct mailbox {
    unsigned char *window;
};

/* One checked copy. Zeroed: nothing valid was there. */
struct mailbox_message {
    bool valid;
    struct thaw_mailbox_header header;
    char *body;        /* owned */
    const char **argv; /* header.argc strings of the body, then NULL; owned */
    const char **envp; /* header.envc strings of the body, then NULL; owned */
    const char *input; /* header.stdin_len bytes of the body */
};

/* Maps the window through /dev/mem, cached (no O_SYNC). A machine without one is no error: it is
 * how init runs under another monitor. */
void mailbox_map(struct mailbox *mailbox);

/* Copies the window and checks the copy: magic, version, lengths, checksum, strings. Returns
 * `message->valid`. The caller ends with mailbox_message_free(). */
bool mailbox_read(const struct mailbox *mailbox, struct mailbox_message *message);

/* Zeroes the entropy, in the window and in the copy. The window's checksum no longer fits then:
 * nobody can take it for a mailbox again before the monitor has written a new one. */
void mailbox_forget_entropy(const struct mailbox *mailbox, struct mailbox_message *message);

/* The report, in the window: stores need no exit. No effect without a window. */
void mailbox_report_resumed(const struct mailbox *mailbox);
void mailbox_report_exec(const struct mailbox *mailbox);

void mailbox_message_free(struct mailbox_message *message);

#endif
