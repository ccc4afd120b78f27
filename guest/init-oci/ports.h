/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of a virtio console that carry the workload's standard streams on the host's side
 * (guest/include/thaw/wire.h has their names).
 *
 * Linux makes the ports after its console driver has been probed, in a worker: init waits for the
 * kernel's words (uevents) about them, not for a time to pass.
 */
#ifndef THAW_INIT_PORTS_H
#define THAW_INIT_PORTS_H

#include <stdbool.h>

struct ports {
    int input;      /* O_PATH: the port is not open yet; see ports_open_input() */
    int outputs[2]; /* standard output and error; they do not block */
};

/* Finds the three ports, opens those for output, and takes the device nodes away: a workload that
 * binds /dev shall not find them there. False: the guest has no virtio console, or one without
 * these ports; then nothing is open. The descriptors are the caller's. */
bool ports_find(struct ports *ports);

/* Opens the port for input, at which the host begins to send. Returns a descriptor that does not
 * block, the caller's, or a negative errno. */
int ports_open_input(const struct ports *ports);

#endif
