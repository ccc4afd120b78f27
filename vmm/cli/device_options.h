/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that give a guest its devices: `--disk PATH,ro` and so on. A value is a list
 * separated by commas: the first item stands alone or is `key=value`, like the rest.
 */
#ifndef THAW_CLI_DEVICE_OPTIONS_H
#define THAW_CLI_DEVICE_OPTIONS_H

#include "devices/machine.h"
#include "devices/mailbox.h"

/* Each adds what `text` says to `devices`, which points into `text` from then on; commas in it are
 * overwritten. `*mount`: where the disk is to be mounted, NULL: nowhere. THAW_FAIL_USAGE. */
int device_option_disk(struct machine_devices *devices, const char **mount, char *text,
                       struct thaw_error *err);

/* The first card's IPv4 settings go into `mailbox`, from where init puts them on eth0. */
int device_option_net(struct machine_devices *devices, struct mailbox_content *mailbox, char *text,
                      struct thaw_error *err);

int device_option_vsock(struct machine_devices *devices, char *text, struct thaw_error *err);
int device_option_balloon(struct machine_devices *devices, char *text, struct thaw_error *err);

/* Their lines of `--help`. */
extern const char device_options_help[];

#endif
