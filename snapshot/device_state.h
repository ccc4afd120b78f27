/* SPDX-License-Identifier: Apache-2.0 */
/* The devices' sections of a snapshot: both UARTs, and each virtio device in the order of the
 * slots. */
#ifndef THAW_SNAPSHOT_DEVICE_STATE_H
#define THAW_SNAPSHOT_DEVICE_STATE_H

#include "devices/machine.h"
#include "snapshot/format.h"

/* The machine is paused. */
int device_state_save(struct machine *machine, struct snapshot_writer *writer,
                      struct thaw_error *err);

/* Into a machine with the same devices, that was just created. Each state passes the checks that a
 * guest's writes pass: THAW_FAIL_SNAPSHOT, which names the section. The devices are left stopped;
 * device_state_wake() lets them go. */
int device_state_load(struct machine *machine, const struct snapshot_state *state,
                      struct thaw_error *err);

/* After the interrupt chips have been set, or an interrupt would be lost: every device looks at its
 * queues, and one that had an interrupt pending raises its line again. */
void device_state_wake(struct machine *machine);

#endif
